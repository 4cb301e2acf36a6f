"""What a node went through, folded from real events of the core; answers in a rollout's view."""

import msgspec
from core_values import TRAFFIC
from driver import World
from event_views import records

from tidegate_controller.core import events as ev
from tidegate_controller.history import Fold
from tidegate_controller.node_history import CHANGES_KEPT, NodeHistory

BY_HAND = msgspec.structs.replace(TRAFFIC, adapter="none", directory="")


def history(world: World) -> NodeHistory:
    found = NodeHistory()
    for record in records(world):
        found.take(record, record.event)
    return found


def told(world: World, node: str) -> list[str]:
    return [
        " ".join(part for part in (change.slot, change.what, change.detail) if part)
        for change in history(world).of(node)
    ]


def test_starts_stops_and_what_went_wrong_are_told_by_node() -> None:
    world = World().deployed("1", "2")
    world.rest()
    assert told(world, "a") == [
        "blue 1 started healthy",
        "green 2 started healthy",
        "blue stopped by command",
    ]


def test_a_start_that_fails_says_why() -> None:
    world = World(nodes=["a"]).deployed("1")
    world.deploy("2")
    world.finish(start="failed")
    assert told(world, "a")[1] == "green start of 2 failed start did not work"


def test_what_changes_by_itself_is_told_with_the_version() -> None:
    world = World(nodes=["a"]).deployed("1")
    world.report("a/blue", healthy=False)
    world.report("a/blue", running=False, healthy=False)
    assert told(world, "a")[1:] == ["blue 1 unhealthy", "blue 1 stopped"]


def test_a_node_that_goes_and_comes_back_is_told_where_it_matters() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until("prepare")
    world.lose_disks("b")
    assert "away" in told(world, "b")
    assert "came back with an empty journal" in told(world, "b")
    assert "away" not in told(world, "a")


def test_only_the_last_changes_are_kept() -> None:
    world = World(nodes=["a"]).deployed("1")
    for number in range(2 * CHANGES_KEPT):
        world.report("a/blue", healthy=bool(number % 2))
    changes = history(world).of("a")
    assert len(changes) == CHANGES_KEPT
    assert changes[-1].what == "1 healthy"


def test_of_a_node_that_was_removed_nothing_is_kept() -> None:
    world = World(nodes=["a"]).deployed("1")
    found = history(world)
    last = records(world)[-1]
    event = ev.NodeRemoved(node="a", removed_by="ada")
    found.take(last, event)
    assert found.of("a") == []


# --- A rollout's view ----------------------------------------------------------------------------


def test_what_a_person_says_was_done_is_ok_in_the_rollouts_view() -> None:
    world = World()
    world.deploy("1", traffic=BY_HAND)
    world.fates = {"shift": "unknown"}
    world.go(lambda: world.state.rollout.waiting is not None)
    (started, *rest) = [
        r for r in records(world) if r.kind not in ("Observed", "ControllerStarted")
    ]
    assert isinstance(started.event, ev.Started)
    fold = Fold(started, started.event)
    for record in rest:
        fold.take(record)
    assert (fold.view.state, fold.view.waiting_for) == ("paused", "route did not work")
    assert fold.view.answers == ["continue", "retry", "abort"]
    world.fates = {}
    seen = len(world.log)
    world.reply("continue")
    for record in records(world)[seen:]:
        fold.take(record)
    (shift,) = [step for step in fold.view.steps if step.name == "Shift"]
    node = shift.nodes["controller"]
    assert (shift.state, node.state) == ("ok", "ok")
    assert node.error == "unknown: route did not work; done, says ada"
    assert fold.view.answers == []


def test_a_question_that_changes_is_shown_anew_and_the_rollout_runs_after_the_answer() -> None:
    world = World().deployed("1")
    begun = len(world.log)
    world.deploy("2")
    (migration,) = world.until("migrate")
    world.leave("a")
    world.wait(world.pace.away_seconds)
    world.come_back("a")
    world.answer(migration, "unknown")
    (started, *rest) = records(world)[begun:]
    assert isinstance(started.event, ev.Started)
    fold = Fold(started, started.event)
    for record in rest:
        fold.take(record)
    assert [r.kind for r in rest].count("Waiting") == 2
    assert (fold.view.state, fold.view.waiting_for) == ("paused", "task did not work")
    seen = len(world.log)
    world.reply("retry")
    for record in records(world)[seen:]:
        fold.take(record)
    assert (fold.view.state, fold.view.waiting_for) == ("running", None)
