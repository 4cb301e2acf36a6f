"""The event log keeps what it was given, notices what was changed, and refuses a second writer."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from core_values import SPEC, release

from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.inputs import Tick
from tidegate_controller.history import History, find_rollout
from tidegate_controller.log import Batch, EventLog, LogError, read_log, read_stream


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    log = EventLog(tmp_path / "events.db")
    yield log
    log.close()


def left(node: str) -> ev.Event:
    return ev.NodeLeft(node=node)


def append(log: EventLog, stream: str, *events: ev.Event) -> None:
    log.append([Batch(stream, log.version(stream), "2026-01-01T00:00:00Z", 1.0, events, Tick())])


def started(rollout: str, version: str) -> ev.Started:
    return ev.Started(
        rollout=rollout,
        kind="deploy",
        strategy="blue-green",
        release=release(version),
        previous=None,
        nodes=("a",),
        journals={},
        plan=(t.Step(id="soak", name="Soak", deadline_seconds=1.0),),
        spec=SPEC,
        request_id=rollout,
        requested_by="ada",
    )


def ended(rollout: str) -> ev.Ended:
    return ev.Ended(rollout=rollout, state="succeeded")


def reopened(path: Path) -> EventLog:
    log = EventLog(path)
    list(log.load())
    return log


def test_what_was_appended_is_read_back_in_order_with_its_cause(log: EventLog) -> None:
    append(log, "a@x", left("n1"), left("n2"))
    append(log, "b@x", left("n3"))
    append(log, "a@x", left("n4"))
    records = read_log(log.path, 0, 10)
    assert [(r.seq, r.stream, r.version) for r in records] == [
        (1, "a@x", 1),
        (2, "a@x", 2),
        (3, "b@x", 1),
        (4, "a@x", 3),
    ]
    assert [r.event for r in records] == [left(f"n{number}") for number in (1, 2, 3, 4)]
    assert [r.cause is not None for r in records] == [True, False, True, True]
    assert read_log(log.path, 1, 2) == records[1:3]
    assert read_stream(log.path, "a@x", 1, 10) == [records[1], records[3]]
    again = reopened(log.path)
    assert (again.last_seq, again.version("a@x"), again.last_clock) == (4, 3, 1.0)
    again.close()


def test_an_append_at_another_version_is_refused_whole(log: EventLog) -> None:
    append(log, "a@x", left("n1"))
    fits = Batch("b@x", 0, "now", 1.0, (left("n2"),), None)
    late = Batch("a@x", 0, "now", 1.0, (left("n3"),), None)
    with pytest.raises(LogError, match="a@x is at version 1, not at 0"):
        log.append([fits, late])
    assert len(read_log(log.path, 0, 10)) == 1
    append(log, "b@x", left("n4"))
    assert read_log(log.path, 1, 10)[0].event == left("n4")


def test_a_second_writer_on_the_same_file_is_noticed(log: EventLog) -> None:
    append(log, "a@x", left("n1"))
    other = reopened(log.path)
    append(other, "a@x", left("n2"))
    with pytest.raises(LogError, match="cannot write"):
        append(log, "a@x", left("n3"))
    other.close()


@pytest.mark.parametrize(
    ("column", "value"),
    [("data", '{"type":"NodeLeft","node":"other"}'), ("at", "earlier"), ("cause", None)],
)
def test_an_event_that_was_changed_is_named(log: EventLog, column: str, value: str | None) -> None:
    append(log, "a@x", left("n1"))
    append(log, "a@x", left("n2"))
    with sqlite3.connect(log.path) as database:
        database.execute(f"UPDATE events SET {column} = ? WHERE seq = 2", (value,))  # noqa: S608
    with pytest.raises(LogError, match=r"event 2 \(NodeLeft of a@x\) was changed"):
        reopened(log.path)


def test_an_event_that_is_missing_is_noticed_at_the_next(log: EventLog) -> None:
    append(log, "a@x", left("n1"))
    append(log, "a@x", left("n2"))
    with sqlite3.connect(log.path) as database:
        database.execute("DELETE FROM events WHERE seq = 1")
    with pytest.raises(LogError, match="event 2"):
        reopened(log.path)


def test_an_event_of_an_unknown_kind_is_named(log: EventLog) -> None:
    append(log, "a@x", left("n1"))
    with sqlite3.connect(log.path) as database:
        database.execute("""UPDATE events SET data = '{"type":"Teleported","node":"n1"}'""")
    (record,) = read_log(log.path, 0, 10)
    with pytest.raises(LogError, match=r"event 1 \(NodeLeft, version 1 of a@x\) cannot be read"):
        _ = record.event


def test_a_file_that_is_no_log_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    path.write_bytes(b"not a database, but long enough to be one" * 100)
    with pytest.raises(LogError, match="cannot open the event log"):
        EventLog(path)


def test_a_log_of_another_schema_is_refused(log: EventLog) -> None:
    with sqlite3.connect(log.path) as database:
        database.execute("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    with pytest.raises(LogError, match="schema version 99"):
        EventLog(log.path)


def test_the_history_reads_on_where_it_was(log: EventLog) -> None:
    history = History(log.path)
    assert history.catch_up() == []
    append(log, "a@x", started("r1", "1"), ev.StepEntered(rollout="r1", step="soak"))
    assert [(s.rollout, s.state) for s in history.catch_up()] == [("r1", "running")]
    append(log, "b@x", started("r2", "7"))
    append(log, "a@x", ev.StepEnded(rollout="r1", step="soak", outcome="ok"), ended("r1"))
    append(log, "a@x", started("r3", "2"), ended("r3"))
    assert [(s.rollout, s.app, s.state) for s in history.catch_up()] == [
        ("r1", "a", "succeeded"),
        ("r2", "b", "running"),
        ("r3", "a", "succeeded"),
    ]
    assert History(log.path).catch_up() == history.catch_up()


def test_a_rollout_is_found_with_its_steps_and_nothing_of_the_next(log: EventLog) -> None:
    append(log, "a@x", left("n1"))
    append(log, "a@x", started("r1", "1"), ev.StepEntered(rollout="r1", step="soak"), ended("r1"))
    append(log, "a@x", started("r2", "2"))
    first = find_rollout(log.path, "a@x", 2)
    assert (first.rollout, first.state, [s.state for s in first.steps]) == (
        "r1",
        "succeeded",
        ["running"],
    )
    assert find_rollout(log.path, "a@x", 5).state == "running"
