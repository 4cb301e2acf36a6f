"""Nodes that owe a release are brought to it once they are here again, without anybody asking.

Beside the engine, and only its caller: what is owed, and since when, is in the state; who is
connected, and who has come anew, is known here alone. Started by `server`.
"""

import asyncio
import logging

from tidegate_controller.admission import refuse_shared
from tidegate_controller.core import events as ev
from tidegate_controller.core.debts import converge_at, debtors
from tidegate_controller.core.inputs import Converge
from tidegate_controller.deploy_requests import PLANNED
from tidegate_controller.engine import Engine
from tidegate_controller.errors import Refused
from tidegate_controller.fleet import Session
from tidegate_controller.stream import Stream

log = logging.getLogger(__name__)

LEAST_SECONDS = 0.01  # to wait: a loop's clock may not tell less from no time at all
AGAIN_SECONDS = 30.0  # until a converge that could not be begun is tried again


class Convergence:
    """Looks again whenever something was decided, a node has come, or a debt has become due."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # The session of each debtor when it was last tried, or first seen to owe.
        self._tried: dict[tuple[str, str], Session | None] = {}
        # Why each that was refused last was, and the engine time at which it is asked about again.
        self._refused: dict[tuple[str, str], tuple[str, float]] = {}

    async def run(self) -> None:
        """Until cancelled."""
        await self._engine.ready.wait()
        while True:
            self._engine.news.clear()
            delay = await self._look()
            try:
                async with asyncio.timeout(delay):
                    await self._engine.news.wait()
            except TimeoutError:
                continue

    async def _look(self) -> float | None:
        """Begin what is due. Seconds until something else will be; None while that is not known."""
        delays = []
        for stream in tuple(self._engine.streams.values()):
            with stream.confining("what its nodes owe"):
                delays.append(await self._look_at(stream))
        return min((delay for delay in delays if delay is not None), default=None)

    async def _look_at(self, stream: Stream) -> float | None:
        now = self._engine.now()
        times = {
            node: at for node in self._here(stream) if (at := self._at(stream, node)) is not None
        }
        here = {node: self._engine.fleet.sessions[node] for node in times}
        due = sorted(node for node, at in times.items() if at <= now)
        if not due:
            return max(LEAST_SECONDS, min(times.values()) - now) if times else None
        async with self._engine.admission:
            nodes = self._admitted(stream, due)
            if not nodes:
                return AGAIN_SECONDS
            rollout = self._engine.next_rollout_id()
            try:
                await self._engine.submit(stream.name, self._converge(stream, nodes, rollout))
            except Refused as refusal:  # since it was asked, something else has changed
                log.warning("%s cannot converge: %s", ", ".join(nodes), refusal.message)
                self._engine.give_back(stream.name, rollout)
                return AGAIN_SECONDS
        for node in nodes:
            self._tried[stream.name, node] = here[node]
        return None

    def _admitted(self, stream: Stream, nodes: list[str]) -> list[str]:
        """Those of the nodes that may be brought to what they owe together: one that may not keeps
        no other from it. Of them it is logged why, once. Empty as well while there is nothing to be
        done, as in a freeze."""
        try:
            refuse_shared(self._engine, stream.name, nodes, None)
            planned = self._converge(stream, nodes, PLANNED)
            follows, _ = self._engine.foresee(stream.name, planned)
        except Refused as refusal:
            if len(nodes) == 1:
                self._refuse(stream, nodes[0], refusal)
                return []
            half = len(nodes) // 2  # the fewer are refused, the fewer questions it takes
            return self._admitted(stream, nodes[:half]) + self._admitted(stream, nodes[half:])
        for node in nodes:
            self._refused.pop((stream.name, node), None)
        begins = any(isinstance(event, ev.Started | ev.DebtsPaid) for event in follows)
        return nodes if begins else []

    def _refuse(self, stream: Stream, node: str, refusal: Refused) -> None:
        before, _ = self._refused.get((stream.name, node), ("", 0.0))
        if refusal.message != before:
            log.warning("%s cannot converge: %s", node, refusal.message)
        again = self._engine.now() + AGAIN_SECONDS
        self._refused[stream.name, node] = (refusal.message, again)

    def _converge(self, stream: Stream, nodes: list[str], rollout: str) -> Converge:
        members = self._engine.fleet.members(stream.state.members, stream.name)
        return Converge(rollout=rollout, nodes=tuple(nodes), members=members)

    def _here(self, stream: Stream) -> list[str]:
        """Nodes that owe a release and have said how they are."""
        if stream.fault or stream.state.rollout is not None:
            return []
        sessions = self._engine.fleet.sessions
        owing = debtors(stream.state)
        for node in owing:
            self._tried.setdefault((stream.name, node), sessions.get(node))
        for key in [k for k in self._tried if k[0] == stream.name and k[1] not in owing]:
            del self._tried[key]
            self._refused.pop(key, None)
        return [node for node in owing if node in sessions and sessions[node].observed]

    def _at(self, stream: Stream, node: str) -> float | None:
        before = self._tried[stream.name, node]
        returned = self._engine.fleet.sessions[node] is not before
        at = converge_at(stream.state, node, returned=returned)
        _, again = self._refused.get((stream.name, node), ("", 0.0))
        return None if at is None else max(at, again)
