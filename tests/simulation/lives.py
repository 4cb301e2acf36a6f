"""The processes of the world: an agent on each machine, and the controller. Each may be killed at
any await, and is started again a while later, as systemd does.

All code that runs in them is the real one, but for what carries messages.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from random import Random
from typing import Any

from fake_balancer import Adapter, Balancer
from fake_machine import Machine
from fake_network import Line, Network, broken
from virtual_time import EPOCH, OUTSIDE, Process, VirtualLoop

from tidegate_agent.agent import Agent
from tidegate_agent.errors import JournalError
from tidegate_agent.link import Link
from tidegate_agent.session import converse
from tidegate_controller.agent_session import AgentSessions, TurnedAway
from tidegate_controller.artifacts import ArtifactStore
from tidegate_controller.checks import Ask
from tidegate_controller.control_requests import Control
from tidegate_controller.convergence import Convergence
from tidegate_controller.core import types as t
from tidegate_controller.deploy_requests import Requests
from tidegate_controller.engine import Engine
from tidegate_controller.errors import TrafficError
from tidegate_controller.fleet import Fleet
from tidegate_controller.freeze_clock import FreezeClock
from tidegate_controller.log import Batch, EventLog, LogError, Record
from tidegate_controller.nodes import Nodes
from tidegate_controller.outside import Outside
from tidegate_controller.turns import Turns

log = logging.getLogger("tidegate_controller.beside")

FULL_PAGES = 1  # SQLite's limit for a database that must not grow
MANY_PAGES = 1 << 30


class AgentLink(Link):
    """The real one, over the fake network."""

    def __init__(self, agent: Agent, network: Network) -> None:
        super().__init__(agent, "controller")
        self._network = network

    async def _connect(self) -> None:
        line = await self._network.connect(self._agent.node)
        await converse(self._agent, line, self._on_welcome)


def _ended_for(task: "asyncio.Task[None]", expected: type[Exception], who: str) -> None:
    """Whatever else a process or a part of it ends for is a mistake of its own, and logged as one:
    a start after it must not hide that."""
    error = None if task.cancelled() else task.exception()
    for one in error.exceptions if isinstance(error, BaseExceptionGroup) else [error]:
        if one is not None and not isinstance(one, expected):
            log.error("%s has ended", who, exc_info=one)


class Life:
    """What is started again some time after it has died, as long as that is wanted."""

    wanted = True
    process: Process | None = None

    def start(self) -> None:
        raise NotImplementedError

    def again(self) -> None:
        if self.wanted:
            self.start()

    def stop(self) -> None:
        """For good, until it is started by somebody."""
        self.wanted = False
        self.kill()

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()

    def kill_after(self, steps: int) -> None:
        if self.process is not None:
            self.process.fuse = steps


class AgentLife(Life):
    """The agent of a machine, in its present life or between two."""

    def __init__(self, machine: Machine, network: Network, labels: dict[str, str]) -> None:
        self.machine = machine
        self.network = network
        self.labels = labels
        self.agent: Agent | None = None
        self.close: Callable[[], None] = lambda: None  # of its last journal
        machine.kill_agent = self.kill

    def start(self) -> None:
        if self.process is not None and self.process.alive:
            return
        self.wanted = True
        self.process = Process(self.machine.loop, self.machine.name, self._blocking)
        self.process.on_death.append(self._has_died)
        task = self.process.spawn(self._run(self.process))
        task.add_done_callback(self._has_ended, context=OUTSIDE)

    def _blocking(self) -> tuple[float, float]:
        return self.machine.rng.uniform(0.0, 0.005) * self.machine.slowness, 0.0

    async def _run(self, process: Process) -> None:
        machine = self.machine
        self.agent = Agent(
            machine.name, machine.folder, self.labels, machine.name, host=machine.host()
        )
        self.fill_up(machine.full)
        self.close = self.agent._journal.close
        self.agent.claim("controller:1")
        await self.agent.start()
        await AgentLink(self.agent, self.network).run()

    def _has_ended(self, task: "asyncio.Task[None]") -> None:
        """It has given up by itself, such as over a journal that it cannot write."""
        _ended_for(task, JournalError, "the agent")
        self.kill()

    def _has_died(self) -> None:
        self.close()
        self.agent = None
        self.network.cut(self.machine.name)
        if self.wanted:
            delay = self.machine.rng.choice([0.2, 2.0, 8.0, 25.0])
            self.machine.loop.call_later(delay, self.again, context=OUTSIDE)

    def fill_up(self, full: bool) -> None:
        """The journal lies on the same disk."""
        self.machine.full = full
        if self.agent is not None and self.process is not None and self.process.alive:
            pages = FULL_PAGES if full else MANY_PAGES
            self.agent._journal._db.execute(f"PRAGMA max_page_count = {pages}")


class WatchedLog(EventLog):
    """The real log, on a disk that may fail. `on_append` hears of what has become durable."""

    def __init__(
        self,
        path: Path,
        new_id: Callable[[], str],
        before_append: Callable[[], None],
        on_append: Callable[[Batch, list[Record]], None],
    ) -> None:
        super().__init__(path, new_id)
        self._before_append = before_append
        self._on_append = on_append

    def append(self, batches: Any) -> list[list[Record]]:
        self._before_append()
        made = super().append(batches)
        for batch, records in zip(batches, made, strict=True):
            self._on_append(batch, records)
        return made


class ControllerLife(Life):
    """The controller, in its present life or between two."""

    def __init__(
        self,
        loop: VirtualLoop,
        folder: Path,
        rng: Random,
        network: Network,
        balancer_of: Callable[[str], Balancer],
        answers: Callable[[str], str | None],
        check: Ask,
        on_append: Callable[[Batch, list[Record]], None],
    ) -> None:
        self.loop = loop
        self.folder = folder
        self.rng = rng
        self.network = network
        self.failing_appends = 0
        self.disk_seconds = 0.005  # an append takes so long, at most
        self.wall_offset = 0.0
        self.drift = self.next_drift = 1.0  # of its boot clock, in this life and the next
        self.lives = 0
        self.close: Callable[[], None] = lambda: None  # of its last log
        self._balancer_of = balancer_of
        self._answers = answers
        self._check = check
        self._on_append = on_append
        network.controller = self

    @property
    def listens(self) -> bool:
        return self.process is not None and self.process.alive and self.engine.ready.is_set()

    def start(self) -> None:
        if self.process is not None and self.process.alive:
            return
        self.wanted = True
        self.lives += 1
        self.drift = self.next_drift
        self.process = Process(self.loop, "controller", self._blocking)
        self.process.on_death.append(self._has_died)
        self.process.context.run(self._build)
        task = self.process.spawn(self.engine.run())
        task.add_done_callback(self._has_ended, context=OUTSIDE)
        for other in (Convergence(self.engine), FreezeClock(self.engine), Turns(self.engine)):
            beside = self.process.spawn(other.run())
            beside.add_done_callback(self._beside_has_ended, context=OUTSIDE)

    def _build(self) -> None:
        """As `server.run` does."""
        self.log = WatchedLog(
            self.folder / "events.db", lambda: "log", self._before_append, self._on_append
        )
        outside = Outside(
            traffic=lambda spec: Adapter(self._balancer_of(spec.command[0])),
            prove=self._prove,
            ask=self._check,
            boot_seconds=lambda: self.loop.time() * self.drift,
            wall_seconds=lambda: EPOCH + self.loop.time() + self.wall_offset,
        )
        self.engine = Engine(self.log, Fleet(), "http://controller/{}".format, outside)
        self.nodes = Nodes(self.engine)
        self.sessions = AgentSessions(self.engine, self.nodes)
        self.requests = Requests(self.engine, self.nodes, ArtifactStore(self.folder / "artifacts"))
        self.control = Control(self.engine)
        self.close = self.log.close

    def _blocking(self) -> tuple[float, float]:
        half = self.disk_seconds / 2
        return self.rng.uniform(0.0, half), self.rng.uniform(0.0, half)

    def _before_append(self) -> None:
        if self.failing_appends:
            self.failing_appends -= 1
            raise LogError("cannot write to the event log: disk I/O error")

    async def _prove(self, stream: str, release: t.Release, place: t.Place, address: str) -> None:
        await asyncio.sleep(self.rng.uniform(0.005, 0.05))
        problem = self._answers(address)
        if problem is not None:
            raise TrafficError(f"{place} at {address} did not answer: {problem}", "")

    def _has_ended(self, task: "asyncio.Task[None]") -> None:
        """The log has failed it."""
        _ended_for(task, LogError, "the controller")
        self.kill()

    def _beside_has_ended(self, task: "asyncio.Task[None]") -> None:
        """It never should, as long as there is a log to write to."""
        _ended_for(task, LogError, "what runs beside the engine")

    def _has_died(self) -> None:
        self.close()
        self.network.cut_all()
        if self.wanted:
            delay = self.rng.choice([0.2, 1.0, 5.0, 20.0])
            self.loop.call_later(delay, self.again, context=OUTSIDE)

    # --- Doors ----------------------------------------------------------------------------------

    def answer(self, line: Line) -> None:
        """An agent calls."""
        assert self.process is not None
        serving = self.process.spawn(self._serve(line))
        serving.add_done_callback(self._beside_has_ended, context=OUTSIDE)

    async def _serve(self, line: Line) -> None:
        conversation = self.sessions.converse(aiter(line.up), "sim")
        ending = "the controller has closed the line"
        try:
            async with aclosing(conversation) as instructions:
                async for instruction in instructions:
                    line.tell(instruction)
        except TurnedAway as refusal:
            ending = refusal.why
        line.down.end(0.01, broken(ending))

    async def ask(self, call: Callable[["ControllerLife"], Awaitable[Any]]) -> Any:
        """What the call of an operator comes to. Raises what it raises, and ConnectionError where
        the controller is not there or dies over it."""
        if not self.listens:
            raise ConnectionError("the controller cannot be reached")
        assert self.process is not None
        answer: asyncio.Future[Any] = self.loop.create_future()
        process = self.process

        async def perform() -> None:
            try:
                result = await call(self)
            except Exception as error:
                if not answer.done():
                    answer.set_exception(error)
            else:
                if not answer.done():
                    answer.set_result(result)

        def hang_up() -> None:
            if not answer.done():
                answer.set_exception(ConnectionError("the controller died"))

        process.on_death.append(hang_up)
        process.spawn(perform())
        return await answer
