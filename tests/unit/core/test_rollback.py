"""A rollback is a plan like any other: to the release before, at once where it still runs."""

import pytest
from core_values import place
from driver import World

from tidegate_controller.core.changes import replace
from tidegate_controller.core.deploying import rollback_goal
from tidegate_controller.core.inputs import Rollback
from tidegate_controller.core.releases import earlier_releases
from tidegate_controller.core.spec import Policy
from tidegate_controller.errors import Refused

NEW = {"a/green": 100, "b/green": 100}
OLD = {"a/blue": 100, "b/blue": 100}


def test_a_rollback_to_slots_that_still_run_is_instant() -> None:
    world = World().deployed("1", "2")
    seen = len(world.log)
    world.rollback()
    assert world.finish() == "succeeded"
    assert world.steps(seen) == ["preflight", "shift", "switch"]
    assert world.traffic == OLD


def test_an_instant_rollback_takes_no_time() -> None:
    world = World().deployed("1", "2")
    before = world.now
    world.rollback()
    world.finish()
    assert world.now == before


def test_a_rollback_to_slots_that_were_stopped_starts_them_from_the_kept_release() -> None:
    world = World().deployed("1", "2")
    world.rest()
    seen = len(world.log)
    world.rollback()
    assert world.finish() == "succeeded"
    assert world.steps(seen) == ["preflight", "prepare", "start", "shift", "switch"]
    assert world.traffic == OLD
    assert {p: d for p, d in world.running().items() if p in OLD} == {"a/blue": "1", "b/blue": "1"}


def test_a_rollback_starts_only_the_slots_that_do_not_run() -> None:
    world = World().deployed("1", "2")
    world.report("a/blue", running=False, healthy=False)
    seen = len(world.log)
    world.rollback()
    assert world.finish() == "succeeded"
    assert world.issued("start", seen) == ["a/blue"]
    assert world.traffic == OLD


def test_a_rollback_is_no_soak() -> None:
    world = World().deployed("1", "2")
    world.rollback()
    assert "soak" not in [step.id for step in world.state.rollout.plan]


def test_rolling_back_twice_returns_to_where_it_began() -> None:
    world = World().deployed("1", "2")
    for expected in ("1", "2", "1"):
        world.rollback()
        assert world.finish() == "succeeded"
        assert world.state.committed[-1].version == expected


def test_the_release_before_is_the_last_other_one_that_succeeded() -> None:
    world = World().deployed("1", "2", "3")
    world.deploy("4")
    world.finish(start="failed")
    world.rollback()
    assert world.state.rollout.release.version == "2"


def test_the_same_release_deployed_again_is_not_the_one_before() -> None:
    world = World().deployed("1", "2")
    world.report("a/green", running=False, healthy=False)
    world.deployed("2")
    world.rollback()
    assert world.state.rollout.release.version == "1"


@pytest.mark.parametrize("step", ["preflight", "shift", "switch"])
def test_a_rollback_that_fails_is_undone_too(step: str) -> None:
    world = World().deployed("1", "2")
    world.rollback()
    assert world.finish(**{step: "failed"}) == "rolled_back"
    assert world.traffic == NEW
    world.rest()
    assert world.running() == {"a/green": "2", "b/green": "2"}


def test_after_a_rollback_that_was_undone_the_old_slots_are_kept_for_a_while() -> None:
    world = World().deployed("1", "2")
    world.rollback()
    world.finish(switch="failed")
    assert ("stop", "a/blue", world.state.pace.keep_old_seconds) in world.chores()


def test_an_old_slot_that_fails_before_the_shift_stops_an_instant_rollback() -> None:
    world = World().deployed("1", "2")
    world.rollback()
    world.report("a/blue", healthy=False)
    assert world.finish() == "rolled_back"
    assert world.traffic == NEW


def test_a_rollback_goes_back_although_a_node_was_left_with_the_release_before() -> None:
    world = World(("a", "b", "c"), policy=Policy(max_failed_nodes="1")).deployed("1")
    world.deploy("2")
    assert world.finish(**{"start@c": "failed"}) == "succeeded"
    assert world.traffic == {"a/green": 100, "b/green": 100, "c/blue": 100}
    world.rollback()
    assert world.state.rollout.release.version == "1"


def test_what_is_undone_since_makes_no_half_done_rollout_of_a_node_that_was_left_out() -> None:
    world = World(("a", "b", "c"), policy=Policy(max_failed_nodes="1")).deployed("1")
    world.deploy("2")
    world.finish(**{"start@c": "failed"})
    world.deploy("3")
    assert world.finish(start="failed") == "rolled_back"
    world.rollback()
    assert world.state.rollout.release.version == "1"


def test_after_a_rollout_that_stopped_half_way_back_is_the_release_before_it() -> None:
    world = World(policy=Policy(on_failure="stop")).deployed("1", "2")
    world.deploy("3")
    assert world.finish(switch="failed") == "failed"
    world.rollback()
    assert world.state.rollout.release.version == "2"
    assert world.finish() == "succeeded"
    world.rollback()
    assert world.state.rollout.release.version == "1"


def test_a_rollback_that_would_take_traffic_from_an_absent_node_is_refused() -> None:
    world = World().deployed("1", "2")
    world.leave("b")
    with pytest.raises(Refused, match="b is not connected and would lose its traffic") as refused:
        world.rollback()
    spec = world.state.spec
    assert spec is not None
    command = f"tidegate rollback {spec.app} -e {spec.environment} --without-absent"
    assert refused.value.hint.endswith(command)
    assert world.traffic == NEW
    assert world.state.rollout is None


def test_a_rollback_may_take_absent_nodes_out_of_traffic() -> None:
    world = World().deployed("1", "2")
    world.leave("b")
    world.rollback(without_absent=True)
    assert world.finish() == "succeeded"
    assert world.traffic == {"a/blue": 100}
    assert "b" in world.owing()


def test_what_an_absent_node_owes_is_not_paid_by_a_chore() -> None:
    world = World().deployed("1", "2")
    world.leave("b")
    world.rollback(without_absent=True)
    world.finish()
    world.come_back("b")
    world.rest()
    assert "b" in world.owing()


def test_an_absent_nodes_debt_is_paid_by_the_next_deploy() -> None:
    world = World().deployed("1", "2")
    world.leave("b")
    world.rollback(without_absent=True)
    world.finish()
    world.come_back("b")
    world.deploy("3")
    assert world.finish() == "succeeded"
    assert world.state.debts == {}
    assert set(world.traffic) == {"a/green", "b/green"} or len(world.traffic) == 2


def test_a_debt_is_not_paid_by_a_deploy_that_was_undone() -> None:
    world = World().deployed("1", "2")
    world.leave("b")
    world.rollback(without_absent=True)
    world.finish()
    world.come_back("b")
    world.deploy("3")
    assert world.finish(switch="failed") == "rolled_back"
    assert world.traffic == {"a/blue": 100}
    assert "b" in world.owing()


def test_a_rollback_that_was_undone_before_traffic_moved_leaves_absent_nodes_no_debt() -> None:
    world = World().deployed("1", "2")
    world.leave("b")
    world.rollback(without_absent=True)
    assert world.finish(preflight="failed") == "rolled_back"
    assert world.traffic == NEW
    assert world.state.debts == {}


def test_a_rollback_that_was_undone_gives_absent_nodes_their_traffic_once_they_are_here() -> None:
    world = World().deployed("1", "2")
    world.leave("b")
    world.rollback(without_absent=True)
    assert world.finish(switch="failed") == "rolled_back"
    assert world.traffic == {"a/green": 100}
    assert world.owing() == {"b"}
    world.come_back("b")
    world.converge()
    assert world.finish() == "succeeded"
    assert (world.traffic, world.state.debts) == (NEW, {})


def test_both_slots_of_a_node_that_was_away_are_stopped_when_it_is_back() -> None:
    world = World().deployed("1", "2")
    world.leave("b")
    world.rollback(without_absent=True)
    world.finish()
    world.wait(world.state.pace.keep_old_seconds)
    world.come_back("b")
    world.rest()
    assert world.running() == {"a/blue": "1"}


def test_a_node_that_returns_in_mid_rollback_is_not_drawn_in() -> None:
    world = World().deployed("1", "2")
    world.leave("b")
    world.rollback(without_absent=True)
    world.come_back("b")
    assert world.finish() == "succeeded"
    assert world.traffic == {"a/blue": 100}
    assert world.state.places[place("b/green")].healthy is True


def test_a_rollback_can_name_the_version_to_go_back_to() -> None:
    world = World().deployed("1", "2", "3")
    world.rollback(to="1")
    assert world.state.rollout.release.version == "1"
    assert world.finish() == "succeeded"
    assert set(world.running().values()) == {"1", "3"}


def test_without_a_name_it_is_the_one_before() -> None:
    world = World().deployed("1", "2", "3")
    world.rollback()
    assert world.state.rollout.release.version == "2"


def test_who_names_the_active_version_is_done_already() -> None:
    world = World().deployed("1", "2")
    assert world.rollback(to="2") == ()


def test_a_version_that_never_succeeded_is_refused_with_those_that_did() -> None:
    world = World().deployed("1", "2")
    world.deploy("3")
    assert world.finish(start="failed") == "rolled_back"
    state = world.state
    with pytest.raises(Refused, match="no release 3 has succeeded here") as refused:
        world.rollback(to="3")
    assert refused.value.hint == "what has, newest first: 2, 1"
    assert world.state == state


def test_of_two_releases_of_one_version_the_one_that_is_not_active_is_meant() -> None:
    world = World().deployed("1", "2")
    first = world.state.committed[-1]
    other = replace(first, revision=replace(first.revision, config="c2"))
    state = replace(world.state, committed=(*world.state.committed, other))
    asked = Rollback(
        request_id="x", rollout="r9", members=world.members(), requested_by="ada", to="2"
    )
    assert rollback_goal(state, asked).release == first


def test_what_one_can_go_back_to_is_each_release_once_newest_first() -> None:
    world = World().deployed("1", "2", "3")
    world.rollback(to="1")
    world.finish()
    assert [release.version for release in earlier_releases(world.state)] == ["3", "2"]
