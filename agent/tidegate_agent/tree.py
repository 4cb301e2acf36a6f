"""The directory that an archive is unpacked into: what a member must be, and how it is written.

Used by unpack.py, in the child process, for every format alike. Every rule is checked before
anything of the member is written, and no write ever passes through a symlink, since each directory
is opened from its parent with O_NOFOLLOW and each file is created with O_EXCL.
"""

import errno
import os
import stat
import time
from collections.abc import Callable

from tidegate_agent.archives.reading import (
    DIRECTORY,
    FILE,
    HARDLINK,
    SYMLINK,
    Member,
    Refused,
    shown,
)

OPEN_DIRECTORIES = 128
MAX_DEPTH = 128
MAX_NAME_BYTES = 255
OPEN_DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
CREATE_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
IMPLIED = "implied"  # a directory that no member names
KINDS = (FILE, HARDLINK, SYMLINK, DIRECTORY)


class Tree:
    """What was written so far beneath the new directory, and the rules for what may follow."""

    def __init__(self, root_fd: int, max_bytes: int, max_members: int, max_path: int) -> None:
        self.root_fd = root_fd
        self.max_bytes, self.max_members, self.max_path = max_bytes, max_members, max_path
        self.bytes = self.files = 0
        self.kinds = {"": IMPLIED}  # path -> what is there; closed under "parent of"
        self._links_reach = MAX_DEPTH  # how many of the folders around all of it no link leaves
        self._open = {"": root_fd}
        self._now = int(time.time())

    def add(self, member: Member) -> None:
        """Check the member, then write it. Raises Refused, which names the member."""
        if len(self.kinds) > self.max_members:  # which has the root and each implied directory
            raise Refused(f"the archive has more than {self.max_members} members")
        try:
            kind, path, link = self._check(member)
        except Refused as refusal:
            raise Refused(f"member {shown(member.name)} {refusal}") from None
        try:
            self._write(kind, path, link, member)
        except OSError as error:
            raise Refused(explain(error, self.root_fd, shown(path), member.size)) from error
        self.kinds[path] = kind
        self.files += kind != DIRECTORY

    def _check(self, member: Member) -> tuple[str, str, str]:
        """The member's kind, normalized path and link target."""
        kind = member.kind
        if kind not in KINDS:
            raise Refused(f"is {kind}")
        if member.mode & 0o7000:
            raise Refused(f"has a setuid, setgid or sticky bit (mode {member.mode & 0o7777:o})")
        if kind != DIRECTORY and member.name.endswith(b"/"):
            raise Refused(f"is a {kind} whose name ends with a slash")
        if kind != FILE and member.size:
            raise Refused(f"is a {kind} with data")
        if self.bytes + member.size > self.max_bytes:
            raise Refused(f"brings the release above the limit of {self.max_bytes} bytes")
        path = self._relative(member.name, "path")
        known = self.kinds.get(path)
        if known and (known, kind) != (IMPLIED, DIRECTORY):
            twice = path or kind == DIRECTORY
            raise Refused("occurs twice" if twice else "stands for the release directory itself")
        above = path
        while known is None:
            above = above.rpartition("/")[0]
            known = self.kinds.get(above)
        if known not in (IMPLIED, DIRECTORY):
            raise Refused(f"lies beneath {shown(above)}, which is a {known}")
        if kind == SYMLINK:
            return kind, path, self._symlink_target(path, member.link)
        if kind == HARDLINK:
            link = self._relative(member.link, "target")
            if self.kinds.get(link) not in (FILE, HARDLINK):
                raise Refused(f"is a hardlink to {shown(link)}, which is no file before it")
            return kind, path, link
        return kind, path, ""

    def _text(self, raw: bytes, what: str) -> str:
        if len(raw) > self.max_path:
            raise Refused(f"has a {what} of {len(raw)} bytes, {self.max_path} are allowed")
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            raise Refused(f"has a {what} that is not UTF-8") from None
        if not text.isprintable() and any(c < " " or "\x7f" <= c < "\xa0" for c in text):
            raise Refused(f"has a control character in its {what}")
        if not text or text.startswith("/"):
            raise Refused(f"has an {'absolute' if text else 'empty'} {what}")
        if len(raw) > MAX_NAME_BYTES and any(
            len(part.encode()) > MAX_NAME_BYTES for part in text.split("/")
        ):
            raise Refused(f"has a name of more than {MAX_NAME_BYTES} bytes in its {what}")
        return text

    def _relative(self, raw: bytes, what: str) -> str:
        parts = [part for part in self._text(raw, what).split("/") if part not in ("", ".")]
        if ".." in parts:
            raise Refused(f"has '..' in its {what}")
        if len(parts) > MAX_DEPTH:
            raise Refused(f"has a {what} more than {MAX_DEPTH} directories deep")
        return "/".join(parts)

    def _symlink_target(self, path: str, raw: bytes) -> str:
        """The target, if the kernel can never follow it out of the release.

        `..` may follow only a directory that is known to be real (the link's own, or one already
        written): what is not there yet may become a link and lead elsewhere. So every link stays
        inside whatever comes later, and so do chains of them.
        """
        target = self._text(raw, "target")
        here, real = path.split("/")[:-1], True
        for part in target.split("/"):
            if part in ("", "."):
                continue
            if part != "..":
                here.append(part)
                place = "/".join(here)
                real = self.kinds.get(place) in (IMPLIED, DIRECTORY) or path.startswith(place + "/")
            elif not real:
                raise Refused(f"is a symlink to {shown(target)}: '..' after no known directory")
            elif not here:
                raise Refused(f"is a symlink to {shown(target)}, outside the release")
            else:
                here.pop()
                self._links_reach = min(self._links_reach, len(here))
        return target

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
        left = member.size
        while left:
            if not (piece := member.data.piece(left)):
                raise Refused(f"the archive ends early, inside member {shown(member.name)}")
            left -= len(piece)
            while piece:
                piece = piece[os.write(fd, piece) :]
        self.bytes += member.size

    def _directory(self, path: str) -> int:
        """An open descriptor of a directory, made if need be, reached from the root link-free."""
        if (known := self._open.get(path)) is not None:
            return known
        parent, _, name = path.rpartition("/")
        where = self._directory(parent)  # at most MAX_DEPTH deep
        if path not in self.kinds:
            os.mkdir(name, 0o755, dir_fd=where)
            self.kinds[path] = IMPLIED
        self._open[path] = fd = os.open(name, OPEN_DIR, dir_fd=where)
        return fd

    def folders(self) -> list[str]:
        """The names of the folders around all that was written, from the outside to the inside.

        A release may do without these: nothing lies beside any, and no link leads out of the last.
        """
        inside: dict[str, list[str]] = {}
        for path in self.kinds:
            if path:
                inside.setdefault(path.rpartition("/")[0], []).append(path)
        names: list[str] = []
        at = ""
        while len(names) < self._links_reach and len(within := inside.get(at, [])) == 1:
            at = within[0]
            if self.kinds[at] not in (IMPLIED, DIRECTORY):
                break
            names.append(at.rpartition("/")[2])
        return names

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
        for path, kind in self.kinds.items():
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
