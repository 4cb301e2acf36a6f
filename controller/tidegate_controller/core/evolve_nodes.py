"""What the events mean that are about one node: it is dropped from a rollout, has gone, is back
again, has lost its disk, or is forgotten.

Called by `evolve` alone: a function an event, named as it is.
"""

from collections.abc import Mapping
from typing import TypeVar

from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.away import Away
from tidegate_controller.core.changes import forget_health, in_rollout, put, replace, without
from tidegate_controller.core.outcomes import nothing_comes_late
from tidegate_controller.core.settling import after_loss

V = TypeVar("V")


def node_dropped(state: t.State, event: ev.NodeDropped, clock: float) -> t.State:
    """The step has its time anew; a move of traffic that was given up for this goes out again."""
    rollout = state.rollout
    if rollout is None or rollout.cursor == len(rollout.plan):
        return state
    step, plan = rollout.plan[rollout.cursor], rollout.plan
    if event.reroute is not None:
        longer = replace(step, works=(*step.works, event.reroute))
        plan = (*plan[: rollout.cursor], longer, *plan[rollout.cursor + 1 :])
    done = {
        index: replace(each, again=True)
        if step.works[index].verb == "route" and each.outcome == "cancelled"
        else each
        for index, each in rollout.done.items()
    }
    dropped = t.Dropped(why=event.why, blame=event.blame, lost=event.lost)
    if (away := state.away.get(event.node)) is not None:  # it was waited for in vain
        away = replace(away, unheard=False)
        state = replace(state, away=put(state.away, event.node, away))
    return in_rollout(
        state,
        plan=plan,
        done=done,
        entered_at=clock,
        dropped=put(rollout.dropped, event.node, dropped),
        passed=frozenset(place for place in rollout.passed if place.node != event.node),
    )


def node_left(state: t.State, event: ev.NodeLeft, clock: float) -> t.State:
    state = forget_health(state, lambda node: node != event.node)
    wait = state.rollout.pace.away_seconds if state.rollout else 0.0
    return replace(state, away=put(state.away, event.node, Away(until=clock + wait)))


def node_returned(state: t.State, event: ev.NodeReturned, clock: float) -> t.State:
    """What a person was asked about meanwhile has its time anew: the node is asked again."""
    state = replace(state, away=without(state.away, event.node))
    rollout = state.rollout
    if rollout is None or rollout.waiting is None:
        return state
    until = clock + rollout.plan[rollout.cursor].deadline_seconds
    opened = {
        key: replace(action, deadline=max(action.deadline, until))
        if action.work.at == event.node
        else action
        for key, action in rollout.open.items()
    }
    return ask_anew(in_rollout(state, open=opened), event.node, clock)


def ask_anew(state: t.State, node: str | None, clock: float) -> t.State:
    """Where a person was asked since a node was lost, nobody need answer once that is back (None:
    whichever): it is to say itself what has become of what it was at."""
    rollout = state.rollout
    if rollout is None or rollout.waiting is None or rollout.waiting.kind != "lost":
        return state
    if node is not None and node not in rollout.waiting.nodes:
        return state
    step = rollout.plan[rollout.cursor]
    present = rollout.paused.counted_from if rollout.paused else clock
    done = {
        index: replace(each, again=True)
        if each.outcome in ("expired", "unknown") and node in (None, step.works[index].at)
        else each
        for index, each in rollout.done.items()
    }
    return in_rollout(state, waiting=None, entered_at=present, done=done)


def node_forgotten(state: t.State, event: ev.NodeForgotten, clock: float) -> t.State:
    """Traffic that still leads there, or did a moment ago, stays on record: the next move takes it
    away, and whatever comes back there drains first."""
    node = event.node

    def of_others(mapping: Mapping[t.Place, V]) -> dict[t.Place, V]:
        return {place: value for place, value in mapping.items() if place.node != node}

    if rollout := state.rollout:
        state = in_rollout(state, absent=without(rollout.absent, node))
    # It may begin with what it was told last, once its agent is started again.
    stops = [a for a in state.chores_open.values() if a.work.verb == "stop" and a.work.at == node]
    state = replace(
        state,
        may_stop=state.may_stop.union(a.work.place for a in stops if a.work.place),
        places=of_others(state.places),
        stopped=frozenset(place for place in state.stopped if place.node != node),
        current=without(state.current, node),
        journals=without(state.journals, node),
        members=tuple(member for member in state.members if member != node),
        committed_on=tuple(tuple(n for n in on if n != node) for on in state.committed_on),
        chores=tuple(chore for chore in state.chores if chore.work.at != node),
        chores_open={k: a for k, a in state.chores_open.items() if a.work.at != node},
        debts={k: debt for k, debt in state.debts.items() if t.Place(k).node != node},
        owed=without(state.owed, node),
    )
    return after_loss(state, clock)


def journal_replaced(state: t.State, event: ev.JournalReplaced, clock: float) -> t.State:
    empty = t.Known(running=False, healthy=False)
    places = {p: empty if p.node == event.node else known for p, known in state.places.items()}
    journals = put(state.journals, event.node, event.journal_id)
    state = nothing_comes_late(replace(state, places=places, journals=journals), event.node)
    state = after_loss(state, clock)
    if not event.owes:
        return state
    return replace(
        state,
        debts=put(state.debts, event.node, event.owes),
        owed=put(state.owed, event.node, t.Owed()),  # what was tried before says nothing of it
    )
