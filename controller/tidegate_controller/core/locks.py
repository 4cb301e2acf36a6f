"""The lock of an app in an environment: while somebody holds it, nobody else begins a rollout.

It stops what is to begin, never what is under way: for that there is pause. Called by `decide` and
`deploying`.
"""

from tidegate_controller.core import events as ev
from tidegate_controller.core import inputs as i
from tidegate_controller.core import types as t
from tidegate_controller.core.draft import Draft
from tidegate_controller.core.facts import split_stream
from tidegate_controller.errors import Refused


def refuse_locked(state: t.State, who: str) -> None:
    """Raises `Refused`, with the holder, unless nobody or the one who asks holds it."""
    lock = state.lock
    if lock is not None and lock.by != who:
        raise Refused(
            f"{_named(state)} is locked by {_holder(lock)}",
            _way_out(state, lock),
        )


def on_lock(draft: Draft, request: i.Lock) -> None:
    state = draft.state
    lock = state.lock
    if lock is not None and lock.by != request.requested_by:
        raise Refused(
            f"{_named(state)} is locked already, by {_holder(lock)}",
            _way_out(state, lock),
        )
    if lock is None or lock.reason != request.reason:
        draft.emit(
            ev.Locked(by=request.requested_by, reason=request.reason, request_id=request.request_id)
        )


def on_unlock(draft: Draft, request: i.Unlock) -> None:
    state = draft.state
    if state.lock is None:
        return
    if state.lock.by != request.requested_by and not request.force:
        raise Refused(
            f"{_named(state)} is locked by {_holder(state.lock)}, and you are "
            f"{request.requested_by}",
            _way_out(state, state.lock),
        )
    draft.emit(
        ev.Unlocked(by=request.requested_by, reason=request.reason, request_id=request.request_id)
    )


def _named(state: t.State) -> str:
    app, environment = split_stream(state.stream)
    return f"{app} in {environment}"


def _holder(lock: t.Lock) -> str:
    return f"{lock.by}: {lock.reason}" if lock.reason else lock.by


def _way_out(state: t.State, lock: t.Lock) -> str:
    app, environment = split_stream(state.stream)
    unlocking = f"tidegate unlock {app} -e {environment} --force"
    return f"ask {lock.by}; or take the lock away: {unlocking}"
