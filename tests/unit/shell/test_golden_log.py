"""Logs that people have: every later version reads them, and makes the same of them.

golden_log.jsonl is never changed, only added to; see make_golden_log.py.
"""

import json
from pathlib import Path
from typing import get_args

import pytest
from without_doors import Desk

from tidegate_controller import views
from tidegate_controller.cli.event_words import event_line
from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.draft import pending
from tidegate_controller.core.evolve import evolve
from tidegate_controller.history import History
from tidegate_controller.log import Batch, EventLog, Record

LINES = [
    json.loads(line)
    for line in Path(__file__).with_name("golden_log.jsonl").read_text().splitlines()
]


def record(seq: int, line: dict[str, object]) -> Record:
    return Record(seq, data=json.dumps(line.pop("data")).encode(), cause=None, hash="", **line)


RECORDS = [record(seq, dict(line)) for seq, line in enumerate(LINES, 1)]


def folded() -> t.State:
    state = t.State()
    for one in RECORDS:
        if one.stream == "shop@prod":
            state = evolve(state, one.event, one.clock)
    return state


@pytest.mark.parametrize("one", RECORDS, ids=lambda one: f"{one.seq}-{one.kind}")
def test_every_event_that_was_ever_written_can_be_read(one: Record) -> None:
    assert type(one.event).__name__ == one.kind


@pytest.mark.parametrize("one", RECORDS, ids=lambda one: f"{one.seq}-{one.kind}")
def test_every_event_is_told_to_people_in_a_line(one: Record) -> None:
    line = event_line(views.event_view(one))
    assert f"  {one.stream}  {one.kind}" in line
    assert "{" not in line
    assert len(line) < 500


def test_every_kind_of_event_has_been_written() -> None:
    assert {kind.__name__ for kind in get_args(ev.AnyEvent)} == {one.kind for one in RECORDS}


def test_nothing_that_was_written_is_lost_in_reading() -> None:
    started = next(one.event for one in RECORDS if one.kind == "Started")
    assert started.spec.settings.service.ports == {"blue": 8001, "green": 8002}
    assert started.spec.settings.hooks.migrate == "every-node"
    assert started.spec.keep.age_seconds == 86400.0
    assert [step.retry_seconds for step in started.plan] == [None, None, 2.0, None]
    assert started.plan[2].works[0].weights == {t.Place("a/blue"): 100}
    assert started.plan[2].works[0].traffic.lanes == 8


def test_what_a_clean_up_did_is_read_and_older_ones_say_nothing_of_it() -> None:
    ended = [one.event for one in RECORDS if isinstance(one.event, ev.ActionEnded)]
    assert [event.cleaned is None for event in ended] == [True] * (len(ended) - 1) + [False]
    last = ended[-1].cleaned
    assert last is not None
    assert (last.removed[0].kind, last.count, last.bytes) == ("release", 1, 4096)
    assert last.made[0].name == "/var/backups/shop/1.tar.gz"
    assert last.stayed[0].why == "held by a slot"


def test_they_add_up_to_the_same_state() -> None:
    state = folded()
    assert (state.stream, state.version, state.epoch) == ("shop@prod", 32, 1)
    assert state.rollout is None
    assert pending(state) == ()
    assert [release.version for release in state.committed] == ["1"]
    assert [release.version for release in state.undone] == ["2"]
    assert state.settled == state.weights == {t.Place("a/blue"): 100}
    assert state.routed == {t.Place("a/blue"): "a:8001"}
    assert state.places[t.Place("a/blue")].healthy is True
    assert state.places[t.Place("a/green")].running is False
    assert state.current == {"a": "green"}
    assert state.journals == {"a": "another-journal-of-a"}
    assert state.members == ("a",)
    assert state.debts == {"a/green": "stop a/green: no answer"}
    assert [chore.id for chore in state.chores] == ["r2/stop/a/green"]
    assert state.spec is not None
    assert (state.spec.protected, state.keep.releases) == (False, 3)
    assert state.requests == {
        "request-1": "r1",
        "request-2": "r1",
        "request-3": "r2",
        "request-4": "",
        "request-5": "",
    }


async def test_a_controller_starts_on_them_and_goes_on(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.db")
    for one in RECORDS:
        log.append([Batch(one.stream, one.version - 1, one.at, one.clock, (one.event,), None)])
    log.close()
    desk = Desk(tmp_path)
    await desk.start()
    assert desk.engine.epoch == 2
    assert desk.state().committed == folded().committed
    (app,) = views.status(desk.engine, "").apps
    assert (app.version, [node.node for node in app.nodes]) == ("1", ["a"])
    assert [node.node for node in views.nodes(desk.engine).nodes] == ["a"]
    told = History(desk.log.path).catch_up()
    assert [(one.rollout, one.state) for one in told] == [
        ("r1", "succeeded"),
        ("r2", "rolled_back"),
        ("r4", "aborted"),
    ]
    await desk.stop()
