"""Whether the nodes' disks have room for releases to come, seen before it bites.

Whether this release fits is Preflight's question, which each agent answers for its own disk.
"""

from collections.abc import Iterable

from tidegate_controller.core import inputs as i
from tidegate_controller.core import types as t

GIB = 1 << 30
RELEASES_TO_COME = 3  # that there is to be room for, with this one
PLACE_FACTOR = 4  # bytes on the disk for one of an artifact, archive and tree together


def room_notes(release: t.Release, members: Iterable[i.Member]) -> tuple[str, ...]:
    """A line for each node with little room left, as it said last."""
    wanted = max(GIB, RELEASES_TO_COME * PLACE_FACTOR * release.size_bytes)
    return tuple(
        f"{member.node} has only {member.disk_free_bytes / GIB:.1f} GiB free for releases: "
        "tidegate cleanup removes what need not be kept"
        for member in members
        if member.connected
        and member.disk_free_bytes is not None
        and member.disk_free_bytes < wanted
    )
