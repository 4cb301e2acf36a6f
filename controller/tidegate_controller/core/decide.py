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
from tidegate_controller.core.debts import (
    debts_after_commit,
    debts_after_failed_converge,
    owed_after,
)
from tidegate_controller.core.draft import Draft, pending
from tidegate_controller.core.facts import find_action, known_nodes, place_of
from tidegate_controller.core.failures import (
    TRAFFIC_UNKNOWN,
    blame_of,
    culprits,
    drop_nodes,
    left_as_it_is,
    may_be_dropped,
    question_of,
)
from tidegate_controller.core.requests import (
    on_answer,
    on_clean_up,
    on_converge,
    on_deploy,
    on_rollback,
)
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
    stands_still,
    step_ends_at,
    to_issue,
)
from tidegate_controller.core.strategies.back import plan_back
from tidegate_controller.core.works import work_now

ANSWERS: tuple[t.Answer, ...] = ("continue", "retry", "abort")


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
        times += open_until(state, rollout)
        if rollout.waiting is None and not in_doubt(rollout, step):
            times.append(step_ends_at(rollout, step))
        if step.hold_seconds and not stands_still(rollout):
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
    on_answer(draft, answer)
    if before is None or before.waiting is None or draft.state.rollout is before:
        return  # the same answer once more
    step = before.plan[before.cursor]
    if answer.answer == "abort":
        _fail(draft, step, f"aborted by {answer.answered_by}: {before.waiting.why}")
    elif answer.answer == "continue" and before.waiting.nodes:
        drop_nodes(draft, step, before.waiting.nodes)


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
    i.Deploy: on_deploy,
    i.Rollback: on_rollback,
    i.Answer: _on_answer,
    i.Converge: on_converge,
    i.CleanUp: on_clean_up,
    i.Result: _on_result,
    i.Observation: _on_observation,
    i.NodeRemoved: _on_node_removed,
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
    if stands_still(rollout):
        return False
    if fault := fault_of(draft, step):
        _meet(draft, step, fault)
        return True
    if _issue(draft, step):
        return True
    asked = rollout.waiting.why if rollout.waiting else ""
    if (why := question(draft, step)) and why != asked:  # more may be known than when it was asked
        draft.emit(ev.Waiting(rollout=rollout.id, why=why, answers=ANSWERS))
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
    ours = [index for index in ready if step.works[index].at == t.CONTROLLER]
    others = [index for index in ready if index not in ours]
    ready = sorted(ours + others[: room_of(draft.rollout, step)])
    for index in ready:
        work = work_now(draft.state, step, index)
        assert work is not None, "it is not to be done any more"
        done = draft.rollout.done.get(index)
        attempt = done.attempt + 1 if done else 1
        assert draft.rollout.entered_at is not None
        deadline = max(draft.rollout.entered_at, draft.now) + step.deadline_seconds
        draft.issue(step.id, index, work, deadline, attempt)
    return bool(ready)


def _meet(draft: Draft, step: t.Step, fault: str) -> None:
    """The step cannot succeed as it is: ask a person, go on without some nodes, or fail."""
    found = culprits(draft, step)
    if question := question_of(draft, step, fault, found):
        draft.emit(question)
    elif may_be_dropped(draft.rollout, step, found):
        drop_nodes(draft, step, found)
    else:
        stops = draft.rollout.policy.on_failure == "stop"
        _fail(draft, step, fault, blame_of(draft, step, found), stops=stops)


def _fail(
    draft: Draft, step: t.Step, fault: str, blame: t.Blame = "", *, stops: bool = False
) -> None:
    """The step has failed: undo the rollout or leave it as it is (`stops`), or give up if this was
    the undoing."""
    rollout = draft.rollout
    reason = f"{step.name} failed: {fault}"
    for action_id in list(rollout.open):
        draft.emit(ev.ActionEnded(action=action_id, outcome="cancelled", error=reason))
    draft.emit(ev.StepEnded(rollout=rollout.id, step=step.id, outcome="failed", reason=fault))
    if rollout.undoing:
        draft.emit(
            ev.Ended(
                rollout=rollout.id,
                state="failed",
                reason=f"{rollout.reason}; and it could not be undone: {reason}",
                chores=chores_after_undo(draft.state, draft.now),
                debts={t.CONTROLLER: TRAFFIC_UNKNOWN},
            )
        )
    elif stops and rollout.kind != "converge":
        debts = left_as_it_is(draft.state)
        draft.emit(ev.Ended(rollout=rollout.id, state="failed", reason=reason, debts=debts))
    else:
        plan = plan_back(draft.state, draft.now)
        draft.emit(ev.Replanned(rollout=rollout.id, reason=reason, plan=plan, blame=blame))


def _finish(draft: Draft) -> None:
    rollout = draft.rollout
    if not rollout.undoing:
        debts = debts_after_commit(draft.state)
        owed = owed_after(draft.state, debts, draft.now)
        draft.emit(ev.Committed(rollout=rollout.id))
        chores = chores_after_commit(draft.state, draft.now)
        ended = ev.Ended(
            rollout=rollout.id, state="succeeded", chores=chores, debts=debts, owed=owed
        )
        draft.emit(ended)
        return
    serving = any(draft.state.settled.values())
    debts = debts_after_undo(draft.state)
    if rollout.kind == "converge":
        debts |= debts_after_failed_converge(draft.state)
    draft.emit(
        ev.Ended(
            rollout=rollout.id,
            state="rolled_back" if rollout.previous and serving else "failed",
            reason=rollout.reason,
            chores=chores_after_undo(draft.state, draft.now),
            debts=debts,
            owed=owed_after(draft.state, debts, draft.now),
        )
    )
