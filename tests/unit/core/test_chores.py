"""Work after a rollout: slots are stopped late, surely without traffic, and once."""

import pytest
from core_values import ON_EVERY_NODE, PACE, place
from driver import SILENCE, World

from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.chores import CHORE_SECONDS
from tidegate_controller.core.deadline import next_deadline
from tidegate_controller.core.draft import pending

KEEP = PACE.keep_old_seconds


def test_old_slots_are_stopped_after_they_were_kept_for_a_while() -> None:
    world = World().deployed("1", "2")
    seen = len(world.log)
    world.wait(KEEP - 0.1)
    assert world.issued("stop", seen) == []
    world.wait(0.1)
    assert sorted(world.issued("stop", seen)) == ["a/blue", "b/blue"]


def test_the_first_deploy_leaves_no_chores() -> None:
    assert World().deployed("1").state.chores == ()


def test_a_chore_is_gone_when_it_is_done() -> None:
    world = World().deployed("1", "2")
    world.rest()
    assert world.running() == {"a/green": "2", "b/green": "2"}
    assert (pending(world.state), next_deadline(world.state)) == ((), None)


def test_the_slots_of_a_node_that_was_left_out_are_retired_too() -> None:
    world = World().deployed("1", "2")
    world.deploy("3", nodes=["a"])
    world.finish()
    world.rest()
    assert world.running() == {"a/blue": "3"}


def test_chores_of_a_node_that_a_new_rollout_treats_are_dropped() -> None:
    world = World().deployed("1", "2")
    assert [where for _, where, _ in world.chores()] == ["a/blue", "b/blue"]
    world.deploy("3", nodes=["a"])
    assert [where for _, where, _ in world.chores()] == ["b/blue"]


def test_an_open_chore_is_cancelled_by_a_new_rollout_on_its_node() -> None:
    world = World().deployed("1", "2")
    world.wait(KEEP)
    first, second = pending(world.state)
    seen = len(world.log)
    world.deploy("3", nodes=["a"])
    ends = [(e.action, e.outcome) for _, e in world.log[seen:] if isinstance(e, ev.ActionEnded)]
    assert ends == [(first.id, "cancelled")]
    assert second in pending(world.state)


def test_the_late_result_of_a_superseded_chore_is_ignored() -> None:
    world = World().deployed("1", "2")
    world.wait(KEEP)
    late = pending(world.state)
    world.deploy("3")
    state = world.state
    for action in late:
        assert world.feed(world.result(action, known=t.Known(running=False))) == ()
    assert world.state == state
    assert world.finish() == "succeeded"


def test_a_slot_whose_stop_was_superseded_is_started_anew() -> None:
    world = World().deployed("1", "2")
    world.wait(KEEP)
    seen = len(world.log)
    world.rollback()
    assert world.finish() == "succeeded"
    assert sorted(world.issued("start", seen)) == ["a/blue", "b/blue"]


@pytest.mark.parametrize("step", ["start", "switch"])
def test_dropped_chores_come_back_after_the_rollout(step: str) -> None:
    world = World().deployed("1", "2")
    world.wait(KEEP)
    world.deploy("3")
    world.finish(**{step: "failed"})
    world.rest()
    assert world.running() == {"a/green": "2", "b/green": "2"}


def test_releases_that_never_get_as_far_as_a_start_do_not_fill_the_disk() -> None:
    world = World().deployed("1")
    world.rest()
    for version in "234":
        world.deploy(version)
        seen = len(world.log)
        world.finish(**{"prepare@b": "failed"})
        world.rest()
        assert world.issued("cleanup", seen) == ["a", "b"]


def test_a_clean_up_does_not_cut_short_a_migration_that_goes_on() -> None:
    world = World(settings=ON_EVERY_NODE).deployed("1")
    world.rest()
    world.deploy("2")
    world.until("migrate")
    seen = len(world.log)
    world.finish(**{"migrate@a": SILENCE, "migrate@b": "failed"})
    world.wait(ON_EVERY_NODE.hooks.migrate_seconds)
    assert world.issued("cleanup", seen) == []
    world.wait(PACE.drain_seconds)
    assert world.issued("cleanup", seen) == ["a", "b"]


def test_a_failed_slot_that_never_had_traffic_is_stopped_at_once() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.finish(start="failed")
    assert {(a.work.verb, str(a.work.place)) for a in pending(world.state)} == {
        ("stop", "a/green"),
        ("stop", "b/green"),
    }


def test_a_failed_slot_that_had_traffic_is_stopped_when_it_has_drained() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until("soak")
    world.report("a/green", healthy=False)
    world.finish()
    seen = len(world.log)
    world.answer_all()
    world.wait(PACE.drain_seconds - 0.1)
    assert world.issued("stop", seen) == []
    world.wait(0.1)
    assert sorted(world.issued("stop", seen)) == ["a/green", "b/green"]


def test_a_node_that_had_switched_is_switched_back_before_its_slot_is_stopped() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.finish(**{"switch@b": "failed"})
    world.rest()
    verbs = [(a.work.verb, str(a.work.place or a.work.at)) for a in issued_on(world, "a")][-3:]
    assert verbs == [("switch", "a/blue"), ("stop", "a/green"), ("cleanup", "a")]
    assert world.currents["a"] == "blue"


def issued_on(world: World, node: str) -> list[t.Action]:
    issued = [e.action for _, e in world.log if isinstance(e, ev.ActionIssued)]
    return [action for action in issued if action.work.at == node]


def test_a_node_does_one_chore_at_a_time() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.finish(switch="failed")
    world.wait(PACE.drain_seconds * 2)
    assert sorted(a.work.at for a in pending(world.state)) == ["a", "b"]


def test_a_chore_that_must_wait_does_not_hold_up_the_others_of_its_node() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until("switch")
    world.report("a/blue", healthy=False)
    world.finish(**{"switch@b": "failed"})
    while world.open():
        world.answer_all()
    world.wait(PACE.drain_seconds)
    assert "a/green" in {str(action.work.place) for action in pending(world.state)}


def test_nothing_is_stopped_while_traffic_is_unknown() -> None:
    world = World(["a", "b"]).deployed("1", "2")
    world.deploy("3", nodes=["a"])
    world.until("shift")
    world.fates = {"shift": SILENCE, "shift-back": SILENCE}
    seen = len(world.log)
    world.wait(KEEP * 2)
    assert world.state.weights is None
    assert world.issued("stop", seen) == []


def test_stops_that_waited_for_a_move_of_traffic_are_done_after_it() -> None:
    world = World().deployed("1", "2")
    world.deploy("3", nodes=["a"])
    world.fates = {"shift": "failed", "shift-back": "failed"}
    world.give_up()
    world.wait(KEEP)
    world.deploy("3", nodes=["a"])
    assert world.finish() == "succeeded"
    world.rest()
    assert world.running() == {"a/blue": "3"}


def test_a_chore_waits_for_an_absent_node() -> None:
    world = World().deployed("1", "2")
    world.leave("a")
    world.wait(KEEP + 3600.0)
    assert [a.work.at for a in world.open()] == ["b"]
    assert {a.work.at for a in pending(world.state)} == {"a", "b"}
    world.come_back("a")
    world.rest()
    assert world.running() == {"a/green": "2", "b/green": "2"}
    assert world.state.debts == {}


def test_a_chore_that_could_not_be_done_for_long_is_owed_and_done_once_its_node_is_back() -> None:
    world = World().deployed("1", "2")
    world.leave("a")
    world.wait(KEEP)
    world.answer_all()
    world.wait(CHORE_SECONDS)
    assert list(world.state.debts) == ["a/blue"]
    world.come_back("a")
    world.rest()
    assert world.running() == {"a/green": "2", "b/green": "2"}
    assert world.state.debts == {}


def test_a_chore_that_failed_becomes_a_debt_that_says_so() -> None:
    world = World().deployed("1", "2")
    world.wait(KEEP)
    stops = pending(world.state)
    for action in stops:
        world.answer(action, "failed")
    assert world.owing() == {"a", "b"}
    assert world.state.debts == {
        str(a.work.place): f"stop {a.work.place}: stop did not work" for a in stops
    }
    assert world.state.chores == ()


def test_a_chore_that_its_agent_passes_over_becomes_a_debt() -> None:
    world = World().deployed("1", "2")
    world.wait(KEEP)
    for action in pending(world.state):
        world.answer(action, "superseded")
    assert world.owing() == {"a", "b"}


def test_a_debt_of_a_chore_is_paid_when_a_later_rollout_has_done_it() -> None:
    world = World().deployed("1", "2")
    world.wait(KEEP)
    for action in pending(world.state):
        world.answer(action, "failed")
    world.deployed("3")
    world.rest()
    assert world.state.debts == {}


def test_a_debt_of_a_node_that_was_left_out_is_paid_when_its_chore_is_done_in_the_end() -> None:
    world = World().deployed("1")
    world.deploy("2", nodes=["a"])
    world.finish()
    world.wait(KEEP)
    for action in pending(world.state):
        world.answer(action, "failed" if action.work.at == "b" else "ok")
    assert world.owing() == {"b"}
    world.deploy("3", nodes=["a"])
    world.finish()
    world.rest()
    assert world.running() == {"a/blue": "3"}
    assert world.owing() == set()


def test_a_switch_that_is_to_be_done_anyway_is_not_on_the_list_twice() -> None:
    world = World().deployed("1")
    world.deploy("2")
    first, second = world.until("switch")
    world.answer(first)
    world.answer(second, "failed")
    world.go(lambda: world.state.rollout is None)
    (chore,) = [c for c in world.state.chores if c.work.place == first.work.place.other]
    assert chore.work.verb == "switch"
    world.deploy("3", nodes=[second.work.at])
    assert world.finish(start="failed", **{chore.id: SILENCE}) == "rolled_back"
    switches = [c[:2] for c in world.chores() if c[0] == "switch"]
    assert len(switches) == len(set(switches))


def test_one_place_is_never_on_the_list_twice() -> None:
    world = World(["a", "b"]).deployed("1", "2")
    world.deploy("3", nodes=["a"])
    world.finish()
    stops = [where for verb, where, _ in world.chores() if verb == "stop"]
    assert sorted(stops) == ["a/green", "b/blue", "b/green"]


def test_a_slot_that_waits_for_its_switch_is_still_stopped_when_its_node_is_left_out() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until("switch")
    world.leave("a")
    world.finish()
    world.deploy("3", nodes=["b"])
    world.finish()
    world.come_back("a")
    world.rest()
    assert world.running() == {"b/green": "3"}


def test_a_replaced_disk_makes_an_open_chore_unknown() -> None:
    world = World().deployed("1", "2")
    world.wait(KEEP)
    events = world.come_back("a", disk_replaced=True)
    assert [e.outcome for e in events if isinstance(e, ev.ActionEnded)] == ["unknown"]


def test_a_stopped_slot_that_is_found_running_is_stopped_after_the_next_rollout() -> None:
    world = World(["a"]).deployed("1", "2")
    world.rest()
    world.report("a/blue", running=True)
    world.add("b")
    world.deployed("2")
    world.rest()
    assert world.running() == {"a/green": "2", "b/blue": "2"}


def test_an_idle_slot_that_has_crashed_is_stopped_so_that_its_agent_lets_it_be() -> None:
    world = World().deployed("1", "2")
    world.report("a/blue", running=False, healthy=False)
    seen = len(world.log)
    world.rest()
    assert sorted(world.issued("stop", seen)) == ["a/blue", "b/blue"]


def test_chores_outlive_the_controller() -> None:
    world = World().deployed("1", "2")
    world.restart()
    world.wait(KEEP)
    world.restart()
    world.rest()
    assert world.running() == {"a/green": "2", "b/green": "2"}


def test_a_slot_that_regained_traffic_is_not_stopped_by_an_old_chore() -> None:
    world = World().deployed("1", "2")
    world.wait(KEEP - 1.0)
    world.rollback()
    world.finish()
    world.rest()
    assert world.running() == {"a/blue": "1", "b/blue": "1"}


def test_a_chore_never_stops_a_slot_in_the_drain_of_its_last_traffic() -> None:
    pace = t.Pace(keep_old_seconds=0.0, drain_seconds=40.0, soak_seconds=0.0)
    world = World(pace=pace).deployed("1", "2")
    idle_since = world.state.idle_since[place("a/blue")]
    seen = len(world.log)
    world.wait(idle_since + 39.9 - world.now)
    assert world.issued("stop", seen) == []
    world.wait(0.1)
    assert len(world.issued("stop", seen)) == 2
