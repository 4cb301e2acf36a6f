"""A terminal that nobody sits at: a command believes that somebody does, and what it draws is read.

Used by the tests, and by `screens`, which makes docs/screens.md.
"""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyte

PATIENCE_SECONDS = 60.0  # of every wait; only ever reached where a test fails
PIECE_BYTES = 65536


class PseudoTerminal:
    """Runs the command until `end`. `lines` is what stands on the screen now."""

    def __init__(
        self,
        words: Sequence[str],
        cwd: Path,
        environment: Mapping[str, str],
        *,
        columns: int,
        rows: int,
    ) -> None:
        self.raw = b""  # all that was written
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._here, there = pty.openpty()
        self.resize(columns, rows)
        self._process = subprocess.Popen(
            words,
            cwd=cwd,
            env={name: value for name, value in environment.items() if value},
            stdin=there,
            stdout=there,
            stderr=there,
            start_new_session=True,
        )
        os.close(there)

    @property
    def lines(self) -> list[str]:
        """Without what is empty at their ends, and at the end of the screen."""
        lines = [line.rstrip() for line in self._screen.display]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def cursor_is_hidden(self) -> bool:
        return bool(self._screen.cursor.hidden)

    def type(self, keys: str) -> None:
        os.write(self._here, keys.encode())

    def press_ctrl_c(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def terminate(self) -> None:
        self._process.terminate()

    def resize(self, columns: int, rows: int) -> None:
        self._screen.resize(rows, columns)
        fcntl.ioctl(self._here, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def until(self, shows: str | Callable[[str], object]) -> str:
        """Read until the screen shows this, or is as it should be; what it shows then."""
        give_up = time.monotonic() + PATIENCE_SECONDS
        while not (shows in self.text if isinstance(shows, str) else shows(self.text)):
            assert self._read(), f"it ended without {shows!r}: {self.text}"
            assert time.monotonic() < give_up, f"waited in vain for {shows!r}: {self.text}"
        return self.text

    def look_for(self, seconds: float) -> str:
        """What the screen shows after a while."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self._read():
            continue
        return self.text

    def end(self) -> int:
        """Read to the end; the exit code."""
        give_up = time.monotonic() + PATIENCE_SECONDS
        try:
            while self._read():
                assert time.monotonic() < give_up, f"it does not end: {self.text}"
            return self._process.wait(PATIENCE_SECONDS)
        finally:
            self._process.kill()
            self._process.wait()
            os.close(self._here)

    def _read(self) -> bool:
        """A piece, if there is one now; False at the end."""
        ready, _, _ = select.select([self._here], [], [], 0.05)
        if not ready:
            return True
        try:
            piece = os.read(self._here, PIECE_BYTES)
        except OSError:  # Linux says so when nobody has the other end any more
            return False
        self.raw += piece
        self._stream.feed(piece)
        assert "Traceback" not in self.text, self.text
        return bool(piece)
