"""What is said of many nodes at once stays a line that somebody reads."""

from driver import World

from tidegate_controller.core import events as ev
from tidegate_controller.core.changes import replace
from tidegate_controller.core.draft import Draft
from tidegate_controller.core.spec import Policy
from tidegate_controller.core.steps import fault_of

MANY = tuple("abcdefghijklmno")
FAR = 1e9


def owed_by_many() -> World:
    world = World(MANY, policy=Policy(max_failed_nodes="14")).deployed("1")
    for node in MANY[1:]:
        world.leave(node)
    world.deploy("2")
    assert world.finish() == "succeeded"
    for node in MANY[1:]:
        world.come_back(node)
    return world


def test_a_converge_of_many_nodes_names_the_first_of_them_as_its_reason() -> None:
    started = next(e for e in owed_by_many().converge() if isinstance(e, ev.Started))
    assert started.nodes == MANY[1:]
    assert started.message.startswith("b away when 2 came")
    assert started.message.endswith(" and 4 more")


def test_a_step_that_is_late_names_the_first_of_the_nodes_that_are_away() -> None:
    world = World(MANY)
    world.deploy("1")
    world.until("prepare")
    away = dict.fromkeys(MANY, FAR)
    late = Draft(replace(world.state, away=away), FAR)
    fault = fault_of(late, late.rollout.plan[late.rollout.cursor])
    assert fault.endswith("; i is away; j is away and 5 more")
