"""A world and what happens in it, drawn from a seed: as data, so that a part of it can be left out
when the least that breaks something is looked for.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, replace
from random import Random
from typing import Literal, Protocol

import invariants
import operators
from faults import FAULTS
from operators import REQUESTS
from programs import random_program
from virtual_time import OUTSIDE
from world import App, World, finally_holds, settled

from tidegate_controller.core.spec import Health, HttpProbe, Pace

FAULTS_LEAST, FAULTS_MOST = 20, 60
QUIET_SECONDS = 900.0  # after all was healed: everything has ended by then


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
    apps: tuple[tuple[float, ...], ...]  # the pace of each
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
    apps = tuple(
        (rng.choice([0.0, 5.0, 15.0]), rng.choice([0.0, 2.0]), rng.choice([5.0, 20.0]), 30.0)
        for _ in range(2 if rng.random() < 0.15 else 1)
    )
    count = rng.randint(FAULTS_LEAST, FAULTS_MOST)
    asked = rng.randint(4, 8)
    end = 60.0 * asked
    happenings = [Happening(n, 2.0 + n, "request", "deploy", n) for n in range(len(apps))]
    kinds = sorted(REQUESTS)
    weights = [REQUESTS[kind][1] for kind in kinds]
    for _ in range(asked):
        name, app = rng.choices(kinds, weights)[0], rng.randrange(len(apps))
        happenings.append(Happening(len(happenings), rng.uniform(15.0, end), "request", name, app))
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
    for node in nodes:
        world.add_node(node)
    apps = []
    for number, (soak, drain, keep, away) in enumerate(plan.apps):
        pace = Pace(
            prepare_seconds=60.0,
            soak_seconds=soak,
            drain_seconds=drain,
            keep_old_seconds=keep,
            away_seconds=away,
        )
        rng = Random(f"{plan.seed} app {number}")
        health = Health(
            probe=HttpProbe(url="http://127.0.0.1:{port}/health"),
            every_seconds=rng.choice([2.0, 5.0]),
            timeout_seconds=1.0,
            failures=rng.choice([1, 2]),
            healthy_after_seconds=rng.choice([0.0, 1.0, 4.0]),
            deadline_seconds=20.0,
        )
        apps.append(world.add_app(App(["shop", "blog"][number], nodes, pace=pace, health=health)))
    return apps


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
        while not (world.idle() and world.all_here()):
            if world.now > end:
                break
            for rollout, _ in operators.waiting(world):
                await operators.answer(world, rollout, "abort")
            await asyncio.sleep(2.0)
        settled(world)

    async def _last_deployment(self, world: World, app: App) -> None:
        """In a world that is well again, a good release gets everywhere."""
        program = replace(
            random_program(Random(0), app.name, "last", list(app.nodes)),
            fate="good",
            failing=frozenset(),
            up_seconds=1.0,
        )
        world.programs.add(program)
        registered = world.controller.engine.fleet.registered
        app.nodes = [node for node in app.nodes if node in registered]
        reply = await operators.deploy(world, app, program)
        if not getattr(reply, "rollout", ""):
            world.fail("a_good_release_gets_everywhere", f"{app.stream}: {reply}")
        await world.until(world.idle, every=0.5)
        endings = world.judge.past(app.stream).endings
        if endings[-1:] != ["succeeded"]:
            world.fail("a_good_release_gets_everywhere", f"{app.stream}: {endings[-3:]}")
        settled(world)
        invariants.every_node_runs_what_the_log_says(world, app.stream)
        invariants.what_to_go_back_to_is_known(world, app.stream)
