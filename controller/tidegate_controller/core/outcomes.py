"""What the world is like once a work has ended. Called by `evolve` alone."""

from tidegate_controller.core import types as t
from tidegate_controller.core.changes import in_rollout, put, replace, without
from tidegate_controller.core.facts import place_of
from tidegate_controller.core.settling import after_doubt, after_move

FENCED = ("prepare", "task", "start", "stop", "switch", "cleanup")  # the agent refuses older ones


def apply_outcome(
    state: t.State, work: t.Work, ok: bool, known: t.Known | None, clock: float
) -> t.State:
    """What the world is like now that the work has ended. `known`: the place, as reported."""
    if work.verb == "route" and not ok:
        return after_doubt(state, work)
    if ok and work.verb in FENCED:
        state = nothing_comes_late(state, work.at)
    elif work.verb == "stop" and work.place is not None:
        state = replace(state, may_stop=state.may_stop | {work.place})
    if work.verb == "route":
        weights = {place: share for place, share in (work.weights or {}).items() if share}
        places = sorted({*state.places, *state.settled})
        idle = {p: state.idle_since.get(p, clock) for p in places if p not in weights}
        routed = {place: place_of(state, place).address or "" for place in weights}
        gained = [str(place) for place in weights if not state.settled.get(place)]
        state = replace(
            state,
            weights=weights,
            settled=weights,
            routed=routed,
            idle_since=idle,
            debts=without(state.debts, t.CONTROLLER, *gained),  # of slots: that they serve nobody
        )
        return after_move(state, work, clock)
    if work.verb == "switch" and ok and work.place is not None:
        return replace(state, current=put(state.current, work.at, work.place.slot))
    if work.verb == "query" and known is not None and work.place is not None:
        return replace(state, places=put(state.places, work.place, known))
    if work.verb not in ("start", "stop") or work.place is None:
        return state
    if known is None:
        known = place_of(state, work.place)
        if ok:
            known = replace(known, running=work.verb == "start", healthy=work.verb == "start")
    state = replace(state, places=put(state.places, work.place, known))
    ended_by_agent = work.verb == "start" and not ok and known.running is False
    if ended_by_agent or (work.verb == "stop" and ok):
        return replace(state, stopped=state.stopped | {work.place})
    if work.verb == "start" and ok and (rollout := state.rollout):
        passed = rollout.passed if rollout.undoing else rollout.passed | {work.place}
        return in_rollout(state, passed=passed, halted=rollout.halted - {work.place})
    return state


def nothing_comes_late(state: t.State, node: str) -> t.State:
    """The node does nothing any more that it was told before."""
    left = frozenset(place for place in state.may_stop if place.node != node)
    return state if left == state.may_stop else replace(state, may_stop=left)
