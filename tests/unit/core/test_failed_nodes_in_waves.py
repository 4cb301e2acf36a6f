"""Nodes that fail, or owe a release, under strategies with waves, a floor, or groups of servers."""

import pytest
from driver import SILENCE, World

from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.debts import BACKOFF_SECONDS
from tidegate_controller.core.settling import REWRITE
from tidegate_controller.core.spec import Policy, Waves
from tidegate_controller.errors import Refused

ONE = Policy(max_failed_nodes="1")
TWO = Policy(max_failed_nodes="2")
PAUSE = Policy(on_failure="pause")
STOP = Policy(on_failure="stop")
GROUPS = {"a": "blue", "b": "blue", "c": "green", "d": "green"}
SLOTS = {"blue": {"group": "blue"}, "green": {"group": "green"}}


def rolling(policy: Policy, least: str = "1", nodes: str = "abc", **waves: str) -> World:
    """Version 2 is being deployed in place where 1 serves, a node at a time."""
    floor = Waves(min_in_service=least, **waves)
    world = World(nodes, strategy="rolling", waves=floor, policy=policy).deployed("1")
    world.deploy("2")
    return world


def canary(policy: Policy) -> World:
    waves = Waves(sizes=("1", "100%"))
    world = World("abc", strategy="canary", waves=waves, policy=policy).deployed("1")
    world.deploy("2")
    return world


def grouped(policy: Policy = ONE, *, away: str = "") -> World:
    """Version 2 serves from the group green."""
    labels = {node: {"group": group} for node, group in GROUPS.items()}
    world = World(GROUPS, labels=labels, slots=SLOTS, policy=policy).deployed("1")
    if away:
        world.leave(away)
    return world.deployed("2")


def dropped(world: World) -> list[str]:
    return [e.node for _, e in world.log if isinstance(e, ev.NodeDropped)]


def until_asked(world: World, **fates: str) -> t.Wait:
    world.fates = dict(fates)
    world.go(lambda: world.state.rollout is None or world.state.rollout.waiting is not None)
    world.fates = {}
    assert world.state.rollout is not None, "nobody was asked"
    return world.state.rollout.waiting


# --- Within what the policy allows ---------------------------------------------------------------


def test_where_the_whole_first_wave_has_failed_the_next_one_is_not_tried() -> None:
    world = canary(ONE)
    assert world.finish(**{"start-1": "failed"}) == "rolled_back"
    assert world.traffic == {f"{node}/blue": 100 for node in "abc"}


def test_a_node_that_failed_before_does_not_keep_the_others_from_the_next_release() -> None:
    """It serves nobody, so it comes first, alone in its wave: that it fails again shows nothing."""
    world = rolling(ONE)
    assert world.finish(**{"start-2": "failed"}) == "succeeded"
    world.deploy("3")
    assert world.finish(**{"start-1": "failed"}) == "succeeded"
    assert dropped(world) == ["b", "b"]
    assert world.traffic == {"a/blue": 100, "c/blue": 100}


def test_where_the_whole_first_wave_has_failed_a_person_is_told_that_none_is_left() -> None:
    world = rolling(Policy(on_failure="pause", max_failed_nodes="1"))
    wait = until_asked(world, **{"start-1": "failed"})
    assert "no node is left on which 2 has been good" in wait.why
    assert wait.answers == ("retry", "abort")


def test_a_node_of_a_later_wave_may_fail() -> None:
    world = canary(ONE)
    assert world.finish(**{"start-2@b": "failed"}) == "succeeded"
    assert world.traffic == {"a/green": 100, "b/blue": 100, "c/green": 100}
    assert world.owing() == {"b"}


def test_failures_of_all_waves_count_together() -> None:
    world = rolling(ONE, nodes="abcd")
    assert world.finish(**{"start-2": "failed", "start-3": "failed"}) == "rolled_back"
    assert dropped(world) == ["b"]
    assert world.traffic == {f"{node}/blue": 100 for node in "abcd"}
    assert world.owing() == set()


def test_in_place_a_node_that_failed_serves_nobody_until_it_converges() -> None:
    world = rolling(ONE)
    assert world.finish(**{"start-2": "failed"}) == "succeeded"
    assert world.traffic == {"a/green": 100, "c/green": 100}
    assert "it takes no traffic until it has" in world.state.debts["b"]
    world.wait(BACKOFF_SECONDS)
    world.converge()
    assert world.finish() == "succeeded"
    assert world.traffic == {f"{node}/green": 100 for node in "abc"}
    assert world.state.debts == {}


def test_in_place_a_node_that_failed_while_its_old_release_runs_keeps_its_traffic() -> None:
    world = rolling(ONE)
    assert world.finish(**{"prepare-2": "failed"}) == "succeeded"
    assert world.traffic == {"a/green": 100, "b/blue": 100, "c/green": 100}
    assert world.running() == {"a/green": "2", "b/blue": "1", "c/green": "2"}


def test_in_place_a_node_that_was_told_to_stop_and_did_not_answer_gets_no_traffic_back() -> None:
    """It may stop any time still, as nothing calls that back."""
    world = rolling(ONE)
    world.until("stop-2")
    seen = len(world.log)
    world.fates = {"stop-2": SILENCE}
    world.go(lambda: "b" in world.state.rollout.dropped)
    world.report("b/blue", running=True, healthy=True)
    assert world.finish() == "succeeded"
    issued = [e.action.work for _, e in world.log[seen:] if isinstance(e, ev.ActionIssued)]
    moves = [work.weights for work in issued if work.weights is not None]
    assert moves
    assert not any("b/blue" in move for move in moves)


def test_a_node_is_not_dropped_where_the_floor_needs_it() -> None:
    """What happens to it is undone, as where none may fail; else two of three would be gone."""
    world = rolling(TWO, least="2")
    world.until("drain-2")
    world.report("a/green", healthy=False)
    assert world.finish() == "rolled_back"
    assert world.traffic == {f"{node}/blue": 100 for node in "abc"}


def test_a_node_that_nobody_can_ask_keeps_the_traffic_that_the_floor_needs() -> None:
    for least, failing, kept in (("2", "", {}), ("3", "start-3", {"d/blue": 100})):
        world = rolling(TWO, least=least, nodes="abcd")
        world.fates = {failing: "failed"}
        world.go(lambda: world.step == "prepare-4")  # noqa: B023
        world.leave("d")
        assert world.finish() == "succeeded"
        served = "ab" if failing else "abc"
        assert world.traffic == {f"{node}/green": 100 for node in served} | kept


def test_one_wave_too_many_for_the_floor_is_undone() -> None:
    world = rolling(ONE, least="2")
    world.fates = {"start-2": "failed"}
    world.go(lambda: world.state.rollout.undoing)
    assert dropped(world) == ["b"]
    assert "without c 1 would be in service, and 2 must be" in world.state.rollout.reason
    world.fates = {}
    assert world.finish() == "rolled_back"
    assert world.traffic == {f"{node}/blue": 100 for node in "abc"}


def test_a_node_that_is_away_counts_as_out_of_service() -> None:
    world = World("abc", strategy="rolling", waves=Waves(min_in_service="2"), policy=ONE).deployed(
        "1"
    )
    world.leave("c")
    with pytest.raises(Refused, match="not one can be treated in place; 1 of them is not in"):
        world.deploy("2")


def test_a_node_that_is_away_keeps_its_traffic_where_the_floor_needs_it() -> None:
    floor = Waves(min_in_service="60%")
    world = World("abc", strategy="rolling", waves=floor, policy=ONE).deployed("1")
    world.leave("a")
    with pytest.raises(Refused, match="test has 2 nodes, of which min_in_service = 60% must stay"):
        world.deploy("1", nodes=["a", "b"])


def test_those_away_keep_their_traffic_until_the_others_are_known_to_be_well() -> None:
    floor = Waves(min_in_service="1")
    world = World("abc", strategy="rolling", waves=floor, policy=TWO).deployed("1")
    world.leave("b")
    world.leave("c")
    world.report("a/blue", healthy=None)
    world.deploy("1")
    seen = len(world.log)
    world.go(lambda: world.step == "shift")
    assert world.issued("route", seen) == []
    assert world.traffic == {f"{node}/blue": 100 for node in "abc"}
    world.report("a/blue", healthy=True)
    assert world.finish() == "succeeded"
    assert world.traffic == {"a/blue": 100}


def test_who_goes_on_without_a_lost_node_has_not_given_up_the_floor_for_the_others() -> None:
    world = rolling(TWO, "3", "abcdef", max_parallel="2")
    world.until("prepare-2")
    for node in "ef":
        world.report(f"{node}/blue", healthy=False)
    world.until("drain-2")
    world.leave("a")
    assert until_asked(world).kind == "lost"
    world.reply("continue")
    assert not world.state.rollout.below_floor
    assert world.open() == [], "without c and d too few would be left"


def test_the_migration_that_runs_once_is_not_lost_with_its_node() -> None:
    """In a later wave than the first one there is nobody else who could run it any more."""
    world = World("abc", strategy="canary", waves=Waves(sizes=("1", "100%")), policy=TWO)
    world.deployed("1")
    world.deploy("2")
    assert world.finish(**{"prepare-1": "failed"}) == "rolled_back"
    assert world.issued("task")[1:] == []


# --- What people and the policy decide -----------------------------------------------------------


def test_a_paused_rollout_drops_nobody_until_it_goes_on() -> None:
    world = rolling(ONE)
    world.until("start-2")
    world.pause()
    seen = len(world.log)
    for action in world.open():
        world.answer(action, "failed")
    world.wait(3600.0)
    assert [e for _, e in world.log[seen:] if isinstance(e, ev.NodeDropped | ev.Replanned)] == []
    world.resume()
    assert dropped(world) == ["b"]
    assert world.finish() == "succeeded"


def test_a_lost_node_that_returns_while_it_is_paused_is_not_asked_about_after_it() -> None:
    world = World("abcd", policy=ONE).deployed("1")
    world.deploy("2")
    world.until("soak")
    world.leave("a")
    assert until_asked(world).kind == "lost"
    world.pause()
    world.wait(3600.0)
    world.come_back("a")
    world.resume()
    assert world.state.rollout.waiting is None
    assert world.finish() == "succeeded"
    assert world.owing() == set()


def test_with_pause_a_person_may_go_on_below_the_floor() -> None:
    world = rolling(Policy(on_failure="pause", max_failed_nodes="1"), least="2")
    wait = until_asked(world, **{"start-2": "failed"})
    assert dropped(world) == ["b"]
    assert wait.kind == "failure"
    assert "without c 1 would be in service, and 2 must be" in wait.why
    world.reply("continue")
    assert world.finish() == "succeeded"
    assert world.traffic == {"a/green": 100, "c/green": 100}


def test_a_move_that_had_failed_is_made_below_the_floor_once_a_person_says_so() -> None:
    """`continue` then means the floor, not that somebody has moved the traffic by hand."""
    world = rolling(Policy(on_failure="pause", max_failed_nodes="1"), nodes="ab")
    assert world.finish(**{"start-2": "failed"}) == "succeeded"
    world.deploy("3")
    world.fates = {"start-1": "failed", "drain-2": "failed"}
    world.go(lambda: world.step == "drain-2")
    world.report("a/green", healthy=False)  # so that the floor lets it go
    world.go(lambda: world.state.rollout.waiting is not None)
    world.fates = {}
    world.report("a/green", healthy=True)
    world.reply("retry")
    wait = until_asked(world)
    assert "without a 0 would be in service, and 1 must be" in wait.why
    seen = len(world.log)
    world.reply("continue")
    assert world.finish() == "succeeded"
    moves = [e.action for _, e in world.log[seen:] if isinstance(e, ev.ActionIssued)]
    steps = [action.step for action in moves if action.work.verb == "route"]
    assert steps == ["drain-2", "admit-2", REWRITE], "the drain that had failed may come late"
    assert world.traffic == {"a/blue": 100}


def test_whoever_goes_on_without_a_node_is_told_what_the_floor_loses_by_it() -> None:
    world = rolling(PAUSE, least="2")
    world.until("drain-2")
    world.report("a/green", healthy=None)
    world.leave("a")
    wait = until_asked(world)
    assert list(wait.nodes) in ([], ["a"])
    world.reply("abort")
    assert world.finish() == "rolled_back"


def test_with_pause_an_undo_in_place_starts_the_old_release_again() -> None:
    world = rolling(PAUSE)
    until_asked(world, **{"start-2": "failed"})
    world.reply("abort")
    assert world.finish() == "rolled_back"
    assert world.running() == {f"{node}/blue": "1" for node in "abc"}


def test_with_stop_in_place_it_is_told_which_nodes_serve_nobody() -> None:
    world = rolling(STOP)
    assert world.finish(**{"start-2": "failed"}) == "failed"
    assert world.traffic == {"a/green": 100, "c/blue": 100}
    assert "2 serves there since r2" in world.state.debts["a/green"]
    assert "b takes no traffic" in world.state.debts["b/blue"]
    assert world.converge() == ()  # nothing of it is undone by itself
    world.deploy("3")
    assert world.finish() == "succeeded"
    assert world.traffic.keys() == {place for place, _ in world.running().items()}
    assert world.state.debts == {}


# --- Converge ------------------------------------------------------------------------------------


def test_in_place_a_node_that_serves_is_drained_before_it_converges() -> None:
    world = rolling(ONE)
    world.finish(**{"prepare-2": "failed"})
    world.wait(BACKOFF_SECONDS)
    seen = len(world.log)
    world.converge()
    assert world.state.rollout.zones == dict.fromkeys("abc", "")
    assert world.finish() == "succeeded"
    assert world.steps(seen) == [
        *("preflight", "prepare", "drain", "stop", "start", "admit", "switch", "soak", "verify"),
    ]
    assert world.traffic == {f"{node}/green": 100 for node in "abc"}


def test_nodes_that_converge_in_place_leave_the_floor_in_service() -> None:
    world = rolling(TWO, least="2", nodes="abcd")
    world.finish(**{"prepare-2": "failed", "prepare-3": "failed"})
    assert world.owing() == {"b", "c"}
    world.wait(BACKOFF_SECONDS)
    seen = len(world.log)
    world.converge()
    assert world.finish() == "succeeded"
    assert [step for step in world.steps(seen) if step.startswith("drain")] == [
        *("drain-1", "drain-2"),
    ]
    assert world.traffic == {f"{node}/green": 100 for node in "abcd"}


def test_a_converge_that_fails_in_place_starts_the_old_release_again() -> None:
    world = rolling(ONE)
    world.finish(**{"prepare-2": "failed"})
    world.wait(BACKOFF_SECONDS)
    world.converge()
    assert world.finish(start="failed") == "rolled_back"
    assert world.traffic == {"a/green": 100, "b/blue": 100, "c/green": 100}
    assert world.running()["b/blue"] == "1"
    assert world.owing() == {"b"}


def test_a_node_that_cannot_be_spared_waits_with_what_it_owes() -> None:
    world = rolling(ONE, least="2")
    world.finish(**{"prepare-2": "failed"})
    world.leave("a")
    world.wait(BACKOFF_SECONDS)
    with pytest.raises(Refused, match="not one can be treated in place"):
        world.converge("b")
    world.come_back("a")
    world.converge("b")
    assert world.finish() == "succeeded"


def test_a_canary_that_was_left_out_converges_without_waves_or_anybody_asked() -> None:
    world = World(
        "abc", strategy="canary", waves=Waves(promote="manual"), policy=ONE, approval=True
    )
    world.deploy("1")
    until_asked(world)
    world.reply("approve")
    assert world.finish() == "succeeded"
    world.leave("c")
    world.deploy("2")
    while world.state.rollout is not None:
        gate = until_asked(world)
        world.reply("approve" if gate.kind == "approval" else "promote")
        world.go(lambda: world.state.rollout is None or world.state.rollout.waiting is not None)
    world.come_back("c")
    seen = len(world.log)
    world.converge()
    assert world.finish() == "succeeded"
    assert not any(isinstance(e, ev.Waiting) for _, e in world.log[seen:])
    assert all(step.wave == 0 for _, e in world.log[seen:] for step in getattr(e, "plan", ()))
    assert world.traffic == {f"{node}/green": 100 for node in "abc"}


def test_a_node_of_the_group_that_serves_converges_into_it() -> None:
    world = grouped(away="d")
    assert world.traffic == {"c/green": 100}
    world.come_back("d")
    world.converge()
    assert world.finish() == "succeeded"
    assert world.traffic == {"c/green": 100, "d/green": 100}


def test_a_node_of_the_group_that_idles_owes_nothing() -> None:
    world = grouped(away="a")
    world.come_back("a")
    (paid,) = world.converge()
    assert paid == ev.DebtsPaid(nodes=("a",))
    assert world.traffic == {"c/green": 100, "d/green": 100}


def test_a_converge_that_a_person_has_stopped_does_not_begin_again_by_itself() -> None:
    for undo in (True, False):
        world = grouped(away="d")
        world.come_back("d")
        world.converge()
        world.until("start")
        world.abort(undo=undo)
        world.finish()
        assert world.owing() >= {"d"}
        assert world.state.owed["d"].needs_return


def test_what_was_given_up_half_way_is_not_brought_back_by_a_converge() -> None:
    world = World("ab", policy=ONE).deployed("1")
    world.deploy("2")
    world.until("switch")
    world.abort(undo=False)
    assert world.owing() == {"a", "b"}
    assert world.converge() == ()
    assert world.traffic == {"a/green": 100, "b/green": 100}
