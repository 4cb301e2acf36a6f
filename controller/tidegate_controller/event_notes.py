"""What of the events goes into the controller's own log, and at which level.

Called by `engine` with whatever was appended. Every event is there at the level debug; what an
operator of the controller wants to know without asking is there at info or above. Settings of an
app, and what its scripts have said, are not: the first may hold secrets, the second anything.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.facts import split_stream
from tidegate_controller.log import Record
from tidegate_protos.logs import Fields

log = logging.getLogger(__name__)

REASON_CHARS = 2000
BALANCER_WORKS = {"query": "look", "route": "move of traffic"}  # other words than the log's

Note = tuple[int, str]  # level and message
Works = Mapping[str, t.Work]  # of actions, by their ids


def note(
    events: Sequence[ev.Event], records: Sequence[Record], opened: Iterable[t.Action] = ()
) -> None:
    """Log what was appended; `records` are of these events, before which these actions were
    open: the end of one tells nothing but its id."""
    issued = [event.action for event in events if isinstance(event, ev.ActionIssued)]
    works = {action.id: action.work for action in (*opened, *issued)}
    for event, record in zip(events, records, strict=True):
        about = _about(event, record, works)
        if (made := _note(event, works)) is not None:
            level, message = made
            log.log(level, "%s%s", _whose(event, record), message, extra=about)
        log.debug("event %d: %s of %s", record.seq, record.kind, record.stream, extra=about)


def _note(event: ev.Event, works: Works) -> Note | None:
    if isinstance(event, ev.ActionEnded):
        return _action_ended(event, works.get(event.action))
    make = NOTES.get(type(event))
    return None if make is None else make(event)


def _whose(event: ev.Event, record: Record) -> str:
    """A line that names no rollout names the app and its environment."""
    _, environment = split_stream(record.stream)
    return "" if hasattr(event, "rollout") or not environment else f"{record.stream}: "


def _about(event: ev.Event, record: Record, works: Works) -> Fields:
    app, environment = split_stream(record.stream)
    about = Fields(app=app, environment=environment) if environment else Fields()
    rollout, node = getattr(event, "rollout", ""), getattr(event, "node", "")
    if isinstance(event, ev.ActionIssued):
        about["action"], node = event.action.id, event.action.work.at
    elif isinstance(event, ev.ActionEnded):
        about["action"] = event.action
        node = works[event.action].at if event.action in works else ""
    elif isinstance(event, ev.Observed):
        node = event.place.node
    if rollout:
        about["rollout"] = rollout
    if node and node != t.CONTROLLER:
        about["node"] = node
    return about


def _started(event: ev.Started) -> Note:
    before = event.previous.version if event.previous else "nothing"
    what = f"{event.kind} of {event.spec.app} in {event.spec.environment}"
    by = f"by {event.requested_by}"
    return (
        logging.INFO,
        f"{event.rollout} begins: {what}, {before} -> {event.release.version}, {by}",
    )


def _replanned(event: ev.Replanned) -> Note:
    return logging.WARNING, f"{event.rollout} is being undone: {event.reason[:REASON_CHARS]}"


def _dropped(event: ev.NodeDropped) -> Note:
    why = event.why[:REASON_CHARS]
    return logging.WARNING, f"{event.rollout} goes on without {event.node}: {why}"


def _paid(event: ev.DebtsPaid) -> Note:
    return logging.INFO, f"nothing is owed any more by {', '.join(event.nodes)}"


def _waiting(event: ev.Waiting) -> Note:
    return logging.WARNING, f"{event.rollout} waits for a person: {event.why[:REASON_CHARS]}"


def _answered(event: ev.Answered) -> Note:
    return logging.INFO, f"{event.rollout}: {event.answered_by} said {event.answer}"


def _approved(event: ev.Approved) -> Note:
    comment = f": {event.comment[:REASON_CHARS]}" if event.comment else ""
    return logging.INFO, f"{event.rollout}: {event.by} said {event.answer}{comment}"


def _paused(event: ev.Paused) -> Note:
    return logging.WARNING, f"{event.rollout} was paused by {_who_and_why(event)}"


def _resumed(event: ev.Resumed) -> Note:
    return logging.INFO, f"{event.rollout} was resumed by {_who_and_why(event)}"


def _aborted(event: ev.Aborted) -> Note:
    how = "" if event.undo else ", and nothing is undone"
    return logging.WARNING, f"{event.rollout} was aborted{how}, by {_who_and_why(event)}"


def _who_and_why(event: ev.Paused | ev.Resumed | ev.Aborted | ev.Locked | ev.FreezeLifted) -> str:
    reason = f": {event.reason[:REASON_CHARS]}" if event.reason else ""
    return event.by + reason


def _quarantined(event: ev.Quarantined) -> Note:
    found = event.quarantine
    return (
        logging.WARNING,
        f"version {found.version or found.digest} is quarantined: {found.why[:REASON_CHARS]}",
    )


def _lifted(event: ev.QuarantineLifted) -> Note:
    what = event.version or event.digest
    return logging.INFO, f"the quarantine of version {what} was lifted by {event.by}"


def _locked(event: ev.Locked) -> Note:
    return logging.INFO, f"locked by {_who_and_why(event)}"


def _unlocked(event: ev.Unlocked) -> Note:
    return logging.INFO, f"unlocked by {event.by}"


def _freeze_set(event: ev.FreezeSet) -> Note:
    return logging.INFO, event.window.named[:REASON_CHARS]


def _freeze_lifted(event: ev.FreezeLifted) -> Note:
    return logging.INFO, f"the freeze was lifted by {_who_and_why(event)}"


def _frozen(event: ev.Frozen) -> Note:
    return logging.INFO, f"{event.rollout} waits for the end of the {event.window.named}"


def _thawed(event: ev.Thawed) -> Note:
    if event.by:
        return logging.WARNING, (
            f"{event.rollout} goes on in spite of a freeze, says {event.by}: "
            f"{event.reason[:REASON_CHARS]}"
        )
    return logging.INFO, f"{event.rollout} goes on: the freeze is over"


def _queued(event: ev.Queued) -> Note:
    asked = event.deployment
    what = f"deployment of {asked.release.version}, by {asked.requested_by}"
    return logging.INFO, f"{event.rollout} waits for its turn: {what}"


def _unqueued(event: ev.Unqueued) -> Note:
    level = logging.INFO if event.by or event.state == "succeeded" else logging.WARNING
    return level, f"{event.rollout} was not begun: {event.reason[:REASON_CHARS]}"


def _ended(event: ev.Ended) -> Note:
    if event.state == "succeeded":
        return logging.INFO, f"{event.rollout} succeeded"
    how = event.state.replace("_", " ")
    return logging.WARNING, f"{event.rollout} {how}: {event.reason[:REASON_CHARS]}"


def _action_ended(event: ev.ActionEnded, work: t.Work | None) -> Note | None:
    """One that was cancelled is nobody's failure: whatever it was cancelled for has its line."""
    is_whole = event.outcome == "ok" and (event.cleaned is None or not event.error)
    if is_whole or event.outcome == "cancelled":
        return None
    how = "not all was done" if event.outcome == "ok" else event.outcome
    why = f": {event.error[:REASON_CHARS]}" if event.error else ""
    return logging.WARNING, f"{_doing(work) if work else event.action}: {how}{why}"


def _doing(work: t.Work) -> str:
    """A work in words, such as "start at web-1/blue"."""
    if work.verb == "check":
        return f"check {work.check}"
    where = work.place or ("the balancer" if work.at == t.CONTROLLER else work.at)
    return f"{BALANCER_WORKS.get(work.verb, work.task or work.verb)} at {where}"


def _removed(event: ev.NodeRemoved) -> Note:
    return logging.INFO, f"node {event.node} was removed by {event.removed_by}"


def _replaced(event: ev.JournalReplaced) -> Note:
    owes = event.owes and f"; {event.owes}"
    why = "its disk was replaced or wiped"
    return logging.WARNING, f"node {event.node} has a new journal: {why}{owes}"


def _adopted(event: ev.Adopted) -> Note:
    version = event.release.version if event.release else "nothing"
    return logging.INFO, f"{event.requested_by} takes over what runs, which is {version}"


NOTES: dict[type[ev.Event], Callable[[Any], Note]] = {
    ev.Started: _started,
    ev.NodeDropped: _dropped,
    ev.DebtsPaid: _paid,
    ev.Replanned: _replanned,
    ev.Waiting: _waiting,
    ev.Answered: _answered,
    ev.Approved: _approved,
    ev.Paused: _paused,
    ev.Resumed: _resumed,
    ev.Aborted: _aborted,
    ev.Quarantined: _quarantined,
    ev.Locked: _locked,
    ev.Unlocked: _unlocked,
    ev.QuarantineLifted: _lifted,
    ev.FreezeSet: _freeze_set,
    ev.FreezeLifted: _freeze_lifted,
    ev.Frozen: _frozen,
    ev.Thawed: _thawed,
    ev.Queued: _queued,
    ev.Unqueued: _unqueued,
    ev.Ended: _ended,
    ev.NodeRemoved: _removed,
    ev.JournalReplaced: _replaced,
    ev.Adopted: _adopted,
}
