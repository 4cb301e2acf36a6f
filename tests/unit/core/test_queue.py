"""Deployments that wait for their turn."""

import pytest
from driver import World

from tidegate_controller.core import events as ev
from tidegate_controller.core import inputs as i
from tidegate_controller.core.queueing import QUEUE_MAX
from tidegate_controller.core.spec import Policy
from tidegate_controller.errors import Refused


def busy(*versions: str) -> World:
    """Version 2 is being brought, and these wait."""
    world = World().deployed("1")
    world.deploy("2")
    for version in versions:
        world.deploy(version, queue=True)
    return world


def waiting(world: World) -> list[str]:
    return [entry.release.version for entry in world.state.queue]


def test_it_begins_when_the_present_one_has_ended_one_after_the_other() -> None:
    world = busy("3", "4")
    assert waiting(world) == ["3", "4"]
    assert world.begin_queued() == (), "not while another runs"
    assert world.finish() == "succeeded"
    asked = world.state.queue[0].rollout
    world.begin_queued()
    assert (world.state.rollout.id, waiting(world)) == (asked, ["4"])
    assert world.finish() == "succeeded"
    world.begin_queued()
    assert world.finish() == "succeeded"
    assert world.state.committed[-1].version == "4"


def test_where_nothing_runs_it_begins_at_once() -> None:
    world = World().deployed("1")
    world.deploy("2", queue=True)
    assert world.state.rollout is not None
    assert world.state.queue == ()


def test_it_begins_also_when_the_one_before_has_failed() -> None:
    world = busy("3")
    assert world.finish(start="failed") == "rolled_back"
    world.begin_queued()
    assert world.finish() == "succeeded"


def test_what_is_refused_when_its_turn_comes_is_dropped_and_said() -> None:
    world = busy("3")
    world.finish()
    world.quarantine(world.state.queue[0].release.revision.digest)
    (event,) = world.begin_queued()
    assert isinstance(event, ev.Unqueued)
    assert (event.state, waiting(world)) == ("failed", [])
    assert "is quarantined" in event.reason


def test_a_node_that_is_away_when_its_turn_comes_is_what_it_would_be_to_a_deployment() -> None:
    """Refused, in the same words, with what to do: nobody has said that it may go on without."""
    world = busy("3")
    world.finish()
    world.leave("b")
    with pytest.raises(Refused) as refused:
        world.deploy("3")
    (event,) = world.begin_queued()
    assert (event.state, waiting(world)) == ("failed", [])
    assert event.reason == f"{refused.value.message}; {refused.value.hint}"


def test_it_begins_without_as_many_nodes_as_may_be_away() -> None:
    world = World(policy=Policy(max_failed_nodes="1")).deployed("1")
    world.deploy("2")
    world.deploy("3", queue=True)
    world.finish()
    world.leave("b")
    world.begin_queued()
    assert world.finish() == "succeeded"
    assert (world.traffic, world.owing()) == ({"a/blue": 100}, {"b"})


def test_what_the_shell_cannot_begin_is_dropped() -> None:
    world = busy("3")
    world.finish()
    (event,) = world.begin_queued(refused="no node matches")
    assert event.reason == "no node matches"


def test_it_does_not_begin_while_somebody_else_has_locked_it_or_in_a_freeze() -> None:
    world = busy("3")
    world.finish()
    world.lock(by="bob")
    assert world.begin_queued() == ()
    world.unlock(by="bob")
    world.freeze(100.0)
    assert world.begin_queued() == ()
    world.wait(100.0)
    world.begin_queued()
    assert world.finish() == "succeeded"


def test_in_a_freeze_it_waits_as_well() -> None:
    world = World().deployed("1")
    world.freeze(100.0)
    world.deploy("2", queue=True)
    assert waiting(world) == ["2"]


def test_it_can_be_given_up_before_it_has_begun() -> None:
    world = busy("3", "4")
    first = world.state.queue[0].rollout
    with pytest.raises(Refused, match="has not begun: it waits for its turn"):
        world.pause(rollout=first)
    world.abort(rollout=first, reason="not today")
    assert waiting(world) == ["4"]
    assert world.state.rollout is not None, "the present one goes on"
    event = world.log[-1][1]
    assert event.reason == "given up by ada before it had begun: not today"


def test_only_so_many_wait() -> None:
    world = busy(*(str(number) for number in range(3, 3 + QUEUE_MAX)))
    with pytest.raises(Refused, match="wait for their turn already"):
        world.deploy("99", queue=True)


def test_the_same_request_again_is_not_queued_twice() -> None:
    world = busy("3")
    assert world.feed(world.last_deploy) == ()
    assert waiting(world) == ["3"]


def test_they_wait_on_after_a_new_start_but_not_after_a_restore() -> None:
    world = busy("3")
    world.restart()
    assert waiting(world) == ["3"]
    world.feed(i.Restore(log_id="another", former="log"))
    assert waiting(world) == []
