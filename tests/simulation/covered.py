"""What a run of the simulation has come to: which inputs met a rollout in which phase, what
followed, and which faults were let loose when. Phases are those of `phases`.

A transition is (input, phase, event): in that phase the input led to such an event.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from faults import FAULTS
from phases import ASKED, PHASES, RESTING, STEPS, phase_of, strategy_of

from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.decide import HANDLERS
from tidegate_controller.core.inputs import Input

if TYPE_CHECKING:
    from world import World

# Requests that are refused, or change nothing, while a rollout runs.
ONLY_AT_REST = ("Rollback", "CleanUp", "NodeRemoved", "Converge")
# Inputs that lead to something but in these phases, beside "idle" and "chores".
ONLY_IN = {
    "Answer": (*ASKED, "soak"),
    "Deploy": ("approval", "failure", "promotion", "question", "paused"),  # supersedes it
    "Resume": ("paused",),
    "Abort": (*STEPS, *ASKED, "paused"),
    "Pause": (*STEPS, *ASKED),
}
NEVER_AT_REST = ("Answer", "Resume", "Abort", "Pause")
# What leads to nothing where nothing is awaited, or where nothing is done but waiting.
NOTHING = {
    "Tick": ("idle", "approval", "promotion", "failure"),
    "Result": ("idle", "soak", "approval", "promotion"),
}
ELSEWHERE = ("Restore", "Reconcile")  # of backups: other tests


def rows() -> list[tuple[str, str]]:
    """Every (input, phase) in which something can follow."""
    found = []
    for kind in HANDLERS:
        name = kind.__name__
        if name in ELSEWHERE:
            continue
        for phase in PHASES:
            at_rest = phase in RESTING
            if at_rest and name in NEVER_AT_REST:
                continue
            if not at_rest and (name in ONLY_AT_REST or phase not in ONLY_IN.get(name, PHASES)):
                continue
            if phase not in NOTHING.get(name, ()):
                found.append((name, phase))
    return found


def strategy_rows() -> list[tuple[str, str, str]]:
    """Every (kind, strategy, step) that is to be met."""
    usual = ("preflight", "prepare", "start", "switch", "soak", "verify")
    moves = {"blue-green": "shift", "groups": "shift", "canary": "shift", "rolling": "admit"}
    found = []
    for strategy, move in moves.items():
        steps = {
            "deploy": (*usual, move, "settle", "migrate", "check", "approval", "back"),
            "rollback": ("preflight", "prepare", "start", "switch", move, "settle", "back"),
            "converge": (*usual, move, "back"),
        }
        if strategy in ("canary", "rolling"):
            steps["deploy"] = (*steps["deploy"], "rehearsal", "promotion")
        if strategy == "rolling":
            steps = {kind: (*these, "stop", "drain") for kind, these in steps.items()}
        found += [(kind, strategy, step) for kind, these in steps.items() for step in these]
    return found


@dataclass
class Covered:
    """A `judge.Seen` and `scenario.Notes`."""

    transitions: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    # (kind, strategy, step, event)
    strategies: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
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
            if state is not None and state.rollout is not None:
                key = (state.rollout.kind, strategy_of(state), phase, type(event).__name__)
                self.strategies[key] += 1

    def fault(self, name: str, world: "World") -> None:
        self.faults[name] += 1
        if not world.controller.lives:
            return
        for stream in sorted(world.apps):
            self.pairs[name, phase_of(world.state(stream))] += 1

    def add(self, other: "Covered") -> None:
        self.transitions += other.transitions
        self.strategies += other.strategies
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
        steps = Counter[tuple[str, str, str]]()
        for (of, strategy, step, _), count in self.strategies.items():
            steps[of, strategy, step] += count
        unmet = [row for row in strategy_rows() if not steps[row]]
        return [
            f"faults       {sum(self.faults.values())}: "
            + ", ".join(f"{name} {count}" for name, count in sorted(self.faults.items())),
            f"inputs       {len(wanted) - len(missed)} of {len(wanted)} (input, phase) met; "
            f"never: {_listed(missed)}",
            f"transitions  {len(self.transitions)} different (input, phase, event), "
            f"{sum(self.transitions.values())} in all; {len(kinds)} kinds of events",
            f"strategies   {len(strategy_rows()) - len(unmet)} of {len(strategy_rows())} (kind, "
            f"strategy, step); {len(self.strategies)} with what followed; never: {_listed(unmet)}",
            f"pairs        {len(all_pairs) - len(never)} of {len(all_pairs)} (fault, phase); "
            f"{len(seldom)} of them fewer than 50 times; never: {_listed(never)}",
        ]


def _listed(pairs: Sequence[tuple[str, ...]]) -> str:
    return ", ".join(" in ".join(pair) for pair in pairs[:12]) + (
        f" and {len(pairs) - 12} more" if len(pairs) > 12 else "" if pairs else "none"
    )
