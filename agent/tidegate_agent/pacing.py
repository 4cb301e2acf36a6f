"""Not more often than so: for reports of what changes faster than anybody wants to hear of it.

Used by agent.py for the health of slots and by job.py for the progress of commands.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)


class Paced:
    """Calls `act` once in `every_seconds` at most. Whatever came meanwhile is one call, in the
    end: so `act` looks at what there is to say when it is called."""

    def __init__(self, every_seconds: float, act: Callable[[], Awaitable[None]]) -> None:
        self._every_seconds = every_seconds
        self._act = act
        self._due = False
        self._task: asyncio.Task[None] | None = None

    def poke(self) -> None:
        """There is something new."""
        self._due = True
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    def close(self) -> None:
        """Nothing more is said."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            while self._due:
                self._due = False
                try:
                    await self._act()
                except Exception:
                    log.exception("a report could not be made")
                await asyncio.sleep(self._every_seconds)
        finally:
            self._task = None
