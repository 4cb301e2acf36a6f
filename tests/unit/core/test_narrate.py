"""The story of a rollout: what is told of it to whoever waits at the terminal."""

import msgspec
import pytest
from driver import World
from event_views import views

from tidegate_controller.cli.narrate import Narrator
from tidegate_controller.cli.picture import Picture


def story(world: World, since: int) -> list[str]:
    """The lines of the events that came after the first `since` ones."""
    picture = Picture()
    narrator = Narrator(picture)
    lines: list[str] = []
    for view in views(world, since):
        picture.take(view)
        lines += narrator.lines(view)
    return lines


def told(world: World, since: int) -> list[str]:
    """What is told of places that changed by themselves."""
    return [line for line in story(world, since) if line.endswith(": not healthy")]


def undone_once() -> World:
    """Release 1 serves from blue; green has what is left of an undone one and fails at it."""
    world = World(nodes=["a"]).deployed("1")
    world.deploy("2")
    world.finish(shift="failed")
    return world


def test_a_rollout_is_told_step_by_step() -> None:
    world = World(nodes=["a"])
    world.pace = msgspec.structs.replace(world.pace, soak_seconds=3.0)
    world.deployed("1")
    assert story(world, 0) == [
        "rollout r1: deploy shop in test, nothing -> 1, blue-green on 1 node",
        "Preflight done in 0.0 s",
        "Prepare done in 0.0 s",
        "Migrate done in 0.0 s",
        "Start done in 0.0 s",
        "Shift done in 0.0 s",
        "Switch done in 0.0 s",
        "Soak done in 3.0 s",
        "Verify done in 0.0 s",
        "rollout r1 succeeded",
    ]


def test_an_old_slot_that_is_retried_is_no_part_of_the_story() -> None:
    world = undone_once()
    since = len(world.log)
    world.deploy("3")
    world.until("prepare")
    world.report("a/green", healthy=False, running=False)
    world.report("a/green", healthy=None, running=True)
    world.report("a/green", healthy=False)
    assert told(world, since) == []


def test_nor_is_the_same_release_that_runs_there_from_before() -> None:
    world = undone_once()
    world.report("a/green", healthy=False)
    since = len(world.log)
    world.deploy("2")
    world.until("prepare")
    world.report("a/green", running=False)
    assert told(world, since) == []


def test_what_is_found_running_and_is_not_started_again_is() -> None:
    world = undone_once()
    since = len(world.log)
    world.deploy("2")
    world.until("shift")
    world.report("a/green", healthy=False)
    assert told(world, since) == ["  a/green: not healthy"]
    assert "start" not in world.steps(since)


def test_a_slot_that_the_rollout_started_is() -> None:
    world = undone_once()
    since = len(world.log)
    world.deploy("3")
    world.until("soak")
    world.report("a/green", healthy=False)
    assert world.finish() == "rolled_back"
    assert told(world, since) == ["  a/green: not healthy"]
    lines = story(world, since)
    assert lines[-1] == f"rollout r3 rolled back: {world.ending.reason}"
    assert "undoing: moving traffic back to where it was" in lines


def test_the_release_that_serves_is_until_traffic_has_moved_away() -> None:
    world = World(nodes=["a"]).deployed("1")
    since = len(world.log)
    world.deploy("2")
    world.until("prepare")
    world.report("a/blue", healthy=False)
    assert told(world, since) == ["  a/blue: not healthy"]
    world.until("soak")
    world.report("a/blue", healthy=True)
    world.report("a/blue", healthy=False)
    assert told(world, since) == ["  a/blue: not healthy"]


@pytest.mark.parametrize("place", ["a/blue", "a/green"])
def test_of_a_rollback_both_releases_are_until_one_has_the_traffic(place: str) -> None:
    world = World(nodes=["a"]).deployed("1", "2")
    since = len(world.log)
    world.rollback()
    assert world.step == "preflight"
    world.report(place, healthy=False)
    assert told(world, since) == [f"  {place}: not healthy"]
