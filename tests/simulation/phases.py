"""Where a stream is: idle, with chores alone, at a step of its plan, waiting for somebody or
something. What `covered` counts, and what faults and requests of a seed are aimed at: those wait
until some stream is in their phase, and strike then.
"""

import asyncio
from collections.abc import Collection
from random import Random
from typing import TYPE_CHECKING

from virtual_time import OUTSIDE

from tidegate_controller.core import types as t
from tidegate_controller.core.facts import is_known
from tidegate_controller.core.settling import REWRITE

if TYPE_CHECKING:
    from world import World

RESTING = ("idle", "chores", "queued")  # the last: a deployment waits for the end of a freeze
# Without the number of their wave; those of the way back as one, as are those of a rehearsal.
STEPS = (
    *("preflight", "settle", "prepare", "migrate", "start", "shift", "switch", "soak", "verify"),
    *("check", "drain", "stop", "admit", "rehearsal", "back"),
)
ASKED = ("question", "approval", "promotion", "failure", "lost")  # of a person
GATES = {"approve": "approval", "promote": "promotion"}  # steps that are nothing but a question
HELD = (*ASKED, "paused", "frozen")
PHASES = (*RESTING, *STEPS, *HELD)

# How often each is aimed at: those in which streams are anyway less than the others.
AIMS = (
    dict.fromkeys(PHASES, 1.0)
    | dict.fromkeys(("idle", "chores"), 0.1)
    | dict.fromkeys(("prepare", "start", "paused", "back", "failure", "approval"), 0.4)
    | dict.fromkeys(("question", "settle", "frozen", "queued", "check"), 1.5)
    | dict.fromkeys(("lost", "rehearsal"), 3.0)
)
LOOK_SECONDS = 0.01  # after a decision, until it is in the state, unless the disk is slow


def phase_of(state: t.State | None) -> str:
    if state is None:
        return "idle"
    if state.rollout is None:
        return "queued" if state.queue else "chores" if state.chores else "idle"
    rollout = state.rollout
    if rollout.paused is not None:
        return "paused"
    if rollout.waiting is not None:
        return rollout.waiting.kind
    if rollout.frozen is not None:
        return "frozen"
    if rollout.cursor >= len(rollout.plan):
        return "idle"
    step = rollout.plan[rollout.cursor].id.rstrip("0123456789").rstrip("-")
    if step.startswith(("rehearse-", "return-")):
        return "rehearsal"
    return "back" if step.endswith("-back") else GATES.get(step, step)


def situations(state: t.State | None, gone: Collection[str]) -> list[str]:
    """The phase, and what more may be aimed at: that such a rollout pays what is owed, or is not
    about a node of the app that is gone; and that beside it traffic is written once more."""
    phase = phase_of(state)
    if state is None or state.rollout is None:
        return [phase]
    found, nodes = [phase], state.rollout.nodes
    if state.rollout.kind == "converge":
        found.append(f"{phase}, paying")
    if any(is_known(state, node) and node not in nodes for node in gone):
        found.append(f"{phase}, without one")
    if any(action.step == REWRITE for action in state.chores_open.values()):
        found.append("rewriting")
    return found


def drawn(rng: Random, count: int) -> list[str]:
    """So many phases that one seed is about."""
    ranks = {phase: rng.random() ** (1.0 / AIMS[phase]) for phase in PHASES}
    return sorted(PHASES, key=lambda phase: ranks[phase])[-count:]


def strategy_of(state: t.State | None) -> str:
    if state is None or state.rollout is None:
        return ""
    rollout = state.rollout
    return "groups" if rollout.spec.slots else rollout.strategy


class Aims:
    """Who waits for some stream to be in a phase."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        self._looks = False

    async def reached(self, situation: str, until: float) -> None:
        """Return once a stream is there; or at the end of its time, wherever streams are."""
        loop = self._world.loop
        struck: asyncio.Future[None] = loop.create_future()
        self._waiting.setdefault(situation, []).append(struck)
        over = loop.call_at(until, self._strike, struck, context=OUTSIDE)
        self._look()
        await struck
        over.cancel()

    def decided(self) -> None:
        """Something is in the log that will be in the state soon."""
        if self._waiting and not self._looks:
            self._looks = True
            self._world.loop.call_later(LOOK_SECONDS, self._look, context=OUTSIDE)

    def _look(self) -> None:
        self._looks = False
        if not self._world.controller.lives:
            return
        fleet = self._world.controller.engine.fleet
        gone = [node for node in fleet.registered if node not in fleet.sessions]
        for stream in self._world.apps:
            for situation in situations(self._world.state(stream), gone):
                for struck in self._waiting.pop(situation, ()):
                    self._strike(struck)

    def _strike(self, struck: "asyncio.Future[None]") -> None:
        if not struck.done():
            struck.set_result(None)
