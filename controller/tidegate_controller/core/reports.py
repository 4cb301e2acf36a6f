"""What the world says: results, observations, time that has passed, another life of the controller.

None of it can be wrong: what comes late, or is known already, changes nothing. Called by `decide`.
"""

from tidegate_controller.core import events as ev
from tidegate_controller.core import inputs as i
from tidegate_controller.core import types as t
from tidegate_controller.core.debts import lost_with_disks
from tidegate_controller.core.draft import Draft, pending
from tidegate_controller.core.facts import find_action, is_known, nodes_concerned, place_of
from tidegate_controller.core.steps import deadline_of, is_asked_about
from tidegate_controller.core.works import where


def on_result(draft: Draft, result: i.Result) -> None:
    """A node that is away is so still: what it has said may be the last word of a connection that
    is gone. One that has come back says Hello first."""
    if find_action(draft.state, result.action) is None:
        return
    draft.emit(
        ev.ActionEnded(
            action=result.action,
            outcome=result.outcome,
            error=result.error,
            output_tail=result.output_tail,
            blame=result.blame,
            known=result.known,
            cleaned=result.cleaned,
        )
    )


def on_observation(draft: Draft, seen: i.Observation) -> None:
    state = draft.state
    if not seen.connected:
        rollout = state.rollout
        matters = rollout is not None and seen.node in nodes_concerned(state, rollout)
        if matters and seen.node not in state.away:
            draft.emit(ev.NodeLeft(node=seen.node))
        return
    if seen.node in state.away:
        draft.emit(ev.NodeReturned(node=seen.node))
    if seen.complete and state.journals.get(seen.node, seen.journal_id) != seen.journal_id:
        left = {slot for slot, report in seen.slots.items() if report.known.revision is not None}
        theirs = [p for p, share in state.settled.items() if share and p.node == seen.node]
        gone = [place for place in theirs if place.slot not in left and place.node in state.members]
        owes = lost_with_disks(gone).get(seen.node, "")
        for action in pending(draft.state):
            if action.work.at == seen.node:
                error = f"{seen.node} came back with an empty journal: its disk was replaced"
                draft.emit(ev.ActionEnded(action=action.id, outcome="unknown", error=error))
        draft.emit(ev.JournalReplaced(node=seen.node, journal_id=seen.journal_id, owes=owes))
    _observe_slots(draft, seen)


def _observe_slots(draft: Draft, seen: i.Observation) -> None:
    changing = ("start", "stop")  # their results will tell
    busy = {a.work.place for a in pending(draft.state) if a.work.verb in changing}
    naming = {a.work.at for a in pending(draft.state) if a.work.verb == "switch"}
    for slot in t.SLOTS:
        place = t.Place.of(seen.node, slot)
        report = seen.slots.get(slot)
        if report is None:
            on_record = place in draft.state.places or draft.state.settled.get(place)
            if not (seen.complete and on_record):
                continue
            report = i.SlotReport(known=t.Known(running=False, healthy=False), current=False)
        named = report.current and draft.state.current.get(seen.node) != slot
        news = report.known != place_of(draft.state, place) or (named and seen.node not in naming)
        if place not in busy and news:
            draft.emit(
                ev.Observed(
                    place=place, known=report.known, current=report.current, detail=report.detail
                )
            )


def on_node_removed(draft: Draft, removed: i.NodeRemoved) -> None:
    if is_known(draft.state, removed.node):
        draft.emit(ev.NodeForgotten(node=removed.node))


def on_tick(draft: Draft, tick: i.Tick) -> None:
    for action in pending(draft.state):
        if draft.now < deadline_of(draft.state, action):
            continue
        node = action.work.at
        if draft.state.rollout is not None and is_asked_about(draft, action):
            continue  # a person is asked, once the others have ended
        error = f"no answer from {node} in time"
        if action.work.check:
            error = f"{where(action.work)} has not ended in time"
        if node in draft.state.away:
            error = f"{node} went away and did not come back in time"
        outcome: t.Outcome = "unknown" if action.work.on_unknown == "ask" else "expired"
        draft.emit(ev.ActionEnded(action=action.id, outcome=outcome, error=error))


def on_controller_start(draft: Draft, start: i.ControllerStart) -> None:
    draft.emit(
        ev.ControllerStarted(
            stream=start.stream,
            epoch=start.epoch,
            log_id=start.log_id,
            connected=start.connected,
            grace_seconds=start.grace_seconds,
            calendar=start.calendar,
        )
    )
