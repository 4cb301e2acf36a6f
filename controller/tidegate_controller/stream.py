"""One "app@environment" in the shell: its state, the lock that orders its inputs, its timer."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from tidegate_controller.core import types as t
from tidegate_controller.core.facts import split_stream
from tidegate_controller.errors import Refused, TidegateError
from tidegate_protos.logs import Fields

log = logging.getLogger(__name__)


class Stream:
    """One "app@environment": its state, the lock that orders its inputs, its timer."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._state = t.State()
        self._since = 0  # the version that this life began to read at
        self._written: dict[int, int] = {}  # epoch -> last version that was written in it since
        self.lock = asyncio.Lock()
        self.timer: asyncio.TimerHandle | None = None
        self.fault = ""  # what the core has stumbled over; nothing is decided here any more

    @property
    def state(self) -> t.State:
        """What the events in the log add up to."""
        return self._state

    @state.setter
    def state(self, state: t.State) -> None:
        if state.version > self._state.version + 1:
            self._since = state.version
        self._state = state
        self._written[state.epoch] = state.version

    def holds(self, epoch: int, version: int) -> bool:
        """Whether the log has what a command of this fence was sent for, as far as was read."""
        return version <= max(self._since, self._written.get(epoch, 0))

    @property
    def begun(self) -> bool:
        """Whether the log has anything of it; a request that was refused leaves nothing there."""
        return self.state.version > 0

    @property
    def about(self) -> Fields:
        """What is logged on its behalf is about this."""
        app, environment = split_stream(self.name)
        rollout = self.state.rollout
        return Fields(app=app, environment=environment, rollout=rollout.id if rollout else "")

    @property
    def busy(self) -> bool:
        return self.state.rollout is not None or bool(self.state.chores)

    @contextmanager
    def confining(self, work: str) -> Iterator[None]:
        """An error of the core in there stops this stream alone, with the log as it was: `fault`.
        What is raised on purpose, also of the log, goes on up. `work`: what for, in the log."""
        try:
            yield
        except TidegateError:
            raise
        except Exception as error:
            log.exception("%s cannot go on from %s", self.name, work)
            self.fault = f"{type(error).__name__}: {error}"

    def broken(self) -> Refused:
        """Why nothing is decided here any more."""
        return Refused(
            f"{self.name} stands still after an error of Tidegate's own: {self.fault}",
            "what runs goes on running; see the controller's log, report it, and restart the "
            "controller with a version that mends it",
        )


class RolloutPlace(NamedTuple):
    """Where a rollout is in the log, and what its Started says of who asked for it."""

    stream: str
    version: int  # of its Started
    seq: int  # likewise
    at: str  # likewise, RFC 3339
    requested_by: str
    message: str
