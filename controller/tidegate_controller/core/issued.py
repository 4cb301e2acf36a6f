"""What is known once a work has been issued, and not any more. Called by `evolve` alone."""

from tidegate_controller.core import types as t
from tidegate_controller.core.changes import in_rollout, put, replace, without
from tidegate_controller.core.facts import place_of
from tidegate_controller.core.settling import REWRITE


def apply_issue(state: t.State, action: t.Action) -> t.State:
    """The action is open, and what it may change is unknown until it has ended."""
    work = action.work
    if work.verb == "route" and action.step != REWRITE:
        taking = [place for place, share in (work.weights or {}).items() if share]
        state = replace(state, weights=None, rewrite=None)
        state = replace(state, idle_since=without(state.idle_since, *taking))
    if work.verb == "switch":
        state = replace(state, current=put(state.current, work.at, None))
    if work.verb in ("start", "stop") and work.place is not None:
        revision = work.revision or place_of(state, work.place).revision
        known = t.Known(revision=revision)
        state = replace(state, stopped=state.stopped - {work.place})
        state = replace(state, places=put(state.places, work.place, known))
    rollout = state.rollout
    if rollout is None or rollout.cursor >= len(rollout.plan) or not _owns(rollout, action):
        return replace(state, chores_open=put(state.chores_open, action.id, action))
    if work.verb == "prepare":
        state = in_rollout(state, prepared=rollout.prepared | {work.at})
    begun, halted, passed = rollout.begun, rollout.halted, rollout.passed
    if work.verb == "start" and work.place is not None:
        begun = begun | {work.place}
    if work.verb == "stop" and work.place is not None:
        halted, passed = halted | {work.place}, passed - {work.place}
    return in_rollout(
        state,
        open=put(rollout.open, action.id, action),
        begun=begun,
        halted=halted,
        passed=passed,
        done=without(rollout.done, action.index),
    )


def _owns(rollout: t.Rollout, action: t.Action) -> bool:
    return rollout.plan[rollout.cursor].id == action.step
