"""Nodes that fail within what the policy allows: the rollout goes on without them."""

import pytest
from core_values import PACE, place
from driver import SILENCE, World

from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.failures import allowed_failures
from tidegate_controller.core.spec import Policy
from tidegate_controller.errors import Refused

NODES = ("a", "b", "c", "d")
ONE = Policy(max_failed_nodes="1")
TWO = Policy(max_failed_nodes="2")
REST_NEW = {"b/green": 100, "c/green": 100, "d/green": 100}


def deploying(
    policy: Policy = ONE, step: str = "preflight", nodes: tuple[str, ...] = NODES
) -> World:
    world = World(nodes, policy=policy).deployed("1")
    world.deploy("2")
    world.until(step)
    return world


def dropped(world: World) -> dict[str, str]:
    """Node -> why, of all that were ever dropped."""
    return {e.node: e.why for _, e in world.log if isinstance(e, ev.NodeDropped)}


@pytest.mark.parametrize(
    ("share", "at_least", "nodes", "allowed"),
    [
        ("0", 1, 10, 0),
        ("2", 1, 10, 2),
        ("20", 1, 10, 10),
        ("25%", 1, 10, 2),
        ("25%", 1, 3, 0),
        ("100%", 1, 3, 3),
        ("2", 5, 4, 0),
        ("25%", 8, 8, 2),
    ],
)
def test_how_many_nodes_may_fail(share: str, at_least: int, nodes: int, allowed: int) -> None:
    policy = Policy(max_failed_nodes=share, of_at_least=at_least)
    assert allowed_failures(policy, nodes) == allowed


def test_what_fails_after_the_question_is_asked_about_next() -> None:
    world = deploying(Policy(on_failure="pause"), "start")
    first, second, *_ = [a for a in world.open() if a.work.at in ("a", "b")]
    world.answer(first, "failed")
    assert list(world.state.rollout.waiting.nodes) == ["a"]
    world.answer(second, "failed")
    world.reply("continue")
    assert list(dropped(world)) == ["a"]
    assert list(world.state.rollout.waiting.nodes) == ["b"]
    assert place("b/green") not in world.state.rollout.passed


def asked_about_a_lost_node(policy: Policy = ONE) -> World:
    world = deploying(policy, "soak")
    world.leave("a")
    world.go(lambda: world.state.rollout.waiting is not None)
    assert world.state.rollout.waiting.kind == "lost"
    return world


def test_more_failures_than_may_undo_the_rollout_although_a_person_is_asked_about_a_lost_one() -> (
    None
):
    world = asked_about_a_lost_node()
    world.report("b/green", healthy=False)
    assert world.state.rollout.undoing
    assert "b/green" in world.state.rollout.reason


def test_another_failure_within_what_may_fail_waits_for_the_answer_about_a_lost_one() -> None:
    world = asked_about_a_lost_node(TWO)
    question = world.state.rollout.waiting
    world.report("b/green", healthy=False)
    assert world.state.rollout.waiting == question


def test_where_a_person_is_to_be_asked_first_the_question_about_a_lost_node_grows() -> None:
    world = asked_about_a_lost_node(Policy(max_failed_nodes="1", on_failure="pause"))
    world.report("b/green", healthy=False)
    question = world.state.rollout.waiting
    assert (question.kind, sorted(question.nodes)) == ("failure", ["a", "b"])
    world.reply("continue")
    assert sorted(dropped(world)) == ["a", "b"]
    assert world.finish() == "succeeded"


def test_more_nodes_lost_than_may_undo_the_rollout_although_a_person_is_asked_about_one() -> None:
    world = asked_about_a_lost_node()
    world.leave("b")
    world.wait(PACE.away_seconds)
    assert world.state.rollout.undoing


@pytest.mark.parametrize("step", ["preflight", "prepare", "start"])
def test_a_node_that_fails_before_the_shift_keeps_its_old_slot_in_traffic(step: str) -> None:
    world = deploying()
    assert world.finish(**{f"{step}@a": "failed"}) == "succeeded"
    assert world.traffic == {"a/blue": 100, **REST_NEW}
    assert list(dropped(world)) == ["a"]
    assert world.owing() == {"a"}
    assert "does not have 2" in world.state.debts["a"]
    assert "blue goes on serving what it had" in world.state.debts["a"]


def test_nothing_more_is_asked_of_a_node_that_was_dropped() -> None:
    world = deploying()
    world.finish(**{"prepare@a": "failed"})
    assert world.issued("start")[4:] == ["b/green", "c/green", "d/green"]
    assert "a/green" not in world.issued("switch")


def test_what_was_begun_on_a_node_that_was_dropped_is_stopped_and_its_old_slot_is_not() -> None:
    world = deploying()
    world.finish(**{"start@a": "failed"})
    world.machines[place("a/green")] = t.Known(running=True, healthy=False)  # it hangs about
    stops = {where: seconds for verb, where, seconds in world.chores() if verb == "stop"}
    assert stops["a/green"] == 0.0
    assert "a/blue" not in stops
    assert stops["b/blue"] == PACE.keep_old_seconds
    world.rest()
    assert world.running() == {"a/blue": "1", "b/green": "2", "c/green": "2", "d/green": "2"}


def test_one_more_than_the_policy_allows_undoes_the_rollout_for_all() -> None:
    world = deploying()
    assert world.finish(**{"start@a": "failed", "start@b": "failed"}) == "rolled_back"
    assert world.traffic == {f"{node}/blue": 100 for node in NODES}


def test_two_that_fail_in_one_decision_count_as_two() -> None:
    world = deploying(ONE, "start")
    for action in world.open():
        if action.work.at in ("c", "d"):
            world.answer(action)
    world.wait(3600.0)  # a and b are late at once
    world.go(lambda: world.state.rollout is None)
    assert world.ending.state == "rolled_back"
    assert dropped(world) == {}


def test_two_that_are_late_at_once_are_dropped_where_two_may_fail() -> None:
    world = deploying(TWO, "start")
    for action in world.open():
        if action.work.at in ("c", "d"):
            world.answer(action)
    assert world.finish(**{"start@a": SILENCE, "start@b": SILENCE}) == "succeeded"
    assert world.traffic == {"a/blue": 100, "b/blue": 100, "c/green": 100, "d/green": 100}


def test_where_all_that_were_tried_have_failed_the_rollout_has() -> None:
    world = deploying(Policy(max_failed_nodes="100%"))
    assert world.finish(start="failed") == "rolled_back"
    assert world.traffic == {f"{node}/blue": 100 for node in NODES}


def test_a_slot_that_turns_bad_late_loses_its_traffic_and_does_not_revert_the_others() -> None:
    """hashicorp/nomad#10881."""
    world = deploying(ONE, "soak")
    world.report("a/green", healthy=False)
    assert world.finish() == "succeeded"
    assert world.traffic == {"a/blue": 100, **REST_NEW}
    assert "a/green had passed its checks and failed again" in dropped(world)["a"]
    world.rest()
    assert "a/green" not in world.running()
    assert world.currents["a"] == "blue"


def test_an_old_slot_that_is_not_well_gets_no_traffic_back() -> None:
    world = deploying(ONE, "soak")
    world.report("a/blue", running=False, healthy=False)
    world.report("a/green", running=False, healthy=False)
    assert world.finish() == "succeeded"
    assert world.traffic == REST_NEW
    assert "it takes no traffic until it has" in world.state.debts["a"]


def test_the_soak_begins_anew_for_the_others_when_one_is_dropped() -> None:
    world = deploying(ONE, "soak")
    world.wait(PACE.soak_seconds - 1.0)
    world.report("a/green", healthy=False)
    world.answer_all()  # the balancer
    world.wait(PACE.soak_seconds - 1.0)
    assert world.step == "soak"
    world.wait(1.0)
    assert world.step == "verify"


def test_a_slot_that_turns_bad_while_traffic_moves_gets_none_by_another_move() -> None:
    world = deploying(ONE, "shift")
    (first,) = world.open()
    assert first.work.weights[place("a/green")] == 100
    world.report("a/green", healthy=False)
    (second,) = world.open()
    assert second.work.weights == {place(k): v for k, v in {"a/blue": 100, **REST_NEW}.items()}
    assert world.finish() == "succeeded"
    assert world.traffic == {"a/blue": 100, **REST_NEW}


def test_a_balancer_that_fails_is_no_matter_of_single_nodes() -> None:
    world = deploying(TWO)
    assert world.finish(shift="failed") == "rolled_back"
    assert dropped(world) == {}


def test_a_migration_that_fails_is_no_matter_of_a_single_node() -> None:
    world = deploying(TWO)
    assert world.finish(migrate="failed") == "rolled_back"
    assert dropped(world) == {}


def test_the_migration_is_run_elsewhere_when_its_node_is_dropped_before() -> None:
    world = deploying(ONE)
    assert world.finish(**{"prepare@a": "failed"}) == "succeeded"
    assert world.issued("task")[1:] == ["b/green"]


def test_a_node_that_is_lost_before_the_shift_is_dropped_and_takes_no_traffic() -> None:
    world = deploying(ONE, "start")
    world.leave("a")
    assert world.finish() == "succeeded"
    assert world.traffic == REST_NEW
    assert "went away" in dropped(world)["a"]


def test_a_node_that_was_dropped_and_comes_back_stays_dropped() -> None:
    world = deploying(ONE, "start")
    world.leave("a")
    world.go(lambda: bool(dropped(world)))
    world.come_back("a")
    assert world.finish() == "succeeded"
    assert world.traffic == {"a/blue": 100, **REST_NEW}  # its old slot is known to be well again
    assert world.owing() == {"a"}


def test_the_undo_gives_traffic_back_to_nodes_that_were_dropped() -> None:
    world = deploying(ONE)
    assert world.finish(**{"start@a": "failed", "verify@b": "failed"}) == "rolled_back"
    assert world.traffic == {f"{node}/blue": 100 for node in NODES}
    assert world.owing() == set()


def test_nothing_is_dropped_from_an_undo() -> None:
    world = deploying(TWO)
    world.fates = {"verify@a": "failed", "verify@b": "failed", "verify@c": "failed"}
    world.go(lambda: world.step == "shift-back")
    before = dropped(world)
    world.report("d/blue", healthy=False)
    world.leave("c")
    assert world.finish() == "rolled_back"
    assert dropped(world) == before


def test_the_other_slot_of_a_node_that_was_dropped_is_stopped_only_once_traffic_has_left_it() -> (
    None
):
    world = deploying(ONE, "soak")
    world.report("a/green", healthy=False)
    assert world.state.weights is None  # the balancer has not answered yet
    assert world.issued("stop") == []
    world.finish()
    world.rest()
    assert "a/green" in world.issued("stop")


# --- Nodes that are away from the beginning ------------------------------------------------------


def test_a_deploy_goes_on_without_an_absent_node_where_one_may_fail() -> None:
    world = World(NODES, policy=ONE).deployed("1")
    world.leave("a")
    world.deploy("2")
    assert world.finish() == "succeeded"
    assert world.traffic == REST_NEW
    assert world.owing() == {"a"}


def test_absent_nodes_count_among_those_that_failed() -> None:
    world = World(NODES, policy=ONE).deployed("1")
    world.leave("a")
    world.deploy("2")
    assert world.finish(**{"start@b": "failed"}) == "rolled_back"


def test_a_deploy_is_refused_where_more_are_absent_than_may_fail() -> None:
    world = World(NODES, policy=ONE).deployed("1")
    world.leave("a")
    world.leave("b")
    with pytest.raises(Refused, match="a, b are not connected"):
        world.deploy("2")


def test_a_deploy_is_refused_where_all_are_absent() -> None:
    world = World(("a",), policy=Policy(max_failed_nodes="100%"))
    world.leave("a")
    with pytest.raises(Refused, match="a is not connected"):
        world.deploy("1")


def test_by_default_no_node_may_be_absent_and_none_may_fail() -> None:
    world = World(NODES).deployed("1")
    world.deploy("2")
    assert world.finish(**{"start@a": "failed"}) == "rolled_back"
    world.leave("a")
    with pytest.raises(Refused, match="a is not connected"):
        world.deploy("3")


def test_silence_of_one_node_in_the_last_step_does_not_revert_the_others() -> None:
    """No news is no success: the node is dropped, not counted as well."""
    world = deploying(ONE)
    assert world.finish(**{"verify@a": SILENCE}) == "succeeded"
    assert list(dropped(world)) == ["a"]
    assert world.owing() == {"a"}


def test_what_a_node_owes_counts_on_when_a_rollout_without_it_has_failed() -> None:
    world = deploying(TWO, "start")
    for action in world.open():
        world.answer(action, "failed" if action.work.at == "a" else "ok", "environment")
    world.finish()
    owed = world.state.owed["a"]
    assert owed.tries == 1
    world.leave("a")
    world.deploy("3")
    assert world.finish(start="failed") == "rolled_back"
    assert world.state.owed["a"] == owed


@pytest.mark.parametrize("strategy", ["blue-green", "canary", "rolling"])
def test_who_alone_has_traffic_keeps_it_when_the_rollout_goes_on_without_it(strategy: str) -> None:
    """Its agent alone may be gone; the other is new, and has not begun yet."""
    world = World("a", strategy=strategy, policy=Policy(max_failed_nodes="50%")).deployed("1")
    world.rest()
    world.add("b")
    world.deploy("2")
    world.until("preflight")
    world.leave("a")
    world.fates = {"preflight@a": SILENCE}
    seen = []
    while world.state.rollout is not None:
        seen.append(dict(world.state.settled))
        assert world.move()
    assert all(any(weights.values()) for weights in seen)


@pytest.mark.parametrize("strategy", ["blue-green", "canary", "rolling"])
def test_a_new_node_that_fails_undoes_nothing_where_all_others_have_the_release(
    strategy: str,
) -> None:
    world = World("ab", strategy=strategy, policy=Policy(max_failed_nodes="1")).deployed("1")
    world.rest()
    world.add("c")
    world.deploy("1")
    assert world.finish(**{"prepare@c": "failed", "prepare-1@c": "failed"}) == "succeeded"
    assert world.owing() == {"c"}
