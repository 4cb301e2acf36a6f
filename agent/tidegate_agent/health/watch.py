"""The wait after a start and the watch ever after, whatever is asked.

A slot calls `wait_healthy` when it starts the app, and runs a `Monitor` as long as it runs.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from tidegate_agent.errors import ServiceError
from tidegate_agent.health.check import Check, probe

FIRST_PROBE_SECONDS = 0.05  # after the start; from then on each pause is half as long again
FAST_PROBE_SECONDS = 0.25  # at most between probes until the first that succeeds
SUCCESSES_TO_RECOVER = 2

_log = logging.getLogger(__name__)


async def wait_healthy(check: Check, exited: Awaitable[str]) -> None:
    """Return once it has been healthy for `healthy_after_seconds` without a failure.

    Nothing is asked before `start_grace_seconds` have passed; they are a part of the deadline.
    Raises ServiceError as soon as `exited` ends, which says how in words, and at the deadline.
    A future or task that is given as `exited` is left running.
    """
    loop = asyncio.get_running_loop()
    started = loop.time()
    given = isinstance(exited, asyncio.Future)
    ending = asyncio.ensure_future(exited)
    wait = _Wait(check)
    polling = loop.create_task(wait.run())
    try:
        await asyncio.wait(
            {polling, ending},
            timeout=check.deadline_seconds,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if ending.done():
            raise ServiceError(f"{ending.result()} after {loop.time() - started:.1f} s")
        if not polling.done():
            raise ServiceError(
                f"not healthy within {check.deadline_seconds:g} s: last: {wait.last()}"
            )
        polling.result()
    finally:
        mine = {polling} if given else {polling, ending}
        for task in mine:
            task.cancel()
        await asyncio.gather(*mine, return_exceptions=True)


async def surely(check: Check) -> str | None:
    """As `probe`; that the check itself fails is a problem like others."""
    try:
        return await probe(check)
    except Exception as error:
        _log.exception("the health check failed by itself: %s", check.kind)
        return f"the check itself failed: {error!r}"


class Monitor:
    """Goes on checking a slot that was healthy, and tells when that changes.

    `on_change(healthy, detail)` is called on a flip only: to unhealthy after `check.failures`
    failures in a row, back after two successes in a row.
    """

    def __init__(
        self, check: Check, on_change: Callable[[bool, str], None], healthy: bool = True
    ) -> None:
        self.check = check
        self.on_change = on_change
        self.healthy = healthy
        self._against = 0  # results in a row that contradict `healthy`

    async def run(self, just_started: bool = False) -> None:
        """Check every `every_seconds` until cancelled; nothing that fails in here ends it.

        Where the app was `just_started`, nothing is asked before its start grace has passed.
        """
        if just_started:
            await asyncio.sleep(self.check.start_grace_seconds)
        while True:
            await asyncio.sleep(self.check.every_seconds)
            problem = await surely(self.check)
            try:
                self.note(problem)
            except Exception:
                _log.exception("health could not be reported: %s", self.check.kind)

    def note(self, problem: str | None) -> None:
        """Take one result into account (None: healthy)."""
        if (problem is None) == self.healthy:
            self._against = 0
            return
        self._against += 1
        if self._against < (self.check.failures if self.healthy else SUCCESSES_TO_RECOVER):
            return
        self.healthy = not self.healthy
        self._against = 0
        self.on_change(self.healthy, problem or "healthy again")


class _Wait:
    """The polling of a slot that was just started."""

    def __init__(self, check: Check) -> None:
        self.check = check
        self.problem: str | None = "nothing was asked yet"
        self.healthy_since: float | None = None
        self.probed_at = 0.0

    async def run(self) -> None:
        check, loop = self.check, asyncio.get_running_loop()
        pause = min(FIRST_PROBE_SECONDS, check.every_seconds)
        longest = min(FAST_PROBE_SECONDS, check.every_seconds)
        await asyncio.sleep(max(pause, check.start_grace_seconds))
        self.problem = "no check has ended yet"
        while True:
            self.problem = await probe(check)
            self.probed_at = now = loop.time()
            if self.problem is not None:
                self.healthy_since = None
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, longest)
                continue
            if self.healthy_since is None:
                self.healthy_since = now
            left = self.healthy_since + check.healthy_after_seconds - now
            if left <= 0:
                return
            pause = longest = check.every_seconds
            await asyncio.sleep(min(pause, left))

    def last(self) -> str:
        if self.problem is not None or self.healthy_since is None:
            return str(self.problem)
        seconds = self.probed_at - self.healthy_since
        return f"healthy, but for {seconds:.1f} s of {self.check.healthy_after_seconds:g} s only"
