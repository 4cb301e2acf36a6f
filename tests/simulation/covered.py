"""What a run of the simulation has come to: which inputs met a rollout in which phase, what
followed, and which faults were let loose when. Phases are those of `phases`.

A transition is (input, phase, event): in that phase the input led to such an event.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from faults import FAULTS
from phases import HELD, PHASES, RESTING, STEPS, phase_of, strategy_of

from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.decide import HANDLERS
from tidegate_controller.core.inputs import Input

if TYPE_CHECKING:
    from world import World

ELSEWHERE = ("Restore", "Reconcile")  # of backups: other tests
NOBODY_ASKED = "nobody is asked anything, and nothing is held that a promotion would end"
NOTHING_RUNS = "no rollout runs"
# What leads to nothing by itself: inputs, phases, and why that is. All else is to be met; these may
# be, where something else is due at that very moment.
IDLE: tuple[tuple[tuple[str, ...], tuple[str, ...], str], ...] = (
    (("Answer", "Pause", "Resume"), RESTING, NOTHING_RUNS),
    (("Abort",), ("idle", "chores"), "no rollout runs, and none waits for its turn"),
    (("Answer",), tuple(step for step in STEPS if step != "soak"), NOBODY_ASKED),
    (("Answer",), ("paused",), "one that is paused is resumed first"),
    (("Resume",), tuple(p for p in (*STEPS, *HELD) if p != "paused"), "it is not paused"),
    (("Pause",), ("paused",), "it is paused already"),
    (("Pause",), ("back",), "the way back is not paused"),
    (("Tick",), ("paused",), "no time passes for it, and for a chore beside it a day has to"),
    (("BeginQueued",), ("idle", "chores"), "nobody waits for a turn"),
    (("BeginQueued", "CleanUp", "Converge"), (*STEPS, *HELD), "a rollout runs, one at a time"),
    (
        ("Rollback",),
        ("approval", "promotion", "rehearsal", "failure", "lost", "question", "migrate"),
        "only a deployment comes there, which does not make room for a rollback",
    ),
    (("Rollback",), ("back",), "what is being undone makes no room"),
    (
        ("Rollback",),
        ("settle", "shift", "admit"),
        "while traffic is being moved nobody knows where it goes, so nothing makes room",
    ),
    (
        ("Rollback",),
        ("switch", "soak", "verify", "check"),
        "what pays debts has moved traffic then, and makes no room any more",
    ),
)
OFTEN = 50  # in the long run


def leading_nowhere() -> set[tuple[str, str]]:
    return {(n, p) for names, phases, _ in IDLE for n in names for p in phases}


def rows() -> list[tuple[str, str]]:
    """Every (input, phase) in which something can follow."""
    names = [kind.__name__ for kind in HANDLERS if kind.__name__ not in ELSEWHERE]
    never = leading_nowhere()
    return [(n, p) for n in names for p in PHASES if (n, p) not in never]


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
    pairs: Counter[tuple[str, ...]] = field(default_factory=Counter)  # (fault, phase)
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
        """All that was never met, and what was met fewer than `OFTEN` times, to the last row."""
        hit = Counter[tuple[str, ...]]()
        for (name, phase, _), count in self.transitions.items():
            hit[name, phase] += count
        steps = Counter[tuple[str, ...]]()
        for (of, strategy, step, _), count in self.strategies.items():
            steps[of, strategy, step] += count
        kinds = {event for _, _, event in self.transitions}
        idle = [row for row in sorted(leading_nowhere()) if hit[row]]
        pairs = [(name, phase) for name in FAULTS for phase in PHASES]
        return [
            f"faults       {sum(self.faults.values())}: "
            + ", ".join(f"{name} {count}" for name, count in sorted(self.faults.items())),
            f"transitions  {len(self.transitions)} different (input, phase, event), "
            f"{sum(self.transitions.values())} in all; {len(kinds)} kinds of events",
            *_lines("inputs", "(input, phase)", rows(), hit),
            *([f"  of what leads to nothing by itself: {_listed(idle, hit)}"] if idle else []),
            *_lines("strategies", "(kind, strategy, step)", strategy_rows(), steps),
            *_lines("pairs", "(fault, phase)", pairs, Counter(self.pairs)),
        ]


def _lines(
    what: str, of: str, rows: Sequence[tuple[str, ...]], hit: Mapping[tuple[str, ...], int]
) -> list[str]:
    never = [row for row in rows if not hit[row]]
    seldom = [row for row in rows if 0 < hit[row] < OFTEN]
    met = f"{len(rows) - len(never)} of {len(rows)} {of} met, {len(seldom)} of them seldom"
    return [
        f"{what:12s} {met}",
        *([f"  never: {_listed(never, hit)}"] if never else []),
        *([f"  fewer than {OFTEN} times: {_listed(seldom, hit)}"] if seldom else []),
    ]


def _listed(rows: Sequence[tuple[str, ...]], hit: Mapping[tuple[str, ...], int]) -> str:
    return ", ".join(" in ".join(row) + (f" {hit[row]}" if hit[row] else "") for row in rows)
