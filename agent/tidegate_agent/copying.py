"""Copy the tree of a release: real files, which may change without the release changing.

Used by trees.py, in a thread. Where the file system can share blocks (btrfs, XFS) it does, so that
a copy costs next to nothing; each file is then copied when it is first written.
"""

import errno
import os
import stat
import threading
from pathlib import Path

from tidegate_agent.users import User

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_CANNOT = {errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM}
_PIECE_BYTES = 1 << 30

Links = dict[tuple[int, int], Path]  # device and inode of a file with several names: its copy


class Cut(Exception):
    """The copy was called off."""


def copy_tree(source: Path, target: Path, owner: User | None, call_off: threading.Event) -> None:
    """Copy all beneath `source` into the new directory `target`; modes and times of files stay, and
    what is one file with several names there is one here: the copy takes no more than the release.

    Until all is there nobody but this agent can enter it: with an owner inside, who may be anybody,
    it could be made to write elsewhere. Not durable yet. Raises OSError, or Cut once `call_off` is
    set; what was copied so far stays.
    """
    target.mkdir(mode=0o700)
    _fill(source, target, owner, call_off, {})
    _give(target, owner)
    target.chmod(stat.S_IMODE(source.stat().st_mode))


def _fill(
    source: Path, target: Path, owner: User | None, call_off: threading.Event, links: Links
) -> None:
    with os.scandir(source) as entries:
        for entry in entries:
            if call_off.is_set():
                raise Cut
            copy = target / entry.name
            if entry.is_symlink():
                copy.symlink_to(os.readlink(entry.path))
            elif entry.is_dir():
                copy.mkdir()
                _fill(Path(entry.path), copy, owner, call_off, links)
                copy.chmod(stat.S_IMODE(entry.stat().st_mode))
            else:
                _copy_file(entry, copy, links)
            _give(copy, owner)


def _give(path: Path, owner: User | None) -> None:
    if owner is not None:
        os.chown(path, owner.uid, owner.gid, follow_symlinks=False)


def _copy_file(source: os.DirEntry[str], target: Path, links: Links) -> None:
    read_fd = os.open(source, _READ)
    try:
        status = os.fstat(read_fd)
        if status.st_nlink > 1:
            first = links.setdefault((status.st_dev, status.st_ino), target)
            if first is not target:
                os.link(first, target)
                return
        write_fd = os.open(target, _CREATE, 0o600)
        try:
            _copy_bytes(read_fd, write_fd, status.st_size)
            os.fchmod(write_fd, stat.S_IMODE(status.st_mode))
            os.utime(write_fd, ns=(status.st_atime_ns, status.st_mtime_ns))
        finally:
            os.close(write_fd)
    finally:
        os.close(read_fd)


def _copy_bytes(read_fd: int, write_fd: int, size: int) -> None:
    done = 0
    while done < size:
        try:
            copied = os.copy_file_range(read_fd, write_fd, min(size - done, _PIECE_BYTES))
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
            copied = os.sendfile(write_fd, read_fd, None, min(size - done, _PIECE_BYTES))
        if not copied:
            raise OSError(errno.EIO, "a file of the release has become shorter")
        done += copied
