"""What every format of archive is read with: the file, a stream of its content, and the members.

Used by the readers beside it and by contents.py, which judges what they find. Only the standard
library is imported, and little of it, since each deployment pays for the start of what unpacks.
"""

import os
import time
from collections.abc import Iterator

CHUNK_BYTES = 256 * 1024
READ_BYTES = 64 * 1024
FILE, HARDLINK, SYMLINK, DIRECTORY = "file", "hardlink", "symlink", "directory"


class Refused(Exception):
    """The archive breaks a rule; the text is the sentence for the operator."""


def shown(name: str | bytes) -> str:
    """A name from the archive, safe to print: escaped, quoted, cut."""
    text = name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else name
    return repr(text if len(text) <= 200 else text[:200] + "…")


class File:
    """An open archive, read in order or at any place, never past the deadline. Raises Refused."""

    def __init__(self, fd: int, max_seconds: float, max_members: int) -> None:
        self.max_members = max_members
        self._fd = fd
        self._max_seconds = max_seconds
        self._deadline = time.monotonic() + max_seconds
        self._place = 0

    @property
    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def check_clock(self) -> None:
        if time.monotonic() > self._deadline:
            raise Refused(f"unpacking took more than {self._max_seconds:g} seconds")

    def read(self) -> bytes:
        """The next bytes, at most READ_BYTES; none at the end."""
        data = self.at(self._place, READ_BYTES)
        self._place += len(data)
        return data

    def at(self, offset: int, count: int) -> bytes:
        """`count` bytes from `offset` on, or fewer where the file ends."""
        self.check_clock()
        try:
            return os.pread(self._fd, count, offset)
        except OSError as error:
            raise Refused(f"the archive cannot be read: {error.strerror}") from error


class Stream:
    """Decompressed bytes in order, from an iterator of pieces that are never empty."""

    def __init__(self, file: File, pieces: Iterator[bytes]) -> None:
        self._file = file
        self._pieces = pieces
        self._rest = memoryview(b"")

    def piece(self, limit: int) -> memoryview:
        """Between 1 and `limit` bytes; none at the end."""
        if not self._rest:
            self._file.check_clock()
            self._rest = memoryview(next(self._pieces, b""))
        piece, self._rest = self._rest[:limit], self._rest[limit:]
        return piece

    def exactly(self, count: int) -> bytes:
        """`count` bytes, or fewer where the data end."""
        data = bytes(self.piece(count)) if count else b""
        while len(data) < count and (more := self.piece(count - len(data))):
            data += more
        return data


class Member:
    """One member as the archive has it: names are raw bytes that nobody has checked yet.

    `kind` is one of the four words above, or says in words what else it is, such as "a fifo".
    `data` has the content of a file, to be read before the next member is asked for.
    """

    __slots__ = ("data", "kind", "link", "mode", "mtime", "name", "size")

    def __init__(
        self,
        name: bytes,
        kind: str,
        data: Stream,
        *,
        size: int = 0,
        link: bytes = b"",
        mode: int = 0,
        mtime: int = 0,
    ) -> None:
        self.name, self.kind, self.data = name, kind, data
        self.size, self.link, self.mode, self.mtime = size, link, mode, mtime

    def pieces(self) -> Iterator[bytes | memoryview]:
        """All of its data, once. Raises Refused where they end early."""
        left = self.size
        while left:
            if not (piece := self.data.piece(left)):
                raise Refused(f"the archive ends early, inside member {shown(self.name)}")
            left -= len(piece)
            yield piece
