"""The user that an app and its scripts run as, where it is not the agent's own.

Used by variables.py for each start, by slot.py when a controller asks whether it could be done.
"""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from tidegate_agent.errors import NodeError

# What root must not have been deprived of, by number of the bit in CapEff.
_CAPABILITIES = {
    0: "CAP_CHOWN",
    1: "CAP_DAC_OVERRIDE",  # to remove what it has left in its tree
    3: "CAP_FOWNER",
    5: "CAP_KILL",
    6: "CAP_SETGID",
    7: "CAP_SETUID",
    19: "CAP_SYS_PTRACE",  # to know its processes again by their environment
}
_STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class User:
    """`groups` are all of them, the primary one too."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


def find(name: str) -> User | None:
    """None for the agent's own user, which an empty name means too.

    Raises NodeError where there is no such user, or this agent may not become it.
    """
    if not name:
        return None
    try:
        entry = pwd.getpwnam(name)
    except (KeyError, ValueError) as error:
        raise NodeError(f"there is no user {name[:80]!r} on this node") from error
    if entry.pw_uid == os.geteuid():
        return None
    if os.geteuid() != 0:
        raise NodeError(
            f"this agent cannot run an app as user {name}: it runs as {own_name()} itself, and "
            "only root may become another user"
        )
    if lacking := _lacking():
        raise NodeError(
            f"this agent cannot run an app as user {name}: it is root without {', '.join(lacking)}"
        )
    groups = tuple(os.getgrouplist(name, entry.pw_gid))
    return User(name, entry.pw_uid, entry.pw_gid, groups, entry.pw_dir)


def own_name() -> str:
    """Of the user that the agent runs as; its number where it has no name."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def open_way(folder: Path, top: Path) -> None:
    """Let other users pass through `folder` and those above it, up to `top`. They cannot list
    them, and what lies in them has modes of its own."""
    for place in (folder, *folder.parents):
        mode = stat.S_IMODE(place.stat().st_mode)
        if mode & 0o111 != 0o111:
            place.chmod(mode | 0o111)
        if place == top:
            return


def check_way(folder: Path, user: User) -> None:
    """Raise NodeError if the user could not enter `folder` for one that lies above it."""
    for place in reversed((folder, *folder.parents)):
        status = place.stat()
        if status.st_uid == user.uid:
            bit = stat.S_IXUSR
        elif status.st_gid in user.groups:
            bit = stat.S_IXGRP
        else:
            bit = stat.S_IXOTH
        if user.uid != 0 and not status.st_mode & bit:
            raise NodeError(
                f"user {user.name} cannot enter {place}, so no app can run as that user beneath "
                f"{folder}; choose another --data, or let others pass there (chmod o+x {place})"
            )


def _lacking() -> list[str]:
    for line in _STATUS.read_text("ascii").splitlines():
        if line.startswith("CapEff:"):
            held = int(line.split()[1], 16)
            return [name for bit, name in _CAPABILITIES.items() if not held >> bit & 1]
    return []
