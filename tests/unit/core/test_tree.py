"""A rollout as it is drawn on a terminal, on real events of the core."""

import msgspec
import pytest
from core_values import TRAFFIC
from driver import SILENCE, World
from event_views import views, wall

from tidegate_controller.cli.live import failures
from tidegate_controller.cli.picture import Picture
from tidegate_controller.cli.tree import PLAIN_MARKS, Tree, plain
from tidegate_controller.core.draft import pending
from tidegate_controller.documents import ProgressView

BY_HAND = msgspec.structs.replace(TRAFFIC, adapter="none", directory="")


def seen(world: World, since: int = 0) -> Picture:
    picture = Picture()
    for view in views(world, since):
        picture.take(view)
    return picture


def drawn(
    picture: Picture, now: float, width: int = 80, height: int = 50, *, lost: bool = False
) -> list[str]:
    return plain(Tree(picture).lines(wall(now), width, height, lost=lost))


def tree(world: World, since: int = 0, seconds: float = 0.0) -> list[str]:
    """What is drawn `seconds` after the last event."""
    return drawn(seen(world, since), world.now + seconds)


def beneath(lines: list[str], step: str) -> list[str]:
    """What is drawn beneath the step, without what follows it."""
    start = next(index for index, line in enumerate(lines) if f" {step} " in line) + 1
    rest = [index for index, line in enumerate(lines) if index >= start and line[4] != " "]
    return [line.strip() for line in lines[start : rest[0] if rest else len(lines)]]


def progress(world: World, node: str, text: str, done: int = 0, total: int = 0) -> ProgressView:
    (action,) = [action for action in pending(world.state) if action.work.at == node]
    return ProgressView(node=node, action=action.id, text=text, done_bytes=done, total_bytes=total)


def test_the_present_step_has_its_nodes_beneath_it_and_others_a_line() -> None:
    world = World()
    world.deploy("1")
    world.until("start")
    assert tree(world, seconds=4.0) == [
        "rollout r1: deploy shop in test, nothing -> 1, blue-green on 2 nodes",
        "  by ada, 4 s",
        "  ✓ Preflight     0.0 s",
        "  ✓ Prepare       0.0 s",
        "  ✓ Migrate       0.0 s",
        "  ● Start           4 s  at most 5 min 51 s more",
        "      ● a/blue       4 s  start",
        "      ● b/blue       4 s  start",
        "  ○ Shift",
        "  ○ Switch",
        "  ○ Soak                 healthy for 10 s",
        "  ○ Verify",
    ]


def test_a_soak_counts_down() -> None:
    world = World()
    world.deploy("1")
    world.until("soak")
    assert "  ● Soak            4 s  all stay healthy for 6 s more" in tree(world, seconds=4.0)


def test_a_soak_begins_anew_when_a_place_was_unwell() -> None:
    world = World()
    world.deploy("1")
    world.until("soak")
    world.leave("b")
    assert "  ● Soak            0 s  at most 6 min 10 s more" in tree(world)
    world.now += 8.0
    world.come_back("b")
    assert "  ● Soak           12 s  all stay healthy for 6 s more" in tree(world, seconds=4.0)


def test_what_a_node_fetches_is_shown_with_its_share() -> None:
    world = World()
    world.deploy("1")
    world.until("prepare")
    picture = seen(world)
    picture.hear(progress(world, "a", "fetching", 30_000_000, 120_000_000))
    picture.hear(progress(world, "b", "unpacking", 120_000_000, 120_000_000))
    assert beneath(drawn(picture, world.now + 2.0), "Prepare") == [
        "● a/blue       2 s  prepare: fetching, 25 % of 120 MB",
        "● b/blue       2 s  prepare: unpacking",
    ]


def test_of_a_script_the_last_line_of_its_output_is_shown() -> None:
    world = World()
    world.deploy("1")
    world.until("migrate")
    picture = seen(world)
    picture.hear(progress(world, "a", "step 1 of 2\nstep 2 of 2\n"))
    assert beneath(drawn(picture, world.now), "Migrate") == [
        "● a/blue       0 s  run migrate.sh: step 2 of 2"
    ]


def test_a_node_that_is_away_says_for_how_long_and_how_long_it_is_waited_for() -> None:
    world = World()
    world.deploy("1")
    world.until("start")
    world.leave("b")
    lines = tree(world, seconds=20.0)
    assert beneath(lines, "Start")[1] == "! b/blue  away for 20 s, waited for 40 s more"
    world.answer_all()
    world.come_back("b")
    assert "away" not in "\n".join(tree(world))


def test_a_node_that_is_away_while_nothing_is_asked_of_it_stands_at_the_top() -> None:
    world = World()
    world.deploy("1")
    world.until("soak")
    world.leave("b")
    assert tree(world)[2] == "  ! b away for 0 s, waited for 1 min more"


def test_above_twenty_nodes_there_are_totals_and_a_few_by_name() -> None:
    world = World(nodes=[f"n{number}" for number in range(1, 31)])
    world.deploy("1")
    opened = {action.work.at: action for action in world.until("prepare")}
    for number in range(1, 12):
        world.answer(opened[f"n{number}"])
    world.leave("n30")
    picture = seen(world)
    for number in range(12, 30):
        picture.hear(progress(world, f"n{number}", "fetching", number, 100))
    assert beneath(drawn(picture, world.now), "Prepare") == [
        "30 nodes: 11 done, 18 under way, 1 away",
        "! n30/blue  away for 0 s, waited for 1 min more",
        *(
            f"● n{n}/blue       0 s  prepare: fetching, {n} % of 100 B"
            for n in (12, 13, 14, 15, 16)
        ),
    ]


def test_works_that_must_wait_for_their_turn_are_counted() -> None:
    world = World(nodes=[f"n{number}" for number in range(60)])
    world.deploy("1")
    world.until("prepare")
    assert beneath(tree(world), "Prepare")[0] == "60 nodes: 50 under way, 10 to come"


def test_a_terminal_that_is_too_low_gets_the_condensed_tree_too() -> None:
    world = World(nodes=[f"n{number}" for number in range(12)])
    world.deploy("1")
    world.until("start")
    lines = drawn(seen(world), world.now, height=18)
    assert len(lines) <= 18
    assert beneath(lines, "Start")[0] == "12 nodes: 12 under way"


def test_where_there_is_no_room_the_present_step_is_shown_and_finished_ones_are_not() -> None:
    world = World()
    world.deploy("1")
    world.until("start")
    assert drawn(seen(world), world.now + 4.0, height=5) == [
        "rollout r1: deploy shop in test, nothing -> 1, blue-green on 2 nodes",
        "  ● Start           4 s  at most 5 min 51 s more",
        "      2 nodes: 2 under way",
        "      ● a/blue       4 s  start",
        "      ● b/blue       4 s  start",
    ]


def test_nor_is_a_step_that_has_failed_pushed_out() -> None:
    world = World().deployed("1")
    since = len(world.log)
    world.deploy("2")
    world.until("shift")
    world.fates = {"shift": "failed"}
    world.go(lambda: world.state.rollout is None or world.state.rollout.undoing)
    lines = drawn(seen(world, since), world.now, height=5)
    assert len(lines) == 5
    assert lines[0].startswith("rollout r2")
    assert any(line.startswith("  ✗ Shift") for line in lines)
    assert any(line.startswith("  ● Shift back") for line in lines)


@pytest.mark.parametrize("height", [2, 5, 8, 12, 16])
def test_never_more_lines_are_drawn_than_there_is_room_for(height: int) -> None:
    world = World(nodes=[f"n{number}" for number in range(40)])
    world.deploy("1")
    world.until("start")
    assert len(drawn(seen(world), world.now, height=height)) <= height


def test_steps_that_an_undo_leaves_out_are_not_reached() -> None:
    world = World().deployed("1")
    since = len(world.log)
    world.deploy("2")
    assert world.finish(start="failed") == "rolled_back"
    lines = tree(world, since)
    assert [line for line in lines if "not reached" in line] == [
        f"  ○ {name:9}            not reached" for name in ("Shift", "Switch", "Soak", "Verify")
    ]
    assert lines[-1] == "undone: no traffic was moved, so there was none to move back"


def test_an_undo_that_moves_traffic_back_is_a_step_beneath_its_reason() -> None:
    world = World().deployed("1")
    since = len(world.log)
    world.deploy("2")
    world.until("soak")
    world.fates = {"shift-back": SILENCE}
    world.report("a/green", healthy=False)
    lines = tree(world, since, seconds=2.0)
    undoing = next(index for index, line in enumerate(lines) if line.startswith("undoing: "))
    assert "a/green had passed its checks and failed again" in " ".join(lines[undoing:])
    assert lines[-3:] == [
        "  ● Shift back       2 s  at most 1 min 28 s more",
        "      ● balancer       2 s  move traffic",
        "      ! a/green: not healthy",
    ]


def test_a_rollout_that_waits_for_a_person_says_why_and_what_to_type() -> None:
    world = World()
    world.deploy("1", traffic=BY_HAND)
    world.fates = {"shift": "unknown"}
    world.go(lambda: world.state.rollout.waiting is not None)
    lines = tree(world)
    assert lines[-4:] == [
        "! waits for a person: route did not work",
        "    tidegate rollout continue r1   Go on: it was done.",
        "    tidegate rollout retry    r1   Do once more what is in doubt.",
        "    tidegate rollout abort    r1   Give up, and go back to where it was.",
    ]
    assert beneath(lines, "Shift") == ["! balancer       0 s  move traffic is in doubt"]


def test_what_a_person_says_was_done_has_not_failed() -> None:
    world = World()
    world.deploy("1", traffic=BY_HAND)
    world.fates = {"shift": "unknown"}
    world.go(lambda: world.state.rollout.waiting is not None)
    world.fates = {}
    world.reply("continue")
    assert world.finish() == "succeeded"
    assert failures(seen(world)) == []


def test_what_has_failed_is_told_once_it_is_over() -> None:
    world = World().deployed("1")
    since = len(world.log)
    world.deploy("2")
    world.finish(**{"start@b": "failed"})
    assert failures(seen(world, since)) == ["b/green: start failed"]


def test_a_controller_that_does_not_answer_is_said() -> None:
    world = World()
    world.deploy("1")
    world.until("start")
    lines = drawn(seen(world), world.now, lost=True)
    assert lines[2] == "  ! the controller does not answer; the rollout waits with it"


def test_a_terminal_without_unicode_gets_other_marks() -> None:
    world = World()
    world.deploy("1")
    world.until("start")
    lines = plain(Tree(seen(world), PLAIN_MARKS).lines(wall(world.now), 80, 50))
    assert all(line.isascii() for line in lines)
    assert "  > Start           0 s  at most 5 min 55 s more" in lines


def test_what_nodes_say_cannot_steer_the_terminal() -> None:
    world = World()
    world.deploy("1")
    world.until("migrate")
    picture = seen(world)
    picture.hear(progress(world, "a", "\x1b[2J\x1b]0;mine\x07 red"))
    assert beneath(drawn(picture, world.now), "Migrate") == [
        "● a/blue       0 s  run migrate.sh: [2J]0;mine red"
    ]
