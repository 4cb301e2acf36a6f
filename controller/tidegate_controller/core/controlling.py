"""What operators may ask of a rollout that is under way: to stand still, to go on, to be given up,
and how it goes on where a person is asked.

A request can be wrong: then it raises `Refused` and changes nothing. One that asks for what is so
already is no error; it changes nothing either. Called by `decide`, and by
`deploy_requests`, which asks what may be superseded.
"""

from tidegate_controller.core import events as ev
from tidegate_controller.core import inputs as i
from tidegate_controller.core import types as t
from tidegate_controller.core.busy import typed_answers
from tidegate_controller.core.draft import Draft
from tidegate_controller.core.facts import has_moved, is_repeated, scripts_at_work
from tidegate_controller.core.freezes import Window
from tidegate_controller.core.strategies.back import plan_back
from tidegate_controller.errors import Refused


def on_answer(draft: Draft, request: i.Answer) -> None:
    state = draft.state
    rollout = under_way(state, request.rollout)
    _refuse_if_paused(rollout)
    _refuse_if_late(rollout, request)
    wait = rollout.waiting
    if wait is None and request.answer == "promote":
        _promote(draft, request)
        return
    if wait is None:
        raise _nobody_asks(rollout)
    if request.answer not in wait.answers:
        raise Refused(
            f"rollout {request.rollout} cannot be answered with {request.answer} now",
            f"what it waits for: {wait.why}; possible: {', '.join(wait.answers)}",
        )
    if request.answer in ("approve", "promote"):
        _let_pass(draft, request)
        return
    # A try that is under way, and was asked about, no longer counts.
    for action in list(rollout.open) if wait.kind == "question" else ():
        draft.emit(ev.ActionEnded(action=action, outcome="cancelled", error="a person decided"))
    draft.emit(
        ev.Answered(
            rollout=request.rollout,
            answer=request.answer,
            request_id=request.request_id,
            answered_by=request.answered_by,
            comment=request.comment,
        )
    )


def _let_pass(draft: Draft, request: i.Answer) -> None:
    rollout = draft.rollout
    draft.emit(
        ev.Approved(
            rollout=rollout.id,
            step=rollout.plan[rollout.cursor].id,
            answer="approve" if request.answer == "approve" else "promote",
            by=request.answered_by,
            comment=request.comment,
            request_id=request.request_id,
        )
    )


def _promote(draft: Draft, request: i.Answer) -> None:
    """Cut the soak short that it is in. What has passed must be healthy all the same."""
    rollout = draft.rollout
    if rollout.frozen is not None:
        _go_on_in_freeze(draft, request, rollout.frozen)
        return
    step = rollout.plan[rollout.cursor]
    if rollout.undoing or not step.hold_seconds or step.id in rollout.approved:
        doing = "being undone" if rollout.undoing else f"at {step.title}"
        raise Refused(
            f"rollout {rollout.id} is {doing}: there is nothing to promote",
            "that ends a soak, or is the answer to one that waits for it; follow it: tidegate "
            f"rollout show {rollout.id} --watch",
        )
    _let_pass(draft, request)


def _go_on_in_freeze(draft: Draft, request: i.Answer, window: Window) -> None:
    """Not for this step alone: what has been begun is brought to its end."""
    if not request.comment:
        raise Refused(
            f"rollout {request.rollout} waits for the end of the {window.named}",
            f"to go on in spite of it, say why: tidegate rollout promote {request.rollout} -m "
            "REASON",
        )
    draft.emit(
        ev.Thawed(
            rollout=request.rollout,
            by=request.answered_by,
            reason=request.comment,
            request_id=request.request_id,
        )
    )


def _refuse_if_late(rollout: t.Rollout, request: i.Answer) -> None:
    """An answer is for the question that whoever answers has seen, and for no other."""
    wait, step = rollout.waiting, rollout.plan[rollout.cursor]
    if request.question and (wait is None or wait.id != request.question):
        now = f"; what is asked now: {wait.why}" if wait else ""
        raise Refused(
            f"what {request.answer} was meant for is not asked any more in rollout {rollout.id}"
            f"{now}{_who_was_first(rollout)}",
            f"look at it again: tidegate rollout show {rollout.id}",
        )
    if request.step and step.id != request.step:
        raise Refused(
            f"rollout {rollout.id} has gone on since: it is at {step.title} now"
            f"{_who_was_first(rollout)}",
            f"look at it again: tidegate rollout show {rollout.id}",
        )


def _nobody_asks(rollout: t.Rollout) -> Refused:
    return Refused(
        f"rollout {rollout.id} does not wait for anybody{_who_was_first(rollout)}",
        "only one that waits can be answered; one that runs is held by tidegate rollout pause "
        f"{rollout.id}, and given up by tidegate rollout abort {rollout.id}",
    )


def _who_was_first(rollout: t.Rollout) -> str:
    by = list(rollout.approved.values())
    return f"; {by[-1]} has let it pass" if by else ""


def on_pause(draft: Draft, request: i.Pause) -> None:
    state = draft.state
    rollout = under_way(state, request.rollout)
    if rollout.undoing:
        raise Refused(
            f"rollout {rollout.id} is being undone, and the way back is not paused: until it has "
            "ended, traffic is where nobody wants it",
            f"follow it: tidegate rollout show {rollout.id} --watch",
        )
    if rollout.paused is None:
        draft.emit(
            ev.Paused(
                rollout=rollout.id,
                by=request.requested_by,
                reason=request.reason,
                request_id=request.request_id,
            )
        )


def on_resume(draft: Draft, request: i.Resume) -> None:
    state = draft.state
    rollout = under_way(state, request.rollout)
    if rollout.paused is not None:
        draft.emit(
            ev.Resumed(
                rollout=rollout.id,
                by=request.requested_by,
                reason=request.reason,
                request_id=request.request_id,
            )
        )
        return
    if rollout.waiting is not None:
        answers = ", ".join(typed_answers(rollout))
        raise Refused(
            f"rollout {rollout.id} was not paused by anybody: it waits for {rollout.waiting.why}",
            f"answer it, with one of: {answers}",
        )
    if rollout.frozen is not None:
        raise Refused(
            f"rollout {rollout.id} was not paused by anybody: it waits for the end of the "
            f"{rollout.frozen.named}",
            "it goes on by itself then; to go on at once, say why: "
            f"tidegate rollout promote {rollout.id} -m REASON",
        )


def on_abort(draft: Draft, request: i.Abort) -> bool:
    """Whether it is given up by this: then `decide` does what follows."""
    state = draft.state
    rollout = under_way(state, request.rollout)
    waiting = rollout.waiting
    asked = waiting.id if waiting else 0
    if rollout.undoing and waiting is not None and request.question != asked:
        raise Refused(
            f"rollout {rollout.id} is being undone already, and asks: {waiting.why}",
            f"answer that, with one of: {', '.join(typed_answers(rollout))}",
        )
    if request.question not in (0, asked):
        raise Refused(
            f"question {request.question} of rollout {rollout.id} is not asked any more",
            f"how it is now: tidegate rollout show {rollout.id}",
        )
    if rollout.undoing and waiting is None:
        if request.undo:
            return False  # as it is to be
        raise Refused(
            f"rollout {rollout.id} is being undone already",
            f"follow it: tidegate rollout show {rollout.id} --watch",
        )
    draft.emit(
        ev.Aborted(
            rollout=rollout.id,
            by=request.requested_by,
            reason=request.reason,
            undo=request.undo,
            request_id=request.request_id,
            superseded=request.superseded,
        )
    )
    return True


def may_be_superseded(state: t.State, request: i.Deploy | i.Rollback, now: float) -> bool:
    """Whether the rollout that is under way makes room. It has moved no traffic, so that what it
    has begun is undone without any step, and runs no script, which the next one would end. It
    stands still, and whoever deploys says so; or it only pays what is owed.
    Raises `Refused` where somebody says so, and it cannot make room."""
    rollout = state.rollout
    if rollout is None or rollout.undoing or is_repeated(state, request.request_id):
        return False
    moved = has_moved(state, rollout) or bool(plan_back(state, now))
    in_place = not (moved or scripts_at_work(rollout))
    if rollout.kind == "converge":
        return in_place
    stands_still = bool(rollout.paused or rollout.waiting or rollout.frozen)
    if not (stands_still and isinstance(request, i.Deploy) and request.supersede):
        return False
    if not in_place:
        why = "undoing it moves traffic" if moved else "it runs a script, which would be ended"
        raise Refused(
            f"rollout {rollout.id} cannot be superseded: {why}",
            f"give it up first: tidegate rollout abort {rollout.id}; then deploy again",
        )
    return True


def under_way(state: t.State, rollout: str) -> t.Rollout:
    """The rollout of this id. Raises `Refused` where it has ended, or not begun."""
    if any(entry.rollout == rollout for entry in state.queue):
        raise Refused(
            f"rollout {rollout} has not begun: it waits for its turn",
            f"give it up: tidegate rollout abort {rollout}; see: tidegate rollout list",
        )
    if state.rollout is None or state.rollout.id != rollout:
        raise Refused(
            f"rollout {rollout} has ended",
            f"how: tidegate rollout show {rollout}",
        )
    return state.rollout


def _refuse_if_paused(rollout: t.Rollout) -> None:
    if rollout.paused is not None:
        raise Refused(
            f"rollout {rollout.id} is paused by {rollout.paused.by}",
            f"first: tidegate rollout resume {rollout.id}",
        )
