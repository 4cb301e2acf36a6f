"""One agent's connection, from Hello until it ends, whatever carries it: who is let in, what is
said in which order, what becomes of each report.

Called by the transports' services: `agent_service` has gRPC's.
"""

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Literal

from tidegate_controller.core.facts import join_stream
from tidegate_controller.engine import Engine
from tidegate_controller.errors import Refused, ShuttingDown
from tidegate_controller.fleet import SLOTS_MAX, Session
from tidegate_controller.nodes import Nodes
from tidegate_controller.wire import to_result
from tidegate_protos import logs
from tidegate_protos.rules import LABEL, NAME, RESERVED, VERSION
from tidegate_protos.v1 import agent_pb2 as pb

log = logging.getLogger(__name__)

ADDRESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:-]{0,252}")
HELLO_SECONDS = 10.0
HEARTBEAT_SECONDS = 5.0
SILENCE_SECONDS = 4 * HEARTBEAT_SECONDS  # after that the agent counts as away
LABELS_MAX = 100


class TurnedAway(Exception):
    """The agent is not let in. `kind`: it said nothing in time, or nothing that makes sense, or
    another agent is connected under its name."""

    def __init__(self, kind: Literal["silent", "wrong", "taken"], why: str) -> None:
        super().__init__(why)
        self.kind = kind
        self.why = why


class AgentSessions:
    """Takes agents in, feeds their reports to the engine, gives out its instructions."""

    def __init__(self, engine: Engine, nodes: Nodes) -> None:
        self._engine = engine
        self._nodes = nodes

    async def converse(
        self, reports: AsyncIterator[pb.Report], transport: str
    ) -> AsyncGenerator[pb.Instruction, None]:
        """What is to be said to an agent that reports this, until either side hangs up. The
        reports end where the connection does. Raises `TurnedAway`."""
        await self._engine.ready.wait()
        session = await self._welcome(reports, transport)
        about = {"node": session.hello.node}
        reader: asyncio.Task[None] | None = None
        try:
            await self._nodes.joined(session)
            reader = asyncio.create_task(self._read(reports, session))  # nothing before its Hello
            reader.add_done_callback(lambda _: session.end())
            log.info("node %s connected", session.hello.node, extra=about)
            welcome = pb.Welcome(
                epoch=self._engine.epoch,
                heartbeat_seconds=HEARTBEAT_SECONDS,
                log_id=self._engine.log.log_id,
            )
            yield pb.Instruction(welcome=welcome)
            while (instruction := await session.queue.get()) is not None:
                yield instruction
        except ShuttingDown:
            raise  # its name is not taken
        except Refused as refusal:
            why = f"{refusal.message}; {refusal.hint}"
            self._turn_away(session.hello.node, why)
            raise TurnedAway("taken", why) from refusal
        finally:
            if reader is not None:
                reader.cancel()
                log.info("node %s disconnected", session.hello.node, extra=about)
            await self._nodes.left(session)

    async def _welcome(self, reports: AsyncIterator[pb.Report], transport: str) -> Session:
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                hello = (await anext(reports)).hello
        except (TimeoutError, StopAsyncIteration):
            raise TurnedAway("silent", "no Hello came") from None
        if problem := _hello_problem(hello, self._engine):
            self._turn_away(hello.node[:63], problem)
            raise TurnedAway("wrong", problem)
        if hello.log_id in self._engine.former_logs:
            await self._engine.rise_above(hello.highest_epoch)
        return Session(hello=hello, transport=transport, last_seen=self._engine.at())

    def _turn_away(self, node: str, why: str) -> None:
        """It will come back every few seconds: the log hears of it once, until there is news."""
        before = self._engine.fleet.refused.get(node)
        level = logging.DEBUG if before is not None and before.why == why else logging.WARNING
        log.log(level, "refused the agent %r: %s", node, why, extra={"node": node})
        self._engine.fleet.turn_away(node, why, self._engine.at())

    async def _read(self, reports: AsyncIterator[pb.Report], session: Session) -> None:
        """Until the agent hangs up, falls silent, or its session has ended."""
        node = session.hello.node
        with logs.about(node=node):
            try:
                while not session.ended:
                    async with asyncio.timeout(SILENCE_SECONDS):
                        report = await anext(reports)
                    session.last_seen = self._engine.at()
                    await self._take(report, session)
            except TimeoutError:
                log.warning("node %s has been silent for %.0f s", node, SILENCE_SECONDS)
            except (StopAsyncIteration, asyncio.CancelledError) as ending:
                log.debug("node %s: stream ended: %r", node, ending)

    async def _take(self, report: pb.Report, session: Session) -> None:
        kind = report.WhichOneof("kind")
        if kind == "heartbeat":
            session.heartbeat = report.heartbeat
        elif kind == "finished":
            result = to_result(report.finished, session.hello.address)
            if await self._nodes.finished(session.hello.node, result):
                acknowledge = pb.Acknowledge(command_id=result.action)
                session.send(pb.Instruction(acknowledge=acknowledge))
        elif kind == "health":
            await self._nodes.changed(session, report.health.slot)
        elif kind == "progress":
            self._nodes.progressed(session, report.progress)


def _hello_problem(hello: pb.Hello, engine: Engine) -> str:
    """Why this Hello is not accepted, in words; empty when it is."""
    return _wrong_form(hello) or _wrong_controller(hello, engine)


def _wrong_form(hello: pb.Hello) -> str:
    if not NAME.fullmatch(hello.node):
        return f"the node name {hello.node[:80]!r} is not of the form {NAME.pattern}"
    if hello.node in RESERVED:
        return f"no node can be called {hello.node!r}"
    if not hello.journal_id or len(hello.journal_id) > 64:
        return "the Hello carries no journal id"
    if not ADDRESS.fullmatch(hello.address):
        return f"the address {hello.address[:80]!r} is not a host name or an IP address"
    if hello.agent_version and not VERSION.fullmatch(hello.agent_version):
        version = hello.agent_version[:80]
        return f"the agent's version {version!r} is not of the form {VERSION.pattern}"
    if len(hello.labels) > LABELS_MAX:
        return f"more than {LABELS_MAX} labels"
    for key, value in hello.labels.items():
        if not LABEL.fullmatch(key) or not LABEL.fullmatch(value):
            return f"the label {key[:80]!r}={value[:80]!r} is not of the form {LABEL.pattern}"
    if len(hello.slots) > SLOTS_MAX or len(hello.fences) > SLOTS_MAX:
        return f"more than {SLOTS_MAX} slots or fences"
    for slot in hello.slots:
        if not all(NAME.fullmatch(name) for name in (slot.app, slot.environment, slot.slot)):
            return "a slot with a name that is not allowed"
    return ""


def _wrong_controller(hello: pb.Hello, engine: Engine) -> str:
    own = engine.log.log_id
    if hello.log_id in engine.former_logs:
        return ""  # the log was restored; this agent has obeyed what it is a copy of
    if hello.log_id and hello.log_id != own:
        return (
            f"this agent has obeyed another controller, of log {hello.log_id[:80]}; this is {own}. "
            "If the other is gone for good, start the agent once with --new-controller"
        )
    if hello.highest_epoch > engine.epoch:
        return (
            f"this agent has obeyed this controller at epoch {hello.highest_epoch}, and now it is "
            f"at {engine.epoch}: its log is older than the fleet; restore a newer one"
        )
    if engine.former_logs:
        return ""  # its fences may be of what the log is a restored copy of
    for seen in hello.fences:
        name = join_stream(seen.app, seen.environment)
        stream = engine.streams.get(name)
        if stream is None or not stream.holds(seen.fence.epoch, seen.fence.version):
            return (
                f"this agent has obeyed command {seen.fence.epoch}.{seen.fence.version} of "
                f"{name[:128]}, which this controller's log does not have: it is older than the "
                "fleet; restore a newer one"
            )
    return ""
