"""Histories that broke earlier drafts of the design, each in a whole fleet in virtual time. While
they happen all invariants are looked at as well. `docs/histories.md` lists them.
"""

import pytest
from playing import Stage, on_stage
from restoring import Monday, decide
from world import HEALTH, Violated

from tidegate_controller.core.changes import replace
from tidegate_controller.core.spec import Policy, Waves
from tidegate_controller.errors import Refused

ONE_MAY_FAIL = Policy(max_failed_nodes="1")


@on_stage("a", "b")
async def test_a_command_that_slept_until_the_rollback_was_done_does_nothing(stage: Stage) -> None:
    """And another that does, though it came late: nothing has overtaken it yet."""
    await stage.deployed("1")
    await stage.begin("2")
    await stage.at("prepare")
    stage.hold_commands("b")
    assert await stage.ended() == "rolled_back"
    await stage.sleep(30.0)
    assert stage.release("b") > 1
    await stage.settled()
    assert stage.serving == {"a": "1", "b": "1"}
    assert stage.running("b") == ["1"]
    assert "superseded" in stage.outcomes("b")


@on_stage("a", "b")
async def test_a_start_that_slept_until_all_was_done_does_nothing(stage: Stage) -> None:
    """All that was sent after it has arrived before it."""
    await stage.deployed("1")
    await stage.begin("2")
    await stage.at("prepare")
    stage.hold_commands("b")
    assert await stage.ended() == "rolled_back"
    wake = stage.let_later_ones_through("b")
    stage.world.network.cut("b")  # when the agent is back it is sent what is still wanted
    await stage.settled()
    before = len(stage.outcomes("b"))
    wake()
    await stage.sleep(30.0)
    assert stage.outcomes("b")[before] == "superseded"
    assert stage.started("b") == ["1"]
    assert stage.serving == {"a": "1", "b": "1"}


@on_stage("a", "b")
async def test_a_first_attempt_that_arrives_after_the_second_does_nothing(stage: Stage) -> None:
    stage.configure(policy=Policy(on_failure="pause"))
    await stage.deployed("1")
    await stage.begin("2")
    await stage.at("prepare")
    stage.hold_commands("b")
    assert (await stage.asked()).kind == "failure"
    assert stage.step == "start"
    wake = stage.let_later_ones_through("b")
    await stage.answer("retry")
    assert await stage.ended() == "succeeded"
    await stage.settled()
    wake()
    await stage.sleep(30.0)
    assert stage.outcomes("b")[-1] == "superseded"
    assert stage.started("b") == ["1", "2"]
    assert stage.serving == {"a": "2", "b": "2"}


@on_stage("a", "b")
async def test_old_commands_do_nothing_on_a_disk_that_was_wiped(stage: Stage) -> None:
    await stage.deployed("1", "2")
    old = len(stage.world.network.sent["a"])
    await stage.wipe_disk("a")
    await stage.until(stage.world.all_here)
    stage.send_again("a")
    await stage.sleep(60.0)
    assert stage.started("a") == ["1", "2", "2"], "the last one to pay what it owes"
    assert stage.running("a") == ["2"]
    assert stage.outcomes("a").count("refused") == old > 5
    await stage.deployed("3")
    await stage.settled()


@on_stage("a", "b")
async def test_a_controller_that_was_away_for_long_takes_good_results_not_its_own_absence(
    stage: Stage,
) -> None:
    """All deadlines have passed by its clock on the wall; what nodes have done meanwhile counts."""
    await stage.deployed("1")
    await stage.begin("2", up_seconds=3.0)
    await stage.at("start")
    await stage.controller_away(20 * 60.0)
    assert await stage.ended() == "succeeded"
    await stage.settled()
    assert stage.serving == {"a": "2", "b": "2"}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_shift_that_times_out_and_is_done_late_is_undone_all_the_same(seed: int) -> None:
    """By a balancer that does what it is told in order: not any more once it was told otherwise."""

    @on_stage("a", "b", seed=seed)
    async def history(stage: Stage) -> None:
        await stage.deployed("1")
        stage.world.balancer(stage.app.stream).moods.append("hangs and does it later")
        assert await stage.deploy("2") == "rolled_back"
        assert stage.serving == {"a": "1", "b": "1"}
        await stage.sleep(120.0)
        assert stage.serving == {"a": "1", "b": "1"}
        assert stage.quarantined == []
        await stage.settled()

    history()


@on_stage("a", "b")
async def test_a_shift_that_is_done_after_the_way_back_is_noticed_before_anything_stops(
    stage: Stage,
) -> None:
    """By a balancer that says after the way back what it should, and then does the first move all
    the same. What it leads to still runs: traffic moves back once more, and only then it stops."""
    await stage.deployed("1")
    balancer = stage.world.balancer(stage.app.stream)
    balancer.moods.append("hangs and does it in the end")
    balancer.late_seconds = 42.0
    await stage.begin("2")
    await stage.until(lambda: stage.serving == {"a": "2", "b": "2"})
    assert stage.endings == ["succeeded", "rolled_back"]
    await stage.until(lambda: stage.running("a") == stage.running("b") == ["1"])
    await stage.settled()
    assert stage.serving == {"a": "1", "b": "1"}
    assert stage.moves == 4  # of 1, back, late, and back once more


@pytest.mark.parametrize("moved", [False, True])
@on_stage("a")
async def test_a_controller_that_is_killed_while_a_balancer_script_runs_looks_and_moves_again(
    stage: Stage, moved: bool
) -> None:
    """The script dies with it, before it has moved anything or after."""
    await stage.deployed("1")
    balancer = stage.world.balancer(stage.app.stream)
    balancer.moods.append("slow")
    await stage.begin("2")
    await stage.at("shift")
    if moved:
        await stage.until(lambda: stage.serving == {"a": "2"})
    else:
        await stage.sleep(0.5)
        assert stage.serving == {"a": "1"}
    await stage.controller_away(5.0)
    assert await stage.ended() == "succeeded"
    await stage.settled()
    assert stage.serving == {"a": "2"}
    assert stage.started("a") == ["1", "2"]


@pytest.mark.parametrize(("answer", "runs"), [("continue", 1), ("retry", 2), ("abort", 1)])
@on_stage("a", "b")
async def test_an_agent_that_dies_inside_a_migration_leaves_it_to_a_person(
    stage: Stage, answer: str, runs: int
) -> None:
    """Nobody knows how far it came: it is run once more only if somebody says so."""
    await stage.deployed("1")
    await stage.begin("2", scripts=frozenset({"migrate.sh"}), script_seconds=8.0)
    await stage.until(lambda: stage.script_runs("migrate.sh") == 1)
    stage.kill_agent("a")
    wait = await stage.asked()
    assert wait.answers == ("continue", "retry", "abort")
    assert stage.serving == {"a": "1", "b": "1"}
    await stage.sleep(3600.0)
    assert stage.script_runs("migrate.sh") == 1
    await stage.answer(answer)
    assert await stage.ended() == ("rolled_back" if answer == "abort" else "succeeded")
    await stage.sleep(2000.0)  # as long as a script that runs on may take, nothing is cleaned up
    await stage.settled()
    assert stage.script_runs("migrate.sh") == runs


@on_stage("a", "b")
async def test_a_fleet_of_tuesday_is_never_downgraded_by_a_log_of_monday(stage: Stage) -> None:
    await stage.deployed("1")
    monday = Monday(stage)
    await stage.deployed("2")
    await stage.settled()
    moves = stage.moves
    await monday.comes_back()
    await stage.sleep(3600.0)
    assert stage.active == "1"
    assert stage.serving == {"a": "2", "b": "2"}
    assert (stage.moves, stage.started("a")) == (moves, ["1", "2"])
    with pytest.raises(Refused, match="restored"):
        await stage.begin("3")
    await decide(stage, "adopt")
    assert stage.active == "2"
    await stage.deployed("3")
    await stage.settled()
    assert stage.serving == {"a": "3", "b": "3"}


@on_stage("a", "b")
async def test_a_fleet_of_tuesday_goes_back_to_monday_if_a_person_says_so(stage: Stage) -> None:
    await stage.deployed("1")
    monday = Monday(stage)
    await stage.deployed("2")
    await monday.comes_back()
    await decide(stage, "converge")
    assert await stage.ended() == "succeeded"
    await stage.settled()
    assert stage.serving == {"a": "1", "b": "1"}


@on_stage("a", "b")
async def test_a_rollout_of_monday_does_not_go_on_on_tuesday(stage: Stage) -> None:
    await stage.deployed("1")
    await stage.begin("2")
    await stage.at("start")
    monday = Monday(stage)
    assert await stage.ended() == "succeeded"
    await monday.comes_back()
    assert stage.endings[-1] == "interrupted"
    await stage.sleep(3600.0)
    assert stage.serving == {"a": "2", "b": "2"}
    await decide(stage, "adopt")
    await stage.deployed("3")
    await stage.settled()


@pytest.mark.parametrize("how", ["as it was", "with old commands", "with an empty disk"])
@on_stage("a", "b", "c")
async def test_a_node_that_returns_in_the_middle_of_another_rollout_waits_for_its_end(
    stage: Stage, how: str
) -> None:
    stage.configure(policy=ONE_MAY_FAIL)
    await stage.deployed("1")
    stage.cut_off("c")
    await stage.gone("c")
    await stage.begin_with_whom_is_here("2")
    assert await stage.ended() == "succeeded"
    assert stage.serving == {"a": "2", "b": "2"}
    assert list(stage.owed) == ["c"]
    await stage.begin_with_whom_is_here("3")
    await stage.at("soak")
    if how == "with an empty disk":
        await stage.wipe_disk("c", away_seconds=0.1)
    stage.reach_again("c")
    if how == "with old commands":
        stage.send_again("c")
    assert await stage.ended() == "succeeded"
    assert stage.serving == {"a": "3", "b": "3"}
    await stage.until(lambda: not stage.owed)
    await stage.settled()
    assert stage.serving == {"a": "3", "b": "3", "c": "3"}
    assert stage.started("c") == ["1", "3"]


@on_stage("a", "b")
async def test_a_rollback_takes_the_traffic_of_a_node_that_cannot_be_reached(stage: Stage) -> None:
    """It runs the bad release and serves it; nobody can tell it to stop."""
    await stage.deployed("1", "2")
    stage.cut_off("b")
    await stage.gone("b")
    with pytest.raises(Refused, match="b is not connected"):
        await stage.rollback()
    assert await stage.rollback(without_absent=True) == "succeeded"
    assert stage.serving == {"a": "1"}
    assert list(stage.owed) == ["b"]
    stage.reach_again("b")
    await stage.until(lambda: not stage.owed)
    await stage.settled()
    assert stage.serving == {"a": "1", "b": "1"}


@on_stage("a", "b", "c")
async def test_an_undo_takes_the_traffic_of_a_node_that_cannot_be_reached(stage: Stage) -> None:
    """The release turns bad while one of its nodes is away."""
    await stage.deployed("1")
    await stage.begin("2")
    await stage.at("soak")
    stage.cut_off("c")
    await stage.gone("c")
    await stage.abort()
    assert await stage.ended() == "rolled_back"
    assert {stage.serving["a"], stage.serving["b"]} == {"1"}
    assert stage.serving.get("c") != "2"
    stage.reach_again("c")
    await stage.until(lambda: not stage.owed)
    await stage.settled()
    assert stage.serving == {"a": "1", "b": "1", "c": "1"}


@on_stage("a", "b", "c")
async def test_an_undo_in_place_takes_the_traffic_of_a_node_that_cannot_be_reached(
    stage: Stage,
) -> None:
    """Its old release does not run any more, so it goes on with the bad one until it is back."""
    stage.configure("rolling")
    await stage.deployed("1")
    await stage.begin("2")
    await stage.at("start-3")
    stage.cut_off("a")
    await stage.gone("a")
    await stage.abort()
    assert await stage.ended() == "rolled_back"
    assert stage.running("a") == ["2"]
    assert stage.serving == {"b": "1", "c": "1"}
    assert list(stage.owed) == ["a"]
    stage.reach_again("a")
    await stage.until(lambda: not stage.owed)
    await stage.settled()
    assert stage.serving == {"a": "1", "b": "1", "c": "1"}


@on_stage("a", "b", "c", "d")
async def test_canaries_that_vanish_undo_the_rollout_before_it_reaches_anybody_else(
    stage: Stage,
) -> None:
    """The release eats their memory: they say nothing any more, not even that they are unwell."""
    stage.configure("canary", waves=Waves(sizes=("2", "100%")))
    await stage.deployed("1")
    await stage.begin("2")
    await stage.at("soak-1")
    stage.goes_down("a")
    stage.goes_down("b")
    assert await stage.ended() == "rolled_back"
    assert stage.serving == {"c": "1", "d": "1"}
    assert stage.started("c") == stage.started("d") == ["1"]
    assert sorted(stage.owed) == ["a", "b"]
    stage.comes_up("a")
    stage.comes_up("b")
    await stage.until(lambda: not stage.owed)
    await stage.settled()
    assert set(stage.serving.values()) == {"1"}


@on_stage("a", "b", "c", "d")
async def test_a_canary_that_vanishes_is_asked_about_where_one_may_fail(stage: Stage) -> None:
    """One lost node may be anybody's fault: but it was lost with the new release in traffic."""
    stage.configure("canary", waves=Waves(sizes=("2", "100%")), policy=ONE_MAY_FAIL)
    await stage.deployed("1")
    await stage.begin("2")
    await stage.at("soak-1")
    stage.goes_down("a")
    wait = await stage.asked()
    assert (wait.kind, list(wait.nodes)) == ("lost", ["a"])
    await stage.sleep(3600.0)
    assert stage.started("c") == stage.started("d") == ["1"]
    await stage.answer("abort")
    assert await stage.ended() == "rolled_back"
    assert stage.serving == {"b": "1", "c": "1", "d": "1"}
    stage.comes_up("a")
    await stage.until(lambda: not stage.owed)
    await stage.settled()


@on_stage("a", "b")
async def test_where_the_database_of_both_slots_dies_the_way_back_is_not_waited_with(
    stage: Stage,
) -> None:
    """A limit that is known: the new release says so first, is undone at once and blamed. Had the
    old slot said so first, a person would be asked."""
    await stage.deployed("1")
    await stage.begin("2")
    await stage.at("soak")
    stage.fail_all_checks(600.0)
    assert await stage.ended() == "rolled_back"
    assert stage.quarantined == ["2"]
    await stage.sleep(900.0)
    await stage.settled()
    assert stage.serving == {"a": "1", "b": "1"}


@on_stage("a", "b")
async def test_an_abort_does_not_wait_for_the_end_of_a_five_minute_start(stage: Stage) -> None:
    stage.app.health = replace(HEALTH, deadline_seconds=400.0)
    await stage.deployed("1")
    await stage.begin("2", up_seconds=300.0)
    await stage.until(lambda: stage.running("a") == stage.running("b") == ["1", "2"])
    begun = stage.world.now
    await stage.sleep(60.0)
    await stage.abort()
    assert await stage.ended() == "rolled_back"
    await stage.until(lambda: stage.running("a") == stage.running("b") == ["1"])
    assert stage.world.now < begun + 120.0
    await stage.settled()
    assert stage.moves == 1
    assert stage.quarantined == []


@pytest.mark.parametrize("seconds", [-3600.0, 3600.0])
@pytest.mark.parametrize("step", ["start", "soak"])
@pytest.mark.parametrize("whose", ["agent", "controller"])
@on_stage("a", "b")
async def test_a_clock_that_is_stepped_by_an_hour_ends_nothing_early_or_late(
    stage: Stage, whose: str, step: str, seconds: float
) -> None:
    await stage.deployed("1")
    await stage.begin("2", up_seconds=4.0)
    await stage.at(step)
    begun = stage.world.now
    clock = stage.world.controller if whose == "controller" else stage.world.machines["a"]
    clock.wall_offset += seconds
    assert await stage.ended() == "succeeded"
    soak = stage.app.paces[-1].soak_seconds
    assert begun + soak - 1.0 < stage.world.now < begun + 60.0
    await stage.settled()
    assert stage.serving == {"a": "2", "b": "2"}


@on_stage("a", "b")
async def test_a_controller_that_starts_with_a_clock_an_hour_back_fails_nothing(
    stage: Stage,
) -> None:
    await stage.deployed("1")
    await stage.begin("2")
    await stage.at("soak")
    stage.world.controller.wall_offset -= 3600.0
    await stage.controller_away(5.0)
    assert await stage.ended() == "succeeded"
    await stage.settled()
    assert stage.serving == {"a": "2", "b": "2"}


@on_stage("a")
async def test_a_move_that_times_out_and_is_done_after_the_next_one_hurts_nobody(
    stage: Stage,
) -> None:
    """Nothing is stopped until traffic was written once more, and stays so."""
    await stage.deployed("1")
    stage.world.balancer(stage.app.stream).moods.append("hangs and does it after the next")
    assert await stage.deploy("2") == "rolled_back"
    await stage.sleep(60.0)
    assert stage.serving == {"a": "1"}
    await stage.settled()
    assert stage.running("a") == ["1"]


@on_stage("a", "b")
async def test_a_move_of_a_controller_that_died_is_done_after_that_of_the_next_one(
    stage: Stage,
) -> None:
    """The next one has asked for the same, and went on: nothing is stopped that the late one sends
    to."""
    stage.configure("rolling", waves=Waves(max_parallel="1", min_in_service="1"))
    await stage.deployed("1")
    balancer = stage.world.balancer(stage.app.stream)
    balancer.moods.append("hangs and does it in the end")
    balancer.late_seconds = 20.0
    await stage.begin("2")
    await stage.at("drain-1")
    await stage.sleep(1.0)
    await stage.controller_away(5.0)
    await stage.at("stop-2")
    (drained,) = stage.serving
    await stage.until(lambda: list(stage.serving) != [drained])
    assert list(stage.serving.values()) == ["1"], "the late one"
    assert await stage.ended() == "succeeded"
    await stage.settled()
    assert stage.serving == {"a": "2", "b": "2"}


def test_a_move_that_times_out_and_is_done_long_after_the_next_one_is_not_noticed() -> None:
    """A limit that is known: the balancer says after the second move what it should, and does the
    first one later all the same. What was stopped by then gets its traffic."""

    @on_stage("a")
    async def history(stage: Stage) -> None:
        await stage.deployed("1")
        stage.world.balancer(stage.app.stream).moods.append("hangs and does it in the end")
        assert await stage.deploy("2") == "rolled_back"
        await stage.sleep(60.0)

    with pytest.raises(Violated, match="no_request_fails|no_slot_is_stopped_under_traffic"):
        history()
