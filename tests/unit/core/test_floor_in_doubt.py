"""A move of traffic whose outcome nobody knows may have been done: what it sends to may be in
service, and the floor may need it."""

import pytest
from driver import SILENCE, World

from tidegate_controller.core import events as ev
from tidegate_controller.core.settling import REWRITE
from tidegate_controller.core.spec import Policy, Waves

FREE, ONE = Waves(min_in_service="0"), Waves(min_in_service="1")


def moves(world: World, since: int) -> list[list[str]]:
    """The places that each move sends to."""
    issued = [e.action for _, e in world.log[since:] if isinstance(e, ev.ActionIssued)]
    return [sorted(a.work.weights) for a in issued if a.work.verb == "route"]


def stopped_in_doubt() -> World:
    """2 was admitted on a, nobody knows whether it was, and nothing was undone; b has 1."""
    world = World("ab", strategy="rolling", waves=FREE, policy=Policy(on_failure="stop"))
    world.deployed("1").rest()
    world.deploy("2")
    assert world.finish(**{"admit-1": SILENCE}) == "failed"
    assert world.state.settled == {"b/blue": 100}
    world.waves = ONE
    return world


def test_the_way_back_takes_nothing_from_what_a_late_move_may_have_brought() -> None:
    """2 comes to b, which is new, and a, which has served alone, loses its disk meanwhile."""
    world = World("a", strategy="rolling", waves=FREE).deployed("1")
    world.rest()
    world.add("b")
    world.waves = ONE
    world.deploy("2")
    world.until("admit-1")
    world.lose_disks("a")
    seen = len(world.log)
    world.finish(**{"admit-1": SILENCE})
    assert moves(world, seen) == [["b/blue"]]
    assert world.traffic == {"b/blue": 100}
    assert world.owing() == {"a", "b"}


def test_the_way_back_to_nothing_leaves_what_is_well_again_when_it_is_tried_once_more() -> None:
    """All that has served is gone with its disk, and the only one that may serve was down when the
    way back was planned."""
    world = World("a", strategy="rolling", waves=ONE).deployed("1")
    world.rest()
    world.lose_disks("a")
    world.converge("a")
    world.until("admit")
    world.fates = {"admit": SILENCE, "shift-back": SILENCE}
    seen = len(world.log)
    world.report("a/green", running=False, healthy=False)
    world.until("shift-back")
    world.report("a/green", running=True, healthy=True)
    world.go(lambda: len(moves(world, seen)) > 1)
    assert moves(world, seen) == [[], ["a/green"]]
    world.finish()
    assert world.traffic == {"a/green": 100}


def test_a_person_is_asked_before_such_a_node_is_drained_to_go_back() -> None:
    world = World("ab", strategy="rolling", waves=ONE).deployed("1")
    world.rest()
    world.deploy("2")
    world.until("admit-1")
    world.fates = {"admit-1": SILENCE}
    world.lose_disks("b")
    world.go(lambda: world.state.rollout.waiting is not None)
    assert "without a 0 would be in service" in world.state.rollout.waiting.why
    assert world.traffic == {"a/green": 100}
    world.reply("continue")
    world.fates = {}
    world.finish()
    assert world.traffic == {"a/blue": 100}


@pytest.mark.parametrize("disk", [True, False])
def test_the_next_deployment_settles_traffic_with_what_the_floor_needs_of_it(disk: bool) -> None:
    world = stopped_in_doubt()
    if disk:
        world.lose_disks("b")
    else:
        world.report("b/blue", running=False, healthy=False)
    seen = len(world.log)
    world.deploy("3")
    assert world.finish() == "succeeded"
    assert world.steps(seen)[1] == "settle"
    first = moves(world, seen)[0]
    assert first == (["a/green"] if disk else ["a/green", "b/blue"])
    assert world.traffic == {"a/blue": 100, "b/green": 100}


def test_it_settles_traffic_without_it_where_enough_others_are_in_service() -> None:
    world = stopped_in_doubt()
    seen = len(world.log)
    world.deploy("3")
    assert world.finish() == "succeeded"
    assert moves(world, seen)[0] == ["b/blue"]


def test_a_first_deployment_that_came_late_is_no_service_to_be_kept() -> None:
    world = World("ab", strategy="rolling", waves=ONE)
    world.deploy("1")
    assert world.finish(shift=SILENCE) == "failed"
    seen = len(world.log)
    world.deploy("2")
    assert world.finish() == "succeeded"
    assert world.traffic == {"a/green": 100, "b/green": 100}
    assert not any(step.startswith("drain") for step in world.steps(seen))


@pytest.mark.parametrize("floor", [ONE, FREE])
def test_the_target_is_written_once_more_with_what_the_floor_needs_by_then(floor: Waves) -> None:
    world = World("ab", strategy="rolling", waves=floor).deployed("1")
    world.rest()
    world.deploy("2")
    world.fates = {"admit-1": SILENCE}
    world.until("stop-back-1")
    world.report("b/blue", running=False, healthy=False)
    world.finish()
    written = [
        e.action.work.weights
        for _, e in world.log
        if isinstance(e, ev.ActionIssued) and e.action.step == REWRITE
    ]
    kept = {"b/blue": 100, "a/green": 100} if floor is ONE else {"b/blue": 100}
    assert written == [kept]
    assert world.traffic.get("a/green" if floor is ONE else "a/blue") == 100
