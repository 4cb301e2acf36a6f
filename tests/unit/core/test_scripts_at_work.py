"""A step that has failed waits for the scripts that still run: the next command to their node would
end them half way."""

import pytest
from core_values import ON_EVERY_NODE, PACE
from driver import SILENCE, World

from tidegate_controller.core import types as t
from tidegate_controller.core.draft import pending
from tidegate_controller.errors import Refused


def one_has_failed() -> tuple[World, t.Action]:
    """The migration has failed at b; that at a is at work."""
    world = World(settings=ON_EVERY_NODE).deployed("1")
    world.deploy("2")
    migrations = {action.work.at: action for action in world.until("migrate")}
    world.answer(migrations["b"], "failed")
    return world, migrations["a"]


@pytest.mark.parametrize("outcome", ["ok", "failed"])
def test_a_migration_that_is_at_work_is_waited_for_when_another_has_failed(outcome: str) -> None:
    world, at_work = one_has_failed()
    world.wait(PACE.away_seconds)
    assert pending(world.state) == (at_work,)
    world.answer(at_work, outcome)
    assert world.ending.state == "rolled_back"
    assert "b/green: task did not work" in world.ending.reason


def test_it_is_waited_for_as_long_as_it_may_take() -> None:
    world, _ = one_has_failed()
    world.fates = {"migrate@a": SILENCE}
    world.go(lambda: world.state.rollout is None)
    assert world.ending.state == "rolled_back"


def test_a_person_is_asked_where_its_node_has_gone() -> None:
    world, at_work = one_has_failed()
    world.leave("a")
    world.wait(PACE.away_seconds)
    wait = world.state.rollout.waiting
    assert wait.answers == ("abort",)
    assert "b/green: task did not work; a went away while it ran migrate.sh" in wait.why
    world.come_back("a")
    world.answer(at_work, "failed")
    assert world.ending.state == "rolled_back"


def test_a_person_who_does_not_wait_is_told_what_runs_on() -> None:
    world, _ = one_has_failed()
    world.leave("a")
    world.wait(PACE.away_seconds)
    world.reply("abort")
    assert world.ending.reason.startswith("Migrate failed: aborted by ada: b/green: task")


def test_an_abort_says_that_a_script_runs_on() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until("migrate")
    world.abort()
    assert "migrate.sh may run on at a: the next deployment there" in world.ending.reason


def test_a_rollout_whose_script_runs_makes_no_room_for_another() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until("migrate")
    world.pause()
    with pytest.raises(Refused):
        world.deploy("3", supersede=True)
