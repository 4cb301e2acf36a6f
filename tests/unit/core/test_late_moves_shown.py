"""That a move of traffic may come late is said alike by the state and by the events, and explains
why slots that serve nobody run on for a while."""

import pytest
from core_values import PACE, TRAFFIC, WAVES
from driver import SILENCE, World
from event_views import picture_of, views, wall

from tidegate_controller.cli.awaiting import awaited
from tidegate_controller.cli.explain import sentences_of
from tidegate_controller.cli.explain_steps import WRITTEN_AGAIN
from tidegate_controller.cli.picture import Picture
from tidegate_controller.core.changes import replace
from tidegate_controller.core.evolve import evolve

IN_PLACE = replace(WAVES, max_parallel="1", min_in_service="1")


def in_place() -> World:
    """Traffic is being taken from a, so that b serves alone, for 2 to be started there first."""
    quick = replace(PACE, soak_seconds=1.0)
    world = World(strategy="rolling", waves=IN_PLACE, pace=quick).deployed("1")
    world.rest()
    world.deploy("2")
    world.until("drain-1")
    return world


def were_late(world: World, since: int) -> list[bool]:
    """Whether any may, after each event of the last rollout; the picture has to know which."""
    picture, said = Picture(), []
    state = world.state.__class__()
    for clock, event in world.log[:since]:
        state = evolve(state, event, clock)
    for view, (clock, event) in zip(views(world, since), world.log[since:], strict=True):
        picture.take(view)
        state = evolve(state, event, clock)
        assert picture.moves.late == set(map(str, state.unsettled)), view.kind
        said.append(bool(state.unsettled))
    return said


@pytest.mark.parametrize("how", ["begun anew", SILENCE, "failed", "nothing"])
def test_the_picture_knows_of_late_moves_what_the_state_knows(how: str) -> None:
    world = World().deployed("1")
    world.rest()
    since = len(world.log)
    world.deploy("2")
    world.until("shift")
    if how == "begun anew":
        world.restart()
    world.finish(**({"shift": how} if how in (SILENCE, "failed") else {}))
    world.rest()
    said = were_late(world, since)
    assert any(said) == (how != "nothing")
    assert not said[-1]


def test_nothing_that_a_person_moves_comes_late() -> None:
    world = World()
    world.deploy("1", traffic=replace(TRAFFIC, adapter="none", directory=""))
    world.fates = {"shift": "unknown"}
    world.go(lambda: world.state.rollout.waiting is not None)
    assert not any(were_late(world, 0))


def test_who_watches_and_who_asks_later_is_told_why_a_slot_was_not_stopped_at_once() -> None:
    world = in_place()
    since = next(n for n, (_, e) in enumerate(world.log) if getattr(e, "rollout", "") == "r2")
    world.restart()
    world.until("stop-2")
    picture = picture_of(world, since)
    assert awaited(picture, picture.named("stop-2"), wall(world.now)) == (
        "1 work that may not begin yet: a move to b/blue may come late, and the balancer is "
        "written again first"
    )
    assert world.finish() == "succeeded"
    told = [sentence.text for sentence in sentences_of(views(world, since))]
    assert [text.partition(" later, ")[2] for text in told if text.startswith("b/blue: begun")] == [
        f"{WRITTEN_AGAIN}."
    ]
