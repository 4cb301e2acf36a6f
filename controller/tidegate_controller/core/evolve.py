"""What an event means: `evolve(state, event, clock) -> state`, pure and total.

`EVOLVERS` has one function an event; some stand in `evolve_control`, `evolve_nodes`, and
`evolve_restored`. Nothing here decides anything.
"""

from collections.abc import Callable, Mapping
from typing import Any

from tidegate_controller.core import events as ev
from tidegate_controller.core import evolve_control, evolve_nodes, evolve_restored
from tidegate_controller.core import types as t
from tidegate_controller.core.amiss import UNTIL_ASKED, amiss
from tidegate_controller.core.away import Away
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
from tidegate_controller.core.evolve_control import with_calendar, without_queued
from tidegate_controller.core.evolve_nodes import ask_anew
from tidegate_controller.core.facts import find_action, gaining, nodes_concerned
from tidegate_controller.core.issued import apply_issue
from tidegate_controller.core.outcomes import apply_outcome
from tidegate_controller.core.releases import is_established
from tidegate_controller.core.settling import (
    REWRITE,
    after_doubt,
    after_rewrite,
    before_rollout,
    goes_back_to_presumed,
    is_begun_anew,
)
from tidegate_controller.core.wellness import is_well


def evolve(state: t.State, event: ev.Event, clock: float) -> t.State:
    """The state after `event`, which was recorded at engine time `clock`."""
    after = goes_back_to_presumed(EVOLVERS[type(event)](state, event, clock))
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


def _controller_started(state: t.State, event: ev.ControllerStarted, clock: float) -> t.State:
    state = forget_health(state, lambda node: node in event.connected)
    floor = clock + event.grace_seconds

    def extend(actions: Mapping[str, t.Action], anew: float = 0.0) -> dict[str, t.Action]:
        """`anew`: how long what the controller itself does has got, which it begins anew."""
        own = clock + max(event.grace_seconds, anew)

        def until(action: t.Action) -> float:
            return max(action.deadline, own if action.work.at == t.CONTROLLER else floor)

        return {key: replace(action, deadline=until(action)) for key, action in actions.items()}

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
        known = nodes_concerned(state, rollout) - state.away.keys()
        missing = sorted(known.union(rollout.nodes).difference(event.connected))
        gone = {node: away for node, away in state.away.items() if node not in event.connected}
        # Not `longer`: while the controller itself was away nobody has waited for anybody.
        fresh = Away(until=until, unheard=True)
        away = gone | {n: replace(gone.get(n, fresh), until=until) for n in missing}
        entered = None if rollout.entered_at is None else clock
        step = rollout.plan[rollout.cursor] if rollout.open else None
        opened = extend(rollout.open, step.deadline_seconds if step else 0.0)
        pause = rollout.paused and replace(rollout.paused, counted_from=clock)
        state = ask_anew(replace(state, away=away), None, clock)
        state = in_rollout(
            state,
            open=opened,
            entered_at=entered,
            healthy_since=None,
            paused=pause,
        )
    return state


def _started(state: t.State, event: ev.Started, clock: float) -> t.State:
    works = [work for step in event.plan for work in step.works]
    treated = {work.at for work in works}
    started = {work.place for work in works if work.verb == "start"}
    moves = [work.weights or {} for work in works if work.verb == "route" and work.prove]
    # The last one leads to the release alone; those before also to what serves so far.
    last = moves[-1] if moves else {}
    is_new = event.kind == "deploy" and not is_established(state, event.release)
    # What serves it already is watched as well, until it has succeeded once.
    watched = (place for place, share in last.items() if share) if is_new else gaining(state, last)
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
        passed=frozenset(place for place in watched if place not in started),
        zones=event.zones,
        requested_by=event.requested_by,
        message=event.message,
        unfrozen_by=event.requested_by if event.override_freeze else "",
    )
    gone = {*event.absent, *event.gone}
    state = forget_health(state, lambda node: node not in gone)
    state = before_rollout(state, clock)
    serving = sorted({place.node for place in state.settled})
    return replace(
        without_queued(with_calendar(state, event.calendar), event.rollout),
        rollout=rollout,
        journals={**state.journals, **event.journals},
        # Nobody waits for them; but traffic that is taken from them does not move back unasked.
        away={node: Away(until=clock) for node in serving if node in gone},
        chores=tuple(chore for chore in state.chores if chore.work.at not in treated),
        requests=remembered(state, event.request_id, event.rollout),
    )


def _step_entered(state: t.State, event: ev.StepEntered, clock: float) -> t.State:
    return in_rollout(state, entered_at=clock, done={})


def _action_issued(state: t.State, event: ev.ActionIssued, clock: float) -> t.State:
    return apply_issue(state, event.action)


def _action_ended(state: t.State, event: ev.ActionEnded, clock: float) -> t.State:
    action = find_action(state, event.action)
    if action is None:
        return state
    ok = event.outcome == "ok"
    doubtful = is_begun_anew(state, action)
    if doubtful:
        state = after_doubt(state, action.work)
    failed_before = state.rewrites > 0
    state = apply_outcome(state, action.work, ok, event.known, clock)
    if action.step == REWRITE:
        settled = ok and not doubtful
        state = after_rewrite(state, action.work, settled, clock, failed_before=failed_before)
    if action.id in state.chores_open:
        key = str(action.work.place or "")  # a node that could not be cleaned up owes nothing
        debts = without(state.debts, key)
        if key in state.debts:
            debts = debts | _still_owed(state, debts)
        if key and event.outcome not in ("ok", "cancelled"):
            failed = f"{action.work.verb} {key}: {event.error}"
            debts = put(debts, key, "; ".join(filter(None, (failed, debts.get(key)))))
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


def _still_owed(state: t.State, debts: Mapping[str, str]) -> dict[str, str]:
    """What is wrong with nodes all the same once no more than these debts are left of what was
    owed: that a slot was stopped brings it no traffic."""
    under_way = state.rollout.nodes if state.rollout else ()
    left = amiss(replace(state, debts=debts), under_way)
    return {str(place): why + UNTIL_ASKED for place, why in left.items()}


def _step_ended(state: t.State, event: ev.StepEnded, clock: float) -> t.State:
    if state.rollout is None or event.outcome != "ok":
        return state
    cursor = state.rollout.cursor + 1
    return in_rollout(state, cursor=cursor, entered_at=None, done={}, waiting=None, frozen=None)


def _replanned(state: t.State, event: ev.Replanned, clock: float) -> t.State:
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


def _chores_added(state: t.State, event: ev.ChoresAdded, clock: float) -> t.State:
    return replace(
        state,
        chores=(*state.chores, *event.chores),
        requests=remembered(state, event.request_id, ""),
    )


def _configured(state: t.State, event: ev.Configured, clock: float) -> t.State:
    """A node that does not belong there any more is brought no release, so it owes none."""
    members = event.nodes or state.members
    out = set(state.members).difference(members)
    return replace(
        state,
        spec=event.spec,
        members=members,
        debts={key: debt for key, debt in state.debts.items() if t.Place(key).node not in out},
        owed=without(state.owed, *out),
        requests=remembered(state, event.request_id, ""),
    )


def _committed(state: t.State, event: ev.Committed, clock: float) -> t.State:
    assert state.rollout is not None
    return commit(state, state.rollout)


def _ended(state: t.State, event: ev.Ended, clock: float) -> t.State:
    rollout, undone, left = state.rollout, state.undone, state.left
    if rollout is not None and event.state != "succeeded" and rollout.kind != "converge":
        undone = (*undone, rollout.release)[-RELEASES_KEPT:]
        moved = {p for p, share in state.settled.items() if share and not rollout.before.get(p)}
        left = left.intersection(state.settled) | moved
    serving = {place for place, share in state.settled.items() if share}
    before = (c for c in state.chores if not (c.work.verb == "stop" and c.work.place in serving))
    return replace(
        state,
        rollout=None,
        undone=undone,
        left=left,
        away={},
        chores=(*before, *event.chores),  # what serves again is not to be stopped any more
        debts={**state.debts, **event.debts},
        owed={**state.owed, **event.owed},
    )


def _debts_paid(state: t.State, event: ev.DebtsPaid, clock: float) -> t.State:
    return replace(
        state,
        debts=without(state.debts, *event.nodes),
        owed=without(state.owed, *event.nodes),
    )


def _observed(state: t.State, event: ev.Observed, clock: float) -> t.State:
    place = event.place
    current = state.current
    if event.current:
        current = put(current, place.node, place.slot)
    elif state.settled.get(place) and place.node not in current:
        current = put(current, place.node, None)  # of a node that was removed, and serves
    return replace(state, places=put(state.places, place, event.known), current=current)


EVOLVERS: dict[type[ev.Event], Callable[[t.State, Any, float], t.State]] = {
    ev.ControllerStarted: _controller_started,
    ev.Started: _started,
    ev.StepEntered: _step_entered,
    ev.ActionIssued: _action_issued,
    ev.ActionEnded: _action_ended,
    ev.StepEnded: _step_ended,
    ev.NodeDropped: evolve_nodes.node_dropped,
    ev.Replanned: _replanned,
    ev.Waiting: evolve_control.waiting,
    ev.Answered: evolve_control.answered,
    ev.Approved: evolve_control.approved,
    ev.Paused: evolve_control.paused,
    ev.Resumed: evolve_control.resumed,
    ev.Aborted: evolve_control.aborted,
    ev.Quarantined: evolve_control.quarantined,
    ev.QuarantineLifted: evolve_control.quarantine_lifted,
    ev.Locked: evolve_control.locked,
    ev.Unlocked: evolve_control.unlocked,
    ev.CalendarRead: evolve_control.calendar_read,
    ev.FreezeSet: evolve_control.freeze_set,
    ev.FreezeLifted: evolve_control.freeze_lifted,
    ev.Frozen: evolve_control.frozen,
    ev.Thawed: evolve_control.thawed,
    ev.Queued: evolve_control.queued,
    ev.Unqueued: evolve_control.unqueued,
    ev.ChoresAdded: _chores_added,
    ev.Configured: _configured,
    ev.NodeForgotten: evolve_nodes.node_forgotten,
    ev.Committed: _committed,
    ev.Ended: _ended,
    ev.DebtsPaid: _debts_paid,
    ev.Observed: _observed,
    ev.NodeLeft: evolve_nodes.node_left,
    ev.NodeReturned: evolve_nodes.node_returned,
    ev.JournalReplaced: evolve_nodes.journal_replaced,
    ev.Restored: evolve_restored.restored,
    ev.Adopted: evolve_restored.adopted,
}
