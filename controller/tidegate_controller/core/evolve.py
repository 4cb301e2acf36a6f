"""What an event means: `evolve(state, event, clock) -> state`, pure and total.

One function an event; those of what operators may ask are in `evolve_control`. Nothing here
decides anything.
"""

from collections.abc import Mapping
from functools import singledispatch
from typing import TypeVar

from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.changes import (
    RELEASES_KEPT,
    forget_health,
    in_rollout,
    put,
    remembered,
    replace,
    without,
)
from tidegate_controller.core.evolve_control import CONTROL
from tidegate_controller.core.facts import find_action, gaining, place_of
from tidegate_controller.core.issued import apply_issue
from tidegate_controller.core.outcomes import apply_outcome
from tidegate_controller.core.restored import after_decision, after_restore

V = TypeVar("V")


def evolve(state: t.State, event: ev.Event, clock: float) -> t.State:
    """The state after `event`, which was recorded at engine time `clock`."""
    after = _evolve(event, state, clock)
    return replace(_watch_health(after, clock), version=state.version + 1)


def _watch_health(state: t.State, clock: float) -> t.State:
    """Keep `healthy_since`: how long all places that passed have been healthy without a break."""
    rollout = state.rollout
    if rollout is None:
        return state
    healthy = all(place_of(state, place).healthy is True for place in rollout.passed)
    since = rollout.healthy_since
    if healthy == (since is not None):
        return state
    return in_rollout(state, healthy_since=clock if healthy else None)


@singledispatch
def _evolve(event: ev.Event, state: t.State, clock: float) -> t.State:
    raise NotImplementedError(f"no evolver for {type(event).__name__}")


for _kind, _evolver in CONTROL.items():
    _evolve.register(_kind, _evolver)


@_evolve.register
def _(event: ev.ControllerStarted, state: t.State, clock: float) -> t.State:
    state = forget_health(state, lambda node: node in event.connected)
    floor = clock + event.grace_seconds

    def extend(actions: Mapping[str, t.Action]) -> dict[str, t.Action]:
        return {
            key: replace(action, deadline=max(action.deadline, floor))
            for key, action in actions.items()
        }

    state = replace(
        state,
        stream=event.stream,
        epoch=event.epoch,
        log_id=event.log_id,
        chores_open=extend(state.chores_open),
    )
    if rollout := state.rollout:
        until = clock + max(event.grace_seconds, rollout.pace.away_seconds)
        away = {node: until for node in rollout.nodes if node not in event.connected}
        entered = None if rollout.entered_at is None else clock
        opened = extend(rollout.open)
        pause = rollout.paused and replace(rollout.paused, counted_from=clock)
        state = replace(state, away=away)
        state = in_rollout(state, open=opened, entered_at=entered, healthy_since=None, paused=pause)
    return state


@_evolve.register
def _(event: ev.Started, state: t.State, clock: float) -> t.State:
    works = [work for step in event.plan for work in step.works]
    treated = {work.at for work in works}
    started = {work.place for work in works if work.verb == "start"}
    moves = [work.weights or {} for work in works if work.verb == "route" and work.prove]
    # The last one leads to the release alone; those before also to what serves so far.
    proven = {place for place in gaining(state, moves[-1] if moves else {}) if place not in started}
    rollout = t.Rollout(
        id=event.rollout,
        kind=event.kind,
        strategy=event.strategy,
        release=event.release,
        previous=event.previous,
        nodes=event.nodes,
        absent=event.absent,
        spec=event.spec,
        before=state.settled,
        plan=event.plan,
        passed=frozenset(proven),
        zones=event.zones,
        requested_by=event.requested_by,
        message=event.message,
    )
    return replace(
        state,
        rollout=rollout,
        journals={**state.journals, **event.journals},
        away={},
        chores=tuple(chore for chore in state.chores if chore.work.at not in treated),
        requests=remembered(state, event.request_id, event.rollout),
    )


@_evolve.register
def _(event: ev.StepEntered, state: t.State, clock: float) -> t.State:
    return in_rollout(state, entered_at=clock, done={})


@_evolve.register
def _(event: ev.ActionIssued, state: t.State, clock: float) -> t.State:
    return apply_issue(state, event.action)


@_evolve.register
def _(event: ev.ActionEnded, state: t.State, clock: float) -> t.State:
    action = find_action(state, event.action)
    if action is None:
        return state
    state = apply_outcome(state, action.work, event.outcome == "ok", event.known, clock)
    if action.id in state.chores_open:
        key = str(action.work.place or "")  # a node that could not be cleaned up owes nothing
        debts = without(state.debts, key)
        if key and event.outcome not in ("ok", "cancelled"):
            debts = put(debts, key, f"{action.work.verb} {key}: {event.error}")
        return replace(
            state,
            chores=tuple(chore for chore in state.chores if chore.id != action.step),
            chores_open=without(state.chores_open, action.id),
            debts=debts,
        )
    assert state.rollout is not None
    done = t.Done(
        outcome=event.outcome,
        error=event.error,
        blame=event.blame,
        at=clock,
        attempt=action.attempt,
    )
    return in_rollout(
        state,
        open=without(state.rollout.open, action.id),
        done=put(state.rollout.done, action.index, done),
    )


@_evolve.register
def _(event: ev.StepEnded, state: t.State, clock: float) -> t.State:
    if state.rollout is None or event.outcome != "ok":
        return state
    cursor = state.rollout.cursor + 1
    return in_rollout(state, cursor=cursor, entered_at=None, done={}, waiting=None)


@_evolve.register
def _(event: ev.Replanned, state: t.State, clock: float) -> t.State:
    return in_rollout(
        state,
        plan=event.plan,
        cursor=0,
        entered_at=None,
        done={},
        passed=frozenset(),
        waiting=None,
        paused=None,
        undoing=True,
        reason=event.reason,
    )


@_evolve.register
def _(event: ev.ChoresAdded, state: t.State, clock: float) -> t.State:
    return replace(
        state,
        chores=(*state.chores, *event.chores),
        requests=remembered(state, event.request_id, ""),
    )


@_evolve.register
def _(event: ev.Configured, state: t.State, clock: float) -> t.State:
    requests = remembered(state, event.request_id, "")
    return replace(state, spec=event.spec, requests=requests)


@_evolve.register
def _(event: ev.NodeForgotten, state: t.State, clock: float) -> t.State:
    """Traffic that still leads there, or did a moment ago, stays on record: the next rollout takes
    it away, and whatever comes back there drains first."""
    node = event.node

    def of_others(mapping: Mapping[t.Place, V]) -> dict[t.Place, V]:
        return {place: value for place, value in mapping.items() if place.node != node}

    return replace(
        state,
        places=of_others(state.places),
        stopped=frozenset(place for place in state.stopped if place.node != node),
        current=without(state.current, node),
        journals=without(state.journals, node),
        members=tuple(member for member in state.members if member != node),
        committed_on=tuple(tuple(n for n in on if n != node) for on in state.committed_on),
        chores=tuple(chore for chore in state.chores if chore.work.at != node),
        chores_open={k: a for k, a in state.chores_open.items() if a.work.at != node},
        debts={k: debt for k, debt in state.debts.items() if t.Place(k).node != node},
    )


@_evolve.register
def _(event: ev.Committed, state: t.State, clock: float) -> t.State:
    assert state.rollout is not None
    rollout = state.rollout
    unpaid: dict[str, str] = {}
    members = (*rollout.nodes, *rollout.absent)
    if rollout.kind == "rollback":  # it may leave out nodes; a deployment treats all there are
        others = (k for k in state.debts if t.Place(k).node not in rollout.nodes)
        unpaid, members = {k: state.debts[k] for k in others}, state.members
    return replace(
        state,
        members=members,
        committed=(*state.committed, rollout.release)[-RELEASES_KEPT:],
        committed_on=(*state.committed_on, rollout.nodes)[-RELEASES_KEPT:],
        debts={**unpaid, **rollout.absent},
        spec=rollout.spec,
    )


@_evolve.register
def _(event: ev.Ended, state: t.State, clock: float) -> t.State:
    undone = state.undone
    if state.rollout is not None and event.state != "succeeded":
        undone = (*undone, state.rollout.release)[-RELEASES_KEPT:]
    return replace(
        state,
        rollout=None,
        undone=undone,
        away={},
        chores=(*state.chores, *event.chores),
        debts={**state.debts, **event.debts},
    )


@_evolve.register
def _(event: ev.Observed, state: t.State, clock: float) -> t.State:
    place = event.place
    current = state.current
    if event.current:
        current = put(current, place.node, place.slot)
    return replace(state, places=put(state.places, place, event.known), current=current)


@_evolve.register
def _(event: ev.NodeLeft, state: t.State, clock: float) -> t.State:
    state = forget_health(state, lambda node: node != event.node)
    wait = state.rollout.pace.away_seconds if state.rollout else 0.0
    return replace(state, away=put(state.away, event.node, clock + wait))


@_evolve.register
def _(event: ev.NodeReturned, state: t.State, clock: float) -> t.State:
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
    return in_rollout(state, open=opened)


@_evolve.register
def _(event: ev.JournalReplaced, state: t.State, clock: float) -> t.State:
    empty = t.Known(running=False, healthy=False)
    places = {p: empty if p.node == event.node else known for p, known in state.places.items()}
    journals = put(state.journals, event.node, event.journal_id)
    return replace(state, places=places, journals=journals)


_evolve.register(ev.Restored, after_restore)
_evolve.register(ev.Adopted, after_decision)
