"""Nodes that a rollout went on without are brought to its release by a rollout of their own."""

import pytest
from core_values import PACE, place
from driver import SILENCE, World
from test_failed_nodes import NODES, ONE, REST_NEW, TWO

from tidegate_controller.core import events as ev
from tidegate_controller.core import inputs as i
from tidegate_controller.core import types as t
from tidegate_controller.core.changes import replace
from tidegate_controller.core.debts import (
    BACKOFF_SECONDS,
    BACKOFF_SECONDS_MAX,
    converge_at,
    owed_for,
)
from tidegate_controller.core.spec import Policy, Waves
from tidegate_controller.errors import Refused

ALL_NEW = {"a/green": 100, **REST_NEW}


def without_a() -> World:
    """2 is deployed, but for a, which was away."""
    world = World(NODES, policy=ONE).deployed("1")
    world.leave("a")
    world.deploy("2")
    assert world.finish() == "succeeded"
    return world


def test_a_node_that_returns_is_brought_to_the_release_and_owes_nothing_more() -> None:
    world = without_a()
    world.come_back("a")
    since = len(world.log)
    world.converge()
    assert world.finish() == "succeeded"
    assert world.traffic == ALL_NEW
    assert (world.state.debts, world.state.owed) == ({}, {})
    assert world.issued("start", since) == ["a/green"]
    assert world.issued("switch", since) == ["a/green"]
    assert [release.version for release in world.state.committed] == ["1", "2"]
    assert world.state.committed_on[-1] == NODES
    world.rest()
    assert world.running() == {f"{node}/green": "2" for node in NODES}


def test_the_traffic_of_the_others_is_in_every_move_of_a_converge() -> None:
    world = without_a()
    world.come_back("a")
    since = len(world.log)
    world.converge()
    world.finish()
    moves = [
        e.action.work.weights
        for _, e in world.log[since:]
        if isinstance(e, ev.ActionIssued) and e.action.work.verb == "route"
    ]
    assert moves
    assert all(set(REST_NEW) <= set(move) for move in moves)


def test_a_converge_that_fails_leaves_the_others_alone_and_the_debt() -> None:
    world = without_a()
    world.come_back("a")
    world.report("b/green", healthy=False)  # which is no matter of the converge
    world.converge()
    assert world.finish(**{"start@a": "failed"}) == "rolled_back"
    assert world.traffic == REST_NEW
    assert "could not bring it" in world.state.debts["a"]
    assert world.state.undone == ()


def test_a_converge_that_fails_with_traffic_takes_only_its_own_away() -> None:
    world = without_a()
    world.come_back("a")
    world.converge()
    world.until("soak")
    world.report("b/green", healthy=False)
    world.report("a/green", healthy=False)
    assert world.finish() == "rolled_back"
    assert world.traffic == REST_NEW


def test_after_a_converge_has_failed_the_node_has_to_come_back_and_not_too_soon() -> None:
    world = without_a()
    world.come_back("a")
    world.converge()
    world.finish(**{"start@a": "failed"})
    assert converge_at(world.state, "a", returned=False) is None
    assert converge_at(world.state, "a", returned=True) == world.now + BACKOFF_SECONDS
    assert world.converge() == ()
    world.wait(BACKOFF_SECONDS)
    assert world.converge() != ()


def test_the_pause_between_converges_that_fail_doubles_up_to_a_bound() -> None:
    owed, pauses = None, []
    for _ in range(9):
        owed = owed_for(t.Dropped(why="", blame="release"), 0.0, owed)
        pauses.append(owed.not_before)
    assert pauses[:3] == [60.0, 120.0, 240.0]
    assert pauses[-1] == BACKOFF_SECONDS_MAX


def test_what_is_no_fault_of_the_release_is_tried_a_few_times_without_a_return() -> None:
    owed, returns = None, []
    for _ in range(5):
        owed = owed_for(t.Dropped(why="", blame="environment"), 0.0, owed)
        returns.append(owed.needs_return)
    assert returns == [False, False, False, True, True]


def test_a_node_that_only_was_lost_is_brought_back_at_once() -> None:
    world = World(NODES, policy=ONE).deployed("1")
    world.deploy("2")
    world.until("start")
    world.leave("a")
    assert world.finish() == "succeeded"
    world.come_back("a")
    assert converge_at(world.state, "a", returned=False) == 0.0
    world.converge()
    assert world.finish() == "succeeded"
    assert world.traffic == ALL_NEW


def test_a_node_that_was_dropped_converges_from_its_old_slot_which_serves_meanwhile() -> None:
    world = World(NODES, policy=ONE).deployed("1")
    world.deploy("2")
    world.finish(**{"start@a": "failed"})
    assert world.traffic == {"a/blue": 100, **REST_NEW}
    world.wait(BACKOFF_SECONDS)
    since = len(world.log)
    world.converge()
    world.until("start")
    assert world.traffic == {"a/blue": 100, **REST_NEW}
    assert world.finish() == "succeeded"
    assert world.traffic == ALL_NEW
    assert world.issued("task", since) == []  # what runs once has run
    assert world.issued("start", since) == ["a/green"]


def test_a_node_whose_disk_was_wiped_is_brought_back_as_well() -> None:
    world = without_a()
    world.come_back("a", disk_replaced=True)
    world.converge()
    (query,) = (action for action in world.open() if action.work.at == "a")
    assert query.journal_id == "journal-a-new"
    assert world.finish() == "succeeded"
    assert len(world.traffic) == len(NODES)


def test_that_a_disk_was_lost_is_the_reason_and_no_bad_release() -> None:
    world = World(NODES).deployed("1")
    world.deploy("2")
    world.until("soak")
    world.come_back("a", disk_replaced=True)
    assert world.finish() == "rolled_back"
    assert world.ending.reason == "Soak failed: a/green is gone with its node's disk"
    assert world.state.quarantined == ()


def test_a_node_that_loses_its_disk_while_no_rollout_runs_owes_what_it_had() -> None:
    world = World(NODES).deployed("1", "2")
    world.rest()
    world.lose_disks("a")
    assert world.state.debts == {"a": "a/green is gone with the node's disk"}
    since = len(world.log)
    world.converge()
    world.until("prepare")
    assert set(world.traffic) == {"b/green", "c/green", "d/green"}, "no longer where nothing is"
    assert world.finish() == "succeeded"
    assert world.issued("start", since) == ["a/blue"]
    assert set(world.traffic) == {"a/blue", "b/green", "c/green", "d/green"}
    assert world.state.debts == {}


def test_a_slot_that_an_unanswered_stop_may_come_to_is_started_before_it_gets_traffic() -> None:
    """The agent does nothing any more that it was told before what it does last."""
    waves = Waves(max_parallel="1", min_in_service="1")
    world = World(["a", "b"], strategy="rolling", waves=waves).deployed("1")
    world.rest()
    world.deploy("2")
    world.until("stop-1")
    world.leave("a")
    assert world.finish(**{"stop-1": SILENCE}) == "rolled_back"
    assert world.state.may_stop == {place("a/blue")}
    world.machines[place("a/blue")] = world.machines[place("b/blue")]
    world.come_back("a")
    assert world.state.places[place("a/blue")].running is True
    since = len(world.log)
    world.converge("a")
    world.until("admit")
    assert world.issued("start", since) == ["a/blue"]
    assert world.state.may_stop == frozenset()
    assert world.finish() == "succeeded"


@pytest.mark.parametrize("chore", [False, True])
def test_an_unanswered_stop_may_still_come_where_its_node_was_removed_and_is_back(
    chore: bool,
) -> None:
    waves = Waves(max_parallel="1", min_in_service="1")
    strategy = "blue-green" if chore else "rolling"
    world = World(["a", "b"], strategy=strategy, waves=waves).deployed("1")
    world.rest()
    world.deploy("2")
    if chore:
        assert world.finish() == "succeeded"
        world.fates = {chore.id: SILENCE for chore in world.state.chores}
        world.wait(PACE.keep_old_seconds)
        world.leave("a")
    else:
        world.until("stop-1")
        world.leave("a")
        assert world.finish(**{"stop-1": SILENCE}) == "rolled_back"
    world.feed(i.NodeRemoved(node="a"))
    world.machines[place("a/blue")] = world.machines[place("b/blue")]
    world.come_back("a")
    since = len(world.log)
    world.deploy("1")
    assert world.finish() == "succeeded"
    assert "a/blue" in world.issued("start", since)


def test_a_blank_disk_has_no_stop_that_may_come() -> None:
    world = World(["a", "b"], strategy="rolling", waves=Waves(max_parallel="1")).deployed("1")
    world.deploy("2")
    world.go(lambda: any(action.work.verb == "stop" for action in world.open()))
    world.come_back("a", disk_replaced=True)
    assert world.state.may_stop == frozenset()


def test_a_node_that_has_lost_its_journal_alone_owes_nothing() -> None:
    world = World(NODES).deployed("1")
    world.rest()
    world.leave("a")
    world.journals["a"] = "another"
    world.come_back("a")
    assert world.state.debts == {}


@pytest.mark.parametrize("step", ["prepare", "start", "shift", "soak", "verify"])
def test_a_disk_that_is_lost_in_a_rollout_that_is_undone_is_owed_for_after_it(step: str) -> None:
    world = World(NODES).deployed("1")
    world.deploy("2")
    world.until(step)
    world.come_back("a", disk_replaced=True)
    assert world.finish() == "rolled_back"
    assert world.owing() == {"a"}
    world.wait(BACKOFF_SECONDS)
    world.converge("a")
    assert world.finish() == "succeeded"
    assert set(world.traffic) >= {"b/blue", "c/blue", "d/blue"}
    assert len(world.traffic) == len(NODES)
    assert world.state.debts == {}


def test_a_disk_that_is_lost_while_another_node_is_treated_holds_nothing_up() -> None:
    """In place, with a node that is away and was left out: what is gone takes no traffic from the
    next move on, and its node is treated in its turn."""
    waves = Waves(max_parallel="1", min_in_service="1")
    world = World(NODES, strategy="rolling", waves=waves, policy=ONE).deployed("1")
    world.rest()
    world.leave("d")
    since = len(world.log)
    world.deploy("2")
    world.until("stop-1")
    world.come_back("c", disk_replaced=True)
    world.until("switch-1")
    assert set(world.traffic) == {"a/green", "b/blue", "d/blue"}
    assert world.finish() == "succeeded"
    assert set(world.traffic) == {"a/green", "b/green", "c/green"}
    assert [place for place in world.issued("start", since) if place[0] == "c"] == ["c/green"]
    assert world.owing() == {"d"}


def test_a_disk_that_was_lost_in_an_undone_rollout_is_paid_for_as_soon_as_that_is_over() -> None:
    waves = Waves(max_parallel="1", min_in_service="1")
    world = World(NODES, strategy="rolling", waves=waves).deployed("1")
    world.rest()
    world.deploy("2")
    world.until("stop-1")
    world.come_back("c", disk_replaced=True)
    world.until("switch-1")
    world.abort()
    assert world.finish() == "rolled_back"
    assert world.owing() == {"c"}
    world.converge("c")
    assert world.finish() == "succeeded"
    assert {place[0] for place in world.traffic} == set(NODES)
    assert world.state.debts == {}


def test_a_disk_that_is_lost_when_nothing_is_left_to_do_there_is_owed_for_after_it() -> None:
    """The node had the release, so nothing of it has to stay healthy."""
    hasty = replace(PACE, soak_seconds=0.0)
    world = World(["a"], pace=hasty).deployed("1")
    world.add("b")
    world.deploy("1")
    world.until("switch")
    world.answer(next(action for action in world.open() if action.work.at == "a"))
    world.come_back("a", disk_replaced=True)
    assert world.finish() == "succeeded"
    assert world.owing() == {"a"}
    world.converge()
    assert world.finish() == "succeeded"
    assert world.state.debts == {}


def test_two_nodes_converge_together_and_one_may_fail_by_itself() -> None:
    world = World(NODES, policy=TWO).deployed("1")
    world.leave("a")
    world.leave("b")
    world.deploy("2")
    world.finish()
    world.come_back("a")
    world.come_back("b")
    world.converge()
    assert world.finish(**{"start@a": "failed"}) == "succeeded"
    assert world.owing() == {"a"}
    assert set(world.traffic) == {"b/green", "c/green", "d/green"}


def test_one_that_fails_first_keeps_no_other_from_what_it_owes() -> None:
    """In place, where both have lost what they had, and come one after the other."""
    waves = Waves(max_parallel="1", min_in_service="1")
    world = World(NODES, strategy="rolling", waves=waves).deployed("1")
    world.rest()
    world.lose_disks(*"ab")
    world.converge("a", "b")
    assert world.finish(**{"start@a": "failed", "start-1@a": "failed"}) == "succeeded"
    assert world.owing() == {"a"}
    assert {place[0] for place in world.traffic} == {"b", "c", "d"}


def test_what_made_room_for_a_deployment_that_failed_is_due_as_it_was() -> None:
    world = without_a()
    world.come_back("a")
    world.converge("a")
    world.until("start")
    world.deploy("3")
    assert world.finish(start="failed") == "rolled_back"
    assert converge_at(world.state, "a", returned=False) is not None
    world.converge("a")
    assert world.finish() == "succeeded"
    assert world.traffic == ALL_NEW


def test_one_does_not_make_room_for_a_deployment_that_waits_for_a_freeze_anyway() -> None:
    world = without_a()
    world.come_back("a")
    world.converge("a")
    world.until("prepare")
    world.freeze(5000.0)
    before = world.state.rollout.id
    world.deploy("3", queue=True)
    assert world.state.rollout.id == before
    assert [entry.release.version for entry in world.state.queue] == ["3"]


def test_a_converge_is_not_begun_while_a_rollout_runs_or_nobody_owes() -> None:
    world = without_a()
    world.come_back("a")
    world.deploy("3")
    assert world.converge() == ()
    assert world.finish() == "succeeded"
    assert world.state.debts == {}
    assert world.converge() == ()


def test_a_node_that_has_all_it_should_owes_nothing() -> None:
    world = without_a()
    world.come_back("a")
    world.converge()
    world.finish()
    world.state = replace(world.state, debts={"a": "owes"}, owed={"a": t.Owed()})
    (paid,) = world.converge("a")
    assert paid == ev.DebtsPaid(nodes=("a",))
    assert world.state.debts == {}


def test_nothing_converges_while_nobody_knows_where_traffic_goes() -> None:
    world = without_a()
    world.deploy("3", nodes=["b", "c", "d"])
    world.fates = {"shift": "failed", "shift-back": "failed"}
    assert world.give_up() == "failed"
    world.come_back("a")
    assert world.converge() == ()


def test_a_late_answer_to_a_command_of_before_the_debt_changes_nothing() -> None:
    world = World(NODES, policy=ONE).deployed("1")
    world.deploy("2")
    stale = next(action for action in world.until("start") if action.work.at == "a")
    world.leave("a")
    assert world.finish() == "succeeded"
    world.come_back("a")
    world.converge()
    assert world.feed(world.result(stale, "ok")) == ()
    fences = [e.action.fence for _, e in world.log if isinstance(e, ev.ActionIssued)]
    assert fences == sorted(fences)
    assert world.finish() == "succeeded"
    assert world.traffic == ALL_NEW


@pytest.mark.parametrize("step", ["prepare", "start", "shift", "switch", "soak"])
def test_a_node_that_goes_away_again_in_its_converge_ends_it_and_owes_on(step: str) -> None:
    world = without_a()
    world.come_back("a")
    world.converge()
    world.until(step)
    world.leave("a")
    world.finish()
    assert world.owing() == {"a"}
    assert world.state.owed["a"].tries == 1
    assert set(world.traffic) == set(REST_NEW)
    assert place("a/green") not in world.state.settled


def test_nothing_converges_while_somebody_holds_the_lock() -> None:
    world = without_a()
    world.come_back("a")
    world.lock(by="bob")
    assert world.converge() == ()
    assert converge_at(world.state, "a", returned=True) is None
    world.unlock(by="bob")
    world.converge()
    assert world.finish() == "succeeded"
    assert world.traffic == ALL_NEW


def test_a_release_that_somebody_has_quarantined_is_brought_to_no_more_nodes() -> None:
    world = without_a()
    world.come_back("a")
    world.quarantine("2", "loses orders")
    assert world.converge() == ()
    world.unquarantine("2")
    world.converge()
    assert world.finish() == "succeeded"


def test_nothing_converges_until_a_person_has_decided_what_counts_after_a_restore() -> None:
    world = without_a()
    world.come_back("a")
    world.feed(i.Restore(log_id="restored", former="log"))
    assert world.converge() == ()


@pytest.mark.parametrize("ask", ["deploy", "rollback"])
def test_a_converge_that_has_moved_no_traffic_makes_room_for_a_person(ask: str) -> None:
    world = without_a()
    world.come_back("a")
    world.converge()
    world.until("start")
    if ask == "deploy":
        world.deploy("3")
    else:
        world.rollback()
    assert world.ending.reason.endswith(
        "aborted by ada: superseded by " + ("version 3" if ask == "deploy" else "a rollback")
    )
    assert world.finish() == "succeeded"
    assert world.state.debts == {}
    world.rest()
    assert set(world.running().values()) == {"3" if ask == "deploy" else "1"}


def test_a_converge_that_moves_traffic_is_waited_for() -> None:
    world = without_a()
    world.come_back("a")
    world.converge()
    world.until("shift")
    before = world.state
    with pytest.raises(Refused):
        world.deploy("3")
    assert world.state == before


def test_a_converge_stays_where_the_deployment_is_refused() -> None:
    world = without_a()
    world.come_back("a")
    world.converge()
    world.until("start")
    world.lock(by="bob")
    before = world.state
    with pytest.raises(Refused):
        world.deploy("3")
    assert world.state == before


def test_what_is_said_of_very_many_nodes_names_the_first_few() -> None:
    nodes = [f"n{number:03}" for number in range(60)]
    world = World(nodes, policy=Policy(max_failed_nodes="50")).deployed("1")
    world.deploy("2")
    world.until("prepare")
    for node in nodes[10:]:
        world.leave(node)
    world.go(lambda: world.state.rollout is None)
    assert len(world.state.debts) == 50
    for node in nodes[10:]:
        world.come_back(node)
    world.converge()
    message = world.state.rollout.message
    assert "n019" in message
    assert "n020" not in message
    assert message.endswith("and 40 more")
    world.fates = {"start": SILENCE}
    world.until("start")
    for node in nodes[10:]:
        world.leave(node)
    world.go(lambda: world.state.rollout is None)
    assert max(len(debt) for debt in world.state.debts.values()) < 1000
