"""What of the event log is an answer to `tidegate cleanup`, and how a node's answer reads."""

from typing import Any

import pytest

from tidegate_controller.cli.cleaning import Answers, lines_of
from tidegate_controller.documents import EventView, NodeCleanup, StayedView, ThingView
from tidegate_protos.v1 import operator_pb2 as pb

ONE = "sha256:" + "1" * 64
CLEANED = {
    "removed": [{"kind": "release", "name": ONE, "bytes": 3_000_000}],
    "count": 9,
    "bytes": 12_000_000,
    "made": [{"kind": "backup", "name": "/var/backups/shop/x.tar.gz", "bytes": 1000}],
    "stayed": [{"kind": "release", "why": "held by a slot", "count": 2, "bytes": 5000}],
}


def event(kind: str, stream: str = "shop@test", **data: Any) -> EventView:
    return EventView(seq=1, stream=stream, version=1, at="", kind=kind, data=data)


def issued(action: str, node: str, verb: str = "cleanup") -> EventView:
    return event("ActionIssued", action={"id": action, "work": {"verb": verb, "at": node}})


def ended(action: str, **more: Any) -> EventView:
    return event("ActionEnded", **{"action": action, "outcome": "ok", "error": "", **more})


def answers() -> Answers:
    return Answers(
        pb.CleanUpReply(
            stream="shop@test", open={"a": "1", "c": "3"}, waiting=["b"], away=["c", "d"]
        )
    )


def test_those_that_are_away_are_not_awaited() -> None:
    asked = answers()
    assert (asked.awaited, asked.away) == ({"a", "b"}, {"c"})


def test_a_node_answers_by_the_action_that_was_open_or_comes_to_be() -> None:
    asked = answers()
    first = asked.take(ended("1", cleaned=CLEANED), {ONE: "1.4.2"})
    assert first is not None
    assert (first.node, first.state, first.removed_count) == ("a", "ok", 9)
    assert first.removed[0].version == "1.4.2"
    assert asked.take(issued("2", "b"), {}) is None
    second = asked.take(ended("2", outcome="failed", error="disk on fire"), {})
    assert second is not None
    assert (second.node, second.state, second.said) == ("b", "failed", "disk on fire")
    assert not asked.awaited


@pytest.mark.parametrize(
    "other",
    [
        event("ActionEnded", "basket@test", action="1", outcome="ok"),
        ended("9"),
        ended("3"),
        issued("4", "b", verb="stop"),
        event("NodeForgotten", node="z"),
    ],
)
def test_what_else_happens_is_no_answer(other: EventView) -> None:
    asked = answers()
    assert asked.take(other, {}) is None
    assert asked.take(ended("4"), {}) is None
    assert asked.awaited == {"a", "b"}


def test_a_node_that_is_removed_is_not_awaited_any_more() -> None:
    asked = answers()
    found = asked.take(event("NodeForgotten", node="a"), {})
    assert found is not None
    assert (found.state, asked.awaited) == ("removed", {"b"})


def test_an_answer_of_an_agent_that_does_not_say_what_it_removed_is_one() -> None:
    found = answers().take(ended("1"), {})
    assert found is not None
    assert lines_of(found) == ["a: nothing to remove"]


def test_an_answer_reads_from_what_was_freed_to_what_stays() -> None:
    node = NodeCleanup(
        node="a",
        state="ok",
        said="cannot remove all of /x",
        removed=[
            ThingView(kind="release", name=ONE, version="1.4.2", bytes=3_000_000),
            ThingView(kind="copy", name=ONE, version="1.4.2", bytes=3_000_000),
            ThingView(kind="download", name=ONE, bytes=10),
            ThingView(kind="backup", name="/b/x.tar.gz", bytes=1000),
        ],
        removed_count=9,
        removed_bytes=12_000_000,
        made=[ThingView(kind="backup", name="/b/y.tar.gz", bytes=1000)],
        stayed=[StayedView(kind="release", why="held by a slot", count=2, bytes=5000)],
    )
    assert lines_of(node, in_short=True) == [
        "a: 12 MB freed, 9 things removed",
        "  not done: cannot remove all of /x",
    ]
    assert lines_of(node) == [
        "a: 12 MB freed, 9 things removed",
        "  removed release 1.4.2, sha256:111111111111… (3 MB)",
        "  removed a slot's copy of 1.4.2, sha256:111111111111… (3 MB)",
        "  removed what was fetched of sha256:111111111111… (10 B)",
        "  removed backup /b/x.tar.gz (1 kB)",
        "  and 5 more",
        "  backed up to /b/y.tar.gz (1 kB)",
        "  stays: 2 releases (5 kB), held by a slot",
        "  not done: cannot remove all of /x",
    ]
