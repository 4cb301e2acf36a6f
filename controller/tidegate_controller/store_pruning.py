"""Keeps the controller's artifacts to what some environment may still need.

Started by `server` beside the engine. It follows commits, off their critical path: nothing waits
for it, and what it cannot remove this time it removes the next.
"""

import asyncio
import logging
from collections.abc import Collection, Iterable
from typing import Protocol

from tidegate_controller.core import types as t
from tidegate_controller.engine import Engine
from tidegate_protos.threads import to_the_end

log = logging.getLogger(__name__)

UNDONE_KEPT = 5  # releases of failed rollouts, of each environment, that may be looked into


class Store(Protocol):
    """Files named by digest. `prune` blocks; it removes what is not referenced, unless it is young,
    and answers what it has removed."""

    def prune(self, referenced: Collection[str]) -> list[str]: ...


async def prune_after_commits(engine: Engine, store: Store) -> None:
    """At the start and after each commit, until cancelled."""
    await engine.ready.wait()
    while True:
        engine.committed.clear()
        if any(stream.state.reconciling for stream in engine.streams.values()):
            await engine.committed.wait()  # the log may not know yet what the fleet needs
            continue
        digests = referenced(stream.state for stream in engine.streams.values())
        try:
            removed = await to_the_end(asyncio.to_thread(store.prune, digests))
        except OSError as error:
            log.warning("the artifacts could not be looked through: %s", error)
        else:
            for digest in removed:
                log.info("removed the artifact %s, which no environment needs", digest)
        await engine.committed.wait()


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
