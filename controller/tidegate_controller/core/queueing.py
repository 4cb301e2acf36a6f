"""Deployments that wait for their turn: `tidegate deploy --queue`.

Where a rollout runs, or a freeze counts, the request is kept in the stream's state, and begins by
itself later, one after the other. What it is about is looked up anew then: by the shell, which says
so with `BeginQueued`. Called by `decide`, and by the shell, which asks when that is due.
"""

from typing import Literal

from tidegate_controller.core import events as ev
from tidegate_controller.core import inputs as i
from tidegate_controller.core import types as t
from tidegate_controller.core.deploying import deploy_goal, refuse_unfit, start, take_note
from tidegate_controller.core.draft import Draft
from tidegate_controller.core.freezes import Calendar
from tidegate_controller.core.freezing import freeze_at
from tidegate_controller.errors import Refused

QUEUE_MAX = 5


def has_to_wait(draft: Draft, request: i.Deploy) -> bool:
    """Whether it cannot begin now, but may by itself later."""
    state = draft.state
    return not state.reconciling and bool(state.rollout or is_held_up(draft, request))


def is_held_up(draft: Draft, request: i.Deploy) -> bool:
    """Whether it could not begin either if no rollout ran."""
    frozen = freeze_at(draft.state, draft.now, request.calendar) and not request.override_freeze
    return bool(draft.state.queue or frozen)


def on_queue(draft: Draft, request: i.Deploy) -> None:
    """Raises `Refused` for what could not be deployed anyway, and where too many wait."""
    state = draft.state
    refuse_unfit(state, request)
    if len(state.queue) >= QUEUE_MAX:
        waiting = ", ".join(f"{each.rollout} ({each.release.version})" for each in state.queue)
        raise Refused(
            f"{QUEUE_MAX} deployments wait for their turn already: {waiting}",
            f"give one up: tidegate rollout abort {state.queue[-1].rollout}",
        )
    draft.emit(
        ev.Queued(
            rollout=request.rollout,
            deployment=t.Queued(
                rollout=request.rollout,
                release=request.release,
                spec=request.spec,
                request_id=request.request_id,
                requested_by=request.requested_by,
                since=draft.now,
                message=request.message,
                commit=request.commit,
                again=request.again,
                override_freeze=request.override_freeze,
            ),
        )
    )


def waits_for(state: t.State, now: float, calendar: Calendar | None) -> str:
    """Why the first one cannot begin at this moment, in words; "" where it can. `calendar`: of its
    own configuration."""
    first, rollout = state.queue[0], state.rollout
    if state.reconciling:
        return "somebody to decide what counts since the restore"
    if rollout is not None:
        return f"the end of rollout {rollout.id}, to version {rollout.release.version}"
    if state.lock is not None and state.lock.by != first.requested_by:
        return f"{state.lock.by}, who has locked it"
    window = freeze_at(state, now, calendar)
    return f"the end of the {window.named}" if window and not first.override_freeze else ""


def on_begin_queued(draft: Draft, request: i.BeginQueued) -> None:
    """It begins as if it were asked for now; or it is dropped, where that would be refused, as with
    too many of its nodes away, or where nothing is left to do."""
    state = draft.state
    if not state.queue or state.queue[0].rollout != request.rollout:
        return
    if waits_for(state, draft.now, request.calendar):
        return
    first = state.queue[0]
    if request.refused:
        _drop(draft, "failed", request.refused)
        return
    deploy = i.Deploy(
        request_id=first.request_id,
        rollout=first.rollout,
        release=first.release,
        spec=first.spec,
        members=request.members,
        requested_by=first.requested_by,
        message=first.message,
        commit=first.commit,
        again=first.again,
        balancer=request.balancer,
        calendar=request.calendar,
        override_freeze=first.override_freeze,
    )
    try:
        goal = deploy_goal(state, deploy, draft.now)
        take_note(draft, deploy.members)
        start(draft, deploy, goal)
    except Refused as refusal:
        _drop(draft, "failed", refusal.in_a_line)
        return
    if draft.state.rollout is None:
        _drop(draft, "succeeded", f"version {first.release.version} was active already")


def _drop(draft: Draft, state: Literal["succeeded", "failed"], reason: str) -> None:
    draft.emit(ev.Unqueued(rollout=draft.state.queue[0].rollout, state=state, reason=reason))


def gave_up(draft: Draft, request: i.Abort) -> bool:
    """Whether the request was about one that waits, which does not any more."""
    state = draft.state
    if not any(entry.rollout == request.rollout for entry in state.queue):
        return False
    why = f": {request.reason}" if request.reason else ""
    draft.emit(
        ev.Unqueued(
            rollout=request.rollout,
            state="aborted",
            reason=f"given up by {request.requested_by} before it had begun{why}",
            by=request.requested_by,
            request_id=request.request_id,
        )
    )
    return True
