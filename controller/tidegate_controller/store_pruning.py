"""Keeps the controller's artifacts to what some environment may still need.

Started by `server` beside the engine. It follows the ends of rollouts, off their critical path:
nothing waits for it but an upload that would find no room, and what it cannot remove this time it
removes the next.
"""

import asyncio
import contextlib
import logging
from collections.abc import Collection, Iterable
from typing import Protocol

from tidegate_controller.core import types as t
from tidegate_controller.engine import Engine
from tidegate_protos.threads import to_the_end

log = logging.getLogger(__name__)

PRUNE_SECONDS = 3600.0  # between looks where no rollout ends: what was young is old by then
UNDONE_KEPT = 5  # releases of failed rollouts, of each environment, that may be looked into


class Store(Protocol):
    """Files named by digest. `prune` blocks; it removes what is not referenced, unless it is young,
    and answers what it has removed."""

    def prune(self, referenced: Collection[str]) -> list[str]: ...


class Pruner:
    """Of one store. `run()` works until cancelled."""

    def __init__(self, engine: Engine, store: Store) -> None:
        self._engine = engine
        self._store = store
        self._one_at_a_time = asyncio.Lock()

    async def run(self) -> None:
        """At the start, after each rollout, however it ends, and every hour."""
        await self._engine.ready.wait()
        while True:
            self._engine.ended.clear()
            await self.prune()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PRUNE_SECONDS):
                    await self._engine.ended.wait()

    async def prune(self) -> None:
        """Remove now what may go."""
        async with self._one_at_a_time:
            states = [stream.state for stream in self._engine.streams.values()]
            if not self._engine.ready.is_set() or any(state.reconciling for state in states):
                return  # the log may not know yet what the fleet needs
            try:
                removed = await to_the_end(asyncio.to_thread(self._store.prune, referenced(states)))
            except OSError as error:
                log.warning("the artifacts could not be looked through: %s", error)
                return
            for digest in removed:
                log.info("removed the artifact %s, which no environment needs", digest)


def referenced(states: Iterable[t.State]) -> set[str]:
    """Digests of all that runs, may be gone back to, is being brought, or has failed lately."""
    return {digest for state in states for digest in _digests(state)}


def _digests(state: t.State) -> set[str]:
    releases = [*state.committed, *state.undone[-UNDONE_KEPT:]]
    releases += [entry.release for entry in state.queue]
    works = [chore.work for chore in state.chores]
    if state.rollout is not None:
        releases += [state.rollout.release, *filter(None, [state.rollout.previous])]
        works += [work for step in state.rollout.plan for work in step.works]
    revisions = [release.revision for release in releases]
    revisions += [known.revision for known in state.places.values() if known.revision is not None]
    revisions += [work.revision for work in works if work.revision is not None]
    return {revision.digest for revision in revisions}
