"""A world and what happens in it, drawn from a seed: as data, so that a part of it can be left out
when the least that breaks something is looked for.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, replace
from random import Random
from typing import Literal, Protocol

import drawn
import invariants
import operators
from faults import FAULTS
from operators import REQUESTS
from programs import random_program
from virtual_time import OUTSIDE
from world import App, World, finally_holds, settled

from tidegate_controller.core import changes

FAULTS_LEAST, FAULTS_MOST = 20, 60
DEPLOY_TRIES = 5
QUIET_SECONDS = 1800.0  # after all was healed: everything has ended by then


@dataclass(frozen=True)
class Happening:
    """One fault or request. `number` is its own, whatever is left out around it."""

    number: int
    at: float
    kind: Literal["fault", "request"]
    name: str
    app: int = 0  # of a request: which of the apps


@dataclass(frozen=True)
class Plan:
    """What a seed comes to."""

    seed: int
    nodes: int
    apps: int
    happenings: tuple[Happening, ...]

    def without(self, left_out: "set[int]") -> "Plan":
        kept = tuple(h for h in self.happenings if h.number not in left_out)
        return replace(self, happenings=kept)


class Notes(Protocol):
    """Who counts what was injected, and when."""

    def fault(self, name: str, world: World) -> None: ...


def draw(seed: int) -> Plan:
    rng = Random(f"{seed} plan")
    nodes = 12 if rng.random() < 0.04 else rng.choice([1, 2, 2, 3, 3, 4, 5, 6])
    apps = 2 if rng.random() < 0.15 else 1
    count = rng.randint(FAULTS_LEAST, FAULTS_MOST)
    asked = rng.randint(4, 9)
    end = 60.0 * asked
    happenings = [Happening(n, 2.0 + n, "request", "deploy", n) for n in range(apps)]
    kinds = sorted(REQUESTS)
    weights = [REQUESTS[kind][1] for kind in kinds]
    for _ in range(asked):
        name, app, at = rng.choices(kinds, weights)[0], rng.randrange(apps), rng.uniform(15.0, end)
        happenings.append(Happening(len(happenings), at, "request", name, app))
        for name in ("steer", "answer", "answer"):  # so that few rollouts wait for long
            at += rng.uniform(2.0, 30.0)
            happenings.append(Happening(len(happenings), at, "request", name, app))
    moments = [h.at for h in happenings]
    kinds = sorted(FAULTS)
    weights = [FAULTS[kind][1] for kind in kinds]
    for _ in range(count):
        # Most of them soon after somebody has asked for something: there is nothing to break else.
        at = (
            rng.choice(moments) + rng.uniform(0.0, 40.0)
            if rng.random() < 0.8
            else rng.uniform(0.0, end)
        )
        happenings.append(Happening(len(happenings), at, "fault", rng.choices(kinds, weights)[0]))
    happenings.sort(key=lambda happening: happening.at)
    return Plan(seed, nodes, apps, tuple(happenings))


def build(world: World, plan: Plan) -> list[App]:
    nodes = [f"n{number}" for number in range(1, plan.nodes + 1)]
    for number, node in enumerate(nodes, 1):
        world.add_node(node, drawn.labels_of(number))
    return [
        world.add_app(drawn.app(Random(f"{plan.seed} app {number}"), number, nodes))
        for number in range(plan.apps)
    ]


class Scenario:
    """Lets a plan happen in a world. `injected` counts the faults."""

    def __init__(self, plan: Plan, notes: Notes) -> None:
        self.plan = plan
        self.injected: Counter[str] = Counter()
        self._notes = notes

    async def story(self, world: World) -> None:
        apps = build(world, self.plan)
        asking: list[asyncio.Task[None]] = []
        for happening in self.plan.happenings:
            await asyncio.sleep(max(0.0, happening.at - world.now))
            rng = Random(f"{self.plan.seed} happening {happening.number}")
            if happening.kind == "fault":
                self._let_loose(world, happening.name, rng)
            else:
                ask = REQUESTS[happening.name][0]
                work = ask(world, apps[happening.app], rng)
                asking.append(asyncio.create_task(work, context=OUTSIDE))
        await asyncio.sleep(5.0)
        world.tell("all is healed")
        world.heal()
        await self._settle(world)
        for app in apps:
            await self._last_deployment(world, app)
        finally_holds(world)

    def _let_loose(self, world: World, name: str, rng: Random) -> None:
        self._notes.fault(name, world)
        self.injected[name] += 1
        said = FAULTS[name][0](world, rng)
        world.tell(f"FAULT        {name}: {said}")

    async def _settle(self, world: World) -> None:
        """All is well now: people answer what they are asked, and everything comes to its end."""
        end = world.now + QUIET_SECONDS
        rng = Random(f"{self.plan.seed} people")
        said: Counter[str] = Counter()
        for app in world.apps.values():
            await operators.lock(world, app, "ada", unlock=True, force=True)
        while not (world.idle() and world.all_here()):
            if world.now > end:
                break
            await operators.attend(world, rng, said)
            await asyncio.sleep(2.0)
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
        if waves := app.more.get("waves"):  # what was before it may be no good to go back to
            app.more["waves"] = changes.replace(waves, rehearse=False)
        rng, said = Random(0), Counter[str]()
        for _ in range(DEPLOY_TRIES):  # what is owed may just be paid
            await world.until(world.idle, every=0.5)
            reply = await operators.deploy(world, app, program)
            if getattr(reply, "rollout", "") or world.idle():
                break
        if not getattr(reply, "rollout", ""):
            world.fail("a_good_release_gets_everywhere", f"{app.stream}: {reply}")
        end = world.now + QUIET_SECONDS
        while not world.idle() and world.now < end:
            await operators.attend(world, rng, said)
            await asyncio.sleep(1.0)
        endings = world.judge.past(app.stream).endings
        if endings[-1:] != ["succeeded"]:
            world.fail("a_good_release_gets_everywhere", f"{app.stream}: {endings[-3:]}")
        settled(world)
        invariants.every_node_runs_what_the_log_says(world, app.stream)
        invariants.what_to_go_back_to_is_known(world, app.stream)
