"""What a rollout does when all goes well: the order of its steps, and where traffic ends up."""

import pytest
from core_values import PACE, place, release
from driver import World

from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.spec import Policy


def test_a_first_deploy_fills_blue_on_every_node_and_gives_it_all_traffic() -> None:
    world = World()
    world.deploy("1")
    assert world.finish() == "succeeded"
    assert world.traffic == {"a/blue": 100, "b/blue": 100}
    assert world.running() == {"a/blue": "1", "b/blue": "1"}
    assert world.currents == {"a": "blue", "b": "blue"}


def test_the_steps_of_a_deploy_come_in_their_usual_order() -> None:
    world = World()
    world.deploy("1")
    world.finish()
    assert world.steps() == [
        "preflight",
        "prepare",
        "migrate",
        "start",
        "shift",
        "switch",
        "soak",
        "verify",
    ]


def test_a_second_deploy_uses_the_idle_slots_and_moves_traffic_at_once() -> None:
    world = World().deployed("1")
    world.deploy("2")
    assert world.finish() == "succeeded"
    assert world.traffic == {"a/green": 100, "b/green": 100}
    assert len(world.issued("route")) == 2


def test_the_old_slots_run_on_until_they_are_retired() -> None:
    world = World().deployed("1", "2")
    assert world.running() == {"a/blue": "1", "a/green": "2", "b/blue": "1", "b/green": "2"}


def test_a_third_deploy_stops_nothing_by_itself_but_reuses_the_oldest_slot() -> None:
    world = World().deployed("1", "2", "3")
    assert world.traffic == {"a/blue": 100, "b/blue": 100}
    assert world.running() == {"a/blue": "3", "a/green": "2", "b/blue": "3", "b/green": "2"}


def test_what_is_already_active_everywhere_makes_no_event() -> None:
    world = World().deployed("1")
    assert world.deploy("1") == ()


@pytest.mark.parametrize("strategy", ["blue-green", "canary", "rolling"])
def test_a_node_whose_current_names_another_slot_than_serves_is_mended(strategy: str) -> None:
    world = World(strategy=strategy).deployed("1", "2")
    world.rest()
    world.currents["a"] = "blue"
    world.hello("a")
    seen = len(world.log)
    world.deploy("2")
    assert world.finish() == "succeeded"
    assert world.currents == {"a": "green", "b": "green"}
    assert world.issued("start", seen) == []
    assert world.deploy("2") == ()


def test_an_added_node_gets_the_release_and_the_others_are_not_touched() -> None:
    world = World(["a"]).deployed("1")
    world.add("b")
    seen = len(world.log)
    world.deploy("1")
    assert world.finish() == "succeeded"
    assert world.issued("start", seen) == ["b/blue"]
    assert world.traffic == {"a/blue": 100, "b/blue": 100}


def test_a_node_that_is_left_out_takes_no_traffic_afterwards() -> None:
    world = World().deployed("1")
    world.deploy("2", nodes=["a"])
    assert world.finish() == "succeeded"
    assert world.traffic == {"a/green": 100}


def test_a_node_that_is_left_out_is_told_nothing_during_the_rollout() -> None:
    world = World().deployed("1")
    seen = len(world.log)
    world.deploy("2", nodes=["a"])
    world.finish()
    told = {e.action.work.at for _, e in world.log[seen:] if isinstance(e, ev.ActionIssued)}
    assert told == {"a", "controller"}


def test_an_active_slot_that_is_down_is_healed_in_the_other_one() -> None:
    world = World().deployed("1")
    world.report("a/blue", running=False, healthy=False)
    world.deploy("1")
    assert world.finish() == "succeeded"
    assert world.traffic == {"a/green": 100, "b/blue": 100}


def test_a_start_waits_until_the_slot_has_drained() -> None:
    world = World().deployed("1", "2")
    world.deploy("3")
    lost_traffic_at = world.state.idle_since[place("a/blue")]
    world.until("start")
    assert world.now >= lost_traffic_at + PACE.drain_seconds


def test_a_start_that_has_to_wait_for_the_drain_is_issued_when_it_is_over() -> None:
    world = World(pace=t.Pace(soak_seconds=0.0, drain_seconds=50.0)).deployed("1", "2")
    shifted_at = world.now
    world.deploy("3")
    assert world.until("start") == []
    world.wait(49.9)
    assert list(world.state.rollout.open) == []
    world.wait(0.1)
    assert len(world.state.rollout.open) == 2
    assert world.now == pytest.approx(shifted_at + 50.0)


def test_a_start_has_time_to_wait_for_the_drain_of_a_slower_pace_before() -> None:
    world = World(pace=t.Pace(soak_seconds=0.0, drain_seconds=500.0)).deployed("1", "2")
    world.pace = t.Pace(soak_seconds=0.0, drain_seconds=5.0)
    world.deploy("3")
    assert world.finish() == "succeeded"


def test_the_soak_lasts_its_whole_time_from_when_it_is_entered() -> None:
    world = World()
    world.deploy("1")
    for step in ("start", "shift", "switch"):
        world.until(step)
        world.tick(20.0)
    world.until("soak")
    world.wait(PACE.soak_seconds - 0.5)
    assert world.step == "soak"
    world.wait(0.5)
    assert world.step == "verify"


def test_without_a_soak_time_there_is_no_soak() -> None:
    world = World(pace=t.Pace(soak_seconds=0.0))
    world.deploy("1")
    assert world.finish() == "succeeded"
    assert "soak" not in world.steps()


def test_traffic_waits_until_all_that_passed_are_known_to_be_healthy() -> None:
    world = World()
    world.deploy("1")
    first, second = world.until("start")
    world.answer(first)
    world.leave("a")
    world.answer(second)
    assert world.step == "start"
    assert world.issued("route") == []
    world.come_back("a")
    assert world.issued("route") == ["controller"]


def test_a_success_is_committed_and_remembered() -> None:
    world = World().deployed("1", "2")
    assert world.state.committed == (release("1"), release("2"))


def test_the_rollout_names_the_release_that_was_active_before() -> None:
    world = World().deployed("1")
    world.deploy("2")
    assert world.state.rollout.previous == release("1")


def test_the_fence_of_an_action_is_the_epoch_and_its_place_in_the_stream() -> None:
    world = World().deployed("1")
    for number, (_, event) in enumerate(world.log, start=1):
        if isinstance(event, ev.ActionIssued):
            assert event.action.fence == (1, number)


def test_the_log_alone_adds_up_to_the_state() -> None:
    world = World().deployed("1", "2")
    world.rest()
    assert world.replayed() == world.state


def test_a_step_runs_no_more_works_at_once_than_it_may() -> None:
    world = World([f"n{number:02d}" for number in range(60)])
    world.deploy("1")
    world.until("prepare")
    assert len(world.state.rollout.open) == 50
    world.answer(world.open()[0])
    assert len(world.state.rollout.open) == 50
    assert world.finish() == "succeeded"


def test_however_often_a_release_is_deployed_what_to_go_back_to_stays() -> None:
    world = World().deployed("1", "2")
    for _ in range(25):
        world.deploy("2", again=True)
        assert world.finish() == "succeeded"
    world.rollback()
    assert world.finish() == "succeeded"
    assert world.state.committed[-1].version == "1"


def test_a_deployment_of_what_is_active_stops_what_was_left_beside_it() -> None:
    """As the debt says of the next deployment."""
    world = World(policy=Policy(on_failure="stop")).deployed("1")
    world.rest()
    world.deploy("2")
    assert world.finish(**{"start@b": "failed"}) == "failed"
    assert world.owing() == {"a", "b"}
    assert "the next deployment stops it" in world.state.debts["a/green"]
    world.deploy("1")
    assert world.state.rollout is None
    world.rest()
    assert world.running() == {"a/blue": "1", "b/blue": "1"}
    assert world.owing() == set()
