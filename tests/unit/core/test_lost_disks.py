"""What a rollout makes of traffic that leads to a slot which is gone with its node's disk: it is no
traffic that anybody has moved, and nothing that somebody else's is taken away for.
"""

import pytest
from core_values import ON_EVERY_NODE
from driver import SILENCE, World

from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.inputs import NodeRemoved
from tidegate_controller.core.settling import LOSS_SECONDS, REWRITE, SETTLE_SECONDS
from tidegate_controller.core.spec import Check, Policy, Traffic, Waves

NODES = ["a", "b", "c", "d"]
ONE = Policy(max_failed_nodes="1")


def without_the_disk_of(node: str, world: World) -> World:
    world.rest()
    world.lose_disks(node)
    return world


@pytest.mark.parametrize("strategy", ["blue-green", "rolling"])
@pytest.mark.parametrize("step", ["prepare", "start"])
def test_one_that_pays_for_a_lost_disk_makes_room_for_a_rollback(step: str, strategy: str) -> None:
    waves = Waves(min_in_service="1")
    world = World(NODES, strategy=strategy, waves=waves).deployed("1", "2")
    without_the_disk_of("a", world)
    world.converge("a")
    world.until(step)
    world.rollback()
    assert world.ending.state == "rolled_back"
    assert world.finish() == "succeeded"
    assert {place[0] for place in world.traffic} == set(NODES)
    assert world.state.committed[-1].version == "1"


def test_a_script_that_runs_is_waited_for_though_a_lost_disk_has_no_traffic_any_more() -> None:
    world = without_the_disk_of("d", World(NODES, settings=ON_EVERY_NODE).deployed("1"))
    world.deploy("2")
    by_node = {action.work.at: action for action in world.until("migrate")}
    world.answer(by_node["a"], "failed")
    assert world.state.rollout is not None
    assert not world.state.rollout.undoing
    for node in "bcd":
        world.answer(by_node[node])
    assert world.finish() == "rolled_back"


def test_an_undo_leaves_a_node_alone_that_the_rollout_has_not_touched() -> None:
    """Nothing has moved but what was gone: whose agent alone has gone serves on."""
    world = without_the_disk_of("d", World(NODES).deployed("1"))
    world.deploy("2")
    world.until("start")
    world.leave("c")
    assert world.finish(start=SILENCE) == "rolled_back"
    assert set(world.traffic) == {"a/blue", "b/blue", "c/blue"}


def test_a_failed_node_loses_its_traffic_in_a_freeze_though_another_has_lost_its_disk() -> None:
    waves = Waves(sizes=("2", "3", "100%"))
    world = World(NODES, strategy="canary", waves=waves, policy=ONE).deployed("1")
    world.deploy("2")
    world.until("start-2")
    world.freeze(9000.0)
    world.go(lambda: world.step == "shift-2")
    world.lose_disks("d")
    world.report("a/green", healthy=False)
    world.answer_all()
    assert set(world.traffic) == {"a/blue", "b/green", "c/blue"}
    world.lift_freeze()


def test_traffic_is_not_written_to_nobody_while_a_removed_node_serves_on() -> None:
    world = World("ab").deployed("1")
    without_the_disk_of("b", world)
    world.leave("a")
    world.feed(NodeRemoved(node="a"))
    since = len(world.log)
    world.deploy("2", nodes=["b"])
    world.until("start")
    assert set(world.traffic) == {"a/blue", "b/blue"}
    assert "settle" not in world.steps(since)
    assert world.finish() == "succeeded"
    assert set(world.traffic) == {"b/green"}


def test_traffic_does_not_go_back_to_nobody_where_all_that_had_it_is_lost() -> None:
    """What serves goes on until a person says otherwise, though its check has failed."""
    check = {"orders": Check(command=("ask",))}
    world = World("ab", checks=check).deployed("1")
    for node in "ab":
        without_the_disk_of(node, world)
    world.deploy("2")
    world.fates = {"check": "failed"}
    world.go(lambda: world.state.rollout.waiting is not None)
    assert set(world.traffic) == {"a/green", "b/green"}
    world.leave("a")
    world.wait(60.0)
    assert set(world.traffic) == {"a/green", "b/green"}, "whether anybody can ask a node or not"
    assert "nothing is left that traffic could go back to" in world.state.rollout.waiting.why
    world.reply("continue")
    assert world.finish() == "failed"
    assert world.traffic == {}


def test_a_lost_disk_lets_no_wave_into_a_freeze() -> None:
    """Its move takes nothing from anybody, but what follows it would give traffic."""
    waves = Waves(max_parallel="1", min_in_service="1")
    world = World("abc", strategy="rolling", waves=waves).deployed("1")
    world.rest()
    world.deploy("2")
    world.until("soak-1")
    world.lose_disks("b")
    world.meet_freeze()
    assert world.step == "drain-2"
    world.wait(600.0)
    assert world.step == "drain-2"
    world.lift_freeze()
    assert world.finish() == "succeeded"


def may_have_it(*nodes: str) -> World:
    """All that had traffic for certain is lost with its disk; these, that may have it, serve."""
    world = World("a", policy=Policy(on_failure="stop")).deployed("1")
    world.rest()
    world.add(*nodes)
    world.deploy("2")
    assert world.finish(shift="failed") == "failed"
    assert world.state.weights is None
    world.lose_disks("a")
    return world


def settled_with_what_may_have_it(policy: Policy, nodes: str = "ab") -> World:
    """A rollout has begun there. `nodes`: those that it is for."""
    world = may_have_it("b")
    world.policy = policy
    world.deploy("3", nodes=list(nodes))
    return world


def test_traffic_is_settled_with_what_may_have_it_where_all_that_had_it_for_certain_is_lost() -> (
    None
):
    world = settled_with_what_may_have_it(Policy(on_failure="stop"))
    world.until("prepare")
    assert set(world.traffic) == {"b/blue"}


def awaiting_approval(**traffic: object) -> World:
    world = World(NODES, strategy="canary", approval=True)
    world.deploy("1", **traffic)
    world.go(lambda: world.state.rollout.waiting is not None)
    world.reply("approve")
    world.finish()
    world.rest()
    world.deploy("2", **traffic)
    world.go(lambda: world.state.rollout.waiting is not None)
    return world


def written_again(world: World) -> t.Action:
    world.wait(SETTLE_SECONDS)
    (move,) = world.open()
    assert move.step == REWRITE
    return move


def test_what_is_lost_while_that_is_written_is_taken_out_as_well() -> None:
    world = awaiting_approval()
    world.lose_disks("d")
    move = written_again(world)
    world.lose_disks("c")
    world.answer(move)
    assert "c/blue" in world.traffic
    world.answer(written_again(world))
    assert "c/blue" not in world.traffic
    assert world.state.rewrite is None


@pytest.mark.parametrize("restarts", [False, True])
def test_where_all_is_lost_it_is_not_written_again_and_again(restarts: bool) -> None:
    world = World("ab").deployed("1")
    world.rest()
    world.lose_disks("a")
    world.lose_disks("b")
    move = written_again(world)
    assert move.work.weights == {}
    if restarts:
        world.restart()
        world.answer(world.open()[0])
    else:
        world.answer(move, "failed")
    world.go(lambda: bool(world.open()))
    world.answer(world.open()[0])
    assert (world.open(), world.state.rewrite) == ([], None)


def test_a_balancer_that_a_person_moves_is_not_written_for_a_loss() -> None:
    world = awaiting_approval(traffic=Traffic(adapter="none", manual="warn"))
    world.lose_disks("d")
    assert world.state.rewrite is None


def test_a_balancer_that_is_described_anew_is_not_moved_before_its_preflight_has_passed() -> None:
    old, new = (Traffic(adapter="exec", command=(name,)) for name in ("old", "new"))
    world = World(NODES)
    world.deploy("1", traffic=old)
    world.finish()
    world.rest()
    world.deploy("2", traffic=new)
    world.lose_disks("d")
    world.fates = {"preflight": "failed"}
    world.rest()
    moves = [e.action.work for _, e in world.log if isinstance(e, ev.ActionIssued)]
    assert {work.traffic.command for work in moves if work.verb == "route"} == {("old",)}
    assert "d/blue" not in world.traffic


@pytest.mark.parametrize("gone", ["disk", "node"])
def test_while_a_person_is_awaited_what_is_lost_loses_its_traffic_soon(gone: str) -> None:
    """An approval may take all night."""
    world = awaiting_approval()
    before = dict(world.traffic)
    world.leave("d")
    if gone == "disk":
        world.come_back("d", disk_replaced=True)
    else:
        world.feed(NodeRemoved(node="d"))
    assert world.open() == []
    world.wait(LOSS_SECONDS)
    (move,) = world.open()
    assert (move.step, move.work.prove) == (REWRITE, False)
    world.answer(move)
    assert set(world.traffic) == {place for place in before if not place.startswith("d/")}
    assert world.state.rewrite is None
    assert world.state.rollout.waiting is not None


def test_where_it_is_all_that_has_traffic_nothing_is_moved() -> None:
    world = World("a", approval=True)
    world.deploy("1")
    world.go(lambda: world.state.rollout.waiting is not None)
    world.reply("approve")
    world.finish()
    world.rest()
    world.deploy("2")
    world.go(lambda: world.state.rollout.waiting is not None)
    world.lose_disks("a")
    assert world.state.rewrite is None


def test_what_is_lost_while_traffic_moves_loses_it_once_that_is_done() -> None:
    world = without_the_disk_of("a", World(NODES).deployed("1"))
    world.converge("a")
    (move,) = world.until("shift")
    world.lose_disks("d")
    world.answer(move)
    assert {place.node for place in world.state.settled} == set(NODES)
    world.go(lambda: {place.node for place in world.state.settled} == {"a", "b", "c"})
    moves = [e.action for _, e in world.log if isinstance(e, ev.ActionIssued)]
    assert [action.step for action in moves if action.work.verb == "route"][-1] == REWRITE


def test_a_dropped_node_that_traffic_was_settled_with_keeps_it_as_if_it_had_had_it_before() -> None:
    world = settled_with_what_may_have_it(Policy(max_failed_nodes="1"))
    (theirs,) = [action for action in world.until("start") if action.work.at == "b"]
    assert set(world.traffic) == {"b/blue"}
    since = len(world.log)
    world.answer(theirs, "failed")
    assert "b" in world.state.rollout.dropped
    world.go(lambda: world.step == "switch")
    assert set(world.traffic) == {"a/green", "b/blue"}
    moves = [e.action.work for _, e in world.log[since:] if isinstance(e, ev.ActionIssued)]
    assert all(any(work.weights.values()) for work in moves if work.verb == "route")


def test_the_slot_that_traffic_is_settled_with_is_not_the_one_to_be_treated() -> None:
    world = settled_with_what_may_have_it(Policy())
    world.until("start")
    assert set(world.traffic) == {"b/blue"}
    assert world.finish() == "succeeded"
    assert "b/green" in world.traffic
    assert "b/blue" not in world.traffic


def test_what_may_have_all_traffic_keeps_it_though_its_node_fails_before_it_is_settled() -> None:
    world = settled_with_what_may_have_it(Policy(max_failed_nodes="1"))
    world.fates = {"preflight@b": "failed"}
    world.until("start")
    assert set(world.traffic) == {"b/blue"}
    assert world.finish(start="failed") == "rolled_back"
    assert set(world.traffic) == {"b/blue"}


def test_an_abort_before_traffic_is_settled_goes_back_to_what_may_have_it() -> None:
    world = settled_with_what_may_have_it(Policy())
    assert world.step == "preflight"
    world.abort()
    assert world.finish() == "rolled_back"
    assert set(world.traffic) == {"b/blue"}


@pytest.mark.parametrize(("strategy", "move"), [("canary", "shift-1"), ("rolling", "admit-1")])
def test_a_wave_takes_no_traffic_from_others_that_may_have_all(strategy: str, move: str) -> None:
    world = may_have_it(*"bcd")
    world.policy, world.strategy = Policy(), strategy
    world.waves = Waves(sizes=("1", "2", "100%"), max_parallel="1", min_in_service="0")
    world.deploy("3")
    world.go(lambda: world.step == move)
    world.go(lambda: world.step != move)
    assert set(world.traffic) == {"a/green", "b/blue", "c/blue", "d/blue"}
    assert world.finish() == "succeeded"
    assert set(world.traffic) == {f"{node}/green" for node in NODES}


def test_what_a_removed_node_serves_is_not_taken_though_the_balancer_says_otherwise() -> None:
    world = World("a").deployed("1")
    world.add("b")
    world.leave("a")
    world.feed(NodeRemoved(node="a"))
    (address,) = world.state.routed.values()
    world.deploy("2", nodes=["b"], balancer={address: 100, "by-hand:80": 100})
    world.until("start")
    assert set(world.traffic) == {"a/blue"}
    assert world.finish() == "succeeded"
    assert set(world.traffic) == {"b/blue"}


def test_a_dropped_node_that_a_wave_has_moved_all_traffic_to_keeps_it_until_another_has_some() -> (
    None
):
    waves = Waves(max_parallel="1", min_in_service="0")
    world = World("a", strategy="rolling", waves=waves, policy=ONE).deployed("1")
    world.rest()
    world.add("b")
    world.deploy("2")
    world.until("start-2")
    assert set(world.traffic) == {"b/blue"}
    world.leave("b")
    world.go(lambda: world.state.rollout.waiting is not None)
    world.reply("continue")
    assert "b" in world.state.rollout.dropped
    world.finish()
    moves = [e.action.work for _, e in world.log if isinstance(e, ev.ActionIssued)]
    assert all(any(work.weights.values()) for work in moves if work.verb == "route")


def taken_back_from_b() -> World:
    """1 has the traffic of a again, for certain; the move to 2 on b may still come late."""
    world = World("a").deployed("1")
    world.rest()
    world.add("b")
    world.deploy("2")
    assert world.finish(shift="expired") == "rolled_back"
    assert world.state.unsettled
    return world


def test_what_a_removed_node_serves_is_not_given_to_what_was_taken_back_from() -> None:
    world = taken_back_from_b()
    world.leave("a")
    world.feed(NodeRemoved(node="a"))
    world.deploy("3", nodes=["b"])
    world.until("start")
    assert set(world.traffic) == {"a/blue"}


def test_a_node_that_pays_for_its_disk_does_not_share_traffic_with_what_was_taken_back() -> None:
    world = taken_back_from_b()
    world.lose_disks("a")
    world.converge()
    assert world.finish() == "succeeded"
    assert set(world.traffic) == {"a/green"}


def test_what_serves_with_a_failed_release_is_owed_also_by_a_node_that_has_no_other() -> None:
    world = settled_with_what_may_have_it(Policy())
    assert world.finish(start="failed") == "rolled_back"
    assert world.state.debts["b"] == "serves with 2 in blue, not with 1"
    world.converge("a")
    world.finish()
    assert world.state.debts["b"] == "serves with 2 in blue, not with 1"


def test_it_is_told_who_loses_traffic_that_it_may_have() -> None:
    world = settled_with_what_may_have_it(Policy(), nodes="a")
    *_, started = (event for _, event in world.log if isinstance(event, ev.Started))
    assert "b: no traffic any more" in started.notes
