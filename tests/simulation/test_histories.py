"""Histories that broke earlier drafts of the design, each in a whole fleet in virtual time. While
they happen all invariants are looked at as well.
"""

import pytest
from stage import Stage, on_stage
from world import Violated


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
async def test_old_commands_do_nothing_on_a_disk_that_was_wiped(stage: Stage) -> None:
    await stage.deployed("1", "2")
    await stage.wipe_disk("a")
    await stage.until(stage.world.all_here)
    sent = stage.send_again("a")
    await stage.sleep(60.0)
    assert stage.running("a") == []
    assert stage.outcomes("a").count("refused") == sent > 5
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


def test_a_move_that_times_out_and_is_done_after_the_next_one_is_not_noticed() -> None:
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
