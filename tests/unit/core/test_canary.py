"""Canary: waves that grow, each seen healthy with traffic before the next one; one move back."""

import pytest
from core_values import SETTINGS, place
from driver import SILENCE, World

from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.spec import Policy, Waves
from tidegate_controller.errors import Refused

NODES = tuple("abcdefghij")
IN_THREE = Waves(sizes=("1", "50%", "100%"))


def canary(*versions: str, waves: Waves = IN_THREE, **more: object) -> World:
    return World(NODES, strategy="canary", waves=waves, **more).deployed(*versions)


def on_new(world: World) -> str:
    """The nodes whose green slot takes traffic."""
    return "".join(sorted(p.node for p, share in world.state.settled.items() if p.slot == "green"))


def moves(world: World, since: int) -> list[str]:
    """Who has traffic in its green slot after each move."""
    return [
        "".join(sorted(p.node for p, share in e.action.work.weights.items() if p.slot == "green"))
        for _, e in world.log[since:]
        if isinstance(e, ev.ActionIssued) and e.action.work.verb == "route"
    ]


def test_each_wave_gets_traffic_when_the_one_before_has_passed_its_gates() -> None:
    world = canary("1")
    seen = len(world.log)
    world.deploy("2")
    assert world.finish() == "succeeded"
    assert moves(world, seen) == ["a", "abcde", "abcdefghij"]
    assert world.steps(seen) == [
        "preflight",
        *(f"{step}-1" for step in ("prepare", "migrate", "start", "shift", "switch")),
        *("soak-1", "verify-1"),
        *(f"{step}-2" for step in ("prepare", "start", "shift", "switch", "soak", "verify")),
        *(f"{step}-3" for step in ("prepare", "start", "shift", "switch", "soak", "verify")),
    ]


def test_every_move_names_all_that_takes_traffic() -> None:
    world = canary("1")
    world.deploy("2")
    for step in ("shift-1", "shift-2", "shift-3"):
        (move,) = world.until(step)
        assert {p.node for p, share in move.work.weights.items() if share} == set(NODES)


def test_a_first_deployment_has_nothing_to_compare_with_and_comes_to_all_at_once() -> None:
    world = World(NODES, strategy="canary")
    world.deploy("1")
    assert world.finish() == "succeeded"
    assert len(world.issued("route")) == 1


def test_the_first_wave_may_be_chosen_by_labels() -> None:
    labels = {"g": {"canary": "yes"}, "c": {"canary": "yes"}, "d": {"canary": "no"}}
    waves = Waves(sizes=("1", "50%", "100%"), canary={"canary": "yes"})
    world = canary("1", waves=waves, labels=labels)
    seen = len(world.log)
    world.deploy("2")
    world.finish()
    assert moves(world, seen) == ["cg", "abcdg", "abcdefghij"]


def test_labels_that_no_node_has_are_refused() -> None:
    world = canary("1", waves=IN_THREE)
    world.waves = Waves(canary={"canary": "yes"})
    with pytest.raises(Refused, match="no node of test has canary=yes"):
        world.deploy("2")


def test_that_the_nodes_with_the_labels_are_away_is_not_told_as_if_none_had_them() -> None:
    labels = {"g": {"canary": "yes"}, "c": {"canary": "yes"}}
    world = canary("1", waves=IN_THREE, labels=labels, policy=Policy(max_failed_nodes="2"))
    world.waves = Waves(canary={"canary": "yes"})
    world.leave("g")
    world.deploy("2")
    assert world.finish() == "succeeded"
    world.leave("c")
    with pytest.raises(Refused) as refused:
        world.deploy("3")
    said = "the first wave is to be c, g (canary=yes), which are not connected"
    assert refused.value.message == said
    assert refused.value.hint.startswith("start the agent there (see: tidegate node list); or ")


def test_nodes_that_have_the_release_count_as_the_first_ones() -> None:
    world = canary("1")
    world.deploy("2", nodes=NODES[:3])
    world.finish()
    seen = len(world.log)
    world.deploy("2")
    assert world.finish() == "succeeded"
    assert moves(world, seen) == ["abcde", "abcdefghij"]


def test_a_wave_that_fails_takes_all_traffic_back_in_one_move() -> None:
    world = canary("1")
    world.deploy("2")
    world.until("soak-2")
    seen = len(world.log)
    world.report("d/green", healthy=False)
    assert world.finish() == "rolled_back"
    assert "Soak, wave 2 failed: d/green had passed its checks and failed again" in (
        world.ending.reason
    )
    assert moves(world, seen) == [""]
    assert world.issued("start", seen) == []
    world.rest()
    assert world.running() == {f"{node}/blue": "1" for node in NODES}
    assert world.currents == dict.fromkeys(NODES, "blue")


def test_nodes_of_later_waves_are_never_touched_by_one_that_fails() -> None:
    world = canary("1")
    seen = len(world.log)
    world.deploy("2")
    world.until("soak-1")
    world.report("a/green", healthy=False)
    assert world.finish() == "rolled_back"
    world.rest()
    changing = {"prepare", "start", "switch", "stop", "task", "cleanup"}
    told = {
        e.action.work.at
        for _, e in world.log[seen:]
        if isinstance(e, ev.ActionIssued) and e.action.work.verb in changing
    }
    assert told == {"a"}


def test_a_canary_that_fails_while_the_last_wave_soaks_undoes_the_rollout() -> None:
    world = canary("1")
    world.deploy("2")
    world.until("soak-3")
    world.report("a/green", running=False, healthy=False)
    assert world.finish() == "rolled_back"
    assert on_new(world) == ""


def test_a_canary_whose_time_passes_while_nothing_else_happens_ends() -> None:
    """hashicorp/nomad#10465"""
    world = canary("1")
    world.deploy("2")
    assert world.finish(**{"start-1": SILENCE}) == "rolled_back"
    assert on_new(world) == ""


def test_a_canary_that_is_never_healthy_again_ends_by_the_soaks_deadline() -> None:
    world = canary("1")
    world.deploy("2")
    world.until("soak-1")
    world.report("a/green", healthy=None)
    assert world.finish() == "rolled_back"


def test_to_go_back_never_runs_the_canary_again() -> None:
    """hashicorp/nomad#10882"""
    world = canary("1", "2")
    seen = len(world.log)
    world.rollback()
    assert world.finish() == "succeeded"
    assert moves(world, seen) == [""]
    assert world.issued("start", seen) == []


def test_to_go_back_when_the_old_slots_are_stopped_starts_them_all_first() -> None:
    world = canary("1", "2")
    world.rest()
    seen = len(world.log)
    world.rollback()
    assert world.finish() == "succeeded"
    assert moves(world, seen) == [""]
    assert len(world.issued("start", seen)) == len(NODES)


def test_old_slots_run_on_until_all_waves_have_passed() -> None:
    world = canary("1", pace=t.Pace(soak_seconds=5000.0, keep_old_seconds=0.0))
    world.deploy("2")
    world.until("soak-3")
    assert [where for where in world.running() if where.endswith("blue")] == [
        f"{node}/blue" for node in NODES
    ]


def test_a_node_that_had_no_traffic_gets_it_with_its_wave() -> None:
    world = canary("1")
    world.add("k")
    world.deploy("2")
    (first,) = world.until("shift-1")
    assert place("k/blue") not in first.work.weights
    (last,) = world.until("shift-3")
    assert last.work.weights[place("k/blue")] == 100


def test_a_node_that_is_left_out_keeps_its_traffic_until_the_last_wave() -> None:
    world = canary("1")
    world.deploy("2", nodes=NODES[:9])
    (move,) = world.until("shift-2")
    assert move.work.weights[place("j/blue")] == 100
    assert world.finish() == "succeeded"
    assert "j/blue" not in world.traffic


def test_a_controller_that_starts_anew_between_waves_goes_on() -> None:
    for after in range(30, 120, 7):
        world = World(NODES, strategy="canary", waves=IN_THREE, restart_after=after)
        world.deployed("1").deploy("2")
        assert world.finish() == "succeeded"
        assert on_new(world) == "".join(NODES)


def test_a_migration_runs_once_before_the_first_start() -> None:
    world = canary("1", settings=SETTINGS)
    seen = len(world.log)
    world.deploy("2")
    world.finish()
    assert world.issued("task", seen) == ["a/green"]


@pytest.mark.parametrize("strategy", ["blue-green", "canary", "rolling"])
def test_a_migration_does_not_run_again_for_a_release_that_some_nodes_have(strategy: str) -> None:
    world = World(NODES, strategy=strategy, waves=IN_THREE, settings=SETTINGS).deployed("1")
    world.deploy("2", nodes=NODES[:3])
    world.finish()
    seen = len(world.log)
    world.deploy("2")
    assert world.finish() == "succeeded"
    assert world.issued("task", seen) == []


@pytest.mark.parametrize("strategy", ["canary", "rolling"])
def test_what_goes_on_from_half_way_names_the_slots_that_serve_already(strategy: str) -> None:
    """Else a node starts what was stopped after a reboot, and no deployment mends that."""
    world = World("abc", strategy=strategy, policy=Policy(on_failure="stop")).deployed("1")
    world.deploy("2")
    assert world.finish(**{"switch-1@a": "failed"}) == "failed"
    assert "may start the wrong slot" in world.state.debts["a/green"]
    world.deploy("2")
    world.finish()
    assert (world.currents, world.state.debts) == (dict.fromkeys("abc", "green"), {})


def left_half_way(strategy: str) -> World:
    """Two nodes of six serve 2, which was never committed, and it is deployed again."""
    waves = Waves(sizes=("2", "100%"), max_parallel="2", promote="manual")
    world = World("abcdef", strategy=strategy, waves=waves).deployed("1")
    world.deploy("2")
    world.go(lambda: world.state.rollout.waiting is not None)
    world.abort(undo=False)
    world.waves = Waves(sizes=("2", "100%"), max_parallel="4")
    world.deploy("2")
    return world


@pytest.mark.parametrize("strategy", ["canary", "rolling"])
def test_nodes_that_have_it_from_before_have_to_stay_healthy_too(strategy: str) -> None:
    world = left_half_way(strategy)
    world.until("soak-1")
    world.report("a/green", healthy=False)
    assert world.finish() == "rolled_back"
    assert "a/green had passed its checks and failed again" in world.ending.reason


@pytest.mark.parametrize("strategy", ["canary", "rolling"])
def test_nodes_that_have_it_from_before_are_asked_once_more_at_the_end(strategy: str) -> None:
    world = left_half_way(strategy)
    asked = {action.work.at for action in world.until("verify-1")}
    assert asked == set("abcdef")
    assert world.finish() == "succeeded"


@pytest.mark.parametrize("strategy", ["blue-green", "canary", "rolling"])
def test_a_node_that_serves_the_active_release_is_no_matter_of_a_new_one(strategy: str) -> None:
    world = World("abc", strategy=strategy).deployed("1")
    world.add("d")
    world.deploy("1")
    world.go(lambda: world.step.startswith("soak"))
    world.report("a/blue", healthy=False)
    assert world.finish() == "succeeded"
