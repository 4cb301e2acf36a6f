"""A world and what happens in it, drawn from a seed: as data, so that a part of it can be left out
when the least that breaks something is looked for.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Literal, Protocol

import drawn
import invariants
import operators
import phases
from faults import FAULTS, FAULTS_AIMED
from operators import AIMED, REQUESTS
from phases import Aims
from programs import Program, random_program
from virtual_time import OUTSIDE
from world import App, World, finally_holds, settled

from tidegate_controller.core import changes
from tidegate_controller.core.releases import active_release
from tidegate_controller.core.spec import Waves

FAULTS_LEAST, FAULTS_MOST = 20, 60
Kind = Literal["fault", "request"]
Way = tuple[Kind, str, str]
# What may bring a stream to a phase that it is seldom in: a fault or a request, and where it is
# then.
GOOD: Way = ("request", "deploy a good one", "idle")
WAYS: dict[str, tuple[Way, ...]] = {
    "lost": (
        *(GOOD, GOOD, ("fault", "disk slow", "start")),
        *(("fault", "node lost", of) for of in ("soak", "soak", "verify", "start")),
    ),
    "question": (GOOD, ("fault", "no verdict", "soak"), ("fault", "no verdict", "verify")),
    "settle": (
        *(("fault", "balancer mood", of) for of in ("shift", "admit", "back")),
        *(("fault", "balancer dead", of) for of in ("shift", "admit", "back")),
        *(GOOD, GOOD, ("request", "rollback", "idle")),
        *(("fault", "balancer mood", of) for of in ("settle", "rewriting")),
        ("request", "pause, resume", "rewriting"),
    ),
    "frozen": (GOOD, ("request", "freeze", "prepare"), ("request", "freeze", "soak")),
    "queued": (("request", "freeze", "idle"), ("request", "queue", "idle")),
    "paused": (("request", "pause, resume", "start"),),
    "back": (GOOD, ("request", "abort it", "soak")),
    **dict.fromkeys(("rehearsal", "promotion", "drain", "stop", "admit"), (GOOD, GOOD, GOOD)),
    **dict.fromkeys(("verify", "check", "soak"), (GOOD,)),
}
ABSENT: tuple[Way, ...] = (GOOD, ("fault", "node lost", "idle"), GOOD)
# Where a rollout that pays what is owed makes room for a rollback, and what may bring it there.
PAYING: tuple[tuple[Way, ...], ...] = (
    *((("request", "rollback", f"{of}, paying"),) for of in ("preflight", "prepare", "start")),
    (("request", "rollback", "stop, paying"),),
    (
        *(("fault", what, "prepare, paying") for what in ("app crash", "partition")),
        ("request", "rollback", "drain, paying"),
    ),
    (("request", "freeze", "prepare, paying"), ("request", "rollback", "frozen, paying")),
    (("request", "pause, resume", "start, paying"), ("request", "rollback", "paused, paying")),
)
AIMED_LEAST, AIMED_MOST = 4, 12  # requests, beside the others
SECONDS_EACH = 45.0  # of the story, for each thing that is asked for
DEPLOY_TRIES = 5
FLEETING = ("flaps", "turns bad", "crashes")  # what serves may be well only when it is planned,
TRIES_IF_FLEETING = 4  # and then a floor keeps a good release from it for a while
CLOCK_SECONDS = 10.0  # until it is noticed that a freeze is over
FOCUS = 3  # phases of rollouts that a seed is about
AIMED_SHARE = 0.75  # of the faults, at one of these
LATER_SECONDS = (0.0, 0.0, 0.0, 1.0)  # at most, from then on until they strike
QUIET_SECONDS = 1800.0  # after all was healed: everything has ended by then


@dataclass(frozen=True)
class Happening:
    """One fault or request. `number` is its own, whatever is left out around it."""

    number: int
    at: float
    kind: Kind
    name: str
    app: int = 0  # of a request: which of the apps
    phase: str = ""  # or situation: it waits from `at` on until some stream is there,
    until: float = 0.0  # or until then

    def __str__(self) -> str:
        aim = f", when one is in {self.phase}, until {self.until:.3f}" if self.phase else ""
        return f"{self.at:9.3f}  {self.kind} {self.name}{aim}"


@dataclass(frozen=True)
class Plan:
    """What a seed comes to."""

    seed: int
    nodes: int
    apps: int
    aims: tuple[str, ...]  # of `drawn.app`
    happenings: tuple[Happening, ...]

    def without(self, left_out: "set[int]") -> "Plan":
        kept = tuple(h for h in self.happenings if h.number not in left_out)
        return replace(self, happenings=kept)


class Notes(Protocol):
    """Who counts what was injected, and when."""

    def fault(self, name: str, world: World) -> None: ...


def draw(seed: int) -> Plan:
    rng = Random(f"{seed} plan")
    focus = tuple(phases.drawn(rng, FOCUS))
    nodes = 12 if rng.random() < 0.04 else rng.choice([1, 2, 2, 3, 3, 4, 5, 6])
    if drawn.WAVES.intersection(focus):
        nodes = max(2, nodes)
    elif "lost" in focus:  # which is more than one, where one is absent
        nodes = max(3, nodes)
    apps = 2 if rng.random() < 0.15 else 1
    asked = rng.randint(4, 9)
    end = SECONDS_EACH * asked
    happenings = [Happening(n, 2.0 + n, "request", "deploy", n) for n in range(apps)]
    for _ in range(asked):
        name, app, at = _one(rng, REQUESTS), rng.randrange(apps), rng.uniform(15.0, end)
        happenings.append(Happening(len(happenings), at, "request", name, app))
        for name in ("steer", "answer", "answer"):  # so that few rollouts wait for long
            at += rng.uniform(2.0, 30.0)
            happenings.append(Happening(len(happenings), at, "request", name, app))
    moments = [h.at for h in happenings]

    def aim(kind: Kind, name: str, phase: str, latest: float = 0.6) -> None:
        at, app = rng.uniform(2.0, latest * end), rng.randrange(apps)
        happenings.append(Happening(len(happenings), at, kind, name, app, phase, end))

    for kind, name, phase in (way for of in focus for way in WAYS.get(of, ())):
        aim(kind, name, phase, 0.4)
    wishes = focus
    if rng.random() < 0.35:  # a deployment without one, that is removed meanwhile, or comes back
        wishes = (*focus, "absent")
        removals: list[Way] = [("request", "remove node", f"{of}, without one") for of in focus]
        paying = (way for ways in rng.sample(PAYING, 3) for way in ways)
        for kind, name, phase in (*ABSENT, *removals, *paying):
            aim(kind, name, phase, 0.4)
    for _ in range(rng.randint(AIMED_LEAST, AIMED_MOST)):
        aim("request", _one(rng, AIMED), rng.choice(focus))
    for _ in range(rng.randint(FAULTS_LEAST, FAULTS_MOST)):
        if rng.random() < AIMED_SHARE:
            aim("fault", _one(rng, FAULTS_AIMED), rng.choice(focus))
        else:  # soon after somebody has asked for something: there is nothing to break else
            at = rng.choice(moments) + rng.uniform(0.0, 40.0)
            happenings.append(Happening(len(happenings), at, "fault", _one(rng, FAULTS)))
    happenings.sort(key=lambda happening: happening.at)
    return Plan(seed, nodes, apps, wishes, tuple(happenings))


def _one(rng: Random, of: Mapping[str, tuple[Any, float]]) -> str:
    """One of these names, of which each has its weight."""
    names = sorted(of)
    return rng.choices(names, [of[name][1] for name in names])[0]


def build(world: World, plan: Plan) -> list[App]:
    nodes = [f"n{number}" for number in range(1, plan.nodes + 1)]
    for number, node in enumerate(nodes, 1):
        world.add_node(node, drawn.labels_of(number))
    return [
        world.add_app(drawn.app(Random(f"{plan.seed} app {number}"), number, nodes, plan.aims))
        for number in range(plan.apps)
    ]


class Scenario:
    """Lets a plan happen in a world. `injected` counts the faults."""

    def __init__(self, plan: Plan, notes: Notes) -> None:
        self.plan = plan
        self.injected: Counter[str] = Counter()
        self._notes = notes
        self._asking: list[asyncio.Task[None]] = []

    async def story(self, world: World) -> None:
        apps = build(world, self.plan)
        aims = Aims(world)
        world.on_decision = aims.decided
        aimed: list[asyncio.Task[None]] = []
        for happening in self.plan.happenings:
            await asyncio.sleep(max(0.0, happening.at - world.now))
            if happening.phase:
                work = self._strikes(world, aims, happening)
                aimed.append(asyncio.create_task(work, context=OUTSIDE))
            else:
                self._happens(world, happening)
        await asyncio.gather(*aimed)
        await asyncio.sleep(5.0)
        world.tell("all is healed")
        world.heal()
        await self._settle(world)
        if any(app.more.get("freeze") for app in apps):
            await asyncio.sleep(max(0.0, drawn.FREEZES_END_SECONDS + CLOCK_SECONDS - world.now))
        for app in apps:
            await self._last_deployment(world, app)
        finally_holds(world)

    async def _strikes(self, world: World, aims: Aims, happening: Happening) -> None:
        rng = Random(f"{self.plan.seed} aim {happening.number}")
        later = rng.uniform(0.0, rng.choice(LATER_SECONDS))
        await aims.reached(happening.phase, happening.until)
        if later:
            await asyncio.sleep(later)
        self._happens(world, happening)

    def _happens(self, world: World, happening: Happening) -> None:
        rng = Random(f"{self.plan.seed} happening {happening.number}")
        if happening.kind == "fault":
            self._let_loose(world, happening.name, rng)
            return
        app = list(world.apps.values())[happening.app]
        work = (REQUESTS | AIMED)[happening.name][0](world, app, rng)
        self._asking.append(asyncio.create_task(work, context=OUTSIDE))

    def _let_loose(self, world: World, name: str, rng: Random) -> None:
        self._notes.fault(name, world)
        self.injected[name] += 1
        said = FAULTS[name][0](world, rng)
        world.tell(f"FAULT        {name}: {said}")

    async def _settle(self, world: World) -> None:
        """All is well now: people answer what they are asked, and everything comes to its end."""
        rng = Random(f"{self.plan.seed} people")
        late = [task for task in self._asking if not task.done()]
        await asyncio.sleep(2.0)  # an agent that has just come back says what it has lost
        await _set_free(world)
        await _come_to_rest(world, rng, late)
        if late:  # who insisted may have locked or frozen it only now
            await _set_free(world)
            await _come_to_rest(world, rng, late)
        settled(world)
        for stream in sorted(world.apps):
            invariants.every_node_runs_what_it_should_or_owes_it(world, stream)

    async def _last_deployment(self, world: World, app: App) -> None:
        """In a world that is well again, a good release gets everywhere."""
        program = replace(
            random_program(Random(0), app.name, "last", list(app.nodes)),
            fate="good",
            failing=frozenset(),
            refused=False,
            up_seconds=1.0,
        )
        world.programs.add(program)
        registered = world.controller.engine.fleet.registered
        app.nodes = [node for node in app.nodes if node in registered]
        if waves := app.more.get("waves"):
            app.more["waves"] = _for_those_left(waves, len(app.nodes))
        known = {p.version: p for p in world.programs.by_digest.values() if p.app == app.name}
        serving = [known[version] for version in world.serving(app.stream).values() if version]
        fleeting = any(program.fate in FLEETING for program in serving)
        await world.until(world.balancer(app.stream).has_caught_up)
        for _ in range(TRIES_IF_FLEETING if fleeting else 1):
            await self._ask_for(world, app, program)
            endings = world.judge.past(app.stream).endings
            active = active_release(world.state(app.stream))
            if endings[-1:] == ["succeeded"] and active and active.version == program.version:
                break
        else:
            world.fail("a_good_release_gets_everywhere", f"{app.stream}: {endings[-3:]}")
        settled(world)
        invariants.every_node_runs_what_the_log_says(world, app.stream)
        invariants.what_to_go_back_to_is_known(world, app.stream)

    async def _ask_for(self, world: World, app: App, program: Program) -> None:
        """And people look after the rollout, to its end."""
        rng, said = Random(0), Counter[str]()
        for _ in range(DEPLOY_TRIES):  # what is owed may just be paid
            await world.until(world.quiet, every=0.5)
            reply = await operators.deploy(world, app, program)
            if getattr(reply, "rollout", "") or world.quiet():
                break
        if not getattr(reply, "rollout", ""):
            world.fail("a_good_release_gets_everywhere", f"{app.stream}: {reply}")
        end = world.now + QUIET_SECONDS
        while not world.quiet() and world.now < end:
            await operators.attend(world, rng, said)
            await asyncio.sleep(1.0)


def _for_those_left(waves: Waves, nodes: int) -> Waves:
    """Who has a label, or the others of a zone, may be gone; nor may what was before be any good to
    go back to."""
    floor = "0" if nodes == 1 else None
    return changes.replace(
        waves, rehearse=False, canary=None, zone=drawn.NO_ZONE, min_in_service=floor
    )


async def _come_to_rest(world: World, rng: Random, asking: list[asyncio.Task[None]]) -> None:
    """Until these have been answered, and nothing is left to be done; or for a long time."""
    end, said = world.now + QUIET_SECONDS, Counter[str]()
    while not (all(task.done() for task in asking) and world.quiet() and world.all_here()):
        if world.now > end:
            break  # `settled` says what is wrong
        await operators.attend(world, rng, said)
        await asyncio.sleep(2.0)


async def _set_free(world: World) -> None:
    """Nothing is locked any more, nor frozen by hand."""
    for app in world.apps.values():
        await operators.lock(world, app, "ada", unlock=True, force=True)
        await operators.freeze(world, app, lift=True)
