"""No balancer that Tidegate could move: a person switches traffic, and says when it is done.

Called by the shell like any adapter. A shift ends as `unknown`, which the core takes to a person;
with `manual = "warn"` it only says what to do and goes on.
"""

import logging
from collections.abc import Mapping

from tidegate_controller.core.spec import Traffic
from tidegate_controller.errors import AskPerson

log = logging.getLogger(__name__)


class ByHand:
    """The adapter `none`."""

    def __init__(self, spec: Traffic) -> None:
        self._spec = spec

    async def check(self, addresses: int) -> None:
        """There is nothing to look at."""

    async def state(self) -> Mapping[str, int] | None:
        """Nobody can be asked."""
        return None

    async def verify(self, weights: Mapping[str, int]) -> None:
        """Nobody can be asked."""

    async def shift(self, weights: Mapping[str, int]) -> None:
        """Raises `AskPerson` with what has to be done, unless warning of it is enough."""
        shares = [address for address, share in sorted(weights.items()) if share]
        what = f"switch all traffic to {', '.join(shares)}" if shares else "take away all traffic"
        if self._spec.manual == "warn":
            log.warning("traffic has to be switched by hand: %s", what)
            return
        raise AskPerson(f"{what} by hand")
