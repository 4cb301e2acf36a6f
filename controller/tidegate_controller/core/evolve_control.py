"""What the events mean that come of what operators ask of a rollout, or of its app.

Called by `evolve` alone: a function an event, named as it is.
"""

from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.changes import in_rollout, put, remembered, replace
from tidegate_controller.core.facts import is_seen
from tidegate_controller.core.freezes import Calendar
from tidegate_controller.core.guards import FLOOR
from tidegate_controller.core.outcomes import apply_outcome
from tidegate_controller.core.works import breach_without, work_now

QUARANTINED_KEPT = 200  # of those that nobody has asked for


def waiting(state: t.State, event: ev.Waiting, clock: float) -> t.State:
    before = state.rollout.waiting if state.rollout else None
    since = before.since if before else clock  # the question may change; it stays one wait
    wait = t.Wait(
        why=event.why,
        answers=event.answers,
        since=since,
        kind=event.kind,
        id=state.version + 1,
        nodes=event.nodes,
    )
    return in_rollout(state, waiting=wait)


def answered(state: t.State, event: ev.Answered, clock: float) -> t.State:
    """Works in doubt count as done, or as to be done again; their step has its time anew. Where it
    goes on without some nodes, the events that follow drop these, and nothing counts as done: what
    has failed elsewhere since the question was not meant by the answer. Nor does a move that the
    balancer says itself whether it was done, and that was tried only since: it is made, below the
    floor that was asked about."""
    rollout = state.rollout
    assert rollout is not None
    left_out = rollout.waiting.nodes if rollout.waiting and event.answer == "continue" else {}
    too_few = breach_without(state, left_out)
    state = replace(state, requests=remembered(state, event.request_id, event.rollout))
    state = in_rollout(state, waiting=None, entered_at=clock)
    if event.answer != "abort":
        state = _waiting_anew(state, clock)
    step = rollout.plan[rollout.cursor]
    kept_back = FLOOR in step.guards and any(
        index not in rollout.done or rollout.done[index].again for index in range(len(step.works))
    )
    if too_few or (event.answer == "continue" and kept_back and not left_out):
        state = in_rollout(state, below_floor=True)
    for index, done in () if left_out else rollout.done.items():
        work = work_now(state, step, index)
        if done.outcome == "ok" or work is None or (done.again and kept_back):
            continue  # what the floor keeps from being made again is made now, below it
        seen = event.answer == "continue" and is_seen(work)
        settled = replace(done, again=event.answer == "retry" or seen)
        if seen:
            state = in_rollout(state, below_floor=True)
        elif event.answer == "continue":
            settled = replace(done, outcome="ok", again=False)
            state = apply_outcome(state, work, True, None, clock)
        assert state.rollout is not None
        state = in_rollout(state, done=put(state.rollout.done, index, settled))
    return state


def approved(state: t.State, event: ev.Approved, clock: float) -> t.State:
    rollout = state.rollout
    if rollout is None:
        return state
    state = replace(state, requests=remembered(state, event.request_id, event.rollout))
    approved = put(rollout.approved, event.step, event.by)
    state = in_rollout(state, approved=approved, waiting=None, entered_at=clock)
    return _waiting_anew(state, clock)


def _waiting_anew(state: t.State, clock: float) -> t.State:
    """Nodes that have gone are waited for once more, since a person has had it go on."""
    least = clock + (state.rollout.pace.away_seconds if state.rollout else 0.0)
    away = {n: each.longer(max(each.until, least), clock) for n, each in state.away.items()}
    return replace(state, away=away)


def paused(state: t.State, event: ev.Paused, clock: float) -> t.State:
    pause = t.Pause(by=event.by, reason=event.reason, since=clock, counted_from=clock)
    state = replace(state, requests=remembered(state, event.request_id, event.rollout))
    return in_rollout(state, paused=pause)


def resumed(state: t.State, event: ev.Resumed, clock: float) -> t.State:
    """All that runs against the clock is put off by as long as it has stood still."""
    rollout = state.rollout
    if rollout is None or rollout.paused is None:
        return state
    since = rollout.paused.counted_from
    stood = clock - since
    latest = clock + rollout.pace.away_seconds  # for nodes that have gone meanwhile
    state = replace(
        state,
        away={
            node: each.longer(min(each.until + stood, latest), since)
            for node, each in state.away.items()
        },
        requests=remembered(state, event.request_id, event.rollout),
    )
    return in_rollout(
        state,
        paused=None,
        entered_at=None if rollout.entered_at is None else rollout.entered_at + stood,
        open={
            key: replace(action, deadline=action.deadline + stood)
            for key, action in rollout.open.items()
        },
    )


def aborted(state: t.State, event: ev.Aborted, clock: float) -> t.State:
    """What comes of it, the events that follow say."""
    state = replace(state, requests=remembered(state, event.request_id, event.rollout))
    return in_rollout(state, superseded=event.superseded)


def quarantined(state: t.State, event: ev.Quarantined, clock: float) -> t.State:
    new = event.quarantine
    others = [q for q in state.quarantined if (q.digest, q.config) != (new.digest, new.config)]
    kept = (*others, new)
    failed = [one for one in kept if one.origin == "failure"]
    too_many = failed[: max(0, len(failed) - QUARANTINED_KEPT)]
    kept = tuple(one for one in kept if one not in too_many)
    return replace(state, quarantined=kept, requests=remembered(state, event.request_id, ""))


def quarantine_lifted(state: t.State, event: ev.QuarantineLifted, clock: float) -> t.State:
    others = tuple(one for one in state.quarantined if one.digest != event.digest)
    requests = remembered(state, event.request_id, "")
    return replace(state, quarantined=others, requests=requests)


def locked(state: t.State, event: ev.Locked, clock: float) -> t.State:
    lock = t.Lock(by=event.by, reason=event.reason, since=clock)
    return replace(state, lock=lock, requests=remembered(state, event.request_id, ""))


def unlocked(state: t.State, event: ev.Unlocked, clock: float) -> t.State:
    return replace(state, lock=None, requests=remembered(state, event.request_id, ""))


def with_calendar(state: t.State, calendar: Calendar | None) -> t.State:
    """When freezes are; a freeze by hand ends when its time has come by the wall clock."""
    if calendar is None:
        return state
    freeze = state.freeze
    if freeze is not None and freeze.unix_until == calendar.hand_until:
        freeze = replace(freeze, ends=calendar.hand_ends)
    return replace(state, calendar=calendar, freeze=freeze)


def calendar_read(state: t.State, event: ev.CalendarRead, clock: float) -> t.State:
    state = with_calendar(state, event.calendar)
    over = state.freeze is not None and state.freeze.ends <= clock
    return replace(state, freeze=None) if over else state


def freeze_set(state: t.State, event: ev.FreezeSet, clock: float) -> t.State:
    requests = remembered(state, event.request_id, "")
    return replace(state, freeze=event.window, requests=requests)


def freeze_lifted(state: t.State, event: ev.FreezeLifted, clock: float) -> t.State:
    return replace(state, freeze=None, requests=remembered(state, event.request_id, ""))


def frozen(state: t.State, event: ev.Frozen, clock: float) -> t.State:
    return in_rollout(state, frozen=event.window)


def thawed(state: t.State, event: ev.Thawed, clock: float) -> t.State:
    """Its step has its time anew, and so have nodes that went away meanwhile."""
    rollout = state.rollout
    if rollout is None:
        return state
    if event.request_id:
        state = replace(state, requests=remembered(state, event.request_id, event.rollout))
    until = clock + rollout.pace.away_seconds
    away = {node: each.longer(until, clock) for node, each in state.away.items()}
    state = replace(state, away=away)
    by = event.by or rollout.unfrozen_by
    return in_rollout(state, frozen=None, unfrozen_by=by, entered_at=clock)


def queued(state: t.State, event: ev.Queued, clock: float) -> t.State:
    entry = event.deployment
    requests = remembered(state, entry.request_id, entry.rollout)
    return replace(state, queue=(*state.queue, entry), requests=requests)


def without_queued(state: t.State, rollout: str) -> t.State:
    """It does not wait any more."""
    queue = tuple(entry for entry in state.queue if entry.rollout != rollout)
    return replace(state, queue=queue)


def unqueued(state: t.State, event: ev.Unqueued, clock: float) -> t.State:
    if event.request_id:
        state = replace(state, requests=remembered(state, event.request_id, event.rollout))
    return without_queued(state, event.rollout)
