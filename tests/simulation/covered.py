"""What a run of the simulation has come to: which inputs met a rollout in which phase, what
followed, and which faults were let loose when.

A phase is where a stream is: idle, with chores alone, at a step of its plan, waiting for a person.
A transition is (input, phase, event): in that phase the input led to such an event.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from faults import FAULTS

from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.decide import HANDLERS
from tidegate_controller.core.inputs import Input

if TYPE_CHECKING:
    from world import World

RESTING = ("idle", "chores")
STEPS = ("preflight", "settle", "prepare", "migrate", "start", "shift", "switch", "soak", "verify")
PHASES = (*RESTING, *STEPS, "shift-back", "waiting")
# Requests that are refused, or change nothing, while a rollout runs.
ONLY_AT_REST = ("Deploy", "Rollback", "CleanUp", "NodeRemoved")


def phase_of(state: t.State | None) -> str:
    if state is None or state.rollout is None:
        return "chores" if state is not None and state.chores else "idle"
    rollout = state.rollout
    if rollout.waiting is not None:
        return "waiting"
    return rollout.plan[rollout.cursor].id if rollout.cursor < len(rollout.plan) else "idle"


def rows() -> list[tuple[str, str]]:
    """Every (input, phase) in which something can follow."""
    found = []
    for kind in HANDLERS:
        name = kind.__name__
        for phase in PHASES:
            at_rest = phase in RESTING
            if name in ONLY_AT_REST and not at_rest:
                continue
            if name == "Answer" and phase != "waiting":
                continue
            if phase == "idle" and name in ("Tick", "Result"):
                continue  # nothing is awaited
            if (name, phase) == ("Result", "soak"):
                continue  # a step without works
            found.append((name, phase))
    return found


@dataclass
class Covered:
    """A `judge.Seen` and `scenario.Notes`."""

    transitions: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)  # (fault, phase)
    faults: Counter[str] = field(default_factory=Counter)

    def decision(
        self, stream: str, state: t.State | None, cause: Input | None, events: Sequence[ev.Event]
    ) -> None:
        if cause is None:
            return
        phase, name = phase_of(state), type(cause).__name__
        for event in events:
            self.transitions[name, phase, type(event).__name__] += 1

    def fault(self, name: str, world: "World") -> None:
        self.faults[name] += 1
        if not world.controller.lives:
            return
        for stream in sorted(world.apps):
            self.pairs[name, phase_of(world.state(stream))] += 1

    def add(self, other: "Covered") -> None:
        self.transitions += other.transitions
        self.pairs += other.pairs
        self.faults += other.faults

    def report(self) -> list[str]:
        hit = Counter[tuple[str, str]]()
        for (name, phase, _), count in self.transitions.items():
            hit[name, phase] += count
        wanted = rows()
        missed = [row for row in wanted if not hit[row]]
        kinds = {event for _, _, event in self.transitions}
        all_pairs = [(name, phase) for name in FAULTS for phase in PHASES]
        never = [pair for pair in all_pairs if not self.pairs[pair]]
        seldom = [pair for pair in all_pairs if 0 < self.pairs[pair] < 50]
        return [
            f"faults       {sum(self.faults.values())}: "
            + ", ".join(f"{name} {count}" for name, count in sorted(self.faults.items())),
            f"inputs       {len(wanted) - len(missed)} of {len(wanted)} (input, phase) met; "
            f"never: {_listed(missed)}",
            f"transitions  {len(self.transitions)} different (input, phase, event), "
            f"{sum(self.transitions.values())} in all; {len(kinds)} kinds of events",
            f"pairs        {len(all_pairs) - len(never)} of {len(all_pairs)} (fault, phase); "
            f"{len(seldom)} of them fewer than 50 times; never: {_listed(never)}",
        ]


def _listed(pairs: list[tuple[str, str]]) -> str:
    return ", ".join(f"{name} in {phase}" for name, phase in pairs[:12]) + (
        f" and {len(pairs) - 12} more" if len(pairs) > 12 else "" if pairs else "none"
    )
