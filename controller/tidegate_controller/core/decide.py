"""Everything that can happen to a rollout, and when. Read it from top to bottom.

`decide(state, input, now)` returns the events that follow from an input: the input's own handler
first (`HANDLERS`), then whatever that makes possible (`_advance`). It is pure: `now` is engine
time in seconds, ids come with the input or from the stream's version. A wrong request raises
`Refused` and changes nothing; a late or unknown result returns no events.
"""

from collections.abc import Callable
from typing import Any

from tidegate_controller.core import control, quarantine
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
from tidegate_controller.core.facts import find_action, is_paused, known_nodes, place_of
from tidegate_controller.core.locks import on_lock, on_unlock
from tidegate_controller.core.requests import on_clean_up, on_deploy, on_rollback
from tidegate_controller.core.steps import (
    deadline_of,
    fault_of,
    held_at,
    in_doubt,
    is_asked_about,
    is_satisfied,
    may_issue_at,
    open_until,
    question,
    room_of,
    step_ends_at,
    to_issue,
)
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
    if is_paused(state):
        return min(times, default=None)
    times += [chore_opens_at(state, chore) for chore in waiting_chores(state)]
    if (rollout := state.rollout) and rollout.entered_at is not None:
        step = rollout.plan[rollout.cursor]
        times += open_until(state, rollout)
        if rollout.waiting is None and not in_doubt(rollout, step):
            times.append(step_ends_at(rollout, step))
        if step.hold_seconds:
            times.append(held_at(rollout, step))
        times += [may_issue_at(state, step, index) for index in to_issue(rollout, step)]
    return min((time for time in times if time != float("inf")), default=None)


# --- Results and observations: may be late; then they change nothing ---------------------------


def _on_result(draft: Draft, result: i.Result) -> None:
    action = find_action(draft.state, result.action)
    if action is None:
        return
    if action.work.at in draft.state.away:
        draft.emit(ev.NodeReturned(node=action.work.at))
    draft.emit(
        ev.ActionEnded(
            action=result.action,
            outcome=result.outcome,
            error=result.error,
            output_tail=result.output_tail,
            blame=result.blame,
            known=result.known,
        )
    )


def _on_observation(draft: Draft, seen: i.Observation) -> None:
    state = draft.state
    if not seen.connected:
        serving = {place.node for place in state.settled}
        concerned = state.rollout and seen.node in serving.union(state.rollout.nodes)
        if concerned and seen.node not in state.away:
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


def _on_node_removed(draft: Draft, removed: i.NodeRemoved) -> None:
    if removed.node in known_nodes(draft.state):
        draft.emit(ev.NodeForgotten(node=removed.node))


def _on_tick(draft: Draft, tick: i.Tick) -> None:
    for action in pending(draft.state):
        if draft.now < deadline_of(draft.state, action):
            continue
        node = action.work.at
        if draft.state.rollout is not None and is_asked_about(draft, action):
            continue  # a person is asked, once the others have ended
        error = f"no answer from {node} in time"
        if node in draft.state.away:
            error = f"{node} went away and did not come back in time"
        outcome: t.Outcome = "unknown" if action.work.on_unknown == "ask" else "expired"
        draft.emit(ev.ActionEnded(action=action.id, outcome=outcome, error=error))


def _on_answer(draft: Draft, answer: i.Answer) -> None:
    """`retry` and `continue` change what counts as done; `abort` is a failure of the step."""
    before = draft.state.rollout
    control.on_answer(draft, answer)
    if before is None or draft.state.rollout is before:
        return  # the same answer once more
    why = before.waiting.why if before.waiting else ""
    if answer.answer == "abort":
        _fail(draft, before.plan[before.cursor], f"aborted by {answer.answered_by}: {why}")


def _on_deploy(draft: Draft, deploy: i.Deploy) -> None:
    """Another that stands still may have to make room: it is undone first, in this decision."""
    rollout = draft.state.rollout
    if deploy.supersede and control.may_be_superseded(draft.state, deploy):
        assert rollout is not None
        version = deploy.release.version
        _on_abort(
            draft,
            i.Abort(
                request_id=f"{deploy.request_id}/supersede",
                rollout=rollout.id,
                requested_by=deploy.requested_by,
                reason=f"superseded by version {version}",
            ),
        )
        while draft.state.rollout is not None and _move(draft):
            pass
    on_deploy(draft, deploy)


def _on_abort(draft: Draft, abort: i.Abort) -> None:
    """It is undone as if the step had failed; or it ends here, and all stays as it is."""
    if not control.on_abort(draft, abort):
        return
    rollout = draft.rollout
    step = rollout.plan[rollout.cursor]
    asked = rollout.waiting.why if rollout.waiting else ""
    why = ": ".join(filter(None, (f"aborted by {abort.requested_by}", abort.reason or asked)))
    if abort.undo or rollout.undoing:
        _fail(draft, step, why)
        return
    _give_up(draft, step, why)
    draft.emit(
        ev.Ended(
            rollout=rollout.id,
            state="aborted",
            reason=f"{why}; nothing was undone",
            debts=control.debts_after_abort(draft.state),
        )
    )


def _on_controller_start(draft: Draft, start: i.ControllerStart) -> None:
    draft.emit(
        ev.ControllerStarted(
            stream=start.stream,
            epoch=start.epoch,
            log_id=start.log_id,
            connected=start.connected,
            grace_seconds=start.grace_seconds,
        )
    )


HANDLERS: dict[type[i.Input], Callable[[Draft, Any], None]] = {
    i.Deploy: _on_deploy,
    i.Rollback: on_rollback,
    i.Answer: _on_answer,
    i.Pause: control.on_pause,
    i.Resume: control.on_resume,
    i.Abort: _on_abort,
    i.Quarantine: quarantine.on_quarantine,
    i.Unquarantine: quarantine.on_unquarantine,
    i.Lock: on_lock,
    i.Unlock: on_unlock,
    i.CleanUp: on_clean_up,
    i.Result: _on_result,
    i.Observation: _on_observation,
    i.NodeRemoved: _on_node_removed,
    i.Tick: _on_tick,
    i.ControllerStart: _on_controller_start,
}


# --- What follows: steps are entered, actions issued, steps and rollouts ended -----------------


def _advance(draft: Draft) -> None:
    """Do all that can be done now, one move at a time, until nothing more follows. While a person
    has it stand still, nothing does: results are taken, and what they mean is seen later."""
    moved = not is_paused(draft.state)
    while moved and draft.state.rollout is not None:
        moved = _move(draft)
    if not is_paused(draft.state):
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
    if fault := fault_of(draft, step):
        _fail(draft, step, fault, own_fault=quarantine.is_own_fault(draft))
        return True
    if _issue(draft, step):
        return True
    before = rollout.waiting.why if rollout.waiting else ""
    asked = question(draft, step)
    if asked and asked.why != before:  # more may be known than when it was asked
        draft.emit(ev.Waiting(rollout=rollout.id, **asked._asdict()))
        return True
    if is_satisfied(draft, step):
        draft.emit(ev.StepEnded(rollout=rollout.id, step=step.id, outcome="ok"))
        return True
    return False


def _issue(draft: Draft, step: t.Step) -> bool:
    ready = [
        index
        for index in to_issue(draft.rollout, step)
        if may_issue_at(draft.state, step, index) <= draft.now
    ]
    ready = ready[: room_of(draft.rollout, step)]
    for index in ready:
        done = draft.rollout.done.get(index)
        attempt = done.attempt + 1 if done else 1
        assert draft.rollout.entered_at is not None
        deadline = max(draft.rollout.entered_at, draft.now) + step.deadline_seconds
        draft.issue(step.id, index, step.works[index], deadline, attempt)
    return bool(ready)


def _fail(draft: Draft, step: t.Step, fault: str, *, own_fault: bool = False) -> None:
    """The step has failed: undo the rollout, or give up if this was the undoing. `own_fault`: of
    the release, which is not tried again as it is."""
    rollout = draft.rollout
    reason = _give_up(draft, step, fault)
    if own_fault:
        quarantine.quarantine_failed(draft, reason)
    if rollout.undoing:
        draft.emit(
            ev.Ended(
                rollout=rollout.id,
                state="failed",
                reason=f"{rollout.reason}; and it could not be undone: {reason}",
                chores=chores_after_undo(draft.state, draft.now),
                debts={
                    t.CONTROLLER: "nobody knows where traffic goes; the next deploy or rollback "
                    "settles that first"
                },
            )
        )
    else:
        plan = plan_back(draft.state, draft.now)
        draft.emit(ev.Replanned(rollout=rollout.id, reason=reason, plan=plan))


def _give_up(draft: Draft, step: t.Step, fault: str) -> str:
    """Nothing is awaited of the step any more; why, in words."""
    rollout = draft.rollout
    reason = f"{step.name} failed: {fault}"
    for action_id in list(rollout.open):
        draft.emit(ev.ActionEnded(action=action_id, outcome="cancelled", error=reason))
    draft.emit(ev.StepEnded(rollout=rollout.id, step=step.id, outcome="failed", reason=fault))
    return reason


def _finish(draft: Draft) -> None:
    rollout = draft.rollout
    if not rollout.undoing:
        draft.emit(ev.Committed(rollout=rollout.id))
        quarantine.quarantine_rolled_back(draft)
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
