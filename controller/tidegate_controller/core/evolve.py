"""What an event means: `evolve(state, event, clock) -> state`, pure and total.

One function an event; those of what operators may ask are in `evolve_control`. Nothing here
decides anything.
"""

from collections.abc import Mapping
from functools import singledispatch

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
from tidegate_controller.core.commitment import commit
from tidegate_controller.core.evolve_control import CONTROL, with_calendar, without_queued
from tidegate_controller.core.facts import find_action, gaining, place_of
from tidegate_controller.core.issued import apply_issue
from tidegate_controller.core.node_changes import (
    ask_anew,
    drop_node,
    forget_node,
    owe_since_loss,
    take_back_node,
)
from tidegate_controller.core.outcomes import apply_outcome
from tidegate_controller.core.releases import active_release
from tidegate_controller.core.restored import after_decision, after_restore
from tidegate_controller.core.settling import REWRITE, after_rewrite
from tidegate_controller.core.wellness import is_well


def evolve(state: t.State, event: ev.Event, clock: float) -> t.State:
    """The state after `event`, which was recorded at engine time `clock`."""
    after = _evolve(event, state, clock)
    return replace(_watch_health(after, clock), version=state.version + 1)


def _watch_health(state: t.State, clock: float) -> t.State:
    """Keep `healthy_since`: how long all places that passed have been healthy without a break."""
    rollout = state.rollout
    if rollout is None:
        return state
    healthy = all(is_well(state, place) for place in rollout.passed)
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
    state = with_calendar(state, event.calendar)
    if rollout := state.rollout:
        until = clock + max(event.grace_seconds, rollout.pace.away_seconds)
        gone = {node: at for node, at in state.away.items() if node not in event.connected}
        away = gone | {node: until for node in rollout.nodes if node not in event.connected}
        entered = None if rollout.entered_at is None else clock
        opened = extend(rollout.open)
        pause = rollout.paused and replace(rollout.paused, counted_from=clock)
        state = ask_anew(replace(state, away=away), None, clock)
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
        unfrozen_by=event.requested_by if event.override_freeze else "",
    )
    gone = {*event.absent, *event.gone}
    state = forget_health(state, lambda node: node not in gone)
    serving = sorted({place.node for place in state.settled})
    return replace(
        without_queued(with_calendar(state, event.calendar), event.rollout),
        rollout=rollout,
        journals={**state.journals, **event.journals},
        # Nobody waits for them; but traffic that is taken from them does not move back unasked.
        away={node: clock for node in serving if node in gone},
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
    ok = event.outcome == "ok"
    state = apply_outcome(state, action.work, ok, event.known, clock)
    if action.step == REWRITE:
        state = after_rewrite(state, action.work, ok, clock)
    if action.id in state.chores_open:
        key = str(action.work.place or "")  # a node that could not be cleaned up owes nothing
        debts = state.debts
        if action.work.verb == "stop" or not _serves_another(state, key):
            debts = without(debts, key)
        if key and event.outcome not in ("ok", "cancelled"):
            debts = put(debts, key, f"{action.work.verb} {key}: {event.error}")
        over = event.outcome != "expired"  # else it is owed, and asked for again
        return replace(
            state,
            chores=tuple(c for c in state.chores if not (over and c.id == action.step)),
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


def _serves_another(state: t.State, key: str) -> bool:
    """Whether the place has traffic with another release than the active one: that stays owed,
    whatever else was owed there."""
    place, active = t.Place(key), active_release(state)
    other = active is not None and place_of(state, place).revision != active.revision
    return bool(state.settled.get(place)) and other


@_evolve.register
def _(event: ev.StepEnded, state: t.State, clock: float) -> t.State:
    if state.rollout is None or event.outcome != "ok":
        return state
    cursor = state.rollout.cursor + 1
    return in_rollout(state, cursor=cursor, entered_at=None, done={}, waiting=None, frozen=None)


@_evolve.register
def _(event: ev.NodeDropped, state: t.State, clock: float) -> t.State:
    return drop_node(state, event, clock)


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
        frozen=None,
        undoing=True,
        reason=event.reason,
        blame=event.blame,
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
    return forget_node(state, event.node)


@_evolve.register
def _(event: ev.Committed, state: t.State, clock: float) -> t.State:
    assert state.rollout is not None
    return commit(state, state.rollout)


@_evolve.register
def _(event: ev.Ended, state: t.State, clock: float) -> t.State:
    rollout, undone, left = state.rollout, state.undone, state.left
    if rollout is not None and event.state != "succeeded" and rollout.kind != "converge":
        undone = (*undone, rollout.release)[-RELEASES_KEPT:]
        moved = {p for p, share in state.settled.items() if share and not rollout.before.get(p)}
        left = left.intersection(state.settled) | moved
    return replace(
        state,
        rollout=None,
        undone=undone,
        left=left,
        away={},
        chores=(*state.chores, *event.chores),
        debts={**state.debts, **event.debts},
        owed={**state.owed, **event.owed},
    )


@_evolve.register
def _(event: ev.DebtsPaid, state: t.State, clock: float) -> t.State:
    return replace(
        state,
        debts=without(state.debts, *event.nodes),
        owed=without(state.owed, *event.nodes),
    )


@_evolve.register
def _(event: ev.Observed, state: t.State, clock: float) -> t.State:
    place = event.place
    current = state.current
    if event.current:
        current = put(current, place.node, place.slot)
    elif state.settled.get(place) and place.node not in current:
        current = put(current, place.node, None)  # of a node that was removed, and serves
    return replace(state, places=put(state.places, place, event.known), current=current)


@_evolve.register
def _(event: ev.NodeLeft, state: t.State, clock: float) -> t.State:
    state = forget_health(state, lambda node: node != event.node)
    wait = state.rollout.pace.away_seconds if state.rollout else 0.0
    return replace(state, away=put(state.away, event.node, clock + wait))


@_evolve.register
def _(event: ev.NodeReturned, state: t.State, clock: float) -> t.State:
    return take_back_node(state, event.node, clock)


@_evolve.register
def _(event: ev.JournalReplaced, state: t.State, clock: float) -> t.State:
    empty = t.Known(running=False, healthy=False)
    places = {p: empty if p.node == event.node else known for p, known in state.places.items()}
    journals = put(state.journals, event.node, event.journal_id)
    state = replace(state, places=places, journals=journals)
    return owe_since_loss(state, event) if event.owes else state


_evolve.register(ev.Restored, after_restore)
_evolve.register(ev.Adopted, after_decision)
