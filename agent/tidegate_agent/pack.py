"""Write one backup: the child process that backups.py starts.

    python -m tidegate_agent.pack SOURCE TARGET TEMPORARY --top NAME

TARGET, a .tar.gz, has all beneath SOURCE, in one folder called NAME, with modes, owners and times.
It is there whole and durable, or not at all; TEMPORARY lies beside it. On success stdout has
{"bytes": n}, else the exit code is 1 and there is {"error": "one sentence"}. What is copied is
somebody else's: no link is followed.
"""

import argparse
import contextlib
import json
import os
import signal
import stat
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tidegate_agent.tree import c_function
from tidegate_agent.unpack import PR_SET_PDEATHSIG
from tidegate_protos.folders import sync_folder

READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a fifo must not hang us
WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
ROOM_FACTOR = 3  # the backup, were it not to shrink at all; a release of this size; a slot's copy
RESERVE_BYTES = 64 * 1024 * 1024
NICENESS = 10  # a backup can wait; the apps cannot
LEVEL = 6  # of gzip


class NoRoom(Exception):
    """The disk has to stay usable for the next release."""


Entry = tuple[str, str, int, os.stat_result]  # path in the archive, name, its folder's fd, status


def entries(source: Path) -> Iterator[Entry]:
    """All beneath `source`, folders before what is in them. Raises OSError."""

    def fail(error: OSError) -> None:
        raise error

    for folder, folders, files, fd in os.fwalk(source, onerror=fail):
        folders.sort()
        beneath = os.path.relpath(folder, source)
        for name in sorted([*folders, *files]):
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            yield os.path.normpath(os.path.join(beneath, name)), name, fd, status


def look_for_room(source: Path, target: Path) -> None:
    """Raises NoRoom where the backup, at worst, would leave too little for a next release."""
    files = (status for *_, status in entries(source) if stat.S_ISREG(status.st_mode))
    size = sum(status.st_size for status in files)
    disk = os.statvfs(target.parent)
    free, needed = disk.f_bavail * disk.f_frsize, ROOM_FACTOR * size + RESERVE_BYTES
    if free < needed:
        raise NoRoom(
            f"not enough disk for a backup: {free:,} bytes free in {target.parent}, and {needed:,} "
            "are asked for, so that the next release still has room"
        )


def pack(source: Path, top: str, file: BinaryIO) -> None:
    """Write the whole archive. Raises OSError and tarfile.TarError."""
    with tarfile.open(
        fileobj=file, mode="w:gz", format=tarfile.PAX_FORMAT, compresslevel=LEVEL
    ) as tar:
        tar.addfile(_member(top, source.stat()))
        first: dict[
            tuple[int, int], str
        ] = {}  # of files with several names, the one that was added
        for path, name, fd, status in entries(source):
            member = _member(f"{top}/{path}", status)
            if stat.S_ISLNK(status.st_mode):
                member.type, member.linkname = tarfile.SYMTYPE, os.readlink(name, dir_fd=fd)
                tar.addfile(member)
            elif stat.S_ISDIR(status.st_mode):
                tar.addfile(member)
            elif stat.S_ISREG(status.st_mode):
                inode = (status.st_dev, status.st_ino)
                if status.st_nlink > 1 and first.setdefault(inode, member.name) != member.name:
                    member.type, member.linkname = tarfile.LNKTYPE, first[inode]
                    tar.addfile(member)
                else:
                    _add_file(tar, member, name, fd)
            # Sockets, fifos and devices hold nothing that could be kept.


def _add_file(tar: tarfile.TarFile, member: tarfile.TarInfo, name: str, folder_fd: int) -> None:
    with open(os.open(name, READ, dir_fd=folder_fd), "rb") as content:
        status = os.fstat(content.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"{member.name} was replaced while it was read")
        member.size = status.st_size
        tar.addfile(member, content)


def _member(path: str, status: os.stat_result) -> tarfile.TarInfo:
    member = tarfile.TarInfo(path)
    member.mode, member.mtime = stat.S_IMODE(status.st_mode), int(status.st_mtime)
    member.uid, member.gid = status.st_uid, status.st_gid
    member.type = tarfile.DIRTYPE if stat.S_ISDIR(status.st_mode) else tarfile.REGTYPE
    return member


def write(source: Path, target: Path, temporary: Path, top: str) -> int:
    """How many bytes the backup has. Raises NoRoom, OSError, tarfile.TarError; nothing is left."""
    look_for_room(source, target)
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    try:
        with open(os.open(temporary, WRITE, 0o600), "wb") as file:
            pack(source, top, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(target.parent)
    return target.stat().st_size


def main() -> int:
    parser = argparse.ArgumentParser(prog="tidegate_agent.pack")
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("temporary", type=Path)
    parser.add_argument("--top", required=True)
    args = parser.parse_args()
    if (prctl := c_function("prctl")) is not None:
        prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))  # no life after the agent's
    os.nice(NICENESS)
    try:
        print(json.dumps({"bytes": write(args.source, args.target, args.temporary, args.top)}))
    except (NoRoom, tarfile.TarError) as error:
        print(json.dumps({"error": str(error)}))
        return 1
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        print(json.dumps({"error": f"{error.strerror or error}{where}"}))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
