"""Where a stream is: idle, with chores alone, at a step of its plan, waiting for somebody or
something. What `covered` counts, and what faults and requests of a seed are aimed at: those wait
until some stream is in their phase, and strike then.
"""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from virtual_time import OUTSIDE

from tidegate_controller.core import types as t

if TYPE_CHECKING:
    from world import App, World

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

# How often each is aimed at: the seldom ones, in which a seed may never be, more than the others.
AIMS = dict.fromkeys(PHASES, 1.0) | {"lost": 4.0, "question": 3.0, "queued": 2.0, "failure": 2.0}
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


def strategy_of(state: t.State | None) -> str:
    if state is None or state.rollout is None:
        return ""
    rollout = state.rollout
    return "groups" if rollout.spec.slots else rollout.strategy


def phases_of(apps: "Sequence[App]") -> list[str]:
    """Those that a rollout of one of these apps may come to."""
    found: set[str] = set(PHASES) - {"approval", "promotion", "rehearsal", "check"}
    if all(app.strategy != "rolling" for app in apps):
        found -= {"drain", "stop", "admit"}
    for app in apps:
        waves = app.more.get("waves")
        found |= {"approval"} if app.more.get("approval") else set()
        found |= {"check"} if app.more.get("checks") else set()
        found |= {"rehearsal"} if waves and waves.rehearse else set()
        found |= {"promotion"} if waves and waves.promote == "manual" else set()
    return [phase for phase in PHASES if phase in found]


class Aims:
    """Who waits for some stream to be in a phase."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        self._looks = False

    async def reached(self, phase: str, until: float) -> None:
        """Return once a stream is there; or at the end of its time, wherever streams are."""
        loop = self._world.loop
        struck: asyncio.Future[None] = loop.create_future()
        self._waiting.setdefault(phase, []).append(struck)
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
        for stream in self._world.apps:
            for struck in self._waiting.pop(phase_of(self._world.state(stream)), ()):
                self._strike(struck)

    def _strike(self, struck: "asyncio.Future[None]") -> None:
        if not struck.done():
            struck.set_result(None)
