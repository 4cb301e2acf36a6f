"""What waits for a person is said again from time to time, in the controller's own log.

Started by `engine`. What is written once is soon forgotten; a rollout that nobody answers is not,
nor is a stream that stands still, or a debt that nobody lets a node pay.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping

from tidegate_controller.core import types as t
from tidegate_controller.core.debts import debtors
from tidegate_controller.core.facts import split_stream, waiting_for, waiting_since
from tidegate_controller.core.listed import NODES_TOLD, first_few
from tidegate_controller.core.unpaid import why_unpaid
from tidegate_controller.stream import Stream
from tidegate_protos import logs

log = logging.getLogger(__name__)

REMIND_SECONDS = 900.0


async def remind(
    streams: Mapping[str, Stream], now: Callable[[], float], every: float = REMIND_SECONDS
) -> None:
    """`now`: engine seconds. Goes on until it is cancelled."""
    while True:
        await asyncio.sleep(every)
        for stream in tuple(streams.values()):
            if words := reminder(stream, now()):
                with logs.about(**stream.about):
                    log.warning("%s", words)


def reminder(stream: Stream, now: float) -> str:
    """Who waits for whom, since when, and where to look; "" where nobody does."""
    state, rollout = stream.state, stream.state.rollout
    if stream.fault:
        return stream.broken().message
    if state.reconciling:
        app, environment = split_stream(stream.name)
        return (
            f"{stream.name} was restored and waits for a person to decide what counts; "
            f"tidegate controller reconcile {app} -e {environment}"
        )
    since = waiting_since(rollout) if rollout else None
    if rollout is None or since is None:
        kept = _unpaid(state)
        return kept and f"{kept}; tidegate status"
    minutes = (now - since) / 60.0
    return (
        f"{rollout.id} of {stream.name} has waited for a person for {minutes:.0f} min: "
        f"{waiting_for(rollout)}; tidegate rollout show {rollout.id}"
    )


def _unpaid(state: t.State) -> str:
    """Who owes a release and cannot pay, and what keeps them from it; empty where nothing does."""
    owing = sorted(debtors(state)) if state.rollout is None else []
    why = why_unpaid(state) if owing else ""
    if not why:
        return ""
    verb = "owes" if len(owing) == 1 else "owe"
    return f"{first_few(owing, NODES_TOLD)} {verb} a release of {state.stream}, {why}"
