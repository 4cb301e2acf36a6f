"""What people ask of a rollout is told in lines, drawn in the tree, and explained."""

from driver import World
from event_views import picture_of, views, wall

from tidegate_controller.cli.explain import sentences_of
from tidegate_controller.cli.narrate import Narrator
from tidegate_controller.cli.picture import Picture


def lines(world: World, since: int) -> list[str]:
    """As a terminal that is none shows them."""
    picture, told = Picture(), []
    narrator = Narrator(picture)
    for view in views(world, since):
        picture.take(view)
        told += narrator.lines(view)
    return told


def explained(world: World, since: int) -> list[str]:
    return [sentence.text for sentence in sentences_of(views(world, since))]


def at(step: str) -> tuple[World, int]:
    world = World().deployed("1")
    world.rest()
    since = len(world.log)
    world.deploy("2")
    world.until(step)
    return world, since


def test_a_pause_and_its_end_are_told_with_who_and_why() -> None:
    world, since = at("start")
    world.pause(reason="odd")
    assert lines(world, since)[-2:] == [
        "paused by ada: odd; what is under way ends, nothing new begins",
        "  next: tidegate rollout resume r2",
    ]
    world.resume(by="bob")
    assert lines(world, since)[-1] == "resumed by bob"
    assert explained(world, since)[-2:] == [
        "ada (odd) had it stand still: what was under way could end, nothing new was begun, and no "
        "deadline ran.",
        "bob had it go on, with as much time as was left.",
    ]


def test_while_it_is_paused_a_person_is_awaited_and_what_was_asked_before_is_asked_again() -> None:
    world, since = at("migrate")
    (migration,) = world.state.rollout.open.values()
    world.answer(migration, "unknown")
    world.pause(reason="odd")
    paused = picture_of(world, since).wait
    assert (paused.why, paused.answers) == ("ada, who paused it: odd", ("resume", "abort"))
    world.resume()
    asked = picture_of(world, since).wait
    assert (asked.why, asked.answers) == ("task did not work", ["continue", "retry", "abort"])


def test_the_time_that_is_left_stands_still_as_well() -> None:
    world, since = at("soak")
    world.tick(4.0)
    world.pause()
    world.tick(1000.0)
    world.restart()
    world.tick(1000.0)
    world.resume()
    picture = picture_of(world, since)
    assert picture.held_until(picture.stage) - wall(world.now) == world.pace.soak_seconds


def test_an_abort_is_told_before_what_follows_from_it() -> None:
    world, since = at("soak")
    world.abort(reason="wrong version")
    told = lines(world, since)
    assert told[-3:] == [
        "aborted by ada: wrong version",
        "Soak failed: aborted by ada: wrong version",
        "undoing: moving traffic back to where it was",
    ]
    assert "ada (wrong version) gave it up; it was to be undone." in explained(world, since)


def test_an_abort_that_undoes_nothing_ends_the_story() -> None:
    world, since = at("soak")
    world.abort(undo=False)
    assert "rollout r2 aborted by ada; nothing was undone" in lines(world, since)
    assert "The rollout aborted: nothing was undone, as a person wanted." in explained(world, since)


def test_a_promotion_of_a_soak_is_told() -> None:
    world, since = at("soak")
    world.reply("promote", by="bob", comment="seen enough")
    assert "promoted by bob: seen enough" in lines(world, since)
    assert "bob (seen enough) had it go on now." in explained(world, since)


def test_a_quarantine_is_told_with_what_lifts_it() -> None:
    world, since = at("start")
    start, _ = world.state.rollout.open.values()
    world.answer(start, "failed", "release")
    told = lines(world, since)
    index = told.index("version 2 is quarantined: it is not brought to test again")
    assert told[index + 1] == (
        "  unless somebody says: tidegate release unquarantine shop 2 -e test"
    )
