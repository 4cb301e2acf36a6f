"""What has gone wrong in other deployment systems, by the numbers of their trackers: each in a
whole fleet in virtual time, as its operators would have wanted it. `docs/histories.md` lists them.
"""

import asyncio

import pytest
from playing import Stage, on_stage

from tidegate_controller.core.spec import Keep, Policy, Waves
from tidegate_controller.errors import Refused

CANARY = Waves(sizes=("1", "100%"))
ONE_MAY_FAIL = Policy(max_failed_nodes="1")
PAUSE = Policy(on_failure="pause")


# --- A rollout comes to an end -------------------------------------------------------------------


@pytest.mark.parametrize("silent", [False, True])
@on_stage("a", "b", "c", "d")
async def test_a_canary_whose_health_deadline_passes_while_nothing_else_happens_ends(
    stage: Stage, silent: bool
) -> None:
    """hashicorp/nomad#10465: it stayed `running` for ever. Silent: not even its node says so."""
    stage.configure("canary", waves=CANARY)
    await stage.deployed("1")
    await stage.begin("2", fate="never healthy")
    await stage.at("migrate-1")
    if silent:
        stage.hold_commands("a")
    assert await stage.ended() == "rolled_back"
    await stage.settled()
    assert stage.serving == dict.fromkeys("abcd", "1")
    assert stage.moves == 1
    assert stage.started("b") == ["1"]


@pytest.mark.parametrize("steps", [0, 10, 30, 60, 100, 150])
@pytest.mark.parametrize("step", ["prepare", "start", "switch", "soak"])
@on_stage("a", "b")
async def test_an_agent_that_is_killed_in_the_middle_goes_on_where_it_was(
    stage: Stage, step: str, steps: int
) -> None:
    """aws/aws-codedeploy-agent#113, #402: whatever was under way had failed."""
    await stage.deployed("1")
    await stage.begin("2", up_seconds=3.0)
    await stage.at(step)
    stage.kill_agent("a", steps)
    assert await stage.ended() == "succeeded"
    await stage.settled()
    assert stage.serving == {"a": "2", "b": "2"}
    assert stage.started("a") == stage.started("b") == ["1", "2"]


@on_stage("a")
async def test_an_agent_that_is_killed_in_a_hook_says_so_when_it_is_back(stage: Stage) -> None:
    """aws/aws-codedeploy-agent#356: everybody waited 70 minutes for the deadline."""
    await stage.deployed("1")
    await stage.begin("2", scripts=frozenset({"migrate.sh"}), script_seconds=600.0)
    await stage.until(lambda: stage.script_runs("migrate.sh") == 1)
    began = stage.world.now
    stage.kill_agent("a")
    assert "migrate" in (await stage.asked()).why
    assert stage.world.now < began + 60.0
    await stage.answer("abort")
    assert await stage.ended() == "rolled_back"
    await stage.sleep(2000.0)  # as long as a script that runs on may take, nothing is cleaned up
    await stage.settled()
    assert stage.serving == {"a": "1"}


# --- What failed, and for whom -------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["blue-green", "canary"])
@on_stage("a", "b", "c", "d")
async def test_a_node_that_fails_late_for_reasons_of_its_own_does_not_revert_the_others(
    stage: Stage, strategy: str
) -> None:
    """hashicorp/nomad#10881: one allocation that failed during its deployment reverted all."""
    stage.configure(strategy, waves=CANARY, policy=ONE_MAY_FAIL)
    await stage.deployed("1")
    await stage.begin("2", fate="turns bad", on=frozenset("d"), fate_seconds=3.0)
    assert await stage.ended() == "succeeded"
    assert stage.serving == {"a": "2", "b": "2", "c": "2", "d": "1"}
    assert list(stage.owed) == ["d"]
    assert stage.quarantined == []


@pytest.mark.parametrize("manual", [False, True])
@on_stage("a", "b", "c", "d")
async def test_a_revert_does_not_run_the_canary_again(stage: Stage, manual: bool) -> None:
    """hashicorp/nomad#10882: it waited for somebody to promote what had been there before."""
    waves = Waves(sizes=("1", "100%"), promote="manual" if manual else "auto")
    stage.configure("canary", waves=waves)
    await stage.deployed("1")
    await stage.begin("2")
    if manual:
        assert (await stage.asked()).kind == "promotion"
        await stage.answer("promote")
    assert await stage.ended() == "succeeded"
    moves = stage.moves
    assert await stage.rollback() == "succeeded"
    assert stage.moves == moves + 1
    await stage.settled()
    assert stage.serving == dict.fromkeys("abcd", "1")


@on_stage("a", "b", "c", "d")
async def test_an_automatic_revert_is_one_move_and_no_canary(stage: Stage) -> None:
    """hashicorp/nomad#10882, where the release is undone by its own fault in the last wave."""
    stage.configure("canary", waves=CANARY)
    await stage.deployed("1")
    moves = stage.moves
    assert await stage.deploy("2", fate="turns bad", fate_seconds=11.0) == "rolled_back"
    assert stage.moves == moves + 3  # to the canary, to all, back
    assert stage.quarantined == ["2"]
    await stage.settled()
    assert stage.serving == dict.fromkeys("abcd", "1")


@on_stage("a", "b", "c")
async def test_a_node_that_fails_after_the_end_reverts_nobody(stage: Stage) -> None:
    """hashicorp/nomad#10881 again, hours later."""
    await stage.deployed("1", "2")
    await stage.settled()
    moves = stage.moves
    stage.crash("c")
    await stage.sleep(3600.0)
    assert stage.endings == ["succeeded", "succeeded"]
    assert (stage.moves, stage.quarantined) == (moves, [])
    assert stage.running("a") == stage.running("b") == ["2"]


@on_stage("a", "b")
async def test_no_data_is_not_success(stage: Stage) -> None:
    """argoproj/argo-rollouts#4479, #1905: measurements that could not be made counted as passed.
    Checks without a verdict are in `unit/core/test_check_steps`; here nobody says how it is."""
    await stage.deployed("1")
    await stage.begin("2")
    await stage.at("soak")
    stage.cut_off("a")
    stage.cut_off("b")
    assert await stage.ended() == "rolled_back"
    assert stage.active == "1"
    await stage.settled()
    assert stage.serving == {"a": "1", "b": "1"}


@on_stage("a", "b")
async def test_a_rollout_that_is_to_pause_on_failure_is_not_aborted(stage: Stage) -> None:
    """argoproj/argo-rollouts#2866: a failed analysis always aborted."""
    stage.configure(policy=PAUSE)
    await stage.deployed("1")
    await stage.begin("2", fate="turns bad", on=frozenset("b"), fate_seconds=3.0)
    wait = await stage.asked()
    moves = stage.moves
    assert (wait.kind, list(wait.nodes)) == ("failure", ["b"])
    await stage.sleep(3600.0)
    assert stage.serving == {"a": "2", "b": "2"}
    await stage.answer("abort")
    assert await stage.ended() == "rolled_back"
    await stage.settled()
    assert stage.moves == moves + 1
    assert stage.serving == {"a": "1", "b": "1"}


@on_stage("a", "b", "c")
async def test_a_retry_does_again_only_what_has_failed(stage: Stage) -> None:
    """capistrano/capistrano#1498: servers that had the release got it once more."""
    stage.configure(policy=PAUSE)
    await stage.deployed("1")
    stage.world.machines["b"].corrupting = 1
    await stage.begin("2")
    assert list((await stage.asked()).nodes) == ["b"]
    fetched = {node: stage.commands(node, "prepare_slot") for node in "abc"}
    await stage.answer("retry")
    assert await stage.ended() == "succeeded"
    again = {node: stage.commands(node, "prepare_slot") - fetched[node] for node in "abc"}
    assert again == {"a": 0, "b": 1, "c": 0}
    await stage.settled()
    assert stage.started("a") == stage.started("b") == stage.started("c") == ["1", "2"]


# --- Who may, and what stays ---------------------------------------------------------------------


@on_stage("a", "b")
async def test_of_two_who_deploy_at_once_one_is_told_who_was_first(stage: Stage) -> None:
    """basecamp/kamal: its lock."""
    await stage.deployed("1")
    results = await asyncio.gather(stage.begin("2"), stage.begin("3"), return_exceptions=True)
    (refusal,) = (result for result in results if isinstance(result, Refused))
    assert "ada" in refusal.message
    assert await stage.ended() == "succeeded"
    await stage.settled()
    assert stage.started("a") == stage.started("b") == ["1", stage.active]


@on_stage("a", "b")
async def test_old_releases_do_not_fill_the_disk(stage: Stage) -> None:
    """basecamp/kamal#1655. Nor do those that failed."""
    stage.configure(keep=Keep(releases=1))
    await stage.deployed("1", "2", "3")
    assert await stage.deploy("4", fate="never healthy") == "rolled_back"
    await stage.deployed("5", "6")
    await stage.settled()
    assert stage.on_disk("a") == stage.on_disk("b") == {"4", "5", "6"}
    assert await stage.rollback() == "succeeded"
    await stage.settled()
    assert stage.serving == {"a": "5", "b": "5"}


@on_stage("a", "b")
async def test_what_was_rolled_back_is_not_deployed_again_by_automation(stage: Stage) -> None:
    """argoproj/argo-cd#9570: auto-sync brought it back at once."""
    await stage.deployed("1", "2")
    assert await stage.rollback() == "succeeded"
    for _ in range(3):
        with pytest.raises(Refused, match="quarantined") as refusal:
            await stage.begin("2")
        assert "tidegate release unquarantine shop 2" in refusal.value.hint
    await stage.settled()
    assert stage.serving == {"a": "1", "b": "1"}
    await stage.unquarantine("2")
    await stage.deployed("2")
    assert stage.serving == {"a": "2", "b": "2"}
