"""The controller dies and comes back, at every single point: the rollout ends as it would have."""

from collections.abc import Callable

import pytest
from core_values import GRACE_SECONDS, PACE
from driver import SILENCE, World

from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.deadline import next_deadline
from tidegate_controller.core.draft import pending
from tidegate_controller.core.spec import Policy

Scenario = Callable[[World], None]


def deploy_twice(world: World) -> None:
    world.deployed("1", "2")
    world.rest()


def deploy_with_a_failure_in(step: str, fate: str = "failed") -> Scenario:
    def scenario(world: World) -> None:
        world.deployed("1")
        world.deploy("2")
        world.finish(**{step: fate})
        world.rest()

    return scenario


def first_deploy_that_fails(world: World) -> None:
    world.deploy("1")
    world.finish(switch="failed")
    world.rest()


def roll_back(world: World) -> None:
    world.deployed("1", "2")
    world.rollback()
    world.finish()
    world.rest()


def roll_back_a_stopped_release(world: World) -> None:
    world.deployed("1", "2")
    world.rest()
    world.rollback()
    world.finish()
    world.rest()


def lose_a_node(world: World) -> None:
    world.deployed("1")
    world.deploy("2")
    world.until("switch")
    world.leave("a")
    world.finish()
    world.come_back("a")
    world.rest()


SCENARIOS: dict[str, Scenario] = {
    "deploy twice": deploy_twice,
    "preflight fails": deploy_with_a_failure_in("preflight"),
    "prepare fails": deploy_with_a_failure_in("prepare@b"),
    "start fails": deploy_with_a_failure_in("start@b"),
    "shift fails": deploy_with_a_failure_in("shift"),
    "switch fails": deploy_with_a_failure_in("switch@a"),
    "switch is not answered": deploy_with_a_failure_in("switch@a", SILENCE),
    "first deploy fails": first_deploy_that_fails,
    "roll back": roll_back,
    "roll back a stopped release": roll_back_a_stopped_release,
    "lose a node": lose_a_node,
}


def how_it_ended(world: World) -> dict[str, object]:
    return {
        "endings": [e.state for _, e in world.log if isinstance(e, ev.Ended)],
        "traffic": world.traffic,
        "running": world.running(),
        "currents": world.currents,
        "committed": [release.version for release in world.state.committed],
        "debts": world.state.debts,
        "chores": world.state.chores,
        "pending": pending(world.state),
    }


@pytest.mark.parametrize("reconnect", [True, False], ids=["agents there", "agents come back"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_controller_start_after_any_input_changes_nothing_in_the_end(
    name: str, reconnect: bool
) -> None:
    scenario = SCENARIOS[name]
    calm = World()
    scenario(calm)
    for number in range(2, calm.numbers["feed"] + 1):
        world = World(restart_after=number, reconnect=reconnect)
        scenario(world)
        assert how_it_ended(world) == how_it_ended(calm), f"restart after input {number}"
        assert world.replayed() == world.state


def at_step(step: str) -> World:
    world = World().deployed("1")
    world.deploy("2")
    world.until(step)
    return world


@pytest.mark.parametrize("step", ["preflight", "prepare", "start", "shift", "switch"])
def test_what_is_pending_is_the_same_after_a_start(step: str) -> None:
    world = at_step(step)
    before = [(action.id, action.fence, action.work) for action in pending(world.state)]
    world.restart()
    after = [(action.id, action.fence, action.work) for action in pending(world.state)]
    assert after == before


@pytest.mark.parametrize("step", ["preflight", "prepare", "start", "shift", "switch", "soak"])
def test_a_start_issues_nothing_twice(step: str) -> None:
    world = at_step(step)
    seen = len(world.log)
    world.restart()
    assert not [e for _, e in world.log[seen:] if isinstance(e, ev.ActionIssued)]


def test_actions_after_a_start_carry_the_new_epoch() -> None:
    world = at_step("prepare")
    world.restart()
    world.until("start")
    assert {action.fence[0] for action in pending(world.state)} == {2}


def test_ids_of_two_lives_of_the_controller_never_meet() -> None:
    world = at_step("prepare")
    world.restart()
    world.finish()
    ids = [e.action.id for _, e in world.log if isinstance(e, ev.ActionIssued)]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("step", ["preflight", "prepare", "start", "shift", "switch"])
def test_a_long_absence_of_the_controller_fails_nothing(step: str) -> None:
    world = at_step(step)
    world.now += 86_400.0
    world.restart(connected=())
    world.tick()
    assert world.finish() == "succeeded"


def test_a_start_gives_open_actions_at_least_the_grace() -> None:
    world = at_step("preflight")
    world.now += 29.0
    world.restart()
    assert all(a.deadline >= world.now + GRACE_SECONDS for a in pending(world.state))


@pytest.mark.parametrize("step", ["preflight", "prepare", "start", "switch"])
def test_agents_get_the_whole_grace_to_come_back_whatever_the_pace(step: str) -> None:
    world = World(pace=t.Pace(away_seconds=1.0)).deployed("1")
    world.deploy("2")
    world.until(step)
    world.gone = {"a", "b"}
    world.restart()
    world.wait(GRACE_SECONDS - 0.1)
    assert world.step == step
    world.come_back("a")
    world.come_back("b")
    assert world.finish() == "succeeded"


def test_agents_that_do_not_come_back_after_a_start_undo_the_rollout() -> None:
    world = at_step("switch")
    world.gone = {"a"}
    world.restart()
    assert world.finish() == "rolled_back"
    assert world.traffic == {"b/blue": 100}


@pytest.mark.parametrize("step", ["shift", "switch"])
def test_who_gives_up_right_after_a_start_leaves_out_no_node_that_had_no_time_to_return(
    step: str,
) -> None:
    world = at_step(step)
    world.gone = {"a"}
    world.restart()
    world.abort()
    assert world.finish() == "rolled_back"
    assert world.traffic == {"a/blue": 100, "b/blue": 100}
    assert world.owing() == set()
    world.come_back("a")
    world.rest()
    assert world.running() == {"a/blue": "1", "b/blue": "1"}


@pytest.mark.parametrize("gone", ["before", "after", "too long"])
def test_it_leaves_out_a_node_that_has_gone_itself(gone: str) -> None:
    world = at_step("switch")
    if gone == "before":
        world.leave("a")
    world.gone = {"a"}
    world.restart()
    if gone == "after":
        world.come_back("a")
        world.restart()
        world.leave("a")
    elif gone == "too long":
        world.pause()
        world.wait(GRACE_SECONDS + PACE.away_seconds)
    world.abort()
    assert world.finish() == "rolled_back"
    assert world.traffic == {"b/blue": 100}
    assert world.owing() == {"a"}


def test_the_soak_starts_again_with_the_controller() -> None:
    world = at_step("soak")
    world.wait(PACE.soak_seconds - 1.0)
    world.restart()
    world.wait(PACE.soak_seconds - 0.1)
    assert world.step == "soak"
    world.wait(0.1)
    assert world.ending.state == "succeeded"


def test_the_soak_of_an_absent_node_waits_for_its_word() -> None:
    world = at_step("soak")
    world.gone = {"a"}
    world.restart()
    world.wait(PACE.soak_seconds * 2)
    assert world.step == "soak"
    world.come_back("a")
    world.wait(PACE.soak_seconds)
    assert world.ending.state == "succeeded"


def test_many_starts_in_a_row_are_like_one() -> None:
    world = at_step("switch")
    for _ in range(5):
        world.restart(connected=())
        world.wait(1.0)
    assert world.finish() == "succeeded"


def test_a_start_without_rollouts_leaves_nothing_to_wait_for() -> None:
    world = World().deployed("1")
    world.rest()
    world.restart()
    assert next_deadline(world.state) is None


def test_results_of_the_life_before_are_taken_after_a_start() -> None:
    world = at_step("start")
    before = world.open()
    world.restart()
    for action in before:
        world.answer(action)
    assert world.step == "shift"


@pytest.mark.parametrize("anew", ["continue", "retry"])
def test_a_node_that_was_waited_for_in_vain_after_a_start_has_gone(anew: t.Answer) -> None:
    """However often it is waited for again: traffic does not go back there unasked."""
    world = World("abc", policy=Policy(max_failed_nodes="1", on_failure="pause")).deployed("1")
    world.rest()
    world.deploy("2")
    world.until("soak")
    world.gone = {"c"}
    world.restart()
    world.go(lambda: world.state.rollout.waiting is not None)
    world.reply(anew)
    world.abort()
    assert world.finish() == "rolled_back"
    assert set(world.traffic) == {"a/blue", "b/blue"}
    assert world.owing() == {"c"}
