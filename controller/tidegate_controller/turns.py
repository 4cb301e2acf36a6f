"""Deployments that wait for their turn begin by themselves, one after the other.

Beside the engine, and only its caller: who waits is in the state; which nodes there are now, and
when freezes are, is known here alone. Started by `server`.
"""

import asyncio
import logging

from tidegate_controller.admission import gathered, refuse_shared
from tidegate_controller.balancer_look import balancer_says
from tidegate_controller.core import types as t
from tidegate_controller.core.inputs import BeginQueued
from tidegate_controller.core.queueing import waits_for
from tidegate_controller.engine import Engine
from tidegate_controller.errors import Refused, TidegateError
from tidegate_controller.freeze_clock import calendar_for
from tidegate_controller.stream import Stream

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0  # a lock that is gone is seen at once, the end of a freeze so much later


class Turns:
    """Looks again whenever something was decided, and from time to time while anything waits."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def run(self) -> None:
        """Until cancelled."""
        await self._engine.ready.wait()
        while True:
            seen = self._engine.log.last_seq
            waiting = [s for s in tuple(self._engine.streams.values()) if s.state.queue]
            for stream in waiting:
                with stream.confining("what waits for its turn"):
                    await self._look_at(stream)
            try:
                async with asyncio.timeout(LOOK_SECONDS if waiting else None):
                    await self._engine.wait_for_append(seen)
            except TimeoutError:
                continue

    async def _look_at(self, stream: Stream) -> None:
        state = stream.state
        if stream.fault or not state.queue:
            return
        first = state.queue[0]
        try:
            if waits_for(state, self._engine.now(), calendar_for(self._engine, state, first.spec)):
                return
            input_ = await self._begin(stream, first)
        except TidegateError as error:
            input_ = BeginQueued(rollout=first.rollout, refused=error.in_a_line)
        async with self._engine.admission:
            if not input_.refused:
                try:
                    names = [member.node for member in input_.members]
                    refuse_shared(self._engine, stream.name, names, first.spec)
                except Refused as refusal:
                    input_ = BeginQueued(rollout=first.rollout, refused=refusal.in_a_line)
            await self._engine.submit_quietly(stream.name, input_)

    async def _begin(self, stream: Stream, first: t.Queued) -> BeginQueued:
        """With the nodes as they are now; raises `TidegateError` where there are none."""
        engine = self._engine
        names = await gathered(engine, first.spec)
        balancer = await balancer_says(stream.state, first.spec.traffic, engine.outside)
        return BeginQueued(
            rollout=first.rollout,
            members=engine.fleet.members(names, stream.name),
            balancer=balancer,
            calendar=calendar_for(engine, stream.state, first.spec),
        )
