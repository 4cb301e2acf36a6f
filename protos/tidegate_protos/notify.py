"""What systemd is told of a daemon: that it is ready, that it is alive, that it stops.

Used by `tidegate-agent run` and `tidegate controller run`. Without systemd nothing is said.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import MutableMapping

BEATS = 3  # signs of life in the time after which systemd would miss them


class Systemd:
    """The service manager that has started this process, if one has.

    Takes its variables out of `environ`, so that no child answers in this process's name.
    """

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        self._address = environ.pop("NOTIFY_SOCKET", "")
        pid = environ.pop("WATCHDOG_PID", "")
        watchdog_usec = environ.pop("WATCHDOG_USEC", "")
        self.watchdog_seconds = 0.0  # it wants signs of life within; 0: it wants none
        if watchdog_usec.isdecimal() and pid in ("", str(os.getpid())):
            self.watchdog_seconds = int(watchdog_usec) / 1e6

    def ready(self) -> None:
        self._say("READY=1")

    def stopping(self) -> None:
        self._say("STOPPING=1")

    async def stay_alive(self) -> None:
        """Say so for as long as the event loop turns, until cancelled."""
        while self.watchdog_seconds:
            self._say("WATCHDOG=1")
            await asyncio.sleep(self.watchdog_seconds / BEATS)

    def _say(self, state: str) -> None:
        """A manager that does not listen keeps nobody from working."""
        if not self._address:
            return
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
        ):
            sender.setblocking(False)
            sender.sendto(state.encode(), address)
