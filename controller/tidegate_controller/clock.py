"""Time for the controller: engine time for decisions, wall time for people.

Engine time goes on from the last value in the log and advances with the boot-time clock, so it
never jumps when the wall clock is set. It stands still while no controller runs, or while this one
is stopped (SIGSTOP, a paused machine): a controller never takes its own absence for a failure.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime

PULSE_SECONDS = 0.5
GAP_SECONDS = 5.0  # between two readings; what is longer was an absence, and does not count


def boot_seconds() -> float:
    """Seconds since the machine was started, with those in which it slept."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class EngineClock:
    """Engine seconds since the log began. `resume_at`: the last value that was recorded.

    Read it at least every `GAP_SECONDS`, or let `pulse` do so.
    """

    def __init__(self, resume_at: float, source: Callable[[], float] = boot_seconds) -> None:
        self._now = resume_at
        self._source = source
        self._read_at = source()

    def now(self) -> float:
        read_at = self._source()
        passed = read_at - self._read_at
        self._now += passed if passed <= GAP_SECONDS else 0.0
        self._read_at = read_at
        return self._now

    async def pulse(self) -> None:
        """Keep it going, until cancelled."""
        while True:
            self.now()
            await asyncio.sleep(PULSE_SECONDS)


def wall_seconds() -> float:
    """Unix time."""
    return time.time()


def wall_now(source: Callable[[], float] = wall_seconds) -> str:
    """The present as RFC 3339 in UTC, with milliseconds."""
    now = datetime.fromtimestamp(source(), UTC)
    return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
