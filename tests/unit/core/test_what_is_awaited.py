"""What a rollout waits for is said alike by the state, the history and the live picture."""

import msgspec
from core_values import TRAFFIC
from driver import World
from event_views import records, views

from tidegate_controller.cli.picture import Picture
from tidegate_controller.core import events as ev
from tidegate_controller.core.facts import awaits, waiting_for
from tidegate_controller.core.spec import Policy, Waves
from tidegate_controller.history import Fold

BY_HAND = msgspec.structs.replace(TRAFFIC, adapter="none", directory="")


def awaited(world: World) -> tuple[str, str]:
    """By the rollout that was begun last: of what kind, and in words."""
    begun = [r for r in records(world) if isinstance(r.event, ev.Started)][-1]
    assert isinstance(begun.event, ev.Started)
    fold, picture = Fold(begun, begun.event), Picture()
    for record in records(world)[begun.version :]:
        fold.take(record)
    for view in views(world, begun.version - 1):
        picture.take(view)
    rollout = world.state.rollout
    said = (awaits(rollout), waiting_for(rollout)) if rollout else ("", "")
    assert (fold.view.awaits, fold.view.waiting_for or "") == said
    assert (picture.wait.awaits, picture.wait.why) == said
    assert list(picture.wait.answers) == fold.view.answers
    return said


def test_a_rollout_that_runs_or_has_ended_waits_for_nothing() -> None:
    world = World()
    world.deploy("1")
    world.until("start")
    assert awaited(world) == ("", "")
    world.finish()
    assert awaited(world) == ("", "")


def test_a_question_is_for_a_person() -> None:
    world = World()
    world.deploy("1", traffic=BY_HAND)
    world.fates = {"shift": "unknown"}
    world.go(lambda: world.state.rollout.waiting is not None)
    assert awaited(world) == ("person", "route did not work")
    world.fates = {}
    world.reply("continue")
    assert awaited(world) == ("", "")


def test_a_freeze_ends_by_itself_and_a_pause_meanwhile_does_not() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until("prepare")
    world.meet_freeze()
    frozen = ("freeze", "the freeze until then, by ada")
    assert awaited(world) == frozen
    world.pause(reason="odd")
    assert awaited(world) == ("person", "ada, who paused it: odd")
    world.resume()
    assert awaited(world) == frozen
    world.wait(5000.0)
    assert awaited(world) == ("", "")


def test_whatever_a_freeze_is_called_by_a_person_who_is_awaited_it_is_the_person() -> None:
    world = World().deployed("1")
    world.deploy("2")
    world.until("start")
    world.pause(by="the freeze until noon")
    assert awaited(world) == ("person", "the freeze until noon, who paused it")


def test_who_is_asked_in_a_freeze_is_awaited_before_its_end() -> None:
    one_by_one, ask = Waves(max_parallel="1"), Policy(on_failure="pause")
    world = World(strategy="rolling", waves=one_by_one, policy=ask).deployed("1")
    world.deploy("2")
    world.until("drain-1")
    world.meet_freeze()
    world.report("a/green", healthy=False)
    assert awaited(world)[0] == "person"
    world.report("a/green", healthy=True)
    world.reply("retry")
    assert awaited(world) == ("freeze", "the freeze until then, by ada")
