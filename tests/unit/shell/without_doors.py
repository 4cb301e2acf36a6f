"""A controller without its doors: the engine on a real log, with agents that are sessions alone.

Tests say how agents answer, and see what each was sent. No gRPC and no processes; the only sockets
are those of slots that run, since a shift of traffic asks each of them how it is.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

from tidegate_controller.artifacts import ArtifactStore
from tidegate_controller.control_requests import Control
from tidegate_controller.convergence import Convergence
from tidegate_controller.core import types as t
from tidegate_controller.core.spec import (
    Health,
    HttpProbe,
    Pace,
    Policy,
    Service,
    Settings,
    Spec,
    Traffic,
)
from tidegate_controller.deploy_requests import Requests
from tidegate_controller.engine import Engine
from tidegate_controller.fleet import Fleet, Session
from tidegate_controller.log import EventLog, Record, encode, read_stream
from tidegate_controller.nodes import Nodes
from tidegate_controller.stream import Stream
from tidegate_controller.wire import to_result
from tidegate_protos.v1 import agent_pb2 as pb
from tidegate_protos.v1 import operator_pb2 as op

PATIENCE_SECONDS = 10.0  # of every wait; only ever reached where a test fails
SILENT = None  # an outcome: no answer at all
PACE = Pace(soak_seconds=0.0, drain_seconds=0.0, keep_old_seconds=600.0)
POLICY = Policy()
SETTINGS = Settings(
    service=Service(command=("serve",)),
    health=Health(probe=HttpProbe(url="http://127.0.0.1:{port}/health")),
)


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Agent:
    """A node's agent: does what it is told, unless `outcomes` has another for the kind of work."""

    def __init__(self, desk: "Desk", node: str, labels: dict[str, str]) -> None:
        self.desk, self.node, self.labels = desk, node, labels
        self.journal_id = f"journal-of-{node}"
        self.sent: list[pb.Command] = []
        self.outcomes: dict[str, pb.Outcome | None] = {}  # by kind of work, or "KIND APP"
        self.slots: dict[tuple[str, str], pb.SlotState] = {}  # by stream and slot
        self.session: Session | None = None
        self.opens_doors = True  # or slots say that they are healthy, and nobody reaches them
        self.answers_probes = asyncio.Event()  # while it is not set, slots keep who asks waiting
        self.answers_probes.set()
        self._listening: asyncio.Task[None] | None = None
        self._doors: dict[tuple[str, str], asyncio.Server] = {}

    def works(self, app: str = "") -> list[str]:
        """Kinds of the commands that came, in order; of one app if it is named."""
        return [str(c.WhichOneof("work")) for c in self.sent if app in ("", c.app)]

    def last(self, work: str) -> pb.Command:
        return next(c for c in reversed(self.sent) if c.WhichOneof("work") == work)

    def hello(self, **changes: Any) -> pb.Hello:
        fields = {"node": self.node, "journal_id": self.journal_id, "labels": self.labels}
        fields |= {"address": "127.0.0.1", "slots": list(self.slots.values())}
        return pb.Hello(**(fields | changes))

    async def join(self) -> "Agent":
        """Say Hello on a new connection, and listen from then on."""
        self.session = Session(hello=self.hello(), transport="test", last_seen="")
        await self.desk.nodes.joined(self.session)
        self._listening = asyncio.create_task(self._listen(self.session))
        return self

    async def leave(self) -> None:
        assert self.session is not None
        await self.cut()
        await self.desk.nodes.left(self.session)

    async def cut(self) -> None:
        """The connection is gone, and the controller has not noticed."""
        if self._listening is not None:
            self._listening.cancel()
            with suppress(asyncio.CancelledError):
                await self._listening

    async def _listen(self, session: Session) -> None:
        while (instruction := await session.queue.get()) is not None:
            command = instruction.command
            self.sent.append(command)
            kind = str(command.WhichOneof("work"))
            outcome = self.outcomes.get(kind, pb.OUTCOME_OK)
            outcome = self.outcomes.get(f"{kind} {command.app}", outcome)
            if outcome is not SILENT:
                await self.answer(command, outcome)

    async def answer(self, command: pb.Command, outcome: pb.Outcome = pb.OUTCOME_OK) -> None:
        finished = pb.Finished(command_id=command.id, outcome=outcome)
        if outcome == pb.OUTCOME_OK:
            finished.slot.CopyFrom(await self._perform(command))
        else:
            finished.error = f"{self.node} says {pb.Outcome.Name(outcome)}"
        await self.desk.nodes.finished(self.node, to_result(finished, "127.0.0.1"))

    async def _perform(self, command: pb.Command) -> pb.SlotState:
        kind = str(command.WhichOneof("work"))
        stream = f"{command.app}@{command.environment}"
        name = getattr(getattr(command, kind), "slot", "")
        here = (stream, name)
        empty = pb.SlotState(app=command.app, environment=command.environment, slot=name)
        slot = self.slots.get(here, empty)
        if kind == "start_slot":
            await self.runs(stream, name, command.start_slot.revision)
            slot = self.slots[here]
        elif kind == "stop_slot":
            if door := self._doors.pop(here, None):
                door.close()
            slot.running = slot.healthy = pb.TRI_NO
        elif kind == "switch_slot":
            for (of, other), state in self.slots.items():
                if of == stream:
                    state.current = other == name
        return slot

    async def runs(self, stream: str, slot: str, revision: pb.Revision, **more: Any) -> None:
        """The slot runs this, and answers its health check."""
        door = await asyncio.start_server(self._probed, "127.0.0.1", 0)
        port = door.sockets[0].getsockname()[1]
        if former := self._doors.get((stream, slot)):
            former.close()
        if not self.opens_doors:
            door.close()
        self._doors[stream, slot] = door
        app, environment = stream.split("@")
        self.slots[stream, slot] = pb.SlotState(
            app=app,
            environment=environment,
            slot=slot,
            revision=revision,
            running=pb.TRI_YES,
            healthy=pb.TRI_YES,
            port=port,
            **more,
        )

    async def _probed(self, _: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        await self.answers_probes.wait()
        answer.write(OK)
        await answer.drain()
        answer.close()

    def address(self, stream: str, slot: str) -> str:
        return f"127.0.0.1:{self.slots[stream, slot].port}"

    async def close(self) -> None:
        await self.cut()
        self.answers_probes.set()
        for door in self._doors.values():
            door.close()


class Desk:
    """Where a test sits: it starts and ends controllers, has agents come and go, and asks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = ArtifactStore(folder / "artifacts")
        self.agents: dict[str, Agent] = {}
        self.may_fail = False  # whether a controller that ended by itself is what the test wants
        self._numbers = count(1)

    async def start(self) -> None:
        """A life of the controller: no agent is connected yet."""
        self.log = EventLog(self.folder / "events.db")
        self.engine = Engine(self.log, Fleet(), "http://controller/{}".format)
        self.nodes = Nodes(self.engine)
        self.requests = Requests(self.engine, self.nodes, self.store)
        self.control = Control(self.engine)
        self.life = asyncio.create_task(self.engine.run())
        ready = asyncio.create_task(self.engine.ready.wait())
        await asyncio.wait({self.life, ready}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        self._converging = asyncio.create_task(Convergence(self.engine).run())

    async def stop(self) -> None:
        self._converging.cancel()
        for agent in self.agents.values():
            await agent.cut()
        failed = self.life.done()
        self.life.cancel()
        await asyncio.wait({self.life})
        self.log.close()
        assert not failed or self.may_fail, self.life.exception()

    def long_up(self) -> None:
        """The controller has run for a while: whoever is away now will not be waited for."""
        self.engine.started_at -= 3600.0

    async def node(self, name: str, **labels: str) -> Agent:
        self.agents[name] = Agent(self, name, labels)
        return await self.agents[name].join()

    # --- Asking -------------------------------------------------------------------------------

    def spec(
        self,
        app: str = "shop",
        environment: str = "prod",
        nodes: tuple[str, ...] | dict[str, str] = ("a",),
        policy: Policy = POLICY,
        **traffic: Any,
    ) -> Spec:
        options = {"adapter": "caddy", "directory": str(self.lanes(app, environment)), "lanes": 4}
        return Spec(
            app=app,
            environment=environment,
            nodes=nodes,
            settings=SETTINGS,
            traffic=Traffic(**(options | traffic)),
            pace=PACE,
            policy=policy,
        )

    def request(self, version: str, spec: Spec, **more: Any) -> op.DeployRequest:
        """A request to deploy, with an artifact of its own for each version, on the controller."""
        digest = sha256(version.encode()).hexdigest()
        (self.folder / "artifacts" / digest).touch()
        return op.DeployRequest(
            **{
                "request_id": f"request-{next(self._numbers)}",
                "version": version,
                "digest": f"sha256:{digest}",
                "spec": encode(spec),
                "requested_by": "ada",
                **more,
            }
        )

    async def deploy(self, version: str, **choices: Any) -> op.RolloutReply:
        """Deploy, and return at once. `choices`: see `spec`."""
        return await self.requests.deploy(self.request(version, self.spec(**choices)))

    async def deployed(self, version: str, **choices: Any) -> op.RolloutReply:
        """Deploy, and return when that has ended."""
        return await self.ended(self.deploy(version, **choices))

    async def rollback(self, app: str = "shop", **more: Any) -> op.RolloutReply:
        request_id = f"request-{next(self._numbers)}"
        return await self.requests.rollback(
            op.RollbackRequest(request_id=request_id, app=app, requested_by="ada", **more)
        )

    async def answered(self, rollout: str, answer: str) -> op.RolloutReply:
        request_id = f"request-{next(self._numbers)}"
        return await self.control.answer(
            op.AnswerRequest(request_id=request_id, rollout=rollout, answer=answer)
        )

    async def asked(self, what: str, rollout: str, **more: Any) -> op.RolloutReply:
        """Pause, resume or abort a rollout."""
        given = {"request_id": f"request-{next(self._numbers)}", "requested_by": "ada", **more}
        request = op.ControlRequest(rollout=rollout, **given)
        return await getattr(self.control, what)(request)

    async def ended(self, asked: Coroutine[Any, Any, op.RolloutReply]) -> op.RolloutReply:
        """Ask, and return when the rollout has ended, and what its end has set going as well."""
        reply = await asked
        await self.until(lambda: not self.stream(reply.stream).state.rollout)
        await self.until(lambda: not self.stream(reply.stream).state.chores_open)
        return reply

    # --- Looking ------------------------------------------------------------------------------

    def stream(self, name: str = "shop@prod") -> Stream:
        return self.engine.streams[name]

    def state(self, name: str = "shop@prod") -> t.State:
        return self.engine.streams[name].state

    def records(self, stream: str = "shop@prod") -> list[Record]:
        """What the log has of the stream; of apps only what has reached their state as well."""
        records = read_stream(self.log.path, stream, 0, 10_000)
        if stream not in self.engine.streams:
            return records
        return [r for r in records if r.version <= self.engine.streams[stream].state.version]

    def kinds(self, stream: str = "shop@prod") -> list[str]:
        return [record.kind for record in self.records(stream)]

    def endings(self, stream: str = "shop@prod") -> list[str]:
        return [r.event.state for r in self.records(stream) if r.kind == "Ended"]

    def lanes(self, app: str = "shop", environment: str = "prod") -> Path:
        return self.folder / f"lanes-of-{app}-{environment}"

    def lead_to(self, app: str = "shop", environment: str = "prod") -> set[str]:
        """Where the lanes of the app lead."""
        return {lane.read_text() for lane in self.lanes(app, environment).glob("lane-*")}

    async def until(self, happened: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not happened():
                await asyncio.sleep(0.002)
