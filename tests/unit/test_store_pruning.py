"""Which artifacts the controller keeps: what some environment may still need, and no more."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Collection
from pathlib import Path

import pytest
from core_values import SPEC, release

from tidegate_controller import store_pruning
from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.engine import Engine
from tidegate_controller.fleet import Fleet
from tidegate_controller.log import EventLog, Record
from tidegate_controller.store_pruning import UNDONE_KEPT, Pruner, referenced
from tidegate_controller.stream import Stream

PATIENCE_SECONDS = 20.0


def digest(version: str) -> str:
    return release(version).revision.digest


def rollout(version: str, previous: str | None, **more: object) -> t.Rollout:
    return t.Rollout(
        id="r1",
        kind="deploy",
        strategy="blue-green",
        release=release(version),
        previous=release(previous) if previous else None,
        nodes=("a",),
        absent={},
        spec=SPEC,
        before={},
        **more,  # type: ignore[arg-type]
    )


def test_what_is_committed_stays_and_of_what_was_undone_the_last_few() -> None:
    undone = tuple(release(f"bad-{number}") for number in range(10))
    state = t.State(committed=(release("1"), release("2")), undone=undone)
    last = {digest(f"bad-{number}") for number in range(10 - UNDONE_KEPT, 10)}
    assert referenced([state]) == {digest("1"), digest("2")} | last


def test_what_is_being_brought_stays_and_what_it_would_go_back_to() -> None:
    work = t.Work(verb="start", at="a", revision=release("planned").revision)
    step = t.Step(id="s", name="S", works=(work,), deadline_seconds=1.0)
    state = t.State(rollout=rollout("2", "1", plan=(step,)))
    assert referenced([state]) == {digest("1"), digest("2"), digest("planned")}
    first = t.State(rollout=rollout("2", None, plan=()))
    assert referenced([first]) == {digest("2")}


def test_what_runs_stays_whatever_the_history_says_and_what_a_chore_is_about() -> None:
    chore = t.Chore(
        id="c",
        work=t.Work(verb="stop", at="a", revision=release("stopping").revision),
        not_before=0.0,
    )
    places = {
        t.Place("a/blue"): t.Known(revision=release("stray").revision, running=True),
        t.Place("a/green"): t.Known(),
    }
    state = t.State(places=places, chores=(chore,))
    assert referenced([state]) == {digest("stray"), digest("stopping")}


def test_every_environment_counts() -> None:
    assert referenced([]) == set()
    states = [t.State(committed=(release("1"),)), t.State(committed=(release("2"),))]
    assert referenced(states) == {digest("1"), digest("2")}


class Store:
    """Notes what it was asked; `trouble` is raised instead of an answer."""

    def __init__(self) -> None:
        self.asked: list[set[str]] = []
        self.threads: set[int] = set()
        self.trouble: OSError | None = None

    def prune(self, referenced: Collection[str]) -> list[str]:
        self.threads.add(threading.get_ident())
        self.asked.append(set(referenced))
        if self.trouble is not None:
            raise self.trouble
        return []


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    log = EventLog(tmp_path / "events.db")
    engine = Engine(log, Fleet(), str)
    running = asyncio.create_task(engine.run())
    await engine.ready.wait()
    yield engine
    running.cancel()
    await asyncio.wait({running})
    log.close()


async def asked(store: Store, times: int) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(store.asked) < times:
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def running(pruner: Pruner) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(pruner.run())
    yield task
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("ending", ["succeeded", "rolled_back", "failed"])
async def test_the_store_is_pruned_at_the_start_and_after_each_rollout_in_a_thread(
    engine: Engine, ending: t.Ending
) -> None:
    store = Store()
    stream = engine.streams["a@x"] = Stream("a@x")
    stream.state = t.State(committed=(release("1"),))
    async with running(Pruner(engine, store)):
        await asked(store, 1)
        assert store.asked == [{digest("1")}]
        stream.state = t.State(committed=(release("1"), release("2")))
        event = ev.Ended(rollout="r1", state=ending)
        engine._follow_up(stream, event, Record(1, "a@x", 1, "", 0.0, "Ended", b"", None, ""))
        await asked(store, 2)
    assert store.asked[1] == {digest("1"), digest("2")}
    assert threading.get_ident() not in store.threads


async def test_the_store_is_pruned_now_and_then_where_no_rollout_ends(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_pruning, "PRUNE_SECONDS", 0.01)
    store = Store()
    async with running(Pruner(engine, store)):
        await asked(store, 3)


async def test_nothing_is_removed_while_the_log_may_not_know_what_the_fleet_needs(
    engine: Engine, tmp_path: Path
) -> None:
    store = Store()
    stream = engine.streams["a@x"] = Stream("a@x")
    stream.state = t.State(reconciling=True)
    await Pruner(engine, store).prune()
    log = EventLog(tmp_path / "not-yet-read.db")
    await Pruner(Engine(log, Fleet(), str), store).prune()
    log.close()
    assert store.asked == []


async def test_a_store_that_cannot_be_looked_through_is_said_and_tried_again(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store()
    store.trouble = OSError(5, "Input/output error")
    async with running(Pruner(engine, store)) as task:
        await asked(store, 1)
        engine.ended.set()
        await asked(store, 2)
        assert not task.done()
    assert "the artifacts could not be looked through: [Errno 5]" in caplog.text
