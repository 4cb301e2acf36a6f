"""Results can be late, doubled, unknown: then they are ignored."""

import pytest
from core_values import place
from driver import SILENCE, World

from tidegate_controller.core import events as ev
from tidegate_controller.core import inputs as i
from tidegate_controller.core import types as t
from tidegate_controller.core.draft import pending
from tidegate_controller.core.evolve import evolve

OUTCOMES = ["ok", "failed", "refused", "superseded", "cancelled", "expired", "unknown"]


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_result_of_an_unknown_action_changes_nothing(outcome: t.Outcome) -> None:
    world = World()
    world.deploy("1")
    assert world.feed(i.Result(action="log-9-9", outcome=outcome)) == ()


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_result_that_comes_twice_counts_once(outcome: t.Outcome) -> None:
    world = World()
    world.deploy("1")
    for action in world.until("start"):
        world.answer(action)
        assert world.feed(world.result(action, outcome)) == ()
    assert world.finish() == "succeeded"


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("step", ["preflight", "prepare", "start", "shift", "switch"])
def test_a_result_that_comes_after_the_undo_changes_nothing(step: str, outcome: t.Outcome) -> None:
    world = World().deployed("1")
    world.deploy("2")
    late = world.until(step)
    world.finish(**{step: SILENCE})
    state = world.state
    for action in late:
        assert world.feed(world.result(action, outcome)) == ()
    assert world.state == state


def test_a_late_start_that_worked_does_not_keep_its_slot_from_being_stopped() -> None:
    world = World().deployed("1")
    world.deploy("2")
    first, second = world.until("start")
    world.answer(second, "failed")
    world.answer(first)
    world.rest()
    assert world.running() == {"a/blue": "1", "b/blue": "1"}


def test_pending_is_what_was_issued_and_has_not_ended() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.finish(switch="failed")
    world.rest()
    opened: set[str] = set()
    state = t.State()
    for clock, event in world.log:
        if isinstance(event, ev.ActionIssued):
            opened.add(event.action.id)
        if isinstance(event, ev.ActionEnded):
            opened.remove(event.action)
        state = evolve(state, event, clock)
        assert {action.id for action in pending(state)} == opened


def test_evolve_ignores_the_end_of_an_action_that_is_not_open() -> None:
    world = World().deployed("1")
    after = evolve(world.state, ev.ActionEnded(action="gone", outcome="ok"), world.now)
    assert after.version == world.state.version + 1
    assert after.places == world.state.places


def test_traffic_is_unknown_from_the_issue_of_a_move_until_it_reads_back() -> None:
    world = World().deployed("1")
    world.deploy("2")
    (route,) = world.until("shift")
    assert world.state.weights is None
    assert world.state.settled[place("a/blue")] == 100
    world.answer(route)
    assert world.traffic == {"a/green": 100, "b/green": 100}


def test_a_place_is_unknown_from_the_issue_of_its_start_until_the_answer() -> None:
    world = World()
    world.deploy("1")
    first, _ = world.until("start")
    known = world.state.places[first.work.place]
    assert (known.revision, known.running, known.healthy) == (first.work.revision, None, None)
    world.answer(first)
    assert world.state.places[first.work.place].running is True


def test_a_start_that_failed_leaves_the_place_as_its_agent_found_it() -> None:
    world = World()
    world.deploy("1")
    first, _ = world.until("start")
    found = t.Known(revision=first.work.revision, running=False, healthy=False)
    world.feed(world.result(first, "failed", known=found))
    assert world.state.places[first.work.place] == found
