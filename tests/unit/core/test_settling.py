"""A move of traffic whose outcome nobody knows may come late: until the target was written once
more, and reads back so, no slot is stopped that it may send to."""

import pytest
from core_values import PACE, TRAFFIC, WAVES
from driver import SILENCE, World

from tidegate_controller.core import events as ev
from tidegate_controller.core import inputs as i
from tidegate_controller.core import types as t
from tidegate_controller.core.changes import replace
from tidegate_controller.core.deadline import next_deadline
from tidegate_controller.core.draft import pending
from tidegate_controller.core.settling import REWRITE, SETTLE_SECONDS
from tidegate_controller.core.spec import Traffic

NEW = {t.Place("a/green"), t.Place("b/green")}


def undone(fate: str = SILENCE, **more: object) -> World:
    """A shift that nobody knows the end of was undone: its way back was written once."""
    world = World(**more).deployed("1")
    world.deploy("2")
    assert world.finish(shift=fate) == "rolled_back"
    return world


def rewriting(world: World) -> t.Action:
    """Go on until the target is written once more."""
    world.go(lambda: any(action.step == REWRITE for action in pending(world.state)))
    return next(action for action in pending(world.state) if action.step == REWRITE)


@pytest.mark.parametrize("fate", [SILENCE, "failed", "unknown"])
def test_the_way_back_is_written_once_more_before_a_slot_is_stopped(fate: str) -> None:
    world = undone(fate)
    assert world.state.unsettled == NEW
    since, seen = world.now, len(world.log)
    world.rest()
    assert world.issued("route", seen) == ["controller"]
    story = [line for line in world.story(seen) if "route" in line or "stop" in line]
    assert story == ["issue route controller", "issue stop a/green", "issue stop b/green"]
    times = {type(e).__name__: at for at, e in world.log if isinstance(e, ev.ActionIssued)}
    assert times["ActionIssued"] - since >= SETTLE_SECONDS + PACE.drain_seconds
    assert world.running() == {"a/blue": "1", "b/blue": "1"}
    assert (world.state.unsettled, world.state.rewrite) == (frozenset(), None)
    assert next_deadline(world.state) is None


def test_a_shift_that_is_known_to_have_succeeded_is_not_written_again() -> None:
    world = World().deployed("1", "2")
    seen = len(world.log)
    world.rest()
    assert world.issued("route", seen) == []


def test_a_slot_is_not_stopped_while_the_balancer_does_not_answer() -> None:
    world = undone()
    seen = len(world.log)
    world.fates = {REWRITE: "failed"}
    world.wait(3600.0)
    while world.open():
        world.answer_all()
    world.wait(3600.0)
    assert world.issued("stop", seen) == []
    assert len(world.issued("route", seen)) < 20  # ever more rarely
    world.fates = {}
    world.rest()
    assert world.running() == {"a/blue": "1", "b/blue": "1"}


@pytest.mark.parametrize("connected", [None, ()])
def test_the_controller_remembers_it_when_it_starts_anew(connected: tuple[str, ...] | None) -> None:
    world = undone()
    world.restart(connected)
    assert world.state.unsettled == NEW
    action = rewriting(world)
    world.restart(connected)
    assert action.id in {each.id for each in pending(world.state)}
    world.rest()
    assert world.running() == {"a/blue": "1", "b/blue": "1"}


def test_a_move_that_an_earlier_controller_had_begun_may_come_late_though_it_succeeds() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until("shift")
    (action,) = pending(world.state)
    world.restart()
    assert [each.id for each in pending(world.state)] == [action.id]
    seen = len(world.log)
    assert world.finish() == "succeeded"
    assert world.state.unsettled == NEW
    assert rewriting(world).work.weights == world.traffic
    world.rest()
    assert world.issued("route", seen) == ["controller"]
    assert world.state.unsettled == frozenset()
    assert world.running() == {"a/green": "2", "b/green": "2"}


def test_what_is_written_again_is_so_once_more_where_another_controller_had_begun_it() -> None:
    world = undone()
    rewriting(world)
    world.restart()
    since, seen = world.now, len(world.log)
    world.go(lambda: not pending(world.state))
    assert world.state.unsettled >= NEW
    rewriting(world)
    assert world.now - since >= SETTLE_SECONDS
    assert world.issued("stop", seen) == []
    world.rest()
    assert world.state.unsettled == frozenset()
    assert world.running() == {"a/blue": "1", "b/blue": "1"}


def test_after_a_rewrite_that_failed_one_that_succeeds_is_not_the_last() -> None:
    """What the first had asked for may be done after the second, as any move."""
    world = undone()
    world.answer(rewriting(world), "failed")
    seen = len(world.log)
    world.answer(rewriting(world))
    assert world.state.unsettled
    world.answer(rewriting(world))
    assert not world.state.unsettled
    assert world.state.rewrite is None
    assert len(world.issued("route", seen)) == 2


def test_a_move_to_nobody_that_may_come_late_is_made_up_for() -> None:
    """It sends to no place, so none is unsettled; but done late it takes the traffic of all."""
    world = World("a")
    world.deploy("1")
    world.until("soak")
    world.abort()  # of a first deployment: traffic goes back to nobody
    (back,) = world.open()
    assert not any(back.work.weights.values())
    world.answer(back, "failed")
    assert world.finish() == "failed"
    world.deploy("2")
    world.until("soak")
    world.answer(rewriting(world))
    assert set(world.traffic) == {"a/green"}
    assert (world.state.may_empty, world.state.rewrite) == (False, None)


def test_who_deploys_does_not_wait_for_a_rewrite_that_was_long_tried_in_vain() -> None:
    world = undone()
    world.fates = {REWRITE: "failed"}
    world.wait(SETTLE_SECONDS)
    for _ in range(5):
        world.answer_all()
        world.wait(world.state.rewrite_at - world.now)
    world.answer_all()
    assert world.state.rewrite_at - world.now > 30 * SETTLE_SECONDS
    world.fates = {}
    world.deploy("3")
    assert world.state.rewrite_at - world.now <= SETTLE_SECONDS
    since = world.now
    world.until("soak")
    assert world.now - since < 2 * SETTLE_SECONDS + PACE.drain_seconds


def test_what_moves_traffic_goes_before_what_is_only_written_again() -> None:
    world = World().deployed("1")
    world.deploy("2", nodes=["a"])
    assert world.finish(shift="failed") == "rolled_back"
    world.deploy("3", nodes=["b"])
    world.until("start")
    world.fates = {REWRITE: SILENCE}
    world.wait(SETTLE_SECONDS)
    action = next(each for each in pending(world.state) if each.step == REWRITE)
    seen = len(world.log)
    world.until("shift")
    assert action.id not in {each.id for each in pending(world.state)}
    ended = [e for _, e in world.log[seen:] if isinstance(e, ev.ActionEnded)]
    assert next(e for e in ended if e.action == action.id).outcome == "cancelled"
    assert world.finish() == "succeeded"
    world.rest()
    assert world.running() == {"b/green": "3"}


def test_a_slot_that_a_late_move_may_send_to_is_not_started_anew_before_that_is_settled() -> None:
    world = undone()
    world.deploy("3")
    seen = len(world.log)
    world.finish_start()
    story = [line for line in world.story(seen) if "route" in line or "start" in line]
    assert story.index("issue route controller") < story.index("issue start a/green")


def test_the_first_release_of_an_environment_is_settled_as_well() -> None:
    world = World()
    world.deploy("1")
    assert world.finish(shift="failed") == "failed"
    world.rest()
    assert (world.running(), world.traffic) == ({}, {})


def test_an_undo_in_place_waits_for_it_and_starts_the_old_release_again() -> None:
    waves = replace(WAVES, max_parallel="1", min_in_service="0")
    world = World(strategy="rolling", waves=waves).deployed("1")
    world.deploy("2")
    seen = len(world.log)
    assert world.finish(**{"admit-1": "failed"}) == "rolled_back"
    world.rest()
    assert world.running() == {"a/blue": "1", "b/blue": "1"}
    assert world.traffic == {"a/blue": 100, "b/blue": 100}
    assert world.issued("stop", seen)[-1] == "a/green"


def test_a_balancer_that_a_person_moves_moves_nothing_late() -> None:
    world = World().deployed("1")
    traffic = Traffic(adapter="none")
    world = World()
    world.deploy("1", traffic=traffic)
    world.fates = {"shift": "unknown"}
    world.go(lambda: world.state.rollout.waiting is not None)
    world.reply("continue")
    world.fates = {}
    assert world.finish() == "succeeded"
    assert (world.state.unsettled, world.state.rewrite) == (frozenset(), None)


@pytest.mark.parametrize("lost", ["a", "ab"])
def test_what_is_gone_with_its_disk_is_not_written_again(lost: str) -> None:
    world = undone()
    world.lose_disks(*lost)
    action = rewriting(world)
    assert sorted(action.work.weights) == (["b/blue"] if lost == "a" else [])
    world.rest()
    assert world.state.unsettled == frozenset()
    world.deployed("3")
    assert {place[0] for place in world.traffic} == {"a", "b"}


def test_nothing_is_written_while_a_person_has_to_decide_what_counts() -> None:
    world = undone()
    world.feed(i.Restore(log_id="restored", former="log"))
    seen = len(world.log)
    world.wait(3600.0)
    assert world.issued("route", seen) == []
    assert TRAFFIC.adapter != "none"
