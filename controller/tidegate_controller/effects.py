"""Outside work that the controller does itself: look at a balancer, move its traffic, put checks.

One effect at a time for each balancer. Targets are absolute, so an effect that was cut short is
simply done again; the engine never assumes what an unfinished one has done.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

from tidegate_controller import checks, proof
from tidegate_controller.core import types as t
from tidegate_controller.core.facts import gaining, place_of
from tidegate_controller.core.inputs import Input, Result
from tidegate_controller.core.spec import Traffic as TrafficSpec
from tidegate_controller.errors import AskPerson, CheckFailed, TidegateError, TrafficError
from tidegate_controller.outside import WORLD, Outside
from tidegate_controller.traffic import Traffic, balancer_of
from tidegate_controller.traffic.listening import refuse_silence
from tidegate_controller.wire import release_of

log = logging.getLogger(__name__)

EFFECT_SECONDS = 30.0

Submit = Callable[[str, Input], Awaitable[None]]


class Effects:
    """Runs actions at "controller" and submits how they ended."""

    def __init__(self, submit: Submit, outside: Outside = WORLD) -> None:
        self._outside = outside
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
        outcome: t.Outcome = "ok"
        blame: t.Blame = ""
        error = output_tail = ""
        try:
            if action.work.verb == "check":
                await checks.run(stream, state, action.work.check, self._outside.ask)
            else:
                await self._perform(stream, state, action)
        except CheckFailed as failure:
            outcome, blame = "failed", "release"
            error, output_tail = failure.message, failure.output_tail
        except AskPerson as question:
            outcome, error = "unknown", question.message
        except TidegateError as failure:
            outcome, error = "failed", failure.in_a_line
            output_tail = failure.output_tail if isinstance(failure, TrafficError) else ""
        except Exception as failure:
            log.exception("%s: %s failed unexpectedly", stream, action.work.verb)
            outcome, error = "failed", f"{type(failure).__name__}: {failure}"
        self._running.pop(action.id, None)
        result = Result(
            action=action.id, outcome=outcome, error=error, output_tail=output_tail, blame=blame
        )
        await self._submit(stream, result)

    async def _perform(self, stream: str, state: t.State, action: t.Action) -> None:
        traffic = action.work.traffic
        assert traffic is not None
        lock = self._balancers.setdefault(balancer_of(traffic) or stream, asyncio.Lock())
        seconds = EFFECT_SECONDS + traffic.work_seconds
        async with lock:
            try:
                async with asyncio.timeout(seconds):
                    await self._move(stream, state, action, traffic)
            except TimeoutError as error:
                raise TrafficError(f"the balancer did not answer within {seconds:.0f} s") from error

    async def _move(
        self, stream: str, state: t.State, action: t.Action, traffic: TrafficSpec
    ) -> None:
        """Move the balancer to the action's weights; for a query see that it could be done."""
        balancer, listen = self._outside.traffic(traffic), traffic.listen
        weights = action.work.weights or {}
        shares = {place: share for place, share in weights.items() if share}
        await balancer.check(len(shares))
        if action.work.verb == "query":
            await refuse_silence(listen)
            await _refuse_unknown_traffic(balancer, state)
            await _refuse_another_command(balancer, state, traffic)
            if state.rollout is not None:
                proof.check(state.rollout.release)
            return
        addresses = {place: _address(state, place) for place in shares}
        if action.work.prove:
            await refuse_silence(listen)
            await self._prove(stream, state, gaining(state, weights), addresses)
        await balancer.shift({addresses[place]: share for place, share in shares.items()})
        if action.work.prove:  # the way back is written whether anybody sends requests there or not
            await refuse_silence(listen)

    async def _prove(
        self,
        stream: str,
        state: t.State,
        places: Sequence[t.Place],
        addresses: Mapping[t.Place, str],
    ) -> None:
        """All places must answer where the balancer would send to."""
        assert state.rollout is not None
        latest, prove = state.rollout.release, self._outside.prove
        proofs = [
            prove(
                stream,
                release_of(state, place_of(state, place).revision) or latest,
                place,
                addresses[place],
            )
            for place in places
        ]
        await asyncio.gather(*proofs)


async def _refuse_unknown_traffic(balancer: Traffic, state: t.State) -> None:
    """Where this log has never moved traffic, it does not take it from somebody else. A move in
    doubt may have been done, also to a place whose disk was replaced since."""
    if state.settled or state.weights is None or state.unsettled:
        return
    says = await balancer.state() or {}
    ours = {known.address for known in state.places.values()}
    taking = {address for address, share in says.items() if share}
    if unknown := sorted(taking - ours):
        raise TrafficError(
            f"traffic goes to {', '.join(unknown[:5])} already, of which this controller knows "
            "nothing",
            "another controller, or an earlier log, has moved it there; if that is over, remove "
            "the lanes and deploy again",
        )


async def _refuse_another_command(
    balancer: Traffic, state: t.State, traffic: TrafficSpec | None
) -> None:
    """A command may be written otherwise than before, as long as it moves the same balancer: else
    the former one would go on sending to slots that are then stopped."""
    before = state.traffic
    if not state.settled or traffic is None or before is None or before.command == traffic.command:
        return
    says = await balancer.state() or {}
    taking = {address for address, share in says.items() if share}
    if taking != set(state.routed.values()):
        raise TrafficError(
            f"traffic was moved {balancer_of(before)} so far; what is to move it now says that it "
            f"goes to {', '.join(sorted(taking)[:5]) or 'nobody'}, which is not where it was moved",
            "give `command` under [traffic] as it was; for another balancer take another "
            "environment",
        )


def _address(state: t.State, place: t.Place) -> str:
    address = place_of(state, place).address
    if address is None:
        raise TrafficError(f"{place} has no known address")
    return address
