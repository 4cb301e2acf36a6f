"""Deployments that wait for their turn, as people read them, from the events. Used by `history`."""

from tidegate_controller.core import events as ev
from tidegate_controller.core.facts import split_stream
from tidegate_controller.documents import RolloutSummary, RolloutView
from tidegate_controller.log import Record
from tidegate_controller.views import release_view


def queued_view(record: Record, event: ev.Queued) -> RolloutView:
    """One that has not begun. `started_at`: when it was asked for."""
    asked = event.deployment
    app, environment = split_stream(record.stream)
    return RolloutView(
        rollout=event.rollout,
        app=app,
        environment=environment,
        strategy=asked.spec.strategy,
        kind="deploy",
        state="queued",
        reason="",
        waiting_for=None,
        release=release_view(asked.release),
        previous=None,
        steps=[],
        requested_by=asked.requested_by,
        message=asked.message,
        commit=asked.commit,
        started_at=record.at,
        ended_at=None,
    )


def forgotten(view: RolloutSummary, at: str) -> None:
    """What waited when a backup was made does not begin after it was restored."""
    why = "it waited for its turn when the backup was made that was restored"
    not_begun(view, "interrupted", why, at)


def not_begun(view: RolloutSummary, state: str, reason: str, at: str) -> None:
    """It will not begin any more."""
    view.state, view.reason, view.ended_at = state, reason, at
