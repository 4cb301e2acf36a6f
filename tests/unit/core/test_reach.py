"""Nodes that a request leaves out, by mistake or not, are named before it and at its head."""

from driver import World
from test_explain import told
from test_narrate import story

from tidegate_controller.core import events as ev
from tidegate_controller.core.inputs import NodeRemoved

THREE = ("a", "b", "c")
BACK = (
    "1 was on 3 nodes, and this goes to 1: b, c are not part of it; to bring back what is missing, "
    "deploy 1 with `nodes` as it was then"
)


def narrowed() -> World:
    """Release 1 was on three nodes; 2 is brought to one of them."""
    world = World(nodes=THREE).deployed("1")
    world.deploy("2", nodes=["a"])
    return world


def notes(world: World) -> tuple[str, ...]:
    """Those of the rollout that was started last."""
    return [event for _, event in world.log if isinstance(event, ev.Started)][-1].notes


def test_a_deployment_to_the_same_nodes_has_nothing_to_note() -> None:
    assert notes(World(nodes=THREE).deployed("1", "2")) == ()


def test_a_deployment_to_fewer_nodes_names_those_that_lose_their_traffic() -> None:
    assert notes(narrowed()) == ("b, c: no traffic any more",)


def test_a_rollback_after_it_says_that_the_others_are_not_part_of_it() -> None:
    world = narrowed()
    world.finish()
    world.rollback(nodes=["a"])
    assert notes(world) == (BACK,)


def test_a_rollback_of_a_rollout_that_has_failed_is_about_what_serves() -> None:
    world = World(nodes=THREE).deployed("1", "2")
    world.deploy("3", nodes=["a"])
    world.finish(start="failed")
    world.rollback()
    assert notes(world) == ()


def test_a_node_that_was_forgotten_is_missed_by_nobody() -> None:
    world = narrowed()
    world.finish()
    world.feed(NodeRemoved(node="c"))
    world.rollback(nodes=["a"])
    assert notes(world)[0].startswith("1 was on 2 nodes, and this goes to 1: b is not part of it")


def test_what_is_said_of_a_node_that_is_away_is_said_once() -> None:
    world = World(nodes=THREE).deployed("1", "2")
    world.leave("b")
    world.rollback(without_absent=True)
    assert notes(world) == ()


def test_many_nodes_are_not_all_named() -> None:
    world = World(nodes=[f"n{number}" for number in range(15)]).deployed("1")
    world.deploy("2", nodes=["n0"])
    assert notes(world)[0].endswith("n10 and 4 more: no traffic any more")


def test_the_story_and_the_explanation_begin_with_it() -> None:
    world = World(nodes=THREE).deployed("1")
    since = len(world.log)
    world.deploy("2", nodes=["a"])
    assert story(world, since)[1] == "  b, c: no traffic any more"
    assert "b, c: no traffic any more." in told(world, since)[:3]
