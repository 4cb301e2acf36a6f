"""A whole fleet in one thread, in virtual time: machines with agents, a network, balancers, the
controller, and people who ask for things.

`run(seed, story)` makes one and lets the story happen. Stories are written in the methods of
`World`; `scenario.py` has those that a seed draws.
"""

import asyncio
import gc
import logging
import math
import os
import random
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import invariants
from fake_balancer import Balancer
from fake_machine import Machine
from fake_network import Network
from judge import Judge, Seen
from lives import AgentLife, ControllerLife
from programs import Program, Programs
from telling import describe
from virtual_time import OUTSIDE, VirtualLoop

from tidegate_controller.checks import NoVerdict
from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.chores import chore_opens_at
from tidegate_controller.core.facts import place_of
from tidegate_controller.core.inputs import Input
from tidegate_controller.core.settling import rewrite_now
from tidegate_controller.core.spec import (
    Check,
    Health,
    HttpProbe,
    Pace,
    Service,
    Settings,
    Spec,
    Traffic,
)
from tidegate_controller.core.works import work_now
from tidegate_controller.errors import CheckFailed
from tidegate_controller.log import Batch, Record, read_log

if TYPE_CHECKING:
    import operators

MEMORY = Path("/dev/shm")  # noqa: S108 - a disk that costs nothing, where there is one
SETTLE_SECONDS = 1200.0
MUCH_LATER_SECONDS = 60.0
LOOK_SECONDS = 0.05  # between two looks whether something has come to be
PACE = Pace(
    prepare_seconds=60.0,
    soak_seconds=5.0,
    drain_seconds=2.0,
    keep_old_seconds=20.0,
    away_seconds=30.0,
)
HEALTH = Health(
    probe=HttpProbe(url="http://127.0.0.1:{port}/health"),
    every_seconds=2.0,
    timeout_seconds=1.0,
    failures=2,
    healthy_after_seconds=1.0,
    deadline_seconds=20.0,
)


class Violated(Exception):
    """An invariant does not hold."""

    def __init__(self, name: str, detail: str, at: float) -> None:
        super().__init__(f"at {at:.3f} s: {name}: {detail}")
        self.name = name
        self.detail = detail
        self.at = at


@dataclass
class App:
    """One app in one environment, as its `tidegate.toml` would have it."""

    name: str
    nodes: Sequence[str]
    environment: str = "test"
    paces: list[Pace] = field(default_factory=lambda: [PACE])  # so far; the last is that of now
    health: Health = HEALTH
    strategy: str = "blue-green"
    more: dict[str, Any] = field(default_factory=dict)  # of the spec

    @property
    def stream(self) -> str:
        return f"{self.name}@{self.environment}"

    def spec(self) -> Spec:
        return Spec(
            app=self.name,
            environment=self.environment,
            strategy=self.strategy,  # type: ignore[arg-type]
            nodes=tuple(self.nodes),
            settings=Settings(
                service=Service(command=("./serve",), stop_grace_seconds=8.0), health=self.health
            ),
            traffic=Traffic(adapter="exec", command=(self.stream,), timeout_seconds=2.0),
            pace=self.paces[-1],
            **self.more,
        )


class Nobody:
    """Where nobody counts what is covered."""

    def decision(
        self, stream: str, state: t.State | None, cause: Input | None, events: Sequence[ev.Event]
    ) -> None: ...


class World:
    """Everything, of one seed. Each part draws from a random stream of its own."""

    def __init__(
        self, seed: int, folder: Path, loop: VirtualLoop, seen: Seen, tracing: bool = False
    ) -> None:
        self.seed = seed
        self.folder = folder
        self.loop = loop
        self.tracing = tracing
        self.trace: list[str] = []
        self.violation: Violated | None = None
        self.programs = Programs()
        self.judge = Judge(self, seen)
        self.network = Network(loop, self.rng("network"), self.judge.command)
        self.machines: dict[str, Machine] = {}
        self.agents: dict[str, AgentLife] = {}
        self.apps: dict[str, App] = {}  # by stream
        self._balancers: dict[str, Balancer] = {}
        self.controller = ControllerLife(
            loop,
            folder,
            self.rng("controller"),
            self.network,
            self.balancer,
            self._answers,
            self._check,
            self._appended,
        )
        self.requests = 0
        self.asked: list[operators.Call] = []  # the last requests, which may be sent once more
        self.on_decision: Callable[[], None] = lambda: None  # something was just logged
        self.verdicts: list[str] = []  # of the next checks, where they are not what they should be

    def rng(self, name: str) -> Random:
        return Random(f"{self.seed} {name}")

    # --- What it is made of ---------------------------------------------------------------------

    def add_node(self, name: str, labels: dict[str, str] | None = None) -> Machine:
        folder = self.folder / name
        folder.mkdir()
        rng = self.rng(f"machine {name}")
        machine = Machine(self.loop, name, folder, rng, self.programs)
        machine.watcher = self.judge
        self.machines[name] = machine
        self.agents[name] = AgentLife(machine, self.network, labels or {})
        self.agents[name].start()
        return machine

    def add_app(self, app: App) -> App:
        self.apps[app.stream] = app
        return app

    def balancer(self, stream: str) -> Balancer:
        if stream not in self._balancers:
            rng = self.rng(f"balancer {stream}")
            balancer = Balancer(
                self.loop,
                rng,
                lambda after, late: self.judge.moving(stream, balancer.truth, after, late),
            )
            self._balancers[stream] = balancer
        return self._balancers[stream]

    def move_by_hand(self, rollout: str) -> None:
        """A person who says that traffic has moved has moved it."""
        for stream in self.apps:
            found = self.state(stream).rollout
            if found is None or found.id != rollout:
                continue
            step = found.plan[found.cursor]
            for index, done in found.done.items():
                work = work_now(self.state(stream), step, index)
                if work is None or work.verb != "route" or done.outcome == "ok" or done.again:
                    continue
                self.judge.by_hand = True
                shares = {p: share for p, share in (work.weights or {}).items() if share}
                named = {self.address(stream, place): share for place, share in shares.items()}
                self.balancer(stream).write({a: share for a, share in named.items() if a})
                self.judge.by_hand = False

    def program(self, app: str, version: str, **behaviour: Any) -> Program:
        return self.programs.add(Program(app=app, version=version, **behaviour))

    def _answers(self, address: str) -> str | None:
        node, _, port = address.partition(":")
        machine = self.machines[node]
        if node in self.network.parted:
            return "no route"
        return machine.problem_of(machine.service_at(int(port)))

    async def _check(self, check: Check, name: str, variables: Mapping[str, str]) -> None:
        """A check of the operator's: says no to what it is to say no to, else what it is told."""
        await asyncio.sleep(0.05)
        program = self.programs.by_digest[variables["TIDEGATE_DIGEST"]]
        verdict = self.verdicts.pop(0) if self.verdicts else ""
        if verdict == "hangs":
            await asyncio.sleep(check.timeout_seconds)
        if verdict:
            raise NoVerdict(f"{name} {verdict}")
        if program.refused:
            raise CheckFailed("orders are lost")

    def _appended(self, batch: Batch, records: list[Record]) -> None:
        self.judge.look()
        self.judge.appended(batch, records)
        self.on_decision()

    # --- What can be asked of it ----------------------------------------------------------------

    @property
    def now(self) -> float:
        return self.loop.time()

    def address(self, stream: str, place: t.Place) -> str:
        """Where a balancer finds the place, whether anything runs there or not."""
        for service in self.machines[place.node].services.values():
            if (service.app, service.slot) == (stream.partition("@")[0], place.slot):
                return f"{place.node}:{service.port}"
        return ""

    def state(self, stream: str) -> t.State:
        return self.controller.engine.state(stream)

    def read_log(self) -> Iterator[Record]:
        yield from read_log(self.controller.log.path, 0, 1 << 30)

    def describe(self, event: ev.Event) -> str:
        return describe(event)

    def serving(self, stream: str) -> dict[str, str]:
        """Node -> version of what has its traffic, by what the balancer really does."""
        found = {}
        for address in self.balancer(stream).truth:
            node, _, port = address.partition(":")
            service = self.machines[node].service_at(int(port))
            found[node] = service.version if service is not None else ""
        return found

    def known(self, stream: str, place: str) -> t.Known:
        return place_of(self.state(stream), t.Place(place))

    # --- What is said of it ---------------------------------------------------------------------

    def tell(self, line: str) -> None:
        if self.tracing:
            self.trace.append(f"{self.now:9.3f}  {line}")

    def fail(self, invariant: Callable[..., Any] | str, detail: str) -> None:
        """An invariant does not hold: the first one counts, and the world ends."""
        name = invariant if isinstance(invariant, str) else invariant.__name__
        if self.violation is None:
            self.violation = Violated(name, detail, self.now)
            self.tell(f"VIOLATED     {name}: {detail}")
            self.loop.stop()

    # --- Waiting --------------------------------------------------------------------------------

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def until(
        self,
        done: Callable[[], bool],
        seconds: float = SETTLE_SECONDS,
        every: float = LOOK_SECONDS,
    ) -> bool:
        """Whether it came to that, looked at every now and then."""
        end = self.now + seconds
        while not done():
            if self.now >= end:
                return False
            await asyncio.sleep(every)
        return True

    def idle(self) -> bool:
        """No rollout runs or waits for its turn, and nothing is left to be done after one."""
        if not self.controller.listens:
            return False
        states = [stream.state for stream in self.controller.engine.streams.values()]
        return not any(state.rollout or state.queue or state.chores for state in states)

    def quiet(self) -> bool:
        """Likewise, or what is left is to be done much later: such as to stop what an app has left
        that never was deployed, and so has no pace of its own."""
        if not self.controller.listens:
            return False
        now = self.controller.engine.now()
        for stream in self.controller.engine.streams.values():
            state = stream.state
            if state.rollout or state.queue or state.chores_open or rewrite_now(state) is not None:
                return False
            times = [chore_opens_at(state, chore) for chore in state.chores]
            if not all(now + MUCH_LATER_SECONDS < at < math.inf for at in times):
                return False
        return True

    def all_here(self) -> bool:
        """Every machine's agent is connected."""
        return all(self.is_here(node) for node in self.machines)

    def is_here(self, node: str) -> bool:
        """It has been let in, over a line that still leads somewhere."""
        line = self.network.lines.get(node)
        known = node in self.controller.engine.fleet.sessions
        return known and line is not None and not line.down.dead

    def heal(self) -> None:
        """Whatever is broken works again, and whoever is dead is started."""
        self.network.heal()
        for life in (self.controller, *self.agents.values()):
            if life.process is not None:
                life.process.fuse = -1  # nobody dies any more
        self.controller.failing_appends = 0
        self.controller.disk_seconds = 0.005
        self.controller.wall_offset = 0.0
        self.controller.start()
        for balancer in self._balancers.values():
            balancer.moods.clear()
            balancer.dead = False
        self.verdicts.clear()
        for name, agent in self.agents.items():
            machine = self.machines[name]
            machine.wall_offset = 0.0
            machine.no_network = False
            machine.corrupting = 0
            machine.slowness = 1.0
            agent.fill_up(False)
            agent.start()


class ErrorsCount(logging.Handler):
    """An error that production code logs is one that nobody has thought of, unless it says so."""

    EXPECTED = (
        "could not be recorded",
        "could not be taken",
        "could not be stopped",
        "could not be kept",
        "could not be remembered",
        "failed for the machine's sake",
    )

    def __init__(self, world: World) -> None:
        super().__init__(logging.ERROR)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        if any(words in record.getMessage() for words in self.EXPECTED):
            return
        error = record.exc_info[1] if record.exc_info else ""
        detail = f"{record.name}: {record.getMessage()}: {error!r}"
        self._world.fail("no_unforeseen_error_is_logged", detail)


Story = Callable[[World], Awaitable[Any]]


@contextmanager
def made(seed: int, seen: Seen | None = None, tracing: bool = False) -> Iterator[World]:
    """A world, and nothing left of it afterwards. Its folder is the working one meanwhile, so that
    no name in a message is another one the next time."""
    random.seed(seed)
    parent = MEMORY if MEMORY.is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix="tidegate-world-", dir=parent))
    loop = VirtualLoop()
    loop.set_exception_handler(lambda _, __: None)  # judged by what comes of it
    before = Path.cwd()
    os.chdir(folder)
    world = World(seed, Path(), loop, seen or Nobody(), tracing)
    handler = ErrorsCount(world)
    loggers = [logging.getLogger(name) for name in ("tidegate_agent", "tidegate_controller")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.ERROR)
        logger.propagate = False
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield world
    finally:
        for life in (world.controller, *world.agents.values()):
            life.stop()
            life.close()
        for logger in loggers:
            logger.removeHandler(handler)
            logger.setLevel(logging.CRITICAL + 1)  # what is cut off now has nothing to say
        loop.bury()
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
            logger.propagate = True
        os.chdir(before)
        shutil.rmtree(folder, ignore_errors=True)
        if collecting:
            gc.enable()


def run(
    seed: int, story: Story, seen: Seen | None = None, tracing: bool = False
) -> tuple[World, Any]:
    """Let it happen; the world, of which only memories are left, and what the story returned.
    Raises `Violated`, with the trace in `__notes__`."""
    with made(seed, seen, tracing) as world:
        task = world.loop.create_task(_tell(world, story), context=OUTSIDE)
        error: BaseException | None = None
        result: Any = None
        try:
            result = world.loop.run_until_complete(task)
        except Exception as ending:
            error = ending  # after a violation, of no interest
        if world.violation is not None:
            for line in world.trace:
                world.violation.add_note(line)
            raise world.violation
        if error is not None:
            raise error
    return world, result


async def _tell(world: World, story: Story) -> Any:
    world.controller.start()
    return await story(world)


def settled(world: World) -> None:
    """What must be so once all is well and has had its time."""
    world.judge.look()
    for invariant in invariants.SETTLED:
        invariant(world)


def finally_holds(world: World) -> None:
    """Likewise, and the log has all of it."""
    settled(world)
    invariants.replaying_the_log_gives_the_same_state(world)
