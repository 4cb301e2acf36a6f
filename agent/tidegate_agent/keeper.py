"""Keeps what a slot runs running: watches its process and its health, and starts it again.

Used by slot.py, from the moment when a start has succeeded until somebody stops it.
"""

import asyncio
from typing import Protocol

from tidegate_agent.errors import AgentError
from tidegate_agent.health import Check, Monitor, surely
from tidegate_agent.managers import Ended

RESTART_SECONDS_MIN = 1.0
RESTART_SECONDS_MAX = 30.0


class Kept(Protocol):
    """What is kept: a slot."""

    async def runs(self) -> bool:
        """Raises AgentError or OSError where that cannot be told."""

    async def wait(self) -> Ended:
        """Return once it has ended. Raises AgentError or OSError where that cannot be told."""

    async def restart(self) -> None:
        """Or go on with what its manager has started again. Raises AgentError or OSError; it is
        tried again then."""

    def check(self) -> Check: ...

    def changed(self, healthy: bool | None, detail: str) -> None:
        """Take note and report it. None: not known yet."""


class Keeper:
    """`healthy` is what is known when the watch begins; None has it found out first."""

    def __init__(self, kept: Kept, healthy: bool | None) -> None:
        self._kept = kept
        self._healthy = healthy
        self._since: float | None = None  # it is healthy; the loop's time
        self._pause = RESTART_SECONDS_MIN

    async def run(self) -> None:
        """Until cancelled; what is kept goes on then. Each restart comes later than the one
        before, unless what was started had been healthy for long in between."""
        if self._healthy:
            self._since = asyncio.get_running_loop().time()
        while True:
            try:
                if await self._kept.runs():
                    ended = await self._watch()
                    self._unwell()
                    await self._after(ended)
                else:
                    await self._rest()
            except (AgentError, OSError) as error:  # nobody can see it: that is not its end
                self._healthy = None
                self._kept.changed(None, str(error))
                await asyncio.sleep(RESTART_SECONDS_MIN)
                continue
            self._healthy = False
            try:
                await self._kept.restart()
            except (AgentError, OSError) as error:
                self._kept.changed(False, str(error))

    async def _after(self, ended: Ended) -> None:
        """Say so, and wait until it may be started again."""
        if ended.returns:  # in its manager's own time; ours would only come in its way
            self._kept.changed(False, f"{ended.how}; its manager starts it again")
            await asyncio.sleep(RESTART_SECONDS_MIN)
        else:
            what = f"{ended.how}; starting it again in {self._pause:.0f} s"
            self._kept.changed(False, what)
            await self._rest()

    async def _rest(self) -> None:
        pause, self._pause = self._pause, min(self._pause * 2, RESTART_SECONDS_MAX)
        await asyncio.sleep(pause)

    async def _watch(self) -> Ended:
        """Until what is kept ends."""
        task = asyncio.create_task(self._monitor())
        try:
            return await self._kept.wait()
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _monitor(self) -> None:
        """Report changes of health; first, where it is not known, what it is."""
        check = self._kept.check()
        just_started = self._healthy is False
        problem: str | None = "not asked yet"
        for _ in range(check.failures):
            if self._healthy is not None:
                break
            problem = await surely(check)
            if problem is None:
                self._flip(True, "healthy")
            else:
                self._kept.changed(None, problem)
                await asyncio.sleep(check.every_seconds)
        if self._healthy is None:
            self._flip(False, problem or "")
        await Monitor(check, self._flip, bool(self._healthy)).run(just_started)

    def _flip(self, healthy: bool, detail: str) -> None:
        self._healthy = healthy
        if healthy:
            self._since = asyncio.get_running_loop().time()
        else:
            self._unwell()
        self._kept.changed(healthy, detail)

    def _unwell(self) -> None:
        """It was well until now: long enough for the next restart to come soon?"""
        if self._since is None:
            return
        if asyncio.get_running_loop().time() - self._since >= RESTART_SECONDS_MAX:
            self._pause = RESTART_SECONDS_MIN
        self._since = None
