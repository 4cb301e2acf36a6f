"""A controller starts from its last snapshot, and makes the same of it as of the whole log."""

import asyncio
import json
import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from without_doors import SILENT, Desk

from tidegate_controller import (
    config_spelled,
    history,
    log_check,
    server,
    snapshot_keeper,
    snapshots,
    views,
)
from tidegate_controller.artifacts import ArtifactStore
from tidegate_controller.core import evolve
from tidegate_controller.core import types as t
from tidegate_controller.core.draft import pending
from tidegate_controller.documents import rollouts
from tidegate_controller.history import History
from tidegate_controller.log import EventLog, LogError
from tidegate_controller.operator_service import OperatorService
from tidegate_controller.snapshot_keeper import load
from tidegate_controller.turns import Turns


async def with_a_past(desk: Desk) -> None:
    """Two nodes, two releases; the third is under way on one that says nothing."""
    for name in "ab":
        await desk.node(name)
    await desk.deployed("1", nodes=("a", "b"))
    await desk.deployed("2", nodes=("a", "b"))
    await desk.deployed("7", app="blog", nodes=("b",))
    desk.agents["a"].outcomes["start_slot"] = SILENT
    await desk.deploy("3", nodes=("a", "b"))
    await desk.until(lambda: [(a.work.verb, a.work.at) for a in opened(desk)] == [("start", "a")])


def opened(desk: Desk) -> list[t.Action]:
    """All that has not ended yet, whichever stream it is of."""
    return [action for s in desk.engine.streams.values() for action in pending(s.state)]


async def kept(desk: Desk) -> None:
    """A snapshot of now, with the history of whoever lists rollouts."""
    OperatorService(desk.engine, desk.nodes, ArtifactStore(desk.folder / "artifacts"))
    await desk.engine.snapshots.take()


def change(path: Path, sql: str, *values: object) -> None:
    with sqlite3.connect(path) as database:
        assert database.execute(sql, values).rowcount > 0


def folded(desk: Desk) -> tuple[snapshots.Snapshot | None, object, object]:
    """The snapshot that was begun with, and what came of it."""
    log = EventLog(desk.log.path)
    keeper = snapshot_keeper.SnapshotKeeper(log, None, None)
    found = load(log, keeper)
    assert log.versions() == found.versions()
    log.close()
    return keeper.loaded, found.states, found.index


async def test_what_follows_from_a_snapshot_is_what_follows_from_all_events(desk: Desk) -> None:
    await with_a_past(desk)
    none, *from_all = folded(desk)
    assert none is None
    await kept(desk)
    snapshot, *from_snapshot = folded(desk)
    assert snapshot is not None
    assert snapshot.seq == desk.log.last_seq
    assert from_snapshot == from_all
    await desk.agents["b"].leave()
    await desk.until(lambda: desk.kinds()[-1] == "NodeLeft")
    assert desk.log.last_seq > snapshot.seq
    later, *from_snapshot = folded(desk)
    assert later == snapshot
    change(desk.log.path, "DELETE FROM snapshots")
    assert folded(desk) == (None, *from_snapshot)


async def test_a_controller_goes_on_from_it(desk: Desk) -> None:
    await with_a_past(desk)
    await kept(desk)
    before = (desk.state().rollout, desk.engine.rollouts, desk.engine.fleet.registered)
    await desk.stop()
    await desk.start()
    assert desk.engine.snapshots.loaded is not None
    after = (desk.state().rollout, desk.engine.rollouts, desk.engine.fleet.registered)
    assert after[1:] == before[1:]
    assert desk.state().rollout is not None
    assert desk.engine.epoch == 2
    del desk.agents["a"].outcomes["start_slot"]
    for agent in desk.agents.values():
        await agent.join()
    await desk.until(lambda: len(desk.endings()) == 3)
    assert desk.endings()[-1] == "succeeded"
    await desk.deployed("8", app="blog", nodes=("b",))
    assert list(desk.engine.rollouts) == ["r1", "r2", "r3", "r4", "r5"]


async def test_the_history_goes_on_from_it_too(desk: Desk) -> None:
    await with_a_past(desk)
    await kept(desk)
    (snapshot, *_) = folded(desk)
    assert snapshot is not None
    del desk.agents["a"].outcomes["start_slot"]
    await desk.agents["a"].answer(desk.agents["a"].last("start_slot"))
    await desk.until(lambda: len(desk.endings()) == 3 and not opened(desk))
    whole = History(desk.log.path)
    resumed = History(desk.log.path, snapshot.parts["history"])
    assert resumed.catch_up() == whole.catch_up()
    assert [summary.state for summary in whole.catch_up()] == ["succeeded"] * 4
    assert all(resumed.nodes.of(node) == whole.nodes.of(node) for node in "ab")
    assert resumed.past() == whole.past()


async def test_the_check_compares_it_with_what_the_events_give(desk: Desk) -> None:
    await with_a_past(desk)
    await kept(desk)
    found = log_check.check(desk.log.path)
    assert (found.compared, found.ignored) == ([found.seq], [])
    assert (found.events, found.streams) == (desk.log.last_seq, 4)


async def test_the_check_knows_that_what_waited_at_a_snapshot_may_have_begun_since(
    desk: Desk,
) -> None:
    await with_a_past(desk)
    reply = await desk.requests.deploy(desk.request("4", desk.spec(), queue=True))
    assert reply.queued
    waits_at = desk.engine.place_of(reply.rollout)
    await kept(desk)
    turns = asyncio.create_task(Turns(desk.engine).run())
    agent = desk.agents["a"]
    agent.outcomes.clear()
    await agent.answer(agent.last("start_slot"))
    await desk.until(lambda: desk.endings() == ["succeeded"] * 4)
    turns.cancel()
    assert desk.engine.place_of(reply.rollout) != waits_at
    found = log_check.check(desk.log.path)
    assert (len(found.compared), found.ignored) == (1, [])


def stored_wrong(
    monkeypatch: pytest.MonkeyPatch, part: str, otherwise: Callable[[bytes], bytes]
) -> None:
    """Snapshots have this part otherwise from now on, with hashes that fit."""
    whole = snapshots.store

    def wrong(database: sqlite3.Connection, snapshot: snapshots.Snapshot) -> None:
        broken = otherwise(snapshot.parts[part])
        assert broken != snapshot.parts[part]
        whole(database, snapshot._replace(parts={**snapshot.parts, part: broken}))

    monkeypatch.setattr(snapshots, "store", wrong)


@pytest.mark.parametrize("change_of", ["seq", "none", "more"])
async def test_the_check_finds_a_rollout_that_a_snapshot_has_elsewhere(
    desk: Desk, change_of: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def otherwise(data: bytes) -> bytes:
        index = json.loads(data)
        if change_of == "seq":
            index["rollouts"]["r1"][2] += 1
        elif change_of == "none":
            del index["rollouts"]["r1"]
        else:
            index["rollouts"]["r9"] = index["rollouts"]["r1"]
        return json.dumps(index).encode()

    stored_wrong(monkeypatch, "index", otherwise)
    await with_a_past(desk)
    await kept(desk)
    with pytest.raises(LogError, match="the list of rollouts is otherwise than the events give"):
        log_check.check(desk.log.path)


@pytest.mark.parametrize("part", ["state shop@prod", "index", "history"])
async def test_the_check_finds_a_snapshot_that_is_otherwise(
    desk: Desk, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was written wrong in the first place: its own hashes fit."""

    def otherwise(data: bytes) -> bytes:
        return data.replace(b'"healthy":true', b'"healthy":null').replace(b'"ada"', b'"eve"')

    stored_wrong(monkeypatch, part, otherwise)
    await with_a_past(desk)
    await kept(desk)
    with pytest.raises(LogError, match="the events are as they were written, but the snapshot"):
        log_check.check(desk.log.path)


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("UPDATE snapshots SET data = CAST('{}' AS BLOB)", "was changed, or is of another log"),
        ("UPDATE snapshots SET data = 'text'", "was changed, or is of another log"),
        ("UPDATE snapshots SET code = 'older'", "was made by another version of Tidegate"),
        ("UPDATE snapshots SET seq = seq - 1", "was changed, or is of another log"),
        ("DELETE FROM snapshots WHERE name = 'index'", "was changed, or is of another log"),
        ("DELETE FROM snapshots WHERE name LIKE 'state %'", "was changed, or is of another log"),
        ("DROP TABLE snapshots", ""),
    ],
)
async def test_one_that_does_not_count_is_not_used_and_that_is_said(
    desk: Desk, sql: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    await with_a_past(desk)
    before = folded(desk)
    await kept(desk)
    with sqlite3.connect(desk.log.path) as database:
        database.execute(sql)
    with caplog.at_level(logging.WARNING):
        assert folded(desk) == before
    assert said in caplog.text


async def test_whoever_waits_for_a_long_log_to_be_read_is_told_how_far_it_is(
    desk: Desk, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_keeper, "TOLD_EVENTS", 20)
    await with_a_past(desk)
    with caplog.at_level(logging.INFO, "tidegate_controller.snapshot_keeper"):
        folded(desk)
    told = [line.partition(", to ")[0] for line in caplog.messages]
    assert told[:2] == ["reading the whole log: 20 events", "reading the whole log: 40 events"]
    assert len(told) == desk.log.last_seq // 20


async def test_where_the_last_is_damaged_the_one_before_is_used(desk: Desk) -> None:
    await with_a_past(desk)
    await kept(desk)
    first = desk.log.last_seq
    await desk.agents["b"].leave()
    await desk.until(lambda: desk.kinds()[-1] == "NodeLeft")
    await desk.engine.snapshots.take()
    change(desk.log.path, "UPDATE snapshots SET hash = 'x' WHERE seq > ?", first)
    snapshot, *_ = folded(desk)
    assert snapshot is not None
    assert snapshot.seq == first


async def test_only_the_last_two_are_kept_and_none_where_nothing_has_happened(desk: Desk) -> None:
    seqs = []
    for name in "abc":
        await desk.node(name)
        await desk.engine.snapshots.take()
        await desk.engine.snapshots.take()
        seqs.append(desk.log.last_seq)
    found = list(desk.log.kept())
    assert [snapshot.seq for snapshot in found] == [seqs[2], seqs[1]]


async def test_one_is_taken_every_so_many_events(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_keeper, "EVERY_EVENTS", 5)
    await desk.node("a")
    await desk.deployed("1")
    await desk.until(lambda: desk.engine.snapshots.last_seq > desk.log.last_seq - 5)
    assert desk.engine.snapshots.last_seq > 5


async def test_an_orderly_stop_leaves_one_where_much_would_have_to_be_folded(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.node("a")
    await desk.deployed("1")
    await server.take_snapshot(desk.engine)
    assert list(desk.log.kept()) == []
    monkeypatch.setattr(server, "STOP_EVENTS", 10)
    await server.take_snapshot(desk.engine)
    (found,) = desk.log.kept()
    assert not isinstance(found, str)
    assert found.seq == desk.log.last_seq


async def test_a_stream_that_stands_still_leaves_no_snapshot_that_lacks_its_events(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    await with_a_past(desk)
    stream = desk.stream()
    stream.state = desk.state("blog@prod")  # of an older version: an error came between
    await desk.engine.snapshots.take()
    assert list(desk.log.kept()) == []
    assert "shop@prod stands still" in caplog.text


async def test_a_snapshot_that_fails_stops_nothing_and_is_tried_again_later(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    await with_a_past(desk)

    async def fails() -> bytes:
        raise KeyError("no such step")

    desk.engine.snapshots.add("other", fails)
    await desk.engine.snapshots.take()
    assert "no such step" in caplog.text
    assert list(desk.log.kept()) == []
    await desk.agents["b"].leave()
    await desk.until(lambda: desk.kinds()[-1] == "NodeLeft")

    async def works() -> bytes:
        return b"1"

    desk.engine.snapshots.add("other", works)
    await desk.engine.snapshots.take()
    (found,) = desk.log.kept()
    assert not isinstance(found, str)


async def test_damage_after_it_keeps_a_controller_from_starting(desk: Desk) -> None:
    await with_a_past(desk)
    await kept(desk)
    await desk.agents["b"].leave()
    await desk.until(lambda: desk.kinds()[-1] == "NodeLeft")
    change(desk.log.path, "UPDATE events SET at = 'x' WHERE seq = ?", desk.log.last_seq)
    with pytest.raises(LogError, match="was changed after it was written"):
        folded(desk)


async def test_damage_before_it_is_for_the_check_to_find(desk: Desk) -> None:
    await with_a_past(desk)
    await kept(desk)
    change(desk.log.path, "UPDATE events SET at = 'x' WHERE seq = 5")
    snapshot, *_ = folded(desk)
    assert snapshot is not None
    with pytest.raises(LogError, match="event 5 .* was changed"):
        log_check.check(desk.log.path)


@pytest.mark.parametrize("module", [evolve, history, views, rollouts, config_spelled])
def test_code_that_made_part_of_a_snapshot_makes_it_useless_once_it_has_changed(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshots.code.__wrapped__()
    read = Path.read_bytes

    def changed(path: Path) -> bytes:
        return read(path) + b"#" * (str(path) == module.__file__)

    monkeypatch.setattr(Path, "read_bytes", changed)
    assert snapshots.code.__wrapped__() != before


def test_a_snapshot_is_of_the_code_that_runs_although_its_files_were_replaced_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots.code.cache_clear()
    log = EventLog(tmp_path / "events.db")
    with monkeypatch.context() as upgraded:
        upgraded.setattr(Path, "read_bytes", lambda path: b"newer " + path.name.encode())
        log.keep(snapshots.Snapshot(0, {"clock": b"1.0"}))
        snapshots.code.cache_clear()  # and the next controller begins
        assert list(log.kept()) == [
            "the snapshot of event 0 was made by another version of Tidegate"
        ]
    snapshots.code.cache_clear()
    assert [found.seq for found in log.kept()] == [0]
    log.close()
