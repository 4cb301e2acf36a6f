"""Disks that fill up are told at the head of a rollout, before they are full."""

import msgspec
from core_values import SPEC, release
from driver import World

from tidegate_controller.core import events as ev
from tidegate_controller.core import inputs as i
from tidegate_controller.core.room import GIB, PLACE_FACTOR, RELEASES_TO_COME, room_notes


def member(node: str, free: int | None, *, connected: bool = True) -> i.Member:
    return i.Member(node=node, connected=connected, journal_id=node, disk_free_bytes=free)


def test_a_node_with_little_room_is_told_and_others_are_not() -> None:
    members = [member("a", GIB // 2), member("b", 2 * GIB), member("c", None)]
    (note,) = room_notes(release("2"), members)
    assert note.startswith("a has only 0.5 GiB free for releases")


def test_little_is_what_does_not_hold_a_few_releases_more() -> None:
    large = msgspec.structs.replace(release("2"), size_bytes=GIB)
    enough = RELEASES_TO_COME * PLACE_FACTOR * GIB
    assert room_notes(large, [member("a", enough)]) == ()
    assert len(room_notes(large, [member("a", enough - 1)])) == 1


def test_nothing_is_known_of_a_node_that_is_away() -> None:
    assert room_notes(release("2"), [member("a", 1, connected=False)]) == ()


def test_it_is_told_at_the_head_of_the_rollout() -> None:
    world = World()
    world.feed(
        i.Deploy(
            request_id="x",
            rollout="r1",
            release=release("1"),
            spec=SPEC,
            members=(member("a", 1), member("b", 9 * GIB)),
            requested_by="ada",
        )
    )
    (started,) = (e for _, e in world.log if isinstance(e, ev.Started))
    assert [note.split()[0] for note in started.notes] == ["a"]
