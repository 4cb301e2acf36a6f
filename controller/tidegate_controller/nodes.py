"""What agents say, put to the streams that it concerns; and what waits for them, sent.

Called by the transports' services, with sessions of whichever transport.
"""

import logging

from tidegate_controller.core import events as ev
from tidegate_controller.core.draft import pending
from tidegate_controller.core.facts import find_action, is_known, join_stream
from tidegate_controller.core.inputs import NodeRemoved, Observation, Result
from tidegate_controller.documents import ProgressView
from tidegate_controller.engine import Engine
from tidegate_controller.errors import Refused
from tidegate_controller.fleet import Session
from tidegate_controller.log_index import FLEET_STREAM
from tidegate_controller.progress import Board
from tidegate_controller.wire import stream_of, to_observations, to_report
from tidegate_protos.v1 import agent_pb2 as pb

log = logging.getLogger(__name__)

TEXT_CHARS = 16_000


class Nodes:
    """Between the fleet's sessions and the engine's streams."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.board = Board()

    async def joined(self, session: Session) -> None:
        """After Hello: record what is new, compare what it holds, send what waits for it."""
        node = session.hello.node
        registered = self._engine.fleet.registration(session.hello)
        self._engine.fleet.join(session)
        if registered is not None:
            await self._engine.record_own(FLEET_STREAM, registered)
        for name, seen in to_observations(session.hello, self._streams_with(node)).items():
            await self._observed(name, seen)
        for stream in tuple(self._engine.streams.values()):
            for action in pending(stream.state):
                if action.work.at == node:
                    self._engine.dispatch(stream, action)
        session.observed = True
        self._engine.news.set()

    async def left(self, session: Session) -> None:
        if not self._engine.fleet.leave(session):
            return
        node = session.hello.node
        for name in sorted(self._streams_with(node)):
            if node not in self._engine.fleet.sessions:  # it may be back already
                await self._engine.submit_quietly(name, Observation(node=node, connected=False))

    async def finished(self, node: str, result: Result) -> bool:
        """A result from a node: it can speak for its own actions alone. False if it could not be
        taken, so that the node has to keep it."""
        self.board.forget(result.action)
        name = stream_of(self._engine.log.log_id, result.action)
        action = find_action(self._engine.state(name), result.action)
        if action is not None and action.work.at == node:
            try:
                await self._engine.submit(name, result)
            except Refused as refusal:
                log.warning("a result of %s was not taken: %s", node, refusal.message)
                return False
        return True

    async def changed(self, session: Session, slot: pb.SlotState) -> None:
        """A slot has changed by itself. What an old connection still had to say of it is older than
        the Hello of the new one."""
        if self._engine.fleet.sessions.get(session.hello.node) is not session:
            return
        session.holds(slot)
        seen = Observation(
            node=session.hello.node,
            connected=True,
            journal_id=session.hello.journal_id,
            slots={slot.slot: to_report(slot, session.hello.address)},
        )
        await self._observed(join_stream(slot.app, slot.environment), seen)

    def progressed(self, session: Session, progress: pb.Progress) -> None:
        """How a command gets on, for whoever follows; of the node's own streams alone."""
        stream = self._engine.streams.get(stream_of(self._engine.log.log_id, progress.command_id))
        action = find_action(stream.state, progress.command_id) if stream else None
        if action is not None and action.work.at == session.hello.node:
            self.board.publish(
                ProgressView(
                    node=session.hello.node,
                    action=action.id,
                    text=progress.text[-TEXT_CHARS:],
                    done_bytes=progress.done_bytes,
                    total_bytes=progress.total_bytes,
                )
            )

    async def _observed(self, name: str, seen: Observation) -> None:
        """Of streams that this log knows."""
        stream = self._engine.streams.get(name)
        if stream is not None and stream.begun:
            await self._engine.submit_quietly(name, seen)

    async def remove(self, node: str, removed_by: str) -> None:
        """Forget a node that is not connected. Raises `Refused` while a rollout is about it."""
        async with self._engine.admission:  # no rollout about it begins meanwhile
            await self._forget(node, removed_by)
        if (session := self._engine.fleet.sessions.get(node)) is not None:
            session.end()  # it came meanwhile: it has to register anew

    async def _forget(self, node: str, removed_by: str) -> None:
        for stream in tuple(self._engine.streams.values()):
            rollout = stream.state.rollout
            if rollout is not None and node in rollout.nodes:
                raise Refused(
                    f"rollout {rollout.id} of {stream.name} is about {node} right now",
                    f"wait for its end: tidegate rollout show {rollout.id}",
                )
        # The fleet forgets it last: until then the removal can be asked for again.
        for name in [stream.name for stream in self._engine.streams.values() if stream.begun]:
            await self._engine.submit_quietly(name, NodeRemoved(node=node))
        await self._engine.record_own(
            FLEET_STREAM, ev.NodeRemoved(node=node, removed_by=removed_by)
        )

    def _streams_with(self, node: str) -> set[str]:
        return {
            stream.name
            for stream in self._engine.streams.values()
            if (stream.state.rollout and node in stream.state.rollout.nodes)
            or is_known(stream.state, node)
        }
