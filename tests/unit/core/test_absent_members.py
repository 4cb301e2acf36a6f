"""Nodes that are away when a deployment begins, and that it goes on without: nothing that was known
of them is, so nothing relies on them."""

import pytest
from core_values import POLICY
from driver import World

from tidegate_controller.core import types as t
from tidegate_controller.core.changes import replace
from tidegate_controller.core.facts import astray
from tidegate_controller.core.inputs import NodeRemoved
from tidegate_controller.core.spec import Waves

ANY = replace(POLICY, max_failed_nodes="100%", of_at_least=1)


def absent_a(strategy: str, waves: Waves) -> World:
    """1 serves on three nodes; then the agent of a goes, between two rollouts."""
    world = World("abc", strategy=strategy, waves=waves, policy=ANY).deployed("1")
    world.rest()
    world.leave("a")
    return world


def test_a_node_that_is_away_is_none_of_those_that_must_stay_in_service() -> None:
    world = absent_a("rolling", Waves(max_parallel="2", min_in_service="1"))
    seen = len(world.log)
    world.deploy("2")
    assert world.finish() == "succeeded"
    assert world.steps(seen).count("drain-1") == 1
    assert world.steps(seen).count("drain-2") == 1, "b and c one after the other"


def test_an_undo_moves_no_traffic_back_to_a_node_that_was_away_from_the_start() -> None:
    world = absent_a("blue-green", Waves())
    world.deploy("2")
    world.until("soak")
    assert world.state.places[t.Place("a/blue")].healthy is None
    world.report("b/green", healthy=False)
    world.abort()
    assert world.finish() == "rolled_back"
    assert world.traffic == {"b/blue": 100, "c/blue": 100}
    assert world.owing() == {"a"}
    world.come_back("a")
    world.converge()
    assert world.finish() == "succeeded"
    assert world.traffic == {"a/blue": 100, "b/blue": 100, "c/blue": 100}


@pytest.mark.parametrize("named", ["", "green", "blue"])
def test_a_removed_node_that_comes_back_serving_says_what_current_names(named: str) -> None:
    """Nothing is remembered of it; and a reboot would not start the slot that has the traffic."""
    world = absent_a("blue-green", Waves())
    world.feed(NodeRemoved(node="a"))
    world.currents["a"] = named
    world.come_back("a")
    assert world.traffic == {"a/blue": 100, "b/blue": 100, "c/blue": 100}
    assert astray(world.state) == ([] if named == "blue" else ["a/blue"])
    world.deploy("2")
    assert world.finish() == "succeeded"
    assert astray(world.state) == []


def test_a_removed_node_that_comes_back_empty_is_treated_first() -> None:
    """Traffic still leads to what it had, so it counts as a member that serves nobody: the others,
    of which the floor needs each, go one after the other."""
    floor = Waves(max_parallel="1", min_in_service="2")
    world = absent_a("rolling", floor)
    world.feed(NodeRemoved(node="a"))
    world.come_back("a", disk_replaced=True)
    assert world.state.places[t.Place("a/blue")] == t.Known(running=False, healthy=False)
    world.deploy("2")
    assert world.finish() == "succeeded"
    assert world.traffic == {"a/green": 100, "b/green": 100, "c/green": 100}
