"""Which releases of an app stay on this node, and taking away the others; with a tally of both.

Used by cleaning.py, and by trees.py for what is left of slots.

releases/HEX/, releases/HEX.ok    a release and its marker: since when it is complete
releases/.HEX.part                a download that was never completed
"""

import contextlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tidegate_agent.releases import remove
from tidegate_protos.folders import sync_folder
from tidegate_protos.v1 import agent_pb2 as pb

MARKER = re.compile(r"([0-9a-f]{64})\.ok")
PART = re.compile(r"\.([0-9a-f]{64})\.part")
LISTED_MAX = 100  # things that one report names
BLOCK_BYTES = 512  # of st_blocks, whatever the file system's own are


@dataclass
class Tally:
    """What was removed, what was made, what stays and why, and what could not be done, in words."""

    removed: list[pb.Thing] = field(default_factory=list)
    made: list[pb.Thing] = field(default_factory=list)
    stayed: dict[tuple[str, str], pb.Stayed] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def remove(self, kind: str, name: str, path: Path) -> None:
        """Remove a file or a whole folder."""
        size_bytes = disk_bytes(path)
        if problem := removed(path):
            self.problems.append(problem)
        else:
            self.removed.append(pb.Thing(kind=kind, name=name, bytes=size_bytes))

    def stays(self, kind: str, why: str, size_bytes: int) -> None:
        stayed = self.stayed.setdefault((kind, why), pb.Stayed(kind=kind, why=why))
        stayed.count += 1
        stayed.bytes += size_bytes

    def add(self, other: "Tally") -> None:
        """Of something else that was done beside; what stays is told by one of the two alone."""
        self.removed += other.removed
        self.made += other.made
        self.stayed |= other.stayed
        self.problems += other.problems

    def message(self) -> pb.CleanedUp:
        """What a report has room for."""
        return pb.CleanedUp(
            removed=self.removed[:LISTED_MAX],
            removed_count=len(self.removed),
            removed_bytes=sum(thing.bytes for thing in self.removed),
            made=self.made[:LISTED_MAX],
            stayed=self.stayed.values(),
        )


def prune(
    folder: Path, keep: Mapping[str, str], newest: int, age_seconds: float, now: float
) -> Tally:
    """Remove the releases in `folder` whose hex digits are not in `keep`, where stands why, but for
    the `newest` of them that are no older than `age_seconds` (0: of any age) at `now` (Unix time).

    What cannot be removed keeps nothing else from being.
    """
    tally = Tally()
    if not folder.is_dir():
        return tally
    others = [path for path in folder.iterdir() if _is_other(path, MARKER, keep)]
    completed = {path: path.stat().st_mtime for path in others}
    others.sort(key=lambda path: completed[path], reverse=True)
    stays = [
        path for path in others[:newest] if not age_seconds or now - completed[path] <= age_seconds
    ]
    for path in others:
        if path in stays:
            tally.stays("release", f"among the newest {newest}", _told_bytes(path))
        else:
            _remove_release(tally, path)
    for path in list(folder.iterdir()):
        if _is_other(path, PART, keep):
            tally.remove("download", f"sha256:{path.name[1:65]}", path)
        elif (found := MARKER.fullmatch(path.name)) and found[1] in keep:
            tally.stays("release", keep[found[1]], _told_bytes(path))
    return tally


def _is_other(path: Path, name: re.Pattern[str], keep: Mapping[str, str]) -> bool:
    found = name.fullmatch(path.name)
    return found is not None and found[1] not in keep


def _remove_release(tally: Tally, marker: Path) -> None:
    """Its marker first: what is left of it by a crash counts for nothing from then on."""
    try:
        marker.unlink()
        sync_folder(marker.parent)
    except OSError as error:
        tally.problems.append(f"cannot remove {marker}: {error.strerror}")
    else:
        tally.remove("release", f"sha256:{marker.stem}", marker.with_suffix(""))


def removed(path: Path) -> str:
    """Remove a file or a whole folder; a sentence where that is not wholly possible, or nothing."""
    remove(path)
    return f"cannot remove all of {path}" if path.exists() else ""


def disk_bytes(path: Path) -> int:
    """What a file, or a folder with all in it, takes on the disk, as far as it can be read."""
    seen: set[tuple[int, int]] = set()
    total = 0
    for status in _statuses(path):
        inode = (status.st_dev, status.st_ino)
        if status.st_nlink == 1 or stat.S_ISDIR(status.st_mode) or inode not in seen:
            total += status.st_blocks * BLOCK_BYTES
            seen.add(inode)
    return total


def _statuses(path: Path) -> Iterator[os.stat_result]:
    with contextlib.suppress(OSError):
        yield path.lstat()
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            with contextlib.suppress(OSError):
                yield os.lstat(os.path.join(folder, name))


def _told_bytes(marker: Path) -> int:
    """What the marker says of its release's size; 0 where it cannot be read."""
    try:
        return int(json.loads(marker.read_bytes())["bytes"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0
