"""The works of a step as they are to be done now: the plan, as far as the world allows.

The plan stays as it was made. A rollout may have to go on without some nodes, and an undo without
places that cannot be brought back: what is otherwise since is derived from the plan here, and
nowhere else, whenever a guard looks at a work, it is issued, or a person says what came of it.
"""

from collections.abc import Iterable

from tidegate_controller.core import types as t
from tidegate_controller.core.changes import replace
from tidegate_controller.core.facts import gaining, leads_nowhere, leads_somewhere, reachable
from tidegate_controller.core.floor import breach, lent, needed
from tidegate_controller.core.guards import FLOOR
from tidegate_controller.core.listed import NODES_TOLD, first_few
from tidegate_controller.core.settling import SETTLE, nowhere
from tidegate_controller.core.spec import Traffic
from tidegate_controller.core.wellness import is_unwell, is_well, may_serve


def work_now(state: t.State, step: t.Step, index: int) -> t.Work | None:
    """The work as it would be issued now; None where it is not to be done any more."""
    work, rollout = step.works[index], state.rollout
    if rollout is None:
        return work
    if work.weights is not None:
        return replace(work, weights=_weights_in(state, step, work.weights))
    if rollout.undoing or work.at not in rollout.dropped:
        return work
    return _elsewhere(rollout, step, work) if is_for_all(rollout, work) else None


def moving(weights: t.Weights, traffic: Traffic, *, prove: bool = False) -> t.Work:
    """A move of traffic to just these weights. `prove`: only to places that have passed."""
    return t.Work(
        verb="route",
        at=t.CONTROLLER,
        weights=weights,
        traffic=traffic,
        prove=prove,
        on_unknown="ask" if traffic.adapter == "none" else "observe",
    )


def is_void(rollout: t.Rollout, step: t.Step, index: int) -> bool:
    """Whether the work is not to be done any more, since its node was dropped."""
    work = step.works[index]
    if rollout.undoing or work.at not in rollout.dropped:
        return False
    return not (is_for_all(rollout, work) and _elsewhere(rollout, step, work))


def is_for_all(rollout: t.Rollout, work: t.Work) -> bool:
    """Whether all nodes depend on it: what the balancer does, and a migration that runs once."""
    once = work.verb == "task" and rollout.release.settings.hooks.migrate == "once"
    return work.at == t.CONTROLLER or once


def moves_left(rollout: t.Rollout, step: t.Step) -> list[int]:
    """Moves of traffic of the step that are not done, the last one first to be made: it was added
    to take traffic away from nodes, while the others wait for the end of a freeze."""
    return [
        index
        for index, work in enumerate(step.works)
        if work.verb == "route" and not is_done(rollout, index)
    ]


def is_done(rollout: t.Rollout, index: int) -> bool:
    """Whether the work of the step at the cursor has succeeded."""
    done = rollout.done.get(index)
    return done is not None and done.outcome == "ok"


def _elsewhere(rollout: t.Rollout, step: t.Step, work: t.Work) -> t.Work | None:
    """What is to be done once is done on another node, where the release is as well."""
    before = rollout.plan[: rollout.plan.index(step)] if step in rollout.plan else rollout.plan
    for earlier in before:
        for other in earlier.works:
            if other.verb == "prepare" and other.at not in rollout.dropped:
                return replace(work, at=other.at, place=other.place)
    return None


def _weights_in(state: t.State, step: t.Step, weights: t.Weights) -> t.Weights:
    """Where traffic may go of what these weights want."""
    rollout = state.rollout
    assert rollout is not None
    if rollout.undoing:
        return _weights_back(state, step, weights)
    if step.id == SETTLE and not leads_somewhere(state, state.settled):
        weights = reachable(state, rollout.before) or nowhere(state, weights)
    return _without_dropped(state, rollout, weights)


def _without_dropped(state: t.State, rollout: t.Rollout, weights: t.Weights) -> t.Weights:
    """Without the nodes that were dropped. Each of these keeps the traffic that it had before the
    rollout, if it is known to be well there, or if the floor needs what nobody knows about; all of
    them keep it where nobody else has any, since their agents alone may be gone. What
    served before and leads nowhere any more, as what is gone with its disk or its node was removed,
    keeps none, as long as anything else has some."""
    served = {place for place in weights if rollout.before.get(place)}
    lost = {place for place in served if leads_nowhere(state, place)}
    weights = {p: share for p, share in weights.items() if p not in lost} or weights
    if not rollout.dropped:
        return weights
    theirs = {p: s for p, s in rollout.before.items() if s and p.node in rollout.dropped}
    rest = {p: share for p, share in weights.items() if p.node not in rollout.dropped}
    rest |= {place: share for place, share in theirs.items() if is_kept(state, place)}
    serving = {place: share for place, share in theirs.items() if state.settled.get(place)}
    left = rest | needed(state, rest, serving)
    if any(left.values()):
        return left
    return {p: s for p, s in state.settled.items() if s and _may_stay(state, rollout, p)}


def _may_stay(state: t.State, rollout: t.Rollout, place: t.Place) -> bool:
    """Whether a dropped node's place goes on where nobody else has traffic: what served before, and
    what a move of this rollout has given it to, unless that is known not to serve."""
    if place.node not in rollout.dropped or leads_nowhere(state, place):
        return False
    if rollout.before.get(place):
        return True
    return place not in rollout.halted and may_serve(state, place)


def is_kept(state: t.State, place: t.Place) -> bool:
    """Whether it served before the rollout and is known to be well, so that it may go on. Not where
    it was told to stop: its agent may do that late, as nothing calls it back."""
    rollout = state.rollout
    assert rollout is not None
    served = rollout.before.get(place) and place not in rollout.halted
    return bool(served) and is_well(state, place)


def _weights_back(state: t.State, step: t.Step, weights: t.Weights) -> t.Weights:
    """Without places that could not be brought back, as long as any are left. In place a move that
    drains nodes waits where the floor needs them; one that gives back lets what serves go on, as
    far as it is needed, also where nothing was left to give back to when it was planned."""
    rollout = state.rollout
    assert rollout is not None
    gained = gaining(state, weights)

    def lost(place: t.Place) -> bool:
        unwell = place in gained and is_unwell(state, place)
        return place in rollout.halted or leads_nowhere(state, place) or unwell

    left = {place: share for place, share in weights.items() if not lost(place)}
    if rollout.zones and FLOOR in step.guards:
        return left
    if rollout.zones and any(rollout.before.values()):
        left |= lent(state, left)
    if any(left.values()):
        return left
    # Nothing to go back to: in place, what serves now goes on; else it may come back by itself.
    return state.settled if rollout.halted else weights


def where(work: t.Work) -> str:
    """The work's place, or else its node, for people; or which check it puts."""
    if work.check:
        return f"check {work.check}"
    return str(work.place) if work.place is not None else work.at


# --- What would be otherwise without some more nodes ----------------------------------------------


def weights_without(state: t.State, nodes: Iterable[str]) -> t.Weights:
    """Where traffic would go, of where it goes now, if these nodes were dropped as well."""
    return _without_dropped(state, _dropping(state, nodes), state.settled)


def breach_without(state: t.State, nodes: Iterable[str]) -> str:
    """Why the floor does not allow to go on without these nodes; empty where it does."""
    nodes = tuple(nodes)
    return breach(state, weights_without(state, nodes)) if nodes else ""


def is_stranded_without(state: t.State, nodes: Iterable[str]) -> bool:
    """Whether what has still to run once could run nowhere, if these nodes were dropped."""
    before, after = state.rollout, _dropping(state, nodes)
    assert before is not None
    return any(
        is_void(after, step, index) and not is_void(before, step, index)
        for number, step in enumerate(after.plan[after.cursor :])
        for index, work in enumerate(step.works)
        if is_for_all(after, work) and not (number == 0 and is_done(after, index))
    )


def _dropping(state: t.State, nodes: Iterable[str]) -> t.Rollout:
    rollout = state.rollout
    assert rollout is not None
    gone = {node: t.Dropped(why="") for node in nodes}
    return replace(rollout, dropped={**rollout.dropped, **gone})


# --- Why a move has not begun ---------------------------------------------------------------------


def kept_back(state: t.State, step: t.Step) -> str:
    """Why a move that is to keep the floor has not begun."""
    if FLOOR not in step.guards:
        return ""
    return "; ".join(
        filter(None, (breach(state, work.weights or {}) for work in _due(state, step)))
    )


def unproven(state: t.State, step: t.Step) -> str:
    """What is not known to be well, for which a move has not begun that would give it traffic."""
    moves = [work.weights or {} for work in _due(state, step) if work.prove]
    if any(state.settled.values()) and any(not any(weights.values()) for weights in moves):
        return "nothing is left that could take the traffic"
    places = {place for weights in moves for place in gaining(state, weights)}
    unsure = sorted(place for place in places if not is_well(state, place))
    return f"not known to be well: {first_few(unsure, NODES_TOLD)}" if unsure else ""


def _due(state: t.State, step: t.Step) -> list[t.Work]:
    """Works of the step that are not done, as they would be issued now."""
    rollout = state.rollout
    assert rollout is not None
    due = [index for index in range(len(step.works)) if not is_done(rollout, index)]
    return [work for index in due if (work := work_now(state, step, index))]
