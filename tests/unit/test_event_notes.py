"""What of the events goes into the controller's log; and what never does."""

import logging
from typing import Any

import msgspec
import pytest
from core_values import SPEC, release

from tidegate_controller import event_notes
from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.event_notes import note
from tidegate_controller.log import Record, encode

SECRET = "planted-7f3a"


def record(event: ev.Event, stream: str = "shop@production") -> Record:
    return Record(7, stream, 3, "", 0.0, type(event).__name__, encode(event), None, "")


def noted(
    caplog: pytest.LogCaptureFixture, event: ev.Event, stream: str = "shop@production"
) -> list[tuple[int, str]]:
    with caplog.at_level(logging.DEBUG, logger=event_notes.__name__):
        note((event,), (record(event, stream),))
    return [(each.levelno, each.getMessage()) for each in caplog.records]


def started() -> ev.Started:
    settings = msgspec.structs.replace(
        SPEC.settings,
        service=msgspec.structs.replace(SPEC.settings.service, environment={"TOKEN": SECRET}),
    )
    return ev.Started(
        rollout="r5",
        kind="deploy",
        strategy="blue-green",
        release=msgspec.structs.replace(release("2"), settings=settings),
        previous=release("1"),
        nodes=("a",),
        journals={},
        plan=(),
        spec=msgspec.structs.replace(SPEC, settings=settings),
        request_id="q",
        requested_by="ada@laptop",
    )


ACTION = t.Action(
    id="x:1", fence=(1, 1), step="s", index=0, work=t.Work(verb="start", at="a"), deadline=1.0
)


@pytest.mark.parametrize(
    ("event", "level", "message"),
    [
        (
            started(),
            logging.INFO,
            f"r5 begins: deploy of {SPEC.app} in {SPEC.environment}, 1 -> 2, by ada@laptop",
        ),
        (ev.Ended(rollout="r5", state="succeeded"), logging.INFO, "r5 succeeded"),
        (
            ev.Ended(rollout="r5", state="rolled_back", reason="it was bad"),
            logging.WARNING,
            "r5 rolled back: it was bad",
        ),
        (
            ev.Replanned(rollout="r5", reason="it is bad", plan=()),
            logging.WARNING,
            "r5 is being undone: it is bad",
        ),
        (
            ev.Waiting(rollout="r5", why="who knows", answers=("retry",)),
            logging.WARNING,
            "r5 waits for a person: who knows",
        ),
        (
            ev.ActionEnded(action="x:1", outcome="failed", error="no", output_tail=SECRET),
            logging.WARNING,
            "x:1: failed: no",
        ),
    ],
)
def test_what_an_operator_wants_to_know_unasked_is_a_line(
    caplog: pytest.LogCaptureFixture, event: ev.Event, level: int, message: str
) -> None:
    first, second = noted(caplog, event)
    assert first == (level, message)
    assert second == (logging.DEBUG, f"event 7: {type(event).__name__} of shop@production")
    assert SECRET not in caplog.text


def test_everything_else_is_there_for_whoever_asks(caplog: pytest.LogCaptureFixture) -> None:
    ok = ev.ActionEnded(action="x:1", outcome="ok")
    assert [level for level, _ in noted(caplog, ok)] == [logging.DEBUG]


@pytest.mark.parametrize(
    ("event", "stream", "about"),
    [
        (
            ev.StepEntered(rollout="r5", step="soak"),
            "shop@production",
            {"app": "shop", "environment": "production", "rollout": "r5"},
        ),
        (
            ev.ActionIssued(action=ACTION),
            "shop@production",
            {"app": "shop", "environment": "production", "action": "x:1", "node": "a"},
        ),
        (
            ev.Observed(place=t.Place("a/blue"), known=t.Known(), current=True),
            "shop@production",
            {"app": "shop", "environment": "production", "node": "a"},
        ),
        (ev.NodeRemoved(node="a", removed_by="ada"), "fleet", {"node": "a"}),
        (ev.EpochBegan(epoch=1, log_id="x"), "controller", {}),
    ],
)
def test_a_line_says_what_it_is_about(
    caplog: pytest.LogCaptureFixture, event: ev.Event, stream: str, about: dict[str, Any]
) -> None:
    noted(caplog, event, stream)
    names = ("app", "environment", "rollout", "node", "action")
    found = {name: getattr(caplog.records[-1], name, None) for name in names}
    assert {name: word for name, word in found.items() if word is not None} == about
