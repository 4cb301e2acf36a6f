"""The story of a rollout: what is told of it to whoever waits at the terminal."""

import msgspec
import pytest
from driver import World
from event_views import views, wall

from tidegate_controller.cli.narrate import Narrator
from tidegate_controller.cli.picture import Picture
from tidegate_controller.core import events as ev
from tidegate_controller.core.inputs import Result
from tidegate_controller.documents import ProgressView


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


def test_what_a_node_says_of_a_work_that_ended_well_is_told_with_its_step() -> None:
    world = World(nodes=["a"])
    world.deploy("1")
    (action,) = world.until("migrate")
    world.feed(Result(action=action.id, outcome="ok", error="this release has no migrate.sh"))
    assert "Migrate done in 0.0 s: this release has no migrate.sh" in story(world, 0)


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


# --- What is awaited, heard and in doubt ----------------------------------------------------------


def in_step(world: World, step: str) -> tuple[Picture, Narrator, dict[str, str]]:
    """On the way, with the ids of what is open by node."""
    world.until(step)
    picture = Picture()
    for view in views(world):
        picture.take(view)
    opened = {action.work.at: action.id for action in world.state.rollout.open.values()}
    return picture, Narrator(picture), opened


def test_a_long_step_says_from_time_to_time_what_is_awaited_and_how_long_still() -> None:
    world = World(nodes=["n1", "n2", "n10", "n11", "n12"])
    world.deploy("1")
    picture, narrator, opened = in_step(world, "prepare")
    picture.hear(
        ProgressView(node="n2", action=opened["n2"], text="fetching", done_bytes=30, total_bytes=60)
    )
    assert narrator.meanwhile(wall(world.now + 10.0)) == [
        "Prepare: 10 s so far, waiting for n1/blue (prepare), n2/blue (fetching, 50 % of 60 B), "
        "n10/blue (prepare) and 2 more; at most 15 min 5 s more"
    ]


def test_so_does_a_soak() -> None:
    world = World(nodes=["a"])
    world.deploy("1")
    _, narrator, _ = in_step(world, "soak")
    assert narrator.meanwhile(wall(world.now + 4.0)) == [
        "Soak: 4 s so far; all stay healthy for 6 s more"
    ]


def test_what_a_script_says_is_told_and_not_again_when_it_has_failed() -> None:
    world = World(nodes=["a"])
    world.deploy("1")
    picture, narrator, opened = in_step(world, "migrate")
    doing = picture.doing(opened["a"])
    news = ProgressView(node="a", action=opened["a"], text="one\n\ntwo\n")
    assert narrator.heard(doing, news) == ["  a/blue | one", "  a/blue | two"]
    failed = Result(action=opened["a"], outcome="failed", error="bad", output_tail="one\n\ntwo\n")
    world.feed(failed)
    ended = [view for view in views(world) if view.kind == "ActionEnded"][-1]
    picture.take(ended)
    assert narrator.lines(ended) == ["  a/blue: run migrate.sh failed: bad"]


def test_of_a_long_output_the_end_is_told_and_where_the_rest_is() -> None:
    world = World(nodes=["a"])
    world.deploy("1")
    (action,) = world.until("start")
    tail = "".join(f"line {number}\n" for number in range(100))
    world.feed(Result(action=action.id, outcome="failed", error="it ended", output_tail=tail))
    lines = story(world, 0)
    assert "  its last output, 80 lines before it: tidegate rollout show r1:" in lines
    told = [line for line in lines if line.startswith("    | ")]
    assert told == [f"    | line {number}" for number in range(80, 100)]


def test_the_outputs_of_many_failures_are_not_all_told() -> None:
    world = World(nodes=[f"n{number}" for number in range(8)])
    world.deploy("1")
    actions = world.until("start")
    for action in actions[:-1]:
        result = Result(action=action.id, outcome="failed", error="it ended", output_tail="why\n")
        world.log += [(world.now, event) for event in (ended(result),)]
    lines = story(world, 0)
    assert len([line for line in lines if line.endswith("start failed: it ended")]) == 7
    assert lines.count("    | why") == 3


def ended(result: Result) -> ev.ActionEnded:
    return ev.ActionEnded(
        action=result.action,
        outcome=result.outcome,
        error=result.error,
        output_tail=result.output_tail,
    )


def test_whom_a_rollout_waits_for_is_told_with_what_to_type() -> None:
    world = World(nodes=["a"])
    world.deploy("1")
    (action,) = world.until("migrate")
    world.answer(action, "unknown")
    assert story(world, 0)[-5:] == [
        "  a/blue: run migrate.sh is in doubt: task did not work",
        "waiting for a person: task did not work",
        "  next: tidegate rollout continue r1   Go on: it was done.",
        "  next: tidegate rollout retry    r1   Do once more what is in doubt.",
        "  next: tidegate rollout abort    r1   Give up, and go back to where it was.",
    ]


def test_the_balancer_is_called_so() -> None:
    world = World(nodes=["a"]).deployed("1")
    since = len(world.log)
    world.deploy("2")
    world.finish(shift="failed")
    assert "  balancer: move traffic failed: route did not work" in story(world, since)


def test_what_is_owed_afterwards_is_told() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until("soak")
    world.report("a/blue", healthy=False, running=False)
    world.report("a/green", healthy=False)
    assert world.finish() == "rolled_back"
    (owed,) = [line for line in story(world, 0) if " owes: " in line]
    assert owed.startswith("  a owes: a/blue was away or not healthy when traffic moved back")


def test_why_somebody_asked_for_it_is_told() -> None:
    world = World(nodes=["a"])
    world.deploy("1", message="orders were lost")
    assert story(world, 0)[1] == "  why: orders were lost"


def test_why_a_work_has_failed_is_told_of_its_node_and_at_the_end() -> None:
    world = World(nodes=["a"])
    world.deploy("1")
    world.finish(start="failed")
    assert [line for line in story(world, 0) if "failed" in line] == [
        "  a/blue: start failed: start did not work",
        "Start failed",
        "rollout r1 failed: Start failed: a/blue: start did not work",
    ]


def test_a_pause_is_told_beside_the_time_that_a_step_took() -> None:
    world = World(nodes=["a"]).deployed("1")
    since = len(world.log)
    world.deploy("2")
    world.until("soak")
    world.pause()
    world.wait(35.0)
    world.resume()
    world.finish()
    assert "Soak done in 10.0 s, and 35 s paused" in story(world, since)


def test_one_that_is_resumed_says_what_it_still_waits_for_and_what_may_be_typed() -> None:
    world = World(nodes=["a"], approval=True)
    world.deploy("1")
    world.go(lambda: world.state.rollout.waiting is not None)
    world.pause()
    seen = len(story(world, 0))
    world.resume()
    resumed, waits, *answers = story(world, 0)[seen:]
    assert resumed == "resumed by ada"
    assert waits == "waiting for a person: approval, before version 1 gets any traffic"
    assert [line.split()[1:5] for line in answers] == [
        ["tidegate", "rollout", answer, "r1"] for answer in ("approve", "abort")
    ]


def test_so_does_one_that_waits_in_a_freeze() -> None:
    world = World(nodes=["a"]).deployed("1")
    since = len(world.log)
    world.deploy("2")
    world.until("start")
    world.freeze(5000.0)
    world.go(lambda: world.step == "shift")
    world.pause()
    seen = len(story(world, since))
    world.resume()
    resumed, waits, answers = story(world, since)[seen:]
    assert resumed == "resumed by ada"
    assert waits.startswith("waiting for the end of the freeze ")
    assert answers.endswith("at once: tidegate rollout promote r2 -m REASON")
