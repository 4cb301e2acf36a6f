"""Everything that can happen to a rollout, and when. Read it from top to bottom.

`decide(state, input, now)` returns the events that follow from an input: the input's own handler
first (`HANDLERS`), then whatever that makes possible (`_advance`). It is pure: `now` is engine
time in seconds, ids come with the input or from the stream's version. A wrong request raises
`Refused` and changes nothing; a late or unknown result returns no events.
"""

from collections.abc import Callable
from typing import Any

from tidegate_controller.core import events as ev
from tidegate_controller.core import inputs as i
from tidegate_controller.core import types as t
from tidegate_controller.core.chores import (
    chore_opens_at,
    chores_after_commit,
    chores_after_undo,
    debts_after_undo,
    issue_chores,
    waiting_chores,
)
from tidegate_controller.core.draft import Draft, pending
from tidegate_controller.core.evolve import find_action, place_of
from tidegate_controller.core.guards import opens_at
from tidegate_controller.core.requests import on_deploy, on_rollback
from tidegate_controller.core.strategies.back import plan_back


def decide(state: t.State, input_: i.Input, now: float) -> tuple[ev.Event, ...]:
    """The events that follow from `input_`, in order. Raises `Refused` for a wrong request."""
    draft = Draft(state, now)
    HANDLERS[type(input_)](draft, input_)
    _advance(draft)
    return tuple(draft.events)


def next_deadline(state: t.State) -> float | None:
    """Engine time at which a Tick will make a difference, or None."""
    times = [action.deadline for action in state.chores_open.values()]
    times += [chore_opens_at(state, chore) for chore in waiting_chores(state)]
    if (rollout := state.rollout) and rollout.entered_at is not None:
        step = rollout.plan[rollout.cursor]
        times += [_deadline(state, action) for action in rollout.open.values()]
        times.append(rollout.entered_at + step.deadline_seconds)
        if step.hold_seconds:
            times.append(_held_at(rollout, step))
        times += [_may_issue_at(state, step, index) for index in _to_issue(rollout, step)]
    return min((time for time in times if time != float("inf")), default=None)


# --- Results and observations: may be late; then they change nothing ---------------------------


def _on_result(draft: Draft, result: i.Result) -> None:
    if find_action(draft.state, result.action) is None:
        return
    draft.emit(
        ev.ActionEnded(
            action=result.action,
            outcome=result.outcome,
            error=result.error,
            output_tail=result.output_tail,
            known=result.known,
        )
    )


def _on_observation(draft: Draft, seen: i.Observation) -> None:
    state = draft.state
    if not seen.connected:
        if state.rollout and seen.node in state.rollout.nodes and seen.node not in state.away:
            draft.emit(ev.NodeLeft(node=seen.node))
        return
    if seen.node in state.away:
        draft.emit(ev.NodeReturned(node=seen.node))
    if seen.complete and state.journals.get(seen.node, seen.journal_id) != seen.journal_id:
        draft.emit(ev.JournalReplaced(node=seen.node, journal_id=seen.journal_id))
        for action in pending(draft.state):
            if action.work.at == seen.node:
                error = f"{seen.node} came back with an empty journal: its disk was replaced"
                draft.emit(ev.ActionEnded(action=action.id, outcome="unknown", error=error))
    _observe_slots(draft, seen)


def _observe_slots(draft: Draft, seen: i.Observation) -> None:
    changing = ("start", "stop")  # their results will tell
    busy = {a.work.place for a in pending(draft.state) if a.work.verb in changing}
    for slot in t.SLOTS:
        place = t.Place.of(seen.node, slot)
        report = seen.slots.get(slot)
        if report is None:
            if not seen.complete or place not in draft.state.places:
                continue
            report = i.SlotReport(known=t.Known(running=False, healthy=False), current=False)
        if place not in busy and report.known != place_of(draft.state, place):
            draft.emit(
                ev.Observed(
                    place=place, known=report.known, current=report.current, detail=report.detail
                )
            )


def _on_tick(draft: Draft, tick: i.Tick) -> None:
    for action in pending(draft.state):
        if draft.now < _deadline(draft.state, action):
            continue
        node = action.work.at
        error = f"no answer from {node} in time"
        if node in draft.state.away:
            error = f"{node} went away and did not come back in time"
        draft.emit(ev.ActionEnded(action=action.id, outcome="expired", error=error))


def _on_controller_start(draft: Draft, start: i.ControllerStart) -> None:
    draft.emit(
        ev.ControllerStarted(
            epoch=start.epoch,
            log_id=start.log_id,
            connected=start.connected,
            grace_seconds=start.grace_seconds,
        )
    )


HANDLERS: dict[type[i.Input], Callable[[Draft, Any], None]] = {
    i.Deploy: on_deploy,
    i.Rollback: on_rollback,
    i.Result: _on_result,
    i.Observation: _on_observation,
    i.Tick: _on_tick,
    i.ControllerStart: _on_controller_start,
}


# --- What follows: steps are entered, actions issued, steps and rollouts ended -----------------


def _advance(draft: Draft) -> None:
    """Do all that can be done now, one move at a time, until nothing more follows."""
    moved = True
    while moved and draft.state.rollout is not None:
        moved = _move(draft)
    issue_chores(draft)


def _move(draft: Draft) -> bool:
    """One move of the rollout; False when it has to wait."""
    rollout = draft.rollout
    if rollout.cursor == len(rollout.plan):
        _finish(draft)
        return True
    step = rollout.plan[rollout.cursor]
    if rollout.entered_at is None:
        draft.emit(ev.StepEntered(rollout=rollout.id, step=step.id))
        return True
    if _issue(draft, step):
        return True
    if fault := _fault(draft, step):
        _fail(draft, step, fault)
        return True
    if _satisfied(draft, step):
        draft.emit(ev.StepEnded(rollout=rollout.id, step=step.id, outcome="ok"))
        return True
    return False


def _to_issue(rollout: t.Rollout, step: t.Step) -> list[int]:
    """Works of the step that were not issued yet, or failed and may be tried again."""
    opened = {action.index for action in rollout.open.values()}
    room = max(0, step.parallel - len(opened))
    waiting = []
    for index in range(len(step.works)):
        done = rollout.done.get(index)
        again = done is not None and done.outcome != "ok" and step.retry_seconds is not None
        if index not in opened and (done is None or again):
            waiting.append(index)
    return waiting[:room]


def _may_issue_at(state: t.State, step: t.Step, index: int) -> float:
    """Engine time from which the work may be issued, if nothing else changes."""
    assert state.rollout is not None
    times = [opens_at(state, guard, step.works[index]) for guard in step.guards]
    if done := state.rollout.done.get(index):
        times.append(done.at + (step.retry_seconds or 0.0))
    return max(times, default=0.0)


def _issue(draft: Draft, step: t.Step) -> bool:
    if _fault(draft, step):
        return False
    ready = [
        index
        for index in _to_issue(draft.rollout, step)
        if _may_issue_at(draft.state, step, index) <= draft.now
    ]
    for index in ready:
        done = draft.rollout.done.get(index)
        attempt = done.attempt + 1 if done else 1
        assert draft.rollout.entered_at is not None
        deadline = max(draft.rollout.entered_at, draft.now) + step.deadline_seconds
        draft.issue(step.id, index, step.works[index], deadline, attempt)
    return bool(ready)


def _deadline(state: t.State, action: t.Action) -> float:
    """A rollout does not wait to the end for a node that has gone; a chore does."""
    rollout = state.rollout
    until = state.away.get(action.work.at)
    if rollout is None or action.id not in rollout.open or until is None:
        return action.deadline
    return min(action.deadline, until)


def _fault(draft: Draft, step: t.Step) -> str:
    """Why the step cannot succeed any more; empty while it can."""
    state, rollout = draft.state, draft.rollout
    bad = {index: done for index, done in rollout.done.items() if done.outcome != "ok"}
    if len(bad) > step.failures_allowed and step.retry_seconds is None:
        errors = [
            f"{_where(step.works[index])}: {done.error}" for index, done in sorted(bad.items())
        ]
        return "; ".join(errors[:3]) + (f" and {len(errors) - 3} more" if errors[3:] else "")
    for place in sorted(rollout.passed):
        known = place_of(state, place)
        if known.healthy is False or known.running is False:
            return f"{place} had passed its checks and failed again{_detail(draft, place)}"
    assert rollout.entered_at is not None
    if draft.now >= rollout.entered_at + step.deadline_seconds and not _satisfied(draft, step):
        last = "; ".join(done.error for done in bad.values())
        away = "".join(f"; {node} is away" for node in sorted(state.away))
        return f"not done within {step.deadline_seconds:.0f} s{away}" + (last and f": {last}")
    return ""


def _detail(draft: Draft, place: t.Place) -> str:
    """What was just said of the place, if this decision is about that."""
    said = [e.detail for e in draft.events if isinstance(e, ev.Observed) and e.place == place]
    return f": {said[-1]}" if said and said[-1] else ""


def _where(work: t.Work) -> str:
    return str(work.place) if work.place is not None else work.at


def _satisfied(draft: Draft, step: t.Step) -> bool:
    rollout = draft.rollout
    ok = [index for index, done in rollout.done.items() if done.outcome == "ok"]
    if rollout.open or len(ok) + step.failures_allowed < len(step.works):
        return False
    return draft.now >= _held_at(rollout, step)


def _held_at(rollout: t.Rollout, step: t.Step) -> float:
    """Engine time at which the step's hold is over, if all that passed stay healthy until then."""
    if not step.hold_seconds:
        return 0.0
    if rollout.healthy_since is None or rollout.entered_at is None:
        return float("inf")
    return max(rollout.healthy_since, rollout.entered_at) + step.hold_seconds


def _fail(draft: Draft, step: t.Step, fault: str) -> None:
    """The step has failed: undo the rollout, or give up if this was the undoing."""
    rollout = draft.rollout
    reason = f"{step.name} failed: {fault}"
    for action_id in list(rollout.open):
        draft.emit(ev.ActionEnded(action=action_id, outcome="cancelled", error=reason))
    draft.emit(ev.StepEnded(rollout=rollout.id, step=step.id, outcome="failed", reason=fault))
    if rollout.undoing:
        reason = f"{rollout.reason}; and it could not be undone: {reason}"
        draft.emit(ev.Ended(rollout=rollout.id, state="failed", reason=reason))
    else:
        plan = plan_back(draft.state)
        draft.emit(ev.Replanned(rollout=rollout.id, reason=reason, plan=plan))


def _finish(draft: Draft) -> None:
    rollout = draft.rollout
    if not rollout.undoing:
        draft.emit(ev.Committed(rollout=rollout.id))
        chores = chores_after_commit(draft.state, draft.now)
        draft.emit(ev.Ended(rollout=rollout.id, state="succeeded", chores=chores))
        return
    serving = any(draft.state.settled.values())
    draft.emit(
        ev.Ended(
            rollout=rollout.id,
            state="rolled_back" if rollout.previous and serving else "failed",
            reason=rollout.reason,
            chores=chores_after_undo(draft.state, draft.now),
            debts=debts_after_undo(draft.state),
        )
    )
