"""Gates that a person opens: approval before any traffic, promotion, a soak that is cut short."""

import msgspec
import pytest
from driver import World

from tidegate_controller.core import events as ev
from tidegate_controller.core import inputs as i
from tidegate_controller.core import types as t
from tidegate_controller.core.deadline import next_deadline
from tidegate_controller.core.strategies.approval import gate
from tidegate_controller.errors import Refused


def asking(*versions: str) -> World:
    """Version 2 runs beside 1, and somebody is asked whether it may get traffic."""
    world = World(approval=True)
    for version in versions or ("1",):
        world.deploy(version)
        world.until("approve")
        world.reply("approve")
        assert world.finish() == "succeeded"
    world.rest()
    world.deploy("2")
    world.go(lambda: world.state.rollout.waiting is not None)
    return world


def test_a_release_that_is_to_be_approved_runs_and_gets_no_traffic_before() -> None:
    world = asking()
    wait = world.state.rollout.waiting
    assert (world.step, wait.kind, wait.answers) == ("approve", "approval", ("approve", "abort"))
    assert wait.why == "approval, before version 2 gets any traffic"
    assert world.running() == {"a/blue": "1", "a/green": "2", "b/blue": "1", "b/green": "2"}
    assert next_deadline(world.state) is None
    world.wait(30 * 24 * 3600.0)
    assert world.traffic == {"a/blue": 100, "b/blue": 100}
    world.reply("approve", by="bob", comment="looked at it")
    assert world.finish() == "succeeded"
    said = next(e for _, e in reversed(world.log) if isinstance(e, ev.Approved))
    assert (said.step, said.by, said.comment) == ("approve", "bob", "looked at it")


def test_the_way_back_asks_nobody() -> None:
    world = asking("0", "1")
    world.reply("approve")
    world.finish()
    world.rollback()
    assert world.finish() == "succeeded"


def test_a_release_that_turns_bad_before_it_is_approved_is_undone() -> None:
    world = asking()
    world.report("a/green", running=True, healthy=False)
    assert world.ending.state == "rolled_back"


def test_a_node_that_is_away_at_the_approval_has_time_to_come_back() -> None:
    world = asking()
    world.leave("a")
    world.wait(3600.0)
    world.reply("approve")
    assert world.step == "approve"
    world.come_back("a")
    assert world.finish() == "succeeded"


def test_a_node_that_stays_away_after_the_approval_undoes_it() -> None:
    world = asking()
    world.leave("a")
    world.reply("approve")
    world.go(lambda: world.state.rollout is None)
    assert world.ending.state == "rolled_back"


def test_the_question_stands_over_a_new_start_of_the_controller() -> None:
    world = asking()
    question = world.state.rollout.waiting.id
    world.restart()
    world.wait(3600.0)
    assert world.state.rollout.waiting.id == question
    world.reply("approve", question=question)
    assert world.finish() == "succeeded"


def test_whoever_approves_second_is_told_who_was_first() -> None:
    world = asking()
    question = world.state.rollout.waiting.id
    world.reply("approve", by="ada", question=question)
    before = world.state
    with pytest.raises(Refused, match="is not asked any more in rollout r2; ada has let it pass"):
        world.reply("approve", by="bob", question=question)
    with pytest.raises(Refused, match="does not wait for anybody; ada has let it pass"):
        world.reply("approve", by="bob")
    assert world.state == before


def test_the_same_request_approves_once() -> None:
    world = asking()
    world.reply("approve", request_id="once")
    assert world.reply("approve", request_id="once") == ()


def test_after_an_abort_it_is_too_late_to_approve() -> None:
    world = asking()
    world.abort(by="eve")
    late = i.Answer(request_id="late", rollout="r2", answer="approve", answered_by="ada")
    with pytest.raises(Refused, match="rollout r2 has ended"):
        world.feed(late)
    assert world.ending.state == "rolled_back"
    assert world.traffic == {"a/blue": 100, "b/blue": 100}


@pytest.mark.parametrize("answer", ["continue", "retry", "promote"])
def test_another_answer_than_was_asked_for_is_refused(answer: t.Answer) -> None:
    world = asking()
    with pytest.raises(Refused, match=f"cannot be answered with {answer} now") as refused:
        world.reply(answer)
    assert "possible: approve, abort" in refused.value.hint


def test_a_late_answer_is_not_taken_for_the_next_question() -> None:
    world = World().deployed("1")
    world.deploy("2")
    (migration,) = world.until("migrate")
    world.answer(migration, "unknown")
    first = world.state.rollout.waiting.id
    world.reply("retry", question=first)
    (again,) = world.state.rollout.open.values()
    world.answer(again, "unknown")
    second = world.state.rollout.waiting.id
    assert second > first
    with pytest.raises(Refused, match="is not asked any more") as refused:
        world.reply("continue", question=first)
    assert "what is asked now: task did not work" in refused.value.message
    world.reply("continue", question=second)
    assert world.finish() == "succeeded"


# --- Promotion -----------------------------------------------------------------------------------


def promoting() -> World:
    """As `asking`, with a gate of the other kind in place of the first."""
    world = World(approval=True).deployed()
    world.deploy("1")
    rollout = world.state.rollout
    goal = t.Goal(kind="deploy", release=rollout.release, nodes=("a", "b"), spec=rollout.spec)
    plan = tuple(
        gate(goal, "promotion", "promote-1", "Promote") if step.gate else step
        for step in rollout.plan
    )
    rollout = msgspec.structs.replace(rollout, plan=plan)
    world.state = msgspec.structs.replace(world.state, rollout=rollout)
    world.until("promote-1")
    return world


def test_a_gate_for_promotion_is_opened_by_promote_alone() -> None:
    world = promoting()
    wait = world.state.rollout.waiting
    assert (wait.kind, wait.answers) == ("promotion", ("promote", "abort"))
    with pytest.raises(Refused, match="cannot be answered with approve"):
        world.reply("approve")
    world.reply("promote")
    assert world.finish() == "succeeded"


def test_a_soak_is_cut_short() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until("soak")
    world.reply("promote", by="bob", step="soak")
    assert world.step == "verify"
    assert world.finish() == "succeeded"


def test_a_soak_that_is_cut_short_still_wants_all_to_be_healthy() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until("soak")
    world.report("a/green", running=True, healthy=None)
    world.reply("promote")
    assert world.step == "soak"
    assert next_deadline(world.state) > world.now
    world.report("a/green", running=True, healthy=True)
    assert world.step == "verify"


def test_of_two_who_promote_at_once_the_second_cuts_nothing_else_short() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until("soak")
    world.reply("promote", step="soak")
    with pytest.raises(Refused, match="it is at Verify now; ada has let it pass"):
        world.reply("promote", step="soak")


@pytest.mark.parametrize("step", ["prepare", "start", "shift", "verify"])
def test_where_nothing_is_waited_for_there_is_nothing_to_promote(step: str) -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until(step)
    before = world.state
    with pytest.raises(Refused, match="there is nothing to promote"):
        world.reply("promote")
    assert world.state == before


def test_what_is_being_undone_is_not_promoted() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until("soak")
    world.abort()
    with pytest.raises(Refused, match="is being undone: there is nothing to promote"):
        world.reply("promote")


# --- A second deployment -------------------------------------------------------------------------


def test_one_that_nobody_has_approved_is_superseded_by_the_next() -> None:
    world = asking()
    world.deploy("3", supersede=True)
    assert world.ending.state == "rolled_back"
    assert "aborted by ada: superseded by version 3" in world.ending.reason
    assert world.state.rollout.release.version == "3"
    world.until("approve")
    assert world.running() == {"a/blue": "1", "a/green": "3", "b/blue": "1", "b/green": "3"}
    world.reply("approve")
    assert world.finish() == "succeeded"


@pytest.mark.parametrize("step", ["start", "shift", "soak"])
def test_one_that_runs_is_not_superseded(step: str) -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until(step)
    before = world.state
    with pytest.raises(Refused, match="one at a time"):
        world.deploy("3", supersede=True)
    assert world.state == before


@pytest.mark.parametrize("step", ["shift", "soak"])
def test_nor_one_that_has_moved_traffic(step: str) -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until(step)
    world.pause()
    before = world.state
    with pytest.raises(Refused, match="cannot be superseded: undoing it moves traffic") as refused:
        world.deploy("3", supersede=True)
    assert "tidegate rollout abort r2" in refused.value.hint
    assert world.state == before


def test_nor_one_on_whose_way_back_traffic_would_move() -> None:
    world = asking("1")
    world.report("a/blue", running=False, healthy=False)
    before = world.state
    with pytest.raises(Refused, match="cannot be superseded: undoing it moves traffic"):
        world.deploy("3", supersede=True)
    assert world.state == before


def test_whoever_is_refused_supersedes_nothing() -> None:
    world = asking()
    world.lock(by="bob")
    before = world.state
    with pytest.raises(Refused, match="is locked by bob"):
        world.deploy("3", supersede=True)
    assert world.state == before


def test_the_same_request_supersedes_once() -> None:
    world = asking()
    world.deploy("3", supersede=True, request_id="once")
    assert world.deploy("3", supersede=True, request_id="once") == ()
