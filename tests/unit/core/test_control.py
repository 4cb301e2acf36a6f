"""An operator has a rollout stand still, go on, or gives it up: at any moment, and safely."""

import pytest
from driver import SILENCE, World

from tidegate_controller.core import events as ev
from tidegate_controller.core import inputs as i
from tidegate_controller.core import types as t
from tidegate_controller.core.deadline import next_deadline
from tidegate_controller.core.draft import pending
from tidegate_controller.core.facts import seconds_left
from tidegate_controller.core.spec import Policy
from tidegate_controller.errors import Refused

STEPS = ("preflight", "prepare", "migrate", "start", "shift", "switch", "soak", "verify")


def at(step: str, *before: str) -> World:
    """Version 2 is being deployed where 1 serves, and has come to this step."""
    world = World().deployed(*(before or ("1",)))
    world.rest()
    world.deploy("2")
    world.until(step)
    return world


def ended(world: World, since: int = 0) -> list[str]:
    return [e.outcome for _, e in world.log[since:] if isinstance(e, ev.ActionEnded)]


# --- Pause and resume ----------------------------------------------------------------------------


@pytest.mark.parametrize("step", STEPS)
def test_a_paused_rollout_takes_results_and_issues_nothing_new(step: str) -> None:
    world = at(step)
    world.pause()
    seen = len(world.log)
    world.answer_all()
    world.wait(30 * 24 * 3600.0)
    assert not [e for _, e in world.log[seen:] if isinstance(e, ev.ActionIssued)]
    assert world.step == step
    assert set(ended(world, seen)) <= {"ok"}
    world.resume()
    assert world.finish() == "succeeded"


@pytest.mark.parametrize("step", STEPS)
def test_while_it_is_paused_no_deadline_passes(step: str) -> None:
    world = at(step)
    world.fates = {step: SILENCE}
    world.pause()
    assert next_deadline(world.state) is None
    world.wait(30 * 24 * 3600.0)
    world.resume()
    world.fates = {}
    assert world.finish() == "succeeded"


def test_a_resumed_rollout_has_as_much_time_as_was_left() -> None:
    world = at("start")
    (action, _) = world.state.rollout.open.values()
    world.tick(100.0)
    left = action.deadline - world.now
    world.pause()
    world.tick(5000.0)
    assert seconds_left(world.state, action, world.now) == left
    world.resume()
    resumed = world.state.rollout.open[action.id]
    assert resumed.deadline - world.now == left
    assert seconds_left(world.state, resumed, world.now) == left


def test_a_soak_goes_on_where_it_was() -> None:
    world = at("soak")
    world.tick(7.0)
    world.pause()
    world.wait(1000.0)
    world.resume()
    world.wait(2.9)
    assert world.step == "soak"
    world.wait(0.2)
    assert world.step == "verify"


def test_a_move_of_traffic_that_is_open_ends_while_it_is_paused() -> None:
    world = at("shift")
    world.pause()
    world.answer_all()
    assert world.traffic == {"a/green": 100, "b/green": 100}
    assert pending(world.state) == ()
    assert world.step == "shift"


@pytest.mark.parametrize("reconnect", [True, False])
def test_it_is_still_paused_after_a_new_start_of_the_controller(reconnect: bool) -> None:
    world = at("start")
    world.tick(10.0)
    world.pause(reason="odd")
    world.tick(1000.0)
    world.restart(connected=None if reconnect else ())
    world.wait(5000.0)
    assert world.state.rollout.paused.reason == "odd"
    assert world.step == "start"
    world.resume()
    assert world.state.rollout.entered_at <= world.now
    assert world.finish() == "succeeded"


def test_a_node_that_goes_while_it_is_paused_is_waited_for_once_it_is_resumed() -> None:
    world = at("start")
    world.pause()
    world.tick(100.0)
    world.leave("a")
    world.wait(3600.0)
    world.resume()
    assert world.state.away["a"].until == world.now + world.pace.away_seconds
    world.wait(world.pace.away_seconds)
    assert world.ending.state == "rolled_back"


def test_a_node_that_comes_back_while_it_is_paused_costs_nothing() -> None:
    world = at("start")
    world.pause()
    world.leave("a")
    world.wait(3600.0)
    world.come_back("a")
    world.resume()
    assert world.finish() == "succeeded"


def test_what_fails_while_it_is_paused_undoes_it_when_it_is_resumed() -> None:
    world = at("soak")
    world.pause()
    world.report("a/green", running=True, healthy=False)
    assert not world.state.rollout.undoing
    world.resume()
    assert world.state.rollout.undoing
    assert world.finish() == "rolled_back"


def test_chores_wait_as_well() -> None:
    world = World().deployed("1", "2")
    world.deploy("3", nodes=["a"])
    world.until("prepare")
    world.pause()
    world.wait(24 * 3600.0)
    assert not world.state.chores_open


def test_an_undo_is_not_paused() -> None:
    world = at("start")
    world.until("shift")
    world.answer_all()
    world.abort()
    assert world.state.rollout.undoing
    before = world.state
    with pytest.raises(Refused, match="the way back is not paused"):
        world.pause()
    assert world.state == before


def test_a_second_operator_who_pauses_or_resumes_changes_nothing() -> None:
    world = at("start")
    world.pause(by="ada")
    assert world.pause(by="bob") == ()
    assert world.state.rollout.paused.by == "ada"
    world.resume(by="bob")
    assert world.resume(by="ada") == ()


def test_a_repeated_request_to_pause_does_not_pause_it_again() -> None:
    world = at("start")
    world.pause(request_id="once")
    world.resume()
    assert world.pause(request_id="once") == ()
    assert world.state.rollout.paused is None


def test_a_paused_rollout_that_waits_is_resumed_before_it_is_answered() -> None:
    world = at("migrate")
    (migration,) = world.state.rollout.open.values()
    world.answer(migration, "unknown")
    world.pause()
    with pytest.raises(Refused, match="is paused by ada") as refused:
        world.reply("continue")
    assert refused.value.hint == "first: tidegate rollout resume r2"
    world.resume()
    world.reply("continue")
    assert world.finish() == "succeeded"


def test_one_that_waits_is_not_resumed_but_answered() -> None:
    world = at("migrate")
    (migration,) = world.state.rollout.open.values()
    world.answer(migration, "unknown")
    with pytest.raises(Refused, match="it waits for task did not work") as refused:
        world.resume()
    assert "tidegate rollout continue r2" in refused.value.hint


@pytest.mark.parametrize("ask", [World.pause, World.resume, World.abort])
def test_one_that_has_ended_is_past_all_requests(ask) -> None:
    world = World().deployed("1")
    before = world.state
    with pytest.raises(Refused, match="rollout r1 has ended") as refused:
        ask(world, rollout="r1")
    assert refused.value.hint == "how: tidegate rollout show r1"
    assert world.state == before


# --- Abort ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", STEPS)
def test_a_rollout_is_given_up_at_any_moment(step: str) -> None:
    world = at(step)
    world.abort(reason="wrong version")
    assert world.finish() == "rolled_back"
    assert "aborted by ada: wrong version" in world.ending.reason
    world.rest()
    assert world.traffic == {"a/blue": 100, "b/blue": 100}
    assert world.running() == {"a/blue": "1", "b/blue": "1"}


@pytest.mark.parametrize("step", STEPS)
def test_one_that_is_paused_is_given_up_too(step: str) -> None:
    world = at(step)
    world.pause()
    world.abort()
    assert world.finish() == "rolled_back"


def test_a_start_that_takes_minutes_is_stopped_at_once() -> None:
    world = at("start")
    starts = list(world.state.rollout.open.values())
    world.fates = {"start": SILENCE}
    seen = len(world.log)
    world.abort()
    assert world.state.rollout is None
    assert world.issued("stop", seen) == ["a/green", "b/green"]
    stops = list(world.state.chores_open.values())
    assert min(stop.fence for stop in stops) > max(start.fence for start in starts)
    for start in starts:  # the agent says that it was overtaken, or that it was ready after all
        assert world.feed(world.result(start, "ok")) == ()
    world.rest()
    assert world.running() == {"a/blue": "1", "b/blue": "1"}


def test_where_traffic_is_on_its_way_it_is_moved_back_before_anything_is_stopped() -> None:
    world = at("shift")
    assert world.state.weights is None
    seen = len(world.log)
    world.abort()
    assert world.issued("route", seen) == ["controller"]
    assert world.issued("stop", seen) == []
    assert world.finish() == "rolled_back"
    assert world.traffic == {"a/blue": 100, "b/blue": 100}


def test_one_that_is_being_undone_is_not_given_up_twice() -> None:
    world = at("soak")
    world.abort(by="ada")
    assert world.abort(by="bob") == ()
    with pytest.raises(Refused, match="is being undone already"):
        world.abort(undo=False)
    assert world.finish() == "rolled_back"


def test_a_repeated_request_to_give_up_does_not_touch_the_next_rollout() -> None:
    world = at("prepare")
    world.abort(request_id="once", rollout="r2")
    world.deploy("3")
    assert world.abort(request_id="once", rollout="r2") == ()
    with pytest.raises(Refused, match="rollout r2 has ended"):
        world.abort(request_id="another", rollout="r2")
    assert world.finish() == "succeeded"


def test_a_first_deployment_that_is_given_up_leaves_nothing_running() -> None:
    world = World()
    world.deploy("1")
    world.until("soak")
    world.abort()
    assert world.finish() == "failed"
    world.rest()
    assert world.running() == {}
    assert world.traffic == {}


def test_whoever_wants_all_left_as_it_is_gets_that() -> None:
    world = at("soak")
    world.abort(undo=False, reason="I look at it by hand")
    assert world.ending.state == "aborted"
    assert world.ending.reason == "aborted by ada: I look at it by hand; nothing was undone"
    assert world.traffic == {"a/green": 100, "b/green": 100}
    assert world.running() == {"a/blue": "1", "a/green": "2", "b/blue": "1", "b/green": "2"}
    assert world.state.chores == ()
    assert world.state.debts["a/green"].endswith(
        "deploy it again to finish that, or go back: tidegate rollback shop -e test"
    )


def test_why_a_person_was_asked_is_told_once_when_that_is_given_up() -> None:
    world = World(policy=Policy(on_failure="pause")).deployed("1")
    world.deploy("2")
    start, _ = world.until("start")
    world.answer(start, "failed", "release")
    world.go(lambda: world.state.rollout.waiting is not None)
    world.abort()
    world.finish()
    assert world.ending.reason.count("Start failed") == 1
    assert world.ending.reason.startswith("Start failed: aborted by ada: a/green: ")


def test_from_what_was_left_half_done_back_is_where_it_was_before() -> None:
    world = at("soak", "0", "1")
    world.abort(undo=False)
    world.rollback()
    assert world.finish() == "succeeded"
    world.rest()
    assert set(world.running().values()) == {"1"}


def test_what_was_left_half_done_is_finished_by_the_same_deployment() -> None:
    world = at("soak")
    world.abort(undo=False)
    world.deploy("2")
    assert world.finish() == "succeeded"
    world.rest()
    assert set(world.running().values()) == {"2"}
    assert [release.version for release in world.state.committed] == ["1", "2"]


@pytest.mark.parametrize("step", ["shift", "switch"])
def test_what_is_not_as_it_should_be_is_owed_where_nothing_was_undone(step: str) -> None:
    world = at(step)
    world.abort(undo=False)
    assert world.owing() == {"a", "b", *([t.CONTROLLER] if step == "shift" else [])}
    world.deploy("3")
    assert world.finish() == "succeeded"
    assert world.owing() == set()


def test_a_node_that_was_drained_and_no_more_is_owed_where_nothing_was_undone() -> None:
    """Seed 44 of the simulation."""
    world = World("ab", strategy="rolling").deployed("1")
    world.deploy("2")
    world.until("stop-1")
    world.abort(undo=False)
    assert world.traffic == {"b/blue": 100}
    assert world.owing() == {"a"}


def test_what_serves_half_done_is_owed_still_after_another_rollout_was_undone() -> None:
    """Seed 503 of the simulation: to mend `current` was taken for all that was owed there."""
    world = at("soak")
    world.abort(undo=False)
    world.deploy("3")
    world.until("soak")
    world.abort()
    assert world.finish() == "rolled_back"
    world.rest()
    assert world.traffic == {"a/green": 100, "b/green": 100}
    assert world.owing() == {"a", "b"}


@pytest.mark.parametrize("undo", [True, False])
def test_an_undo_that_asks_a_person_is_given_up_only_by_whoever_has_seen_that(undo: bool) -> None:
    """Of two people who abort at once, the second has not meant that."""
    world = at("soak")
    world.abort(by="ada")
    world.fates = {"shift-back": "failed"}
    world.go(lambda: world.state.rollout.waiting is not None)
    asked = world.state.rollout.waiting.id
    for question in (0, asked - 1):
        with pytest.raises(Refused, match="is being undone already, and asks: ") as refused:
            world.abort(by="bob", undo=undo, question=question)
        assert refused.value.hint.endswith(f"tidegate rollout abort r2 --question {asked}")
    world.abort(by="bob", undo=undo, question=asked)
    assert world.ending.state == "failed"
    assert t.CONTROLLER in world.owing()


def test_an_abort_that_is_meant_for_a_question_which_is_over_gives_up_nothing() -> None:
    world = at("soak")
    with pytest.raises(Refused, match="question 7 of rollout r2 is not asked any more"):
        world.abort(question=7)
    assert world.finish() == "succeeded"


def test_an_abort_comes_too_late_for_what_has_succeeded() -> None:
    world = at("verify")
    for action in list(world.state.rollout.open.values()):
        world.answer(action)
    with pytest.raises(Refused, match="rollout r2 has ended"):
        world.abort(rollout="r2")
    assert world.ending.state == "succeeded"


def test_a_migration_that_runs_is_not_cut_short() -> None:
    world = at("migrate")
    seen = len(world.log)
    world.abort()
    assert world.state.rollout is None
    assert not [e for _, e in world.log[seen:] if isinstance(e, ev.ActionIssued)]


def test_the_log_says_who_has_asked_and_why() -> None:
    world = at("start")
    world.pause(by="ada", reason="odd")
    world.resume(by="bob", reason="it was nothing")
    world.abort(by="eve", reason="but it was")
    said = [(type(e).__name__, e.by, e.reason) for _, e in world.log if hasattr(e, "by")]
    assert said == [
        ("Paused", "ada", "odd"),
        ("Resumed", "bob", "it was nothing"),
        ("Aborted", "eve", "but it was"),
    ]


def test_a_request_about_another_rollout_is_refused() -> None:
    world = at("start")
    with pytest.raises(Refused, match="rollout r9 has ended"):
        world.feed(i.Pause(request_id="x", rollout="r9", requested_by="ada"))
