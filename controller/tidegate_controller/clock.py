"""Time for the controller: engine time for decisions, wall time for people.

Engine time goes on from the last value in the log and advances with the boot-time clock, so it
never jumps when the wall clock is set, and stands still while no controller runs.
"""

import time
from datetime import UTC, datetime


class EngineClock:
    """Engine seconds since the log began. `resume_at`: the last value that was recorded."""

    def __init__(self, resume_at: float) -> None:
        self._offset = resume_at - time.clock_gettime(time.CLOCK_BOOTTIME)

    def now(self) -> float:
        return self._offset + time.clock_gettime(time.CLOCK_BOOTTIME)


def wall_now() -> str:
    """The present as RFC 3339 in UTC, with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
