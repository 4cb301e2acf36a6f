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
    caplog: pytest.LogCaptureFixture,
    event: ev.Event,
    stream: str = "shop@production",
    opened: tuple[t.Action, ...] = (),
) -> list[tuple[int, str]]:
    with caplog.at_level(logging.DEBUG, logger=event_notes.__name__):
        note((event,), (record(event, stream),), opened)
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
            "shop@production: x:1: failed: no",
        ),
        (
            ev.Unlocked(by="ada@laptop", reason="", request_id="q"),
            logging.INFO,
            "shop@production: unlocked by ada@laptop",
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


@pytest.mark.parametrize(
    ("work", "words"),
    [
        (t.Work(verb="start", at="a", place=t.Place("a/blue")), "start at a/blue"),
        (t.Work(verb="task", at="a", task="migrate"), "migrate at a"),
        (t.Work(verb="route", at=t.CONTROLLER), "move of traffic at the balancer"),
        (t.Work(verb="query", at=t.CONTROLLER), "look at the balancer"),
        (t.Work(verb="check", at=t.CONTROLLER, check="smoke"), "check smoke"),
    ],
)
def test_a_work_that_failed_is_told_by_what_it_was_and_where(
    caplog: pytest.LogCaptureFixture, work: t.Work, words: str
) -> None:
    opened = (msgspec.structs.replace(ACTION, work=work),)
    failed = ev.ActionEnded(action="x:1", outcome="failed", error="no")
    assert noted(caplog, failed, opened=opened)[0][1] == f"shop@production: {words}: failed: no"
    caplog.clear()
    expired = ev.ActionEnded(action="x:1", outcome="expired")
    assert noted(caplog, expired, opened=opened)[0][1] == f"shop@production: {words}: expired"


def test_a_work_that_ends_in_the_decision_that_has_issued_it_is_told_as_well(
    caplog: pytest.LogCaptureFixture,
) -> None:
    events = (ev.ActionIssued(action=ACTION), ev.ActionEnded(action="x:1", outcome="refused"))
    with caplog.at_level(logging.INFO, logger=event_notes.__name__):
        note(events, [record(event) for event in events])
    assert [each.getMessage() for each in caplog.records] == [
        "shop@production: start at a: refused"
    ]
    assert caplog.records[0].__dict__["node"] == "a"


@pytest.mark.parametrize("error", ["", "it moves on"])
def test_a_work_that_was_cancelled_is_not_worth_a_warning(
    caplog: pytest.LogCaptureFixture, error: str
) -> None:
    cancelled = ev.ActionEnded(action="x:1", outcome="cancelled", error=error)
    assert [level for level, _ in noted(caplog, cancelled, opened=(ACTION,))] == [logging.DEBUG]


def test_a_disk_that_was_wiped_is_told_of_each_app_by_its_name(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wiped = ev.JournalReplaced(node="a", journal_id="j", owes="a/blue is gone")
    for stream in ("shop@production", "mail@test"):
        caplog.clear()
        assert noted(caplog, wiped, stream)[0] == (
            logging.WARNING,
            f"{stream}: node a has a new journal: its disk was replaced or wiped; a/blue is gone",
        )


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
