"""Who is to blame for a failure, and when a person is asked what is to follow from it."""

import pytest
from core_values import place, release
from driver import World
from event_views import views
from test_failed_nodes import NODES, ONE, REST_NEW, deploying, dropped

from tidegate_controller.cli.explain import sentences_of
from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.spec import Policy
from tidegate_controller.errors import Refused

PAUSE = Policy(on_failure="pause")
STOP = Policy(on_failure="stop")
OLD = {f"{node}/blue": 100 for node in NODES}
NEW = {"a/green": 100, **REST_NEW}


def asked(world: World) -> t.Wait | None:
    return world.state.rollout.waiting if world.state.rollout else None


def until_asked(world: World, **fates: str) -> t.Wait:
    world.fates = dict(fates)
    world.go(lambda: world.state.rollout is None or asked(world) is not None)
    world.fates = {}
    wait = asked(world)
    assert wait is not None, "nobody was asked"
    return wait


def blames(world: World) -> list[str]:
    return [e.blame for _, e in world.log if isinstance(e, ev.Replanned)]


# --- Whose fault ---------------------------------------------------------------------------------


def test_a_slot_that_turns_bad_with_its_old_one_well_is_the_releases_fault() -> None:
    world = deploying(Policy(), "soak")
    world.report("a/green", healthy=False)
    assert world.finish() == "rolled_back"
    assert blames(world) == ["release"]


def test_a_node_that_is_lost_is_the_environments_fault() -> None:
    world = deploying(Policy(), "start")
    world.leave("a")
    assert world.finish() == "rolled_back"
    assert blames(world) == ["environment"]


def test_a_balancer_that_fails_is_nobodys_fault() -> None:
    world = deploying(Policy())
    assert world.finish(shift="failed") == "rolled_back"
    assert blames(world) == [""]


def test_where_the_old_slot_fails_the_same_check_a_person_is_asked_and_nothing_moves() -> None:
    """The database of both slots has died: to go back would help nobody."""
    world = deploying(Policy(), "soak")
    for node in NODES:
        world.report(f"{node}/blue", healthy=False)
    world.report("a/green", healthy=False)
    wait = asked(world)
    assert wait is not None
    assert (wait.kind, wait.answers) == ("failure", ("continue", "retry", "abort"))
    assert "the release before fails its checks there too" in wait.why
    assert world.traffic == NEW
    world.wait(3600.0)
    assert world.traffic == NEW


def test_where_both_slots_fail_a_retry_goes_on_once_all_is_well_again() -> None:
    world = deploying(Policy(), "soak")
    world.report("a/blue", healthy=False)
    world.report("a/green", healthy=False)
    world.report("a/green", healthy=True)
    assert asked(world) is not None  # whoever was asked decides
    world.reply("retry")
    assert world.finish() == "succeeded"
    assert world.traffic == NEW


# --- Lost with the new release in traffic --------------------------------------------------------


def test_a_node_that_is_lost_with_the_release_in_traffic_is_asked_about() -> None:
    """The release may have killed it."""
    world = deploying(ONE, "soak")
    world.leave("a")
    wait = until_asked(world)
    assert (wait.kind, list(wait.nodes)) == ("lost", ["a"])
    assert "lost with 2 in traffic" in wait.why
    assert dropped(world) == {}


@pytest.mark.parametrize("step", ["soak", "verify"])
def test_nobody_need_answer_once_the_lost_node_is_back_and_well(step: str) -> None:
    world = deploying(ONE, step)
    world.leave("a")
    until_asked(world)
    world.come_back("a")
    assert asked(world) is None
    assert world.finish() == "succeeded"
    assert world.traffic == NEW


def test_the_lost_node_can_be_given_up() -> None:
    world = deploying(ONE, "soak")
    world.leave("a")
    until_asked(world)
    world.reply("continue")
    assert world.finish() == "succeeded"
    assert world.traffic == REST_NEW
    assert world.owing() == {"a"}


def test_the_rollout_can_be_undone_for_the_lost_node() -> None:
    world = deploying(ONE, "soak")
    world.leave("a")
    until_asked(world)
    world.reply("abort")
    assert world.finish() == "rolled_back"
    assert world.traffic == {f"{node}/blue": 100 for node in ("b", "c", "d")}


def test_a_retry_waits_for_the_lost_node_once_more() -> None:
    world = deploying(ONE, "soak")
    world.leave("a")
    until_asked(world)
    world.reply("retry")
    assert asked(world) is None
    until_asked(world)


def test_more_lost_nodes_than_may_fail_undo_the_rollout() -> None:
    world = deploying(ONE, "soak")
    world.leave("a")
    world.leave("b")
    assert world.finish() == "rolled_back"


def test_a_controller_that_starts_anew_asks_anew_about_the_lost_node() -> None:
    world = deploying(ONE, "soak")
    world.leave("a")
    until_asked(world)
    world.restart()
    until_asked(world)
    world.come_back("a")
    assert world.finish() == "succeeded"


# --- on_failure ----------------------------------------------------------------------------------


def test_with_pause_a_failure_is_put_to_a_person_and_nothing_is_undone() -> None:
    """argoproj/argo-rollouts#2866."""
    world = deploying(PAUSE, "soak")
    world.report("a/green", healthy=False)
    wait = asked(world)
    assert wait is not None
    assert wait.kind == "failure"
    assert world.traffic == NEW
    world.wait(7200.0)
    assert world.traffic == NEW


def test_a_paused_rollout_begins_nothing_more_and_takes_what_was_under_way() -> None:
    world = deploying(PAUSE, "start")
    first, *others = world.open()
    world.answer(first, "failed")
    since = len(world.log)
    for action in others:
        world.answer(action)
    assert [line for line in world.story(since) if line.startswith("issue")] == []
    world.reply("retry")
    assert world.issued("start", since) == ["a/green"]  # only what has failed
    assert world.finish() == "succeeded"


def test_with_continue_the_rollout_goes_on_without_what_has_failed() -> None:
    world = deploying(PAUSE)
    until_asked(world, **{"start@a": "failed"})
    world.reply("continue")
    assert world.finish() == "succeeded"
    assert world.traffic == {"a/blue": 100, **REST_NEW}
    assert world.owing() == {"a"}


def test_continue_says_nothing_of_a_node_that_failed_after_the_question() -> None:
    """Seed 142 of the simulation: its failed start counted as done, and it was to get traffic."""
    world = World("abc", policy=PAUSE).deployed("1")
    world.deploy("2")
    by_node = {action.work.at: action for action in world.until("start")}
    world.answer(by_node["a"], "failed")
    assert set(until_asked(world).nodes) == {"a"}
    world.answer(by_node["b"], "failed")
    world.reply("continue")
    assert set(until_asked(world).nodes) == {"b"}


def test_continue_is_not_offered_where_nothing_would_be_left() -> None:
    world = deploying(PAUSE)
    assert until_asked(world, start="failed").answers == ("continue", "retry", "abort")
    world.reply("retry")
    world.fates = {"start": "failed"}
    for action in world.open():
        world.answer(action, "failed")
    world.reply("retry")
    world = World(("a",), policy=PAUSE).deployed("1")
    world.deploy("2")
    assert until_asked(world, start="failed").answers == ("retry", "abort")
    with pytest.raises(Refused, match="cannot be answered with continue"):
        world.reply("continue")


def test_with_abort_it_is_undone() -> None:
    world = deploying(PAUSE)
    until_asked(world, **{"start@a": "failed"})
    world.reply("abort")
    assert world.finish() == "rolled_back"
    assert world.traffic == OLD


def test_pause_first_lets_as_many_fail_as_may() -> None:
    world = deploying(Policy(on_failure="pause", max_failed_nodes="1"))
    assert world.finish(**{"start@a": "failed"}) == "succeeded"


def test_a_balancer_that_fails_can_be_asked_again_under_pause() -> None:
    world = deploying(PAUSE)
    assert until_asked(world, shift="failed").kind == "failure"
    world.reply("retry")
    assert world.finish() == "succeeded"
    assert world.traffic == NEW


def test_with_stop_all_is_left_as_it_is_and_told() -> None:
    world = deploying(STOP, "soak")
    world.report("a/green", healthy=False)
    assert world.ending.state == "failed"
    assert world.traffic == NEW
    assert world.chores() == []
    assert set(world.state.debts) == {f"{node}/green" for node in NODES}
    assert "2 serves there since r2, which stopped" in world.state.debts["b/green"]


def test_with_stop_before_the_shift_what_was_started_is_left_running() -> None:
    world = deploying(STOP, "start")
    first, *others = world.open()
    for action in others:
        world.answer(action)
    world.answer(first, "failed")
    assert world.ending.state == "failed"
    assert world.traffic == OLD
    assert "2 was left there without traffic" in world.state.debts["b/green"]
    assert world.running() == {
        **{f"{node}/blue": "1" for node in NODES},
        **{f"{node}/green": "2" for node in ("b", "c", "d")},
    }


def test_after_a_stop_the_next_deployment_puts_all_in_order() -> None:
    world = deploying(STOP)
    world.finish(**{"start@a": "failed"})
    world.deploy("3")
    assert world.finish() == "succeeded"
    world.rest()
    assert set(world.running().values()) == {"3"}
    assert world.state.debts == {}


def test_with_stop_in_the_middle_of_a_move_the_next_deployment_settles_traffic_first() -> None:
    world = deploying(STOP, "shift")
    world.report("a/green", healthy=False)
    assert world.ending.state == "failed"
    assert world.state.weights is None
    assert t.CONTROLLER in world.state.debts
    world.report("a/green", healthy=True)
    world.deploy("3")
    assert "settle" in [step.id for step in world.state.rollout.plan]
    assert world.finish() == "succeeded"


def test_a_converge_never_asks_and_never_stops() -> None:
    for policy in (PAUSE, STOP):
        world = World(NODES, policy=policy).deployed("1")
        world.state = world.state.__class__(
            **{
                **{name: getattr(world.state, name) for name in world.state.__struct_fields__},
                "debts": {"a": "owes"},
                "committed": (*world.state.committed, release("2")),
            }
        )
        world.converge("a")
        assert world.finish(**{"start@a": "failed"}) == "rolled_back"
        assert world.traffic == OLD


def test_it_is_told_in_sentences() -> None:
    world = World(NODES, policy=ONE).deployed("1")
    since = len(world.log)
    world.deploy("2")
    world.until("soak")
    world.report("a/green", healthy=False)
    world.finish()
    told = [sentence.text for sentence in sentences_of(views(world, since))]
    (left_out,) = [line for line in told if "left out" in line]
    assert left_out == (
        "a was left out from here on, for up to 1 of its nodes may fail: a/green had passed its "
        "checks and failed again; that is the release's own fault."
    )
    assert "Its traffic was taken from it at once: a had the new release in use." in told
    assert "What had failed is to be stopped: a/green." in told
    assert any(line.startswith("a owes: does not have 2") for line in told)
    assert place("a/green") not in world.state.settled
