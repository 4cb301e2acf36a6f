"""The files of Caddy's lanes, durable before they get their names. Used by caddy.py.

lane-07            one address; Caddy reads it for each request
.lane-07.new       what it will be, synced already
.lane-07.kept      a second name for what it is, while it is replaced
.lane-07.former    what it was before
"""

import os
from pathlib import Path

SYNCED_MAX = 20_000

# Device, inode and time of each lane that this process has written and synced: what has these still
# is durable, whatever its name is by now. What somebody else has written may not be.
_synced: set[tuple[int, int, int]] = set()


def ready(file: Path, lane: str) -> Path:
    """A synced file next to `file` that leads there, ready to be renamed over it: what the lane was
    before, if that led there too, or a new one. So the way back, which is where a swap has to be
    quick, syncs the directory and no more."""
    before = former(file)
    if _stamp(before) in _synced and before.read_text() == lane:
        return before
    return _write_beside(file, lane)


def kept(file: Path) -> Path | None:
    """A second name for what the lane is now; None where it is nothing, or can have none."""
    second = file.with_name(f".{file.name}.kept")
    try:
        second.unlink(missing_ok=True)
        second.hardlink_to(file)
    except OSError:
        return None
    return second


def former(file: Path) -> Path:
    """Where that stays once the lane has moved."""
    return file.with_name(f".{file.name}.former")


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        status = file.lstat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns


def _write_beside(file: Path, lane: str) -> Path:
    """A synced file next to `file`, ready to be renamed over it; left-overs are overwritten."""
    new = file.with_name(f".{file.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(new, flags, 0o644)
    with open(descriptor, "wb") as stream:
        os.fchmod(descriptor, 0o644)
        stream.write(lane.encode())
        stream.flush()
        os.fsync(descriptor)
    if len(_synced) >= SYNCED_MAX:
        _synced.clear()
    if (stamp := _stamp(new)) is not None:
        _synced.add(stamp)
    return new
