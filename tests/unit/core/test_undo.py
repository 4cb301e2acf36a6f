"""A rollout that fails is undone: traffic goes back to exactly where it was."""

import pytest
from core_values import GRACE_SECONDS, PACE, TRAFFIC, place, release
from driver import SILENCE, World

from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.spec import Policy, Traffic
from tidegate_controller.errors import Refused

BEFORE = {"a/blue": 100, "b/blue": 100}
AFTER = {"a/green": 100, "b/green": 100}
FAILING = ["preflight", "prepare", "start", "shift", "switch"]
ON_NODES = ["preflight", "prepare", "start", "switch"]


UNKNOWN_TRAFFIC = {"shift": "failed", "shift-back": SILENCE}


def failed_second_deploy(step: str, outcome: str = "failed") -> World:
    world = World().deployed("1")
    world.deploy("2")
    world.finish(**{step: outcome})
    return world


@pytest.mark.parametrize("step", FAILING)
def test_a_second_deploy_that_fails_is_rolled_back(step: str) -> None:
    world = failed_second_deploy(step)
    assert world.ending.state == "rolled_back"
    assert world.traffic == BEFORE


@pytest.mark.parametrize("step", FAILING)
@pytest.mark.parametrize("outcome", ["refused", "unknown", "expired", "superseded", SILENCE])
def test_any_answer_but_ok_and_no_answer_at_all_undo_a_rollout(step: str, outcome: str) -> None:
    world = failed_second_deploy(step, outcome)
    assert world.ending.state == "rolled_back"
    assert world.traffic == BEFORE


@pytest.mark.parametrize("step", FAILING)
def test_a_first_deploy_that_fails_has_nothing_to_go_back_to(step: str) -> None:
    world = World()
    world.deploy("1")
    assert world.finish(**{step: "failed"}) == "failed"
    assert world.traffic == {}


@pytest.mark.parametrize("step", ON_NODES)
def test_one_node_is_enough_to_fail_a_rollout(step: str) -> None:
    world = failed_second_deploy(f"{step}@b")
    assert world.ending.state == "rolled_back"
    assert world.traffic == BEFORE


@pytest.mark.parametrize("step", FAILING)
def test_after_an_undo_and_its_chores_only_the_old_release_runs(step: str) -> None:
    world = failed_second_deploy(step)
    world.rest()
    assert world.running() == {"a/blue": "1", "b/blue": "1"}
    assert world.currents == {"a": "blue", "b": "blue"}
    assert world.state.debts == {}


@pytest.mark.parametrize("step", FAILING)
def test_after_an_undo_the_next_deploy_succeeds(step: str) -> None:
    world = failed_second_deploy(step)
    world.deploy("3")
    assert world.finish() == "succeeded"
    world.rest()
    assert world.running() == {"a/green": "3", "b/green": "3"}


@pytest.mark.parametrize("step", ["preflight", "prepare", "start"])
@pytest.mark.parametrize("versions", [(), ("1",)])
def test_a_rollout_that_fails_before_the_shift_never_moves_traffic(
    step: str, versions: tuple[str, ...]
) -> None:
    world = World().deployed(*versions)
    seen = len(world.log)
    world.deploy("2")
    world.finish(**{step: "failed"})
    assert world.issued("route", seen) == []


def test_adding_a_node_that_cannot_start_never_moves_traffic() -> None:
    world = World(["a"]).deployed("1")
    world.add("b")
    seen = len(world.log)
    world.deploy("1")
    world.finish(start="failed")
    assert world.issued("route", seen) == []


def test_a_slot_that_turns_unhealthy_during_the_soak_undoes_the_rollout() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until("soak")
    world.report("b/green", healthy=False)
    assert world.finish() == "rolled_back"
    assert "b/green" in world.ending.reason
    assert world.traffic == BEFORE


def test_a_slot_that_crashes_during_the_soak_undoes_the_rollout() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until("soak")
    world.report("b/green", running=False, healthy=False)
    assert world.finish() == "rolled_back"


@pytest.mark.parametrize("step", ["shift", "switch", "soak"])
def test_a_slot_that_passed_and_fails_in_a_later_step_undoes_the_rollout(step: str) -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until(step)
    world.report("a/green", healthy=False)
    assert world.finish() == "rolled_back"
    assert world.traffic == BEFORE


def test_a_slot_that_fails_while_others_still_start_undoes_the_rollout() -> None:
    world = World().deployed("1")
    world.deploy("2")
    first, _ = world.until("start")
    world.answer(first)
    world.report(first.work.place, healthy=False)
    assert world.finish() == "rolled_back"


def test_a_start_that_reports_an_unhealthy_slot_is_not_a_pass() -> None:
    world = World().deployed("1")
    world.deploy("2")
    first, _ = world.until("start")
    known = t.Known(revision=first.work.revision, running=True, healthy=False)
    world.feed(world.result(first, known=known))
    assert world.finish() == "rolled_back"


def test_an_old_slot_that_is_down_is_left_out_when_traffic_goes_back() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until("switch")
    world.report("a/blue", running=False, healthy=False)
    assert world.finish(switch="failed") == "rolled_back"
    assert world.traffic == {"b/blue": 100}


def test_a_node_that_the_undo_left_without_traffic_is_owed_it() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until("switch")
    world.report("a/blue", running=False, healthy=False)
    world.finish(switch="failed")
    assert "a" in world.owing()


def test_an_old_slot_left_out_by_the_undo_is_not_stopped() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until("switch")
    world.report("a/blue", healthy=False)
    world.finish(switch="failed")
    world.rest()
    assert world.running()["a/blue"] == "1"


def nowhere_to_go_back_to(**health: bool | None) -> World:
    """The new slots are well and the rollout has failed; the old ones are not known to be well."""
    world = World().deployed("1")
    world.deploy("2")
    world.until("switch")
    for where in BEFORE:
        world.report(where, **health)
    world.fates = {"switch": "failed"}
    world.go(lambda: world.step == "shift-back")
    return world


@pytest.mark.parametrize("health", [False, None])
def test_traffic_stays_with_new_slots_that_are_well_while_no_old_one_is_known_to_be(
    health: bool | None,
) -> None:
    world = nowhere_to_go_back_to(healthy=health)
    world.go(lambda: world.state.rollout.waiting is not None)
    assert world.traffic == AFTER
    assert world.state.rollout.waiting.why.endswith(
        "nothing that traffic would go back to is known to be well, and a/green, b/green are"
    )
    world.report("b/blue", healthy=True)
    assert world.finish() == "rolled_back"
    assert world.traffic == ({"b/blue": 100} if health is False else BEFORE)


def test_so_it_does_where_nobody_knows_whether_the_new_ones_have_got_it() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until("shift")
    for where in BEFORE:
        world.report(where, healthy=False)
    world.fates = {"shift": SILENCE}
    world.go(lambda: world.state.rollout.waiting is not None)
    assert world.state.rollout.waiting.why.endswith("and a/green, b/green are")
    assert world.state.weights is None
    world.report("b/blue", healthy=True)
    assert world.finish() == "rolled_back"
    assert world.traffic == BEFORE  # as it had it, as far as anybody knows


def test_where_all_old_slots_are_down_a_person_may_have_traffic_go_back_to_them() -> None:
    world = nowhere_to_go_back_to(running=False, healthy=False)
    world.go(lambda: world.state.rollout.waiting is not None)
    world.reply("continue")
    assert world.finish() == "rolled_back"
    assert world.traffic == BEFORE


def test_a_move_that_has_begun_since_the_question_is_not_done_by_a_persons_word() -> None:
    """It has the balancer's, or it is made again: old slots are given traffic and new ones stopped
    by it."""
    world = nowhere_to_go_back_to(running=False, healthy=False)
    world.go(lambda: world.state.rollout.waiting is not None)
    seen = len(world.log)
    world.report("b/blue", running=True, healthy=True)
    assert world.issued("route", seen) == ["controller"]
    world.reply("continue")
    assert world.state.settled == AFTER
    assert world.finish() == "rolled_back"
    assert world.issued("route", seen)[:2] == ["controller", "controller"]
    assert world.traffic == {"b/blue": 100}


@pytest.mark.parametrize("back", [True, False])
def test_a_controller_that_has_just_begun_asks_who_is_well_before_traffic_goes_back(
    back: bool,
) -> None:
    world = nowhere_to_go_back_to(running=False, healthy=False)
    world.go(lambda: world.state.rollout.waiting is not None)
    world.gone = {"a", "b"}
    world.restart()
    seen = len(world.log)
    world.wait(GRACE_SECONDS - 1.0)
    assert world.issued("route", seen) == []
    if back:
        world.come_back("a")
        world.come_back("b")
        world.wait(GRACE_SECONDS)
        assert world.issued("route", seen) == []
        assert world.state.rollout.waiting is not None
    else:
        world.wait(GRACE_SECONDS + PACE.away_seconds)
        assert world.issued("route", seen) != [], "nobody says that anything is well"


def test_where_all_old_slots_are_down_a_person_may_leave_traffic_where_it_is() -> None:
    world = nowhere_to_go_back_to(running=False, healthy=False)
    assert world.give_up() == "failed"
    assert world.traffic == AFTER
    assert world.owing() == {"a", "b"}


def test_where_the_new_slots_are_down_as_well_traffic_goes_back_to_the_old_ones() -> None:
    world = nowhere_to_go_back_to(running=False, healthy=False)
    for where in AFTER:
        world.report(where, running=False, healthy=False)
    assert world.finish() == "rolled_back"
    assert world.traffic == BEFORE


def test_an_undo_that_finds_no_old_slot_left_at_all_does_not_call_itself_rolled_back() -> None:
    world = World(["a"]).deployed("1")
    world.deploy("2")
    world.until("soak")
    world.lose_disks("a")
    assert world.finish() == "failed"
    assert world.traffic == {}
    assert world.owing() == {"a"}


def test_a_switch_that_may_have_happened_is_made_good_after_the_undo() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until("switch")
    world.currents["a"] = "green"
    world.finish(switch=SILENCE)
    world.rest()
    assert world.currents == {"a": "blue", "b": "blue"}


def test_a_slot_that_got_traffic_twice_drains_after_the_last_time() -> None:
    world = World().deployed("1", "2")
    world.wait(60.0)
    world.deploy("3")
    world.until("soak")
    world.report("a/blue", healthy=False)
    assert world.finish() == "rolled_back"
    seen = len(world.log)
    world.answer_all()
    assert world.issued("stop", seen) == []


def test_moving_traffic_back_is_tried_again_until_it_works() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until("shift")
    world.fates = {"shift": "failed", "shift-back": "failed"}
    for _ in range(9):
        world.move()
    assert world.state.rollout.undoing
    assert world.finish() == "rolled_back"
    assert world.traffic == BEFORE


def test_each_new_try_counts_as_an_attempt_and_waits_a_little() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until("shift")
    world.fates = {"shift": "failed"}
    world.until("shift-back")
    world.fates = {"shift-back": "failed"}
    (first,) = world.open()
    world.move()
    assert world.open() == []
    world.move()
    (second,) = world.open()
    assert (first.attempt, second.attempt) == (1, 2)
    assert second.fence > first.fence


@pytest.mark.parametrize("fate", ["failed", SILENCE])
def test_a_rollout_that_cannot_be_undone_has_failed_and_traffic_is_unknown(fate: str) -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.fates = {"shift": "failed", "shift-back": fate}
    assert world.give_up() == "failed"
    assert "controller" in world.owing()
    assert "could not be undone" in world.ending.reason
    assert world.state.weights is None


def test_an_undo_that_does_not_succeed_asks_a_person_and_goes_on_trying() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.fates = {"shift": "failed", "shift-back": "failed"}
    world.go(lambda: world.state.rollout.waiting is not None)
    world.wait(3600.0)
    assert world.state.rollout.waiting is not None
    world.fates = {}
    assert world.finish() == "rolled_back"
    assert world.traffic == BEFORE


def test_traffic_that_a_person_has_moved_back_ends_the_undo() -> None:
    by_hand = Traffic(adapter="none")
    world = World()
    for version in ("1", "2"):
        world.deploy(version, traffic=by_hand)
        world.finish() if version == "1" else world.finish_start()
    world.fates = {"shift": "failed", "shift-back": "failed"}
    world.go(lambda: world.state.rollout.waiting is not None)
    world.reply("continue")
    assert world.ending.state == "rolled_back"
    assert world.traffic == BEFORE


@pytest.mark.parametrize("policy", [Policy(), Policy(on_failure="pause")])
def test_nobodys_word_counts_for_a_balancer_that_says_itself_where_traffic_goes(
    policy: Policy,
) -> None:
    world = World(policy=policy).deployed("1")
    world.deploy("2")
    world.fates = {"shift": "failed", "shift-back": "failed"}
    world.go(lambda: world.state.rollout.waiting is not None)
    assert world.state.rollout.waiting.answers == ("retry", "abort")
    with pytest.raises(Refused):
        world.reply("continue")
    world.fates = {}
    world.reply("retry")
    assert world.finish() == ("succeeded" if policy.on_failure == "pause" else "rolled_back")


def test_a_rollback_after_an_undo_that_was_given_up_goes_to_what_was_committed() -> None:
    world = World().deployed("0", "1")
    world.deploy("2")
    world.fates = dict(UNKNOWN_TRAFFIC)
    world.give_up()
    world.rollback()
    assert world.finish() == "succeeded"
    assert world.state.committed[-1].version == "1"


def test_after_an_unknown_shift_the_next_deploy_settles_traffic_before_it_touches_a_slot() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.fates = dict(UNKNOWN_TRAFFIC)
    world.give_up()
    seen = len(world.log)
    world.deploy("3")
    assert world.finish() == "succeeded"
    assert world.steps(seen)[:3] == ["preflight", "settle", "prepare"]
    world.rest()
    assert world.running() == {"a/green": "3", "b/green": "3"}


def test_a_settling_that_fails_is_undone_to_where_traffic_was_last_seen() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.fates = dict(UNKNOWN_TRAFFIC)
    world.give_up()
    world.deploy("3")
    assert world.finish(settle="failed") == "rolled_back"
    assert world.traffic == BEFORE


def test_an_undone_release_is_not_one_to_come_back_to() -> None:
    world = failed_second_deploy("switch")
    assert world.state.committed == (release("1"),)


def test_open_actions_are_cancelled_when_their_step_fails() -> None:
    world = World().deployed("1")
    world.deploy("2")
    first, second = world.until("start")
    seen = len(world.log)
    world.answer(first, "failed")
    ends = [e for _, e in world.log[seen:] if isinstance(e, ev.ActionEnded)]
    assert [(e.action, e.outcome) for e in ends] == [
        (first.id, "failed"),
        (second.id, "cancelled"),
    ]


def test_the_reason_names_the_step_the_place_and_the_error() -> None:
    world = failed_second_deploy("start@b")
    assert "Start failed" in world.ending.reason
    assert "b/green: start did not work" in world.ending.reason


def test_the_reason_names_three_places_and_counts_the_rest() -> None:
    world = World([f"n{number}" for number in range(5)])
    world.deploy("1")
    world.until("prepare")
    events = world.answer(world.open()[0], "failed")
    assert any(isinstance(event, ev.Replanned) for event in events)
    assert "n0/blue: prepare did not work" in world.ending.reason


def test_a_failed_deploy_leaves_the_pace_and_the_balancer_of_the_release_that_serves() -> None:
    world = World().deployed("1")
    before = (world.state.pace, world.state.traffic)
    world.pace = t.Pace(drain_seconds=99.0)
    world.deploy("2", traffic=Traffic(adapter="caddy", directory=TRAFFIC.directory, lanes=7))
    world.finish(preflight="failed")
    assert (world.state.pace, world.state.traffic) == before


def test_an_undone_rollout_does_not_forget_that_a_slot_was_started() -> None:
    world = failed_second_deploy("start", SILENCE)
    assert world.state.places[place("a/green")].running is None
    assert ("stop", "a/green", 0.0) in world.chores()


def test_after_an_undo_that_a_person_gave_up_current_names_what_serves() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until("soak")
    for old in ("a/blue", "b/blue"):
        world.report(old, running=False, healthy=False)
    world.abort()
    world.go(lambda: world.state.rollout.waiting is not None)
    assert world.state.rollout.waiting.answers == ("continue", "retry", "abort")
    assert "known to be well" in world.state.rollout.waiting.why
    world.reply("abort")
    world.rest()
    assert world.traffic == {"a/green": 100, "b/green": 100}
    assert world.currents == {"a": "green", "b": "green"}


def test_a_question_of_the_way_back_names_what_keeps_it_now_and_not_what_failed_before() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until("soak")
    world.abort()
    (move,) = world.open()
    world.answer(move, "failed")
    for old in ("a/blue", "b/blue"):
        world.report(old, running=False, healthy=False)
    world.go(lambda: world.state.rollout.waiting is not None)
    assert "known to be well" in world.state.rollout.waiting.why
    world.reply("continue")
    assert world.finish() in ("rolled_back", "failed")
    assert world.traffic == {"a/blue": 100, "b/blue": 100}
