"""Conditions that are checked again before every single action is issued."""

from collections.abc import Callable

from tidegate_controller.core import types as t
from tidegate_controller.core.facts import gaining, may_run, only_leaves
from tidegate_controller.core.floor import breach, heard_at
from tidegate_controller.core.wellness import is_well

FLOOR = t.Guard(kind="floor")
ALONE = t.Guard(kind="alone")
UNFROZEN = t.Guard(kind="unfrozen")

NOW = 0.0  # a guard that holds: it has held since ever
NEVER = float("inf")  # no passing of time alone brings it


def opens_at(state: t.State, guard: t.Guard, work: t.Work) -> float:
    """Engine time from which the guard lets the work pass, if nothing else changes."""
    return GUARDS[guard.kind](state, work)


def _no_traffic(state: t.State, work: t.Work) -> float:
    """The place takes no traffic, certainly, not even by a move that comes late, and its last
    requests have had time to end."""
    if work.verb == "route":
        return NOW  # it takes traffic away from a node that was dropped
    if state.weights is None or work.place is None or state.weights.get(work.place):
        return NEVER
    if work.place in state.unsettled:
        return NEVER
    idle_since = state.idle_since.get(work.place)
    paces = [state.pace, *([state.rollout.pace] if state.rollout else [])]
    drain_seconds = max(pace.drain_seconds for pace in paces)
    return NOW if idle_since is None else idle_since + drain_seconds


def _proven(state: t.State, work: t.Work) -> float:
    """Every place that gains traffic by this move is well now; and there is one that has some."""
    if any(state.settled.values()) and not any((work.weights or {}).values()):
        return NEVER
    places = gaining(state, work.weights or {})
    return NOW if all(is_well(state, place) for place in places) else NEVER


def _alone(state: t.State, work: t.Work) -> float:
    """Nothing runs in the node's other slot."""
    if work.place is None:
        return NOW  # it takes traffic away from a node that was dropped
    other = work.place.other
    return NEVER if other in state.places and may_run(state, other) else NOW


def _floor(state: t.State, work: t.Work) -> float:
    """Enough nodes stay in service, as far as those say that have had time to; see `core.floor`."""
    weights = work.weights or {}
    return NEVER if breach(state, weights) else heard_at(state, weights)


def _unfrozen(state: t.State, work: t.Work) -> float:
    """No freeze holds the rollout up; see `core.freezing`. A node that has failed meanwhile loses
    its traffic all the same."""
    rollout = state.rollout
    if rollout is None or rollout.frozen is None or only_leaves(state, work):
        return NOW
    return rollout.frozen.ends


GUARDS: dict[str, Callable[[t.State, t.Work], float]] = {
    "no_traffic": _no_traffic,
    "proven": _proven,
    "alone": _alone,
    "floor": _floor,
    "unfrozen": _unfrozen,
}
