"""Everything that can happen to a rollout, and when. Read it from top to bottom.

`decide(state, input, now)` returns the events that follow from an input: the input's own handler
first (`HANDLERS`), then whatever that makes possible (`_advance`). It is pure: `now` is engine
time in seconds, ids come with the input or from the stream's version. A wrong request raises
`Refused` and changes nothing; a late or unknown result returns no events.
"""

from collections.abc import Callable
from typing import Any

from tidegate_controller.core import (
    controlling,
    failures,
    freezing,
    quarantine,
    queueing,
    reports,
    steps,
)
from tidegate_controller.core import events as ev
from tidegate_controller.core import inputs as i
from tidegate_controller.core import types as t
from tidegate_controller.core.chores import (
    chores_after_commit,
    chores_after_undo,
    give_way,
    issue_chores,
)
from tidegate_controller.core.debts import (
    debts_after_commit,
    debts_after_giving_up,
    debts_after_undo,
    debts_left,
    owed_after,
    with_all_amiss,
)
from tidegate_controller.core.deploying import on_clean_up, on_converge, on_deploy, on_rollback
from tidegate_controller.core.draft import Draft
from tidegate_controller.core.facts import is_paused, is_repeated
from tidegate_controller.core.listed import first_few
from tidegate_controller.core.locks import on_lock, on_unlock
from tidegate_controller.core.reconciling import on_reconcile, on_restore
from tidegate_controller.core.strategies.back import plan_back
from tidegate_controller.core.works import work_now


def decide(state: t.State, input_: i.Input, now: float) -> tuple[ev.Event, ...]:
    """The events that follow from `input_`, in order. Raises `Refused` for a wrong request."""
    draft = Draft(state, now)
    _take(draft, input_)
    _advance(draft)
    return tuple(draft.events)


def _take(draft: Draft, input_: i.Input) -> None:
    """What it leads to by itself; nothing, where its client did not hear the answer to the same."""
    if not (isinstance(input_, i.Request) and is_repeated(draft.state, input_.request_id)):
        HANDLERS[type(input_)](draft, input_)


# --- What a person decides of a rollout that is under way -----------------------------------------


def _on_answer(draft: Draft, answer: i.Answer) -> None:
    """`retry` and `continue` change what counts as done; `abort` is a failure of the step."""
    before = draft.state.rollout
    controlling.on_answer(draft, answer)
    if before is None or before.waiting is None:
        return  # nobody was asked: it is promoted now
    step = before.plan[before.cursor]
    if answer.answer == "abort":
        _fail(draft, step, f"aborted by {answer.answered_by}: {before.waiting.why}")
    elif answer.answer == "continue" and before.waiting.nodes:
        failures.drop_nodes(draft, step, before.waiting.nodes)


def _on_deploy(draft: Draft, deploy: i.Deploy) -> None:
    if not (deploy.queue and queueing.is_held_up(draft, deploy)):
        _make_room(draft, deploy, f"superseded by version {deploy.release.version}")
    if deploy.queue and queueing.has_to_wait(draft, deploy):
        queueing.on_queue(draft, deploy)
    else:
        on_deploy(draft, deploy)


def _on_rollback(draft: Draft, rollback: i.Rollback) -> None:
    _make_room(draft, rollback, "superseded by a rollback")
    on_rollback(draft, rollback)


def _make_room(draft: Draft, request: i.Deploy | i.Rollback, reason: str) -> None:
    """Another that stands in the way may have to go: it is undone first, in this decision."""
    rollout = draft.state.rollout
    if rollout is None or not controlling.may_be_superseded(draft.state, request, draft.now):
        return
    _on_abort(
        draft,
        i.Abort(
            request_id=f"{request.request_id}/supersede",
            rollout=rollout.id,
            requested_by=request.requested_by,
            reason=reason,
            superseded=True,
        ),
    )
    while draft.state.rollout is not None and _move(draft):
        pass


def _on_abort(draft: Draft, abort: i.Abort) -> None:
    """It is undone as if the step had failed; or it ends here, and all stays as it is."""
    if queueing.gave_up(draft, abort):
        return
    if not controlling.on_abort(draft, abort):
        return
    rollout = draft.rollout
    step = rollout.plan[rollout.cursor]
    asked = rollout.waiting.why.removeprefix(f"{step.title} failed: ") if rollout.waiting else ""
    why = ": ".join(filter(None, (f"aborted by {abort.requested_by}", abort.reason or asked)))
    if abort.undo or rollout.undoing:
        _fail(draft, step, why)
        return
    _give_up(draft, step, why)
    _end(draft, "aborted", f"{why}; nothing was undone", debts=debts_left(draft.state, why))


HANDLERS: dict[type[i.Input], Callable[[Draft, Any], None]] = {
    i.Deploy: _on_deploy,
    i.Rollback: _on_rollback,
    i.Answer: _on_answer,
    i.Pause: controlling.on_pause,
    i.Resume: controlling.on_resume,
    i.Abort: _on_abort,
    i.Quarantine: quarantine.on_quarantine,
    i.Unquarantine: quarantine.on_unquarantine,
    i.Lock: on_lock,
    i.Unlock: on_unlock,
    i.Freeze: freezing.on_freeze,
    i.LiftFreeze: freezing.on_lift_freeze,
    i.ReadCalendar: freezing.on_read_calendar,
    i.BeginQueued: queueing.on_begin_queued,
    i.Converge: on_converge,
    i.CleanUp: on_clean_up,
    i.Result: reports.on_result,
    i.Observation: reports.on_observation,
    i.NodeRemoved: reports.on_node_removed,
    i.Tick: reports.on_tick,
    i.ControllerStart: reports.on_controller_start,
    i.Restore: on_restore,
    i.Reconcile: on_reconcile,
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
    if steps.stands_still(rollout):
        return _meet_more(draft, step)
    if fault := steps.fault_of(draft, step):
        return _meet(draft, step, fault, failures.culprits(draft, step))
    if freezing.meet_freeze(draft, step) or _issue(draft, step):
        return True
    before = rollout.waiting.why if rollout.waiting else ""
    asked = steps.question(draft, step)
    if asked and asked.why != before:  # more may be known than when it was asked
        _ask(draft, asked)
        return True
    if steps.is_satisfied(draft, step):
        draft.emit(ev.StepEnded(rollout=rollout.id, step=step.id, outcome="ok"))
        return True
    return False


def _issue(draft: Draft, step: t.Step) -> bool:
    ready = [
        index
        for index in steps.to_issue(draft.rollout, step)
        if steps.may_issue_at(draft.state, step, index) <= draft.now
    ]
    ours = [index for index in ready if step.works[index].at == t.CONTROLLER]
    others = [index for index in ready if index not in ours]
    ready = sorted(ours + others[: steps.room_of(draft.rollout, step)])
    for index in ready:
        work = work_now(draft.state, step, index)
        assert work is not None, "it is not to be done any more"
        done = draft.rollout.done.get(index)
        attempt = done.attempt + 1 if done else 1
        assert draft.rollout.entered_at is not None
        deadline = max(draft.rollout.entered_at, draft.now) + step.deadline_seconds
        if work.verb == "route":
            give_way(draft)
        draft.issue(step.id, index, work, deadline, attempt)
    return bool(ready)


def _meet_more(draft: Draft, step: t.Step) -> bool:
    """Of nodes that were lost a person is asked. Where others fail meanwhile, and all together are
    more than may, that follows which would have followed had they failed at once."""
    wait = draft.rollout.waiting
    assert wait is not None
    found = {**wait.nodes, **failures.culprits(draft, step)}
    more = sorted(found.keys() - wait.nodes.keys())
    if wait.kind != "lost" or not more or failures.may_be_dropped(draft.state, step, found):
        return False
    fault = first_few((found[node].why for node in more), steps.ERRORS_TOLD, "; ")
    return _meet(draft, step, fault, found)


def _meet(draft: Draft, step: t.Step, fault: str, found: failures.Culprits) -> bool:
    """The step cannot succeed as it is: ask a person, go on without some nodes, or fail. False
    where that has to wait for a script, which the next command to its node would end."""
    if question := failures.question_of(draft, step, fault, found):
        _ask(draft, question)
    elif failures.may_be_dropped(draft.state, step, found):
        failures.drop_nodes(draft, step, found)
    elif steps.is_held_by_scripts(draft.state):
        asked = steps.question_of_scripts(draft, fault)
        if asked is None or (draft.rollout.waiting and draft.rollout.waiting.why == asked.why):
            return False
        _ask(draft, asked)
    else:
        stops = draft.rollout.policy.on_failure == "stop"
        _fail(draft, step, fault, failures.blame_of(draft, step, found), stops=stops)
    return True


def _ask(draft: Draft, question: steps.Question) -> None:
    draft.emit(ev.Waiting(rollout=draft.rollout.id, **question._asdict()))


def _fail(
    draft: Draft, step: t.Step, fault: str, blame: t.Blame = "", *, stops: bool = False
) -> None:
    """The step has failed: undo the rollout or leave it as it is (`stops`), or give up if this was
    the undoing."""
    rollout = draft.rollout
    reason = _give_up(draft, step, fault)
    if quarantine.is_own_fault(draft, blame):
        quarantine.quarantine_failed(draft, reason)
    if rollout.undoing:
        _end(
            draft,
            "failed",
            f"{rollout.reason}; and it could not be undone: {reason}",
            chores=chores_after_undo(draft.state, draft.now),
            debts=debts_after_giving_up(draft.state),
        )
    elif stops and rollout.kind != "converge":
        _end(draft, "failed", reason, debts=debts_left(draft.state, reason))
    else:
        plan = plan_back(draft.state, draft.now)
        draft.emit(ev.Replanned(rollout=rollout.id, reason=reason, plan=plan, blame=blame))


def _give_up(draft: Draft, step: t.Step, fault: str) -> str:
    """Nothing is awaited of the step any more; why, in words."""
    rollout = draft.rollout
    reason = f"{step.title} failed: {fault}{steps.left_at_work(rollout)}"
    for action_id in list(rollout.open):
        draft.emit(ev.ActionEnded(action=action_id, outcome="cancelled", error=reason))
    draft.emit(ev.StepEnded(rollout=rollout.id, step=step.id, outcome="failed", reason=fault))
    return reason


def _finish(draft: Draft) -> None:
    rollout, state = draft.rollout, draft.state
    if not rollout.undoing:
        debts = debts_after_commit(state)
        owed = owed_after(state, {**debts, **rollout.absent}, draft.now)
        draft.emit(ev.Committed(rollout=rollout.id))
        quarantine.quarantine_rolled_back(draft, state)
        chores = chores_after_commit(draft.state, draft.now)
        _end(draft, "succeeded", debts=debts, owed=owed, chores=chores)
        return
    ending: t.Ending = "failed"
    if rollout.previous and any(state.settled.values()):
        ending = "rolled_back"
    _end(
        draft,
        ending,
        rollout.reason,
        chores=chores_after_undo(state, draft.now),
        debts=debts_after_undo(state),
    )


def _end(
    draft: Draft,
    ending: t.Ending,
    reason: str = "",
    *,
    debts: dict[str, str],
    owed: dict[str, t.Owed] | None = None,
    chores: tuple[t.Chore, ...] = (),
) -> None:
    """`owed`: when these debts are paid, if that is known already."""
    debts = with_all_amiss(draft.state, debts, ending)
    owed = owed_after(draft.state, debts, draft.now) | (owed or {})
    draft.emit(
        ev.Ended(
            rollout=draft.rollout.id,
            state=ending,
            reason=reason,
            chores=chores,
            debts=debts,
            owed=owed,
        )
    )
