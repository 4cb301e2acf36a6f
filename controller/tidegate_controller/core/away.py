"""Nodes that have gone while a rollout runs. Used by `types`, and by `evolve` and its parts."""

import msgspec

from tidegate_controller.core.spec import Struct


class Away(Struct, frozen=True, kw_only=True):
    """A node that has gone. `until`: how long it is waited for, in engine time. `unheard`: all that
    is known is that the controller has not heard of it since its own start, and that it has had no
    time yet to return."""

    until: float
    unheard: bool = False

    def longer(self, until: float, now: float) -> "Away":
        """Waited for until then. One that was waited for in vain has gone, for all one knows."""
        return msgspec.structs.replace(self, until=until, unheard=self.unheard and now < self.until)
