"""Outside work that the controller does itself: look at a balancer, move its traffic.

One effect at a time for each balancer. Targets are absolute, so an effect that was cut short is
simply done again; the engine never assumes what an unfinished one has done.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable

from tidegate_controller import proof
from tidegate_controller.core import types as t
from tidegate_controller.core.evolve import place_of
from tidegate_controller.core.inputs import Input, Result
from tidegate_controller.errors import TidegateError, TrafficError
from tidegate_controller.traffic import ADAPTERS, Traffic

log = logging.getLogger(__name__)

EFFECT_SECONDS = 30.0

Submit = Callable[[str, Input], Awaitable[t.State]]


class Effects:
    """Runs actions at "controller" and submits how they ended."""

    def __init__(self, submit: Submit) -> None:
        self._submit = submit
        self._tasks: asyncio.TaskGroup | None = None
        self._running: dict[str, asyncio.Task[None]] = {}
        self._balancers: dict[str, asyncio.Lock] = {}

    def use(self, tasks: asyncio.TaskGroup) -> None:
        self._tasks = tasks

    def start(self, stream: str, state: t.State, action: t.Action) -> None:
        """Begin the action unless it runs already."""
        assert self._tasks is not None
        if action.id not in self._running:
            task = self._tasks.create_task(self._run(stream, state, action))
            self._running[action.id] = task

    def cancel(self, action_id: str) -> None:
        """Stop an effect that has been given up. Its own end is not reported."""
        task = self._running.pop(action_id, None)
        if task is not None:
            task.cancel()

    async def _run(self, stream: str, state: t.State, action: t.Action) -> None:
        traffic = state.rollout.traffic if state.rollout else state.traffic
        assert traffic is not None
        balancer = f"{traffic.adapter}:{os.path.realpath(traffic.directory)}"
        lock = self._balancers.setdefault(balancer, asyncio.Lock())
        outcome: t.Outcome = "ok"
        error = ""
        try:
            async with lock, asyncio.timeout(EFFECT_SECONDS):
                await self._perform(ADAPTERS[traffic.adapter](traffic), stream, state, action)
        except TidegateError as failure:
            outcome, error = "failed", "; ".join(filter(None, (failure.message, failure.hint)))
        except TimeoutError:
            outcome, error = "failed", f"the balancer did not answer within {EFFECT_SECONDS:.0f} s"
        except Exception as failure:
            log.exception("%s: %s failed unexpectedly", stream, action.work.verb)
            outcome, error = "failed", f"{type(failure).__name__}: {failure}"
        self._running.pop(action.id, None)
        await self._submit(stream, Result(action=action.id, outcome=outcome, error=error))

    async def _perform(
        self, balancer: Traffic, stream: str, state: t.State, action: t.Action
    ) -> None:
        await balancer.check()
        weights = action.work.weights
        if action.work.verb == "query" or weights is None:
            if state.rollout is not None:
                proof.check(state.rollout.release)
            return
        shares = {place: share for place, share in weights.items() if share}
        addresses = {place: _address(state, place) for place in shares}
        if action.work.prove:
            gaining = [place for place in shares if not state.settled.get(place)]
            assert state.rollout is not None
            release = state.rollout.release
            proofs = [proof.prove(stream, release, place, addresses[place]) for place in gaining]
            await asyncio.gather(*proofs)
        await balancer.shift({addresses[place]: share for place, share in shares.items()})


def _address(state: t.State, place: t.Place) -> str:
    address = place_of(state, place).address
    if address is None:
        raise TrafficError(f"{place} has no known address")
    return address
