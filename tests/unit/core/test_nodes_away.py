"""A node goes away in the middle of a rollout: in time it goes on, too late it is undone."""

import msgspec
import pytest
from core_values import PACE, WAVES, place
from driver import World

from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.deadline import next_deadline
from tidegate_controller.core.draft import pending
from tidegate_controller.core.inputs import NodeRemoved
from tidegate_controller.core.spec import Pace, Policy, Traffic, Waves

replace = msgspec.structs.replace
BEFORE = {"a/blue": 100, "b/blue": 100}
AFTER = {"a/green": 100, "b/green": 100}
STEPS = ["preflight", "prepare", "start", "shift", "switch", "soak"]
WAITING = ["preflight", "prepare", "start", "switch"]  # steps with works on nodes


def at_step(step: str, pace: Pace = PACE) -> World:
    world = World(pace=pace).deployed("1")
    world.deploy("2")
    world.until(step)
    return world


@pytest.mark.parametrize("step", STEPS)
def test_a_node_that_returns_in_time_does_not_stop_the_rollout(step: str) -> None:
    world = at_step(step)
    world.leave("a")
    world.wait(5.0)
    world.come_back("a")
    assert world.finish() == "succeeded"
    assert world.traffic == AFTER
    assert world.state.away == {}


@pytest.mark.parametrize("step", WAITING)
def test_a_node_that_does_not_return_undoes_the_rollout(step: str) -> None:
    world = at_step(step)
    world.leave("a")
    assert world.finish() == "rolled_back"
    moved = step == "switch"  # then traffic does not move back to where nobody answers
    assert world.traffic == ({"b/blue": 100} if moved else BEFORE)
    assert world.owing() == ({"a"} if moved else set())
    assert world.state.away == {}


@pytest.mark.parametrize("step", ["prepare", "start", "switch"])
def test_a_rollout_waits_for_an_absent_node_no_longer_than_its_pace_says(step: str) -> None:
    world = at_step(step)
    world.answer(world.open()[1])
    world.leave("a")
    world.wait(PACE.away_seconds - 0.1)
    assert world.step == step
    world.wait(0.1)
    assert world.step != step


def test_an_absence_before_the_shift_ends_before_any_traffic_moves() -> None:
    world = at_step("start")
    first, second = world.open()
    world.answer(first)
    world.leave("a")
    world.answer(second)
    assert world.step == "start"
    seen = len(world.log)
    assert world.finish() == "rolled_back"
    assert world.issued("route", seen) == []


def test_an_absence_during_the_soak_is_waited_for_and_then_undone() -> None:
    world = at_step("soak")
    world.leave("a")
    since = world.now
    world.go(lambda: world.state.rollout.undoing)
    assert world.now - since == PACE.away_seconds
    assert world.finish() == "rolled_back"
    assert "a went away and did not come back in time" in world.ending.reason
    assert world.traffic == {"b/blue": 100}
    assert world.owing() == {"a"}


def test_the_soak_starts_again_when_an_absent_node_is_back() -> None:
    world = at_step("soak")
    world.wait(PACE.soak_seconds / 2)
    world.leave("a")
    world.wait(1.0)
    world.come_back("a")
    world.wait(PACE.soak_seconds - 0.1)
    assert world.step == "soak"
    world.wait(0.1)
    assert world.ending.state == "succeeded"


def test_a_node_that_comes_back_without_its_new_slot_undoes_the_rollout() -> None:
    world = at_step("soak")
    world.leave("a")
    del world.machines[place("a/green")]
    world.come_back("a")
    assert world.finish() == "rolled_back"


def test_a_node_that_comes_back_with_an_unhealthy_slot_undoes_the_rollout() -> None:
    world = at_step("soak")
    world.leave("a")
    world.machines[place("a/green")] = t.Known(
        revision=world.state.places[place("a/green")].revision, running=True, healthy=False
    )
    world.come_back("a")
    assert world.finish() == "rolled_back"


def test_what_was_known_of_an_absent_nodes_health_is_not_known_any_more() -> None:
    world = at_step("soak")
    world.leave("a")
    assert world.state.places[place("a/green")].healthy is None
    assert world.state.places[place("a/green")].running is True
    assert world.state.places[place("b/green")].healthy is True


def test_a_node_leaves_only_once() -> None:
    world = at_step("prepare")
    assert [type(e) for e in world.leave("a")] == [ev.NodeLeft]
    assert world.leave("a") == ()


def test_a_node_outside_the_rollout_may_come_and_go() -> None:
    world = World().deployed("1")
    world.deploy("2", nodes=["a"])
    world.leave("b")
    assert world.finish() == "succeeded"


def test_without_a_rollout_coming_and_going_makes_no_events() -> None:
    world = World().deployed("1")
    assert world.leave("a") == ()
    assert world.come_back("a") == ()


def test_the_undo_goes_on_when_its_nodes_are_away() -> None:
    world = at_step("switch")
    world.leave("a")
    world.leave("b")
    assert world.finish() == "rolled_back"
    assert world.traffic == BEFORE


@pytest.mark.parametrize("step", WAITING)
def test_after_an_undo_the_chores_wait_for_the_absent_node(step: str) -> None:
    world = at_step(step)
    world.leave("a")
    world.finish()
    world.wait(3600.0)
    world.come_back("a")
    world.rest()
    assert world.running() == {"a/blue": "1", "b/blue": "1"}
    assert world.currents == {"a": "blue", "b": "blue"}
    assert world.owing() == ({"a"} if step == "switch" else set())


@pytest.mark.parametrize("step", STEPS)
def test_a_replaced_disk_in_any_step_undoes_the_rollout_or_does_not_matter(step: str) -> None:
    world = at_step(step)
    world.lose_disks("a")
    world.finish()
    world.rest()
    serving = set(world.traffic)
    assert serving <= set(world.running())
    assert world.traffic in ({"b/blue": 100}, AFTER)


def test_a_replaced_disk_makes_the_nodes_open_actions_unknown() -> None:
    world = at_step("prepare")
    lost = next(action for action in world.open() if action.work.at == "a")
    events = world.lose_disks("a")
    ends = {e.action: e.outcome for e in events if isinstance(e, ev.ActionEnded)}
    assert ends[lost.id] == "unknown"


def test_a_replaced_disk_means_that_nothing_runs_there() -> None:
    world = World().deployed("1", "2")
    world.lose_disks("a")
    for slot in t.SLOTS:
        known = world.state.places[t.Place.of("a", slot)]
        assert (known.revision, known.running) == (None, False)


def test_after_a_replaced_disk_the_same_release_is_deployed_to_the_node_again() -> None:
    world = World().deployed("1")
    world.lose_disks("a")
    seen = len(world.log)
    world.deploy("1")
    assert world.finish() == "succeeded"
    assert world.issued("start", seen) == ["a/green"]


def test_actions_carry_the_journal_that_they_are_meant_for() -> None:
    world = World().deployed("1")
    world.lose_disks("a")
    world.deploy("2")
    journals = {action.work.at: action.journal_id for action in world.open()}
    assert journals == {"controller": "", "a": "journal-a-new", "b": "journal-b"}


def test_a_rollout_takes_the_journals_of_its_members_from_the_request() -> None:
    world = World().deployed("1")
    world.journals["a"] = "journal-a-unheard-of"
    world.deploy("2")
    (query,) = (action for action in world.open() if action.work.at == "a")
    assert query.journal_id == "journal-a-unheard-of"


def test_an_absent_node_is_a_deadline_of_its_own() -> None:
    world = at_step("prepare")
    world.leave("a")
    assert next_deadline(world.state) == world.now + PACE.away_seconds
    world.come_back("a")
    assert next_deadline(world.state) > world.now + PACE.away_seconds


@pytest.mark.parametrize("step", ["prepare", "switch"])
def test_a_slot_that_crashes_while_another_action_is_open_on_it_is_known_to_be_down(
    step: str,
) -> None:
    world = World().deployed("1", "2")
    world.deploy("3")
    world.until(step)
    world.report("a/blue", running=False, healthy=False)
    assert world.state.places[place("a/blue")].running is False


def test_while_a_slot_is_being_started_only_the_answer_counts() -> None:
    world = at_step("start")
    assert world.report("a/green", running=True, healthy=False) == ()
    world.machines.pop(place("a/green"))
    assert world.finish() == "succeeded"


def test_an_observation_that_says_nothing_new_makes_no_event() -> None:
    world = World().deployed("1")
    assert world.hello("a") == ()
    assert world.report("a/blue", healthy=True) == ()


@pytest.mark.parametrize("soak_seconds", [0.0, 10.0])
def test_a_place_that_comes_back_with_another_release_has_not_passed(soak_seconds: float) -> None:
    """Its disk was put back to an earlier day: the agent's journal is the same, and all is well."""
    world = at_step("switch", pace=replace(PACE, soak_seconds=soak_seconds))
    here, old = place("b/green"), world.machines[place("b/blue")]
    world.leave("b")
    world.machines[here] = replace(world.machines[here], revision=old.revision)
    world.come_back("b")
    assert world.finish() == "rolled_back"
    assert "b/green does not have 2 any more" in world.ending.reason


def test_the_late_word_of_a_connection_that_is_gone_does_not_bring_its_node_back() -> None:
    world = at_step("start")
    (start,) = [action for action in pending(world.state) if action.work.at == "a"]
    world.leave("a")
    world.answer(start)
    assert "a" in world.state.away
    assert start not in pending(world.state)
    world.come_back("a")
    assert world.state.away == {}
    assert world.finish() == "succeeded"


def test_a_node_that_is_lost_while_a_promotion_is_awaited_does_not_keep_its_traffic() -> None:
    world = World(
        strategy="canary", waves=replace(WAVES, sizes=("1", "100%"), promote="manual")
    ).deployed("1")
    world.deploy("2")
    world.go(lambda: world.state.rollout.waiting is not None)
    world.leave("a")
    world.wait(PACE.away_seconds)
    assert world.state.rollout.undoing


def test_traffic_does_not_move_back_to_a_node_that_is_away_for_a_moment() -> None:
    world = at_step("soak")
    world.leave("a")
    world.wait(5.0)
    world.report("b/green", healthy=False)  # long before a is given up
    assert world.finish() == "rolled_back"
    assert world.traffic == {"b/blue": 100}
    assert world.owing() == {"a"}


def test_a_node_that_was_away_when_traffic_moved_back_gets_its_own_as_soon_as_it_is_here() -> None:
    world = at_step("soak")
    world.leave("a")
    world.report("b/green", healthy=False)
    world.until("shift-back")
    world.come_back("a")  # too late for the move, which is under way
    world.finish()
    world.converge()
    assert world.finish() == "succeeded"
    assert (world.traffic, world.owing()) == (BEFORE, set())


def test_traffic_moves_back_to_nodes_that_are_away_where_no_other_is_left() -> None:
    world = at_step("soak")
    world.leave("a")
    world.leave("b")
    world.abort()
    assert world.finish() == "rolled_back"
    assert world.traffic == BEFORE


@pytest.mark.parametrize("restarted", [False, True])
def test_traffic_moves_back_to_no_node_that_was_away_from_the_start(restarted: bool) -> None:
    world = World(("a", "b", "c"), policy=Policy(max_failed_nodes="1")).deployed("1")
    world.leave("c")
    world.deploy("2")
    world.until("soak")
    if restarted:
        world.restart()
    world.report("a/green", running=False, healthy=False)
    world.report("b/green", running=False, healthy=False)
    assert world.finish() == "rolled_back"
    assert world.traffic == {"a/blue": 100, "b/blue": 100}
    assert "c" in world.owing()


def test_a_node_that_is_removed_during_a_rollout_without_it_owes_nothing_after() -> None:
    world = World(("a", "b", "c"), policy=Policy(max_failed_nodes="1")).deployed("1")
    world.leave("c")
    world.deploy("2")
    world.until("soak")
    world.feed(NodeRemoved(node="c"))
    assert world.finish() == "succeeded"
    assert world.owing() == set()
    assert world.state.members == ("a", "b")


@pytest.mark.parametrize("strategy", ["canary", "rolling"])
def test_removing_a_node_that_a_rollout_is_without_undoes_nothing(strategy: str) -> None:
    """It had traffic when the plan was made."""
    waves, one = Waves(sizes=("1", "100%"), max_parallel="1"), Policy(max_failed_nodes="1")
    world = World("abcd", strategy=strategy, waves=waves, policy=one).deployed("1")
    world.rest()
    world.leave("d")
    world.deploy("2")
    world.until("preflight")
    world.feed(NodeRemoved(node="d"))
    assert world.finish() == "succeeded"
    assert world.traffic == {"a/green": 100, "b/green": 100, "c/green": 100}


def test_removing_a_node_keeps_no_other_from_what_it_owes() -> None:
    world = World("abc", policy=Policy(max_failed_nodes="2")).deployed("1")
    world.rest()
    world.leave("b")
    world.deploy("2")
    assert world.finish() == "succeeded"
    world.leave("c")
    world.come_back("b")
    world.converge("b")
    world.until("start")
    world.feed(NodeRemoved(node="c"))
    assert world.finish() == "succeeded"
    assert world.traffic == {"a/green": 100, "b/green": 100}


@pytest.mark.parametrize("how", ["left out", "back and gone", "not heard of"])
def test_traffic_moves_back_to_no_node_that_goes_while_the_rollout_is_without_it(how: str) -> None:
    world = World("abc", policy=Policy(max_failed_nodes="1")).deployed("1")
    world.rest()
    if how == "back and gone":
        world.leave("c")
    world.deploy("2", nodes="abc" if how == "back and gone" else "ab")
    world.until("soak")
    if how == "back and gone":
        world.come_back("c")
    if how == "not heard of":
        world.gone.add("c")
        world.restart()
        world.wait(PACE.away_seconds)
    else:
        world.leave("c")
    world.report("a/green", running=False, healthy=False)
    world.report("b/green", running=False, healthy=False)
    assert world.finish() == "rolled_back"
    assert world.traffic == {"a/blue": 100, "b/blue": 100}


def test_a_slot_that_a_node_starts_by_itself_after_a_reboot_is_known_if_it_alone_has_changed() -> (
    None
):
    world = World().deployed("1", "2")
    world.currents["a"] = "blue"
    world.hello("a")
    assert world.state.current["a"] == "blue"
    assert world.hello("a") == ()


def test_a_soak_in_which_traffic_is_moved_needs_no_tick_until_that_has_ended() -> None:
    world = World("abcd", policy=Policy(max_failed_nodes="1"))
    for version in ("1", "2"):
        world.deploy(version, traffic=Traffic(adapter="none"))
        world.finish() if version == "1" else world.until("soak")
    world.report("a/green", running=False, healthy=False)
    assert [a.work.verb for a in world.open()] == ["route"]
    world.tick(PACE.soak_seconds)
    assert next_deadline(world.state) > world.now
    world.answer_all()
    assert world.finish() == "succeeded"
