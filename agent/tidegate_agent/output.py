"""What apps and scripts write: its last lines as plain text, and files that do not grow for ever.

`tail` is used by slot.py and scripts.py, `Follower` by scripts.py, `keep_short` by agent.py. A file
LOG has its older parts beside it as LOG.1, the newest of them, to LOG.3.
"""

import asyncio
import logging
import os
import re
import threading
from pathlib import Path
from typing import BinaryIO

from tidegate_protos.rules import CONTROLS

log = logging.getLogger(__name__)

ROTATE_BYTES = 10_000_000  # of the live file; then it becomes a part
ROTATE_SECONDS = 5.0  # between two looks at all files
PARTS = 3
COPY_BYTES = 1 << 20

# CSI, terminated strings (OSC, DCS, …), then any other escape sequence.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|\x1b[\]PX^_][^\x07\x1b\x9c\n]*(?:\x07|\x9c|\x1b\\)"
    r"|\x1b[ -/]*[0-~]"
)
_moving = threading.Lock()  # a start may set a file aside while the rotation copies it


def plain(data: bytes) -> str:
    """As text, without escape sequences and control characters."""
    return CONTROLS.sub("", _ESCAPES.sub("", data.decode(errors="replace")))


def tail(path: Path, lines: int = 20, max_bytes: int = 8192) -> str:
    """The last lines of a file as plain text.

    Reads `max_bytes` at most; empty if there is no such file.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - max_bytes))
            data = file.read(max_bytes)
    except OSError:
        return ""
    if size > max_bytes and b"\n" in data[:-1]:
        data = data.partition(b"\n")[2]  # the first line lacks its beginning
    return "\n".join(plain(data).rstrip("\n").split("\n")[-lines:]) if lines > 0 else ""


class Follower:
    """Reads on in a file that somebody writes, `max_bytes` at a time; what it is too slow for is
    left out, and it says so."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._read = 0  # bytes of the file
        self._begun = b""  # a line that has not ended yet

    def lines(self) -> str:
        """The lines that have been written since."""
        data = self._begun + self._more()
        whole, newline, self._begun = data.rpartition(b"\n")
        if len(self._begun) > self._max_bytes:
            whole, newline, self._begun = self._begun, b"\n", b""
        return plain(whole + newline)

    def rest(self) -> str:
        """All that has been written since."""
        data, self._begun = self._begun + self._more(), b""
        return plain(data)

    def _more(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                if size < self._read:  # it was shortened meanwhile
                    self._read = 0
                skipped = max(0, size - self._read - self._max_bytes)
                file.seek(self._read + skipped)
                data = file.read(self._max_bytes)
        except OSError:
            return b""
        self._read += skipped + len(data)
        return b"[%d bytes left out]\n" % skipped + data if skipped else data


def set_aside(path: Path) -> None:
    """The next start writes a file of its own; what was written so far is LOG.1 now."""
    with _moving:
        if path.exists():
            _shift(path)
            path.replace(_part(path, 1))


def shorten(path: Path) -> None:
    """Make a part of a file that has grown too long: its last bytes, and then empty it.

    Whoever writes has it open, and goes on with the same file, so it must append. What is written
    between the last look and the emptying, some microseconds, is lost. Where the disk is too full
    for a part there is none: a log must not be what fills it.
    """
    with _moving:
        try:
            with path.open("rb+") as file:
                size = file.seek(0, os.SEEK_END)
                if size <= ROTATE_BYTES:
                    return
                _shift(path)
                file.seek(size - ROTATE_BYTES)
                try:
                    _copy(file, _part(path, 1))
                except OSError as error:
                    log.warning("%s is emptied without a copy: %s", path, error.strerror)
                    _part(path, 1).unlink(missing_ok=True)
                os.ftruncate(file.fileno(), 0)
        except OSError as error:
            log.warning("cannot shorten %s: %s", path, error)


def _copy(file: BinaryIO, part: Path) -> None:
    """What follows in the file, to its end; or so much, where somebody writes faster than this."""
    left = 2 * ROTATE_BYTES
    with open(part, "wb", opener=_privately) as copy:
        while left > 0 and (data := file.read(min(left, COPY_BYTES))):
            left -= copy.write(data)


def _privately(path: str, flags: int) -> int:
    return os.open(path, flags, 0o640)


async def keep_short(apps: Path) -> None:
    """Look after the logs of all apps, `apps/APP/logs/*.log`, until cancelled."""
    while True:
        try:
            await asyncio.to_thread(_shorten_all, apps)
        except Exception:
            log.exception("the logs of the apps were not looked after this time")
        await asyncio.sleep(ROTATE_SECONDS)


def _shorten_all(apps: Path) -> None:
    for path in apps.glob("*/logs/*.log"):
        shorten(path)


def _shift(path: Path) -> None:
    for number in range(PARTS - 1, 0, -1):
        if _part(path, number).exists():
            _part(path, number).replace(_part(path, number + 1))


def _part(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")
