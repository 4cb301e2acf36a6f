"""The way back in place, where what served before is not well: traffic stays where it is well."""

import pytest
from driver import World

from tidegate_controller.core.spec import Waves

FLOORS = [None, "0", "1"]


def with_one_more(floor: str | None) -> World:
    """1 serves on a alone; 2 comes to b, which is new and has taken traffic, and then to a."""
    world = World("a", strategy="rolling", waves=Waves(min_in_service="0")).deployed("1")
    world.rest()
    world.add("b")
    world.waves = Waves(min_in_service=floor)
    world.deploy("2")
    return world


def fails_once(world: World, step: str) -> None:
    """The balancer refuses the move, and takes it when it is tried again, a second later."""
    world.go(lambda: world.step == step)
    (move,) = world.open()
    world.answer(move, "failed")


@pytest.mark.parametrize("floor", FLOORS)
def test_traffic_does_not_go_back_to_an_old_place_that_turns_unwell_meanwhile(
    floor: str | None,
) -> None:
    world = with_one_more(floor)
    world.until("prepare-2")
    world.abort()
    fails_once(world, "shift-back")
    world.report("a/blue", healthy=False)
    assert world.finish() == "rolled_back"
    assert world.traffic["b/blue"] == 100
    assert world.owing() == {"b"}


@pytest.mark.parametrize("floor", FLOORS)
def test_nor_to_one_that_was_started_again_for_it(floor: str | None) -> None:
    world = with_one_more(floor)
    world.until("soak-2")
    world.abort()
    fails_once(world, "admit-back-1")
    world.report("a/blue", healthy=False)
    assert world.finish() == "rolled_back"
    assert world.traffic == {"b/blue": 100}
    assert world.owing() == {"a", "b"}


@pytest.mark.parametrize("floor", FLOORS)
def test_nor_to_one_that_was_unwell_before_the_way_back_began(floor: str | None) -> None:
    world = with_one_more(floor)
    world.until("prepare-2")
    world.report("a/blue", healthy=False)
    world.abort()
    assert world.finish() == "rolled_back"
    assert world.traffic["b/blue"] == 100


@pytest.mark.parametrize("floor", FLOORS)
def test_what_was_left_with_the_new_release_is_brought_back_once_the_old_one_is_well(
    floor: str | None,
) -> None:
    world = with_one_more(floor)
    world.until("soak-2")
    world.abort()
    fails_once(world, "admit-back-1")
    world.report("a/blue", healthy=False)
    world.finish()
    world.report("a/blue", healthy=True)
    world.rollback()
    assert world.finish() == "succeeded"
    assert world.traffic["a/blue"] == 100
    assert "b/blue" not in world.running()


@pytest.mark.parametrize("well", [True, False])
def test_the_only_node_goes_back_as_it_came(well: bool) -> None:
    world = World("a", strategy="rolling", waves=Waves(min_in_service="0")).deployed("1")
    world.deploy("2")
    world.until("soak-1")
    world.report("a/green", healthy=well)
    if well:
        world.abort()
    assert world.finish() == "rolled_back"
    assert world.traffic == {"a/blue": 100}
    assert world.running() == {"a/blue": "1"}
    assert world.state.debts == {}


def test_a_person_is_asked_before_the_last_one_that_serves_is_taken_out_of_traffic() -> None:
    """Nothing serves on b, whose release fails, and the floor of one needs a."""
    world = with_one_more("1")
    world.until("soak-2")
    world.report("b/blue", healthy=False)
    world.go(lambda: world.state.rollout.waiting is not None)
    assert "without a 0 would be in service" in world.state.rollout.waiting.why
    assert world.traffic == {"a/green": 100}
    world.reply("continue")
    assert world.finish() == "rolled_back"
    assert world.traffic == {"a/blue": 100}


def test_a_converge_that_is_given_up_takes_nothing_from_others_that_are_unwell() -> None:
    """They run the same release, and are no matter of it."""
    waves = Waves(max_parallel="1", min_in_service="1")
    world = World("abc", strategy="rolling", waves=waves).deployed("1")
    world.rest()
    world.lose_disks("a")
    world.converge("a")
    world.until("start")
    world.report("b/blue", healthy=False)
    world.abort()
    assert world.finish() == "rolled_back"
    assert "b/blue" in world.traffic
