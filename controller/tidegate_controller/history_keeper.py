"""The history of all rollouts, read on whenever somebody asks, and kept in snapshots.

Made by `operator_service`. It is begun when it is first asked for: from the last snapshot, where
that has one.
"""

import asyncio
import logging

import msgspec

from tidegate_controller.documents import NodeChange, RolloutSummary
from tidegate_controller.engine import Engine
from tidegate_controller.history import PART, History
from tidegate_protos.threads import to_the_end

log = logging.getLogger(__name__)


class HistoryKeeper:
    """One reader of the log at a time, in a thread. Errors: `LogError`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._history: History | None = None
        self._lock = asyncio.Lock()
        engine.snapshots.add(PART, self._past)

    async def rollouts(self) -> list[RolloutSummary]:
        """Every rollout in short, oldest first, as the log has them now."""
        async with self._lock:
            return await to_the_end(asyncio.to_thread(self._caught_up))

    async def changes_of(self, node: str) -> list[NodeChange]:
        """What last became otherwise on the node, oldest first."""
        await self.rollouts()
        assert self._history is not None
        return self._history.nodes.of(node)

    async def _past(self) -> bytes:
        """It all, for a snapshot."""
        await self.rollouts()
        async with self._lock:
            assert self._history is not None
            return await asyncio.to_thread(self._history.past)

    def _caught_up(self) -> list[RolloutSummary]:
        """In a thread, with the lock held."""
        if self._history is None:
            path, loaded = self._engine.log.path, self._engine.snapshots.loaded
            past = loaded.parts.get(PART) if loaded else None
            try:
                self._history = History(path, past)
            except msgspec.DecodeError as error:
                log.warning("the history of the snapshot cannot be read: %s", error)
                self._history = History(path)
        return self._history.catch_up()
