"""Checks as a gate of the rollout: "no data" is not success."""

import msgspec
from driver import World
from test_narrate import story

from tidegate_controller.core import events as ev
from tidegate_controller.core.spec import Check

CHECKS = {"smoke": Check(command=("smoke",)), "ping": Check(http="http://shop/ping")}


def checking() -> World:
    world = World(checks=CHECKS).deployed("1")
    world.deploy("2")
    return world


def test_checks_are_put_once_the_release_has_traffic_and_has_stayed_well() -> None:
    world = checking()
    assert [step.id for step in world.state.rollout.plan][-3:] == ["soak", "verify", "check"]
    actions = world.until("check")
    assert sorted(action.work.check for action in actions) == ["ping", "smoke"]
    assert world.finish() == "succeeded"


def test_a_check_that_fails_undoes_the_rollout_by_the_releases_fault() -> None:
    world = checking()
    first, _ = world.until("check")
    failed = msgspec.structs.replace(world.result(first, "failed"), blame="release")
    world.feed(failed)
    assert world.finish() == "rolled_back"
    assert world.traffic == {"a/blue": 100, "b/blue": 100}
    assert [e.blame for _, e in world.log if isinstance(e, ev.Replanned)] == ["release"]


def test_the_check_that_failed_is_named_once_and_the_balancer_is_not() -> None:
    world = World(checks=CHECKS).deployed("1")
    since = len(world.log)
    world.deploy("2")
    first, _ = world.until("check")
    name = first.work.check
    said = "/opt/it exited with 1"
    world.feed(msgspec.structs.replace(world.result(first, "failed"), error=said))
    world.finish()
    assert world.ending.reason == f"Check failed: check {name}: {said}"
    lines = story(world, since)
    assert f"  check {name}: failed: {said}" in lines
    assert not any("balancer" in line and said in line for line in lines)


def test_without_a_verdict_a_person_is_asked_and_the_rollout_does_not_go_on() -> None:
    """argoproj/argo-rollouts#4479, #1905."""
    world = checking()
    first, second = world.until("check")
    world.answer(second)
    world.answer(first, "unknown")
    assert world.state.rollout.waiting is not None
    world.wait(7200.0)
    assert world.step == "check"
    since = len(world.log)
    world.reply("retry")
    assert len(world.issued("check", since)) == 1
    assert world.finish() == "succeeded"


def test_a_check_that_nobody_answers_is_no_pass_either() -> None:
    world = checking()
    world.until("check")
    world.wait(7200.0)
    assert world.state.rollout.waiting is not None
    world.reply("continue")
    assert world.finish() == "succeeded"


def test_a_check_that_a_new_controller_puts_anew_has_all_its_time_again() -> None:
    world = World(checks={"smoke": Check(command=("smoke",), deadline_seconds=600.0)})
    world.deployed("1").deploy("2")
    (before,) = world.until("check")
    whole = before.deadline - world.now
    assert whole >= 600.0
    world.now += whole - 5.0
    world.restart()
    (after,) = world.open()
    assert after.deadline - world.now == whole
    world.wait(whole)
    assert world.state.rollout.waiting.why == "check smoke has not ended in time"


def test_a_rollback_and_a_converge_put_no_checks() -> None:
    world = checking()
    world.finish()
    world.rollback()
    assert "check" not in [step.id for step in world.state.rollout.plan]
