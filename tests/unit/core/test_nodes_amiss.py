"""Whatever a rollout comes to: a node that does not serve with the active release owes it."""

from core_values import PACE
from driver import World

from tidegate_controller.core.amiss import amiss
from tidegate_controller.core.spec import Waves

ONE = Waves(max_parallel="1")
OLD = {"a/blue": 100, "b/blue": 100}


def given_up_with_traffic_moved() -> World:
    """1 is active, and 2 serves: somebody has given up the undo."""
    world = World().deployed("1")
    world.deploy("2")
    world.until("switch")
    world.fates = {"shift-back": "failed"}
    world.abort()
    world.give_up()
    assert world.owing() == {"controller"}
    return world


def stopped_in_the_middle() -> World:
    """In place: somebody has aborted it, without an undo, while the first node was stopped."""
    world = World("abc", strategy="rolling", waves=ONE).deployed("1")
    world.deploy("2")
    world.until("stop-1")
    world.abort(undo=False)
    assert "was taken out of traffic" in world.state.debts["a/blue"]
    return world


def test_what_serves_since_an_undo_was_given_up_is_owed_once_it_is_known() -> None:
    world = given_up_with_traffic_moved()  # seeds 242, 360, 388
    world.deploy("3")
    assert world.finish(start="failed") == "rolled_back"
    assert world.state.debts == dict.fromkeys("ab", "serves with 2 in green, not with 1")


def test_nodes_that_were_left_with_another_release_are_brought_to_the_active_one() -> None:
    world = given_up_with_traffic_moved()
    world.deploy("3")
    world.finish(start="failed")
    for node in world.nodes:
        world.come_back(node)
    world.wait(3600.0)
    world.converge()
    assert world.finish() == "succeeded"
    assert (world.traffic, world.state.debts) == (OLD, {})


def test_what_somebody_leaves_as_it_is_waits_until_somebody_asks() -> None:
    world = given_up_with_traffic_moved()
    world.deploy("3")
    world.until("prepare")
    world.abort(undo=False)
    assert world.owing() == {"a", "b"}
    assert "serves with 2 in green, not with 1" in world.state.debts["a/green"]
    assert "the next deploy or rollback mends that" in world.state.debts["a/green"]
    world.wait(3600.0)
    assert world.converge() == ()


def test_that_a_slot_was_stopped_brings_its_node_no_traffic() -> None:
    world = stopped_in_the_middle()  # seeds 60, 308
    world.come_back("b", disk_replaced=True)
    world.converge()
    assert world.finish() == "succeeded"
    world.wait(PACE.keep_old_seconds)
    world.rest()
    assert "a/blue" not in world.running()
    assert "takes no traffic" in world.state.debts["a/blue"]
    assert world.converge() == ()


def test_a_rollout_that_fails_does_not_pay_what_an_earlier_one_has_left() -> None:
    world = stopped_in_the_middle()  # seeds 168, 30007
    world.deploy("3")
    assert world.finish(**{"start-1": "failed"}) == "rolled_back"
    world.rest()
    assert "a" in world.owing()
    world.deploy("3")
    assert world.finish() == "succeeded"
    assert world.state.debts == {}


def test_nothing_is_amiss_where_all_serve_and_before_anything_does() -> None:
    assert amiss(World().state) == {}
    assert amiss(World().deployed("1", "2").state) == {}


def test_of_two_groups_the_idle_one_owes_no_traffic() -> None:
    slots = {slot: {"group": slot} for slot in ("blue", "green")}
    labels = {"a": {"group": "blue"}, "b": {"group": "green"}}
    world = World(slots=slots, labels=labels).deployed("1", "2")
    assert world.traffic == {"b/green": 100}
    assert (amiss(world.state), world.state.debts) == ({}, {})
