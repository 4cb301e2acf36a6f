"""The directory that an archive is unpacked into: how a member that has passed is written.

Used by unpack.py, in the child process, for every format alike. Every rule (`archives.contents`) is
checked before anything of the member is written, and no write ever passes through a symlink, since
each directory is opened from its parent with O_NOFOLLOW and each file is created with O_EXCL.
"""

import errno
import os
import stat
import time
from collections.abc import Callable

from tidegate_protos.archives.contents import IMPLIED, Contents, Limits
from tidegate_protos.archives.reading import DIRECTORY, HARDLINK, SYMLINK, Member, Refused, shown

OPEN_DIRECTORIES = 128
OPEN_DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
CREATE_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Tree:
    """What was written so far beneath the new directory."""

    def __init__(self, root_fd: int, limits: Limits) -> None:
        self.root_fd = root_fd
        self.contents = Contents(limits)
        self._open = {"": root_fd}
        self._now = int(time.time())

    def add(self, member: Member) -> None:
        """Check the member, then write it. Raises Refused, which names the member."""
        kind, path, link = self.contents.check(member)
        try:
            self._write(kind, path, link, member)
        except OSError as error:
            raise Refused(explain(error, self.root_fd, shown(path), member.size)) from error
        self.contents.add(kind, path, member.size)

    def _write(self, kind: str, path: str, link: str, member: Member) -> None:
        if len(self._open) > OPEN_DIRECTORIES:
            self.close()
        if kind == DIRECTORY:
            self._directory(path)
            return
        parent, _, name = path.rpartition("/")
        where = self._directory(parent)
        if kind == SYMLINK:
            os.symlink(link, name, dir_fd=where)
        elif kind == HARDLINK:
            parent, _, first = link.rpartition("/")
            source_fd = self._directory(parent)
            os.link(first, name, src_dir_fd=source_fd, dst_dir_fd=where, follow_symlinks=False)
        else:
            mode = member.mode & 0o755 | stat.S_IRUSR | stat.S_IWUSR
            fd = os.open(name, CREATE_FILE, mode, dir_fd=where)
            try:
                self._fill(fd, member)
                os.utime(fd, (self._now, min(member.mtime, self._now)))
            finally:
                os.close(fd)

    def _fill(self, fd: int, member: Member) -> None:
        for piece in member.pieces():
            rest = piece
            while rest:
                rest = rest[os.write(fd, rest) :]

    def _directory(self, path: str) -> int:
        """An open descriptor of a directory, made if need be, reached from the root link-free."""
        if (known := self._open.get(path)) is not None:
            return known
        parent, _, name = path.rpartition("/")
        where = self._directory(parent)  # at most MAX_DEPTH deep
        if path not in self.contents.kinds:
            os.mkdir(name, 0o755, dir_fd=where)
            self.contents.kinds[path] = IMPLIED
        self._open[path] = fd = os.open(name, OPEN_DIR, dir_fd=where)
        return fd

    def close(self) -> None:
        """Close every directory but the root, which whoever opened it closes."""
        for fd in list(self._open.values())[1:]:
            os.close(fd)
        self._open = {"": self.root_fd}

    def make_durable(self) -> None:
        """Return when a power loss can no longer take anything of the tree.

        One syncfs of the file system is one flush and one journal commit; an fsync each for 2,000
        files is 2,000 commits, many times the cost of unpacking. It also writes what others left
        dirty there, which the kernel would soon have done anyway. Where it cannot be had (no
        ctypes, another libc) every file and directory is synced on its own.
        """
        if sync_disk(self.root_fd):
            return
        for path, kind in self.contents.kinds.items():
            if kind != SYMLINK:
                fd = os.open(path or ".", os.O_RDONLY | os.O_NOFOLLOW, dir_fd=self.root_fd)
                try:
                    os.fsync(fd)
                finally:
                    os.close(fd)


def sync_disk(fd: int) -> bool:
    """Whether all that is dirty on its file system has been written; False where this machine has
    no such call. Raises OSError with the kernel's reason: a full disk may show here first."""
    if (syncfs := c_function("syncfs")) is None:
        return False
    if syncfs(fd) != 0:
        import ctypes  # noqa: PLC0415 - it was there for the function

        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return True


def c_function(name: str) -> Callable[..., int] | None:
    """A function of the C library, or None where hardening or another libc denies it."""
    try:
        import ctypes  # noqa: PLC0415 - may fail, which is an answer

        function: Callable[..., int] = getattr(ctypes.CDLL(None, use_errno=True), name)
    except (ImportError, OSError, AttributeError, MemoryError):
        return None
    return function


def explain(error: OSError, root_fd: int, what: str, size: int) -> str:
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return f"cannot write {what}: {error.strerror}"
    disk = os.fstatvfs(root_fd)
    if disk.f_files and not disk.f_favail:
        return f"disk full while unpacking {what}: no free inodes"
    free = disk.f_bavail * disk.f_frsize
    return f"disk full while unpacking {what}: {free:,} bytes free, {size:,} needed for it"
