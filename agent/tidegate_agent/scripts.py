"""Run one of a release's own scripts to its end, and tell what it writes while it runs.

Used by preparation.py. A script runs as a session of its own, whatever it starts carries its token:
so all of it is ended with it, when its time is up or its command is called off, and after a crash
of the agent at the next start.
"""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

from tidegate_agent import output, processes
from tidegate_agent.errors import ServiceError
from tidegate_agent.processes import Instance, Launch
from tidegate_agent.reports import OUTPUT_CHARACTERS
from tidegate_protos.threads import to_the_end

GRACE_SECONDS = 2.0  # between SIGTERM and SIGKILL
FOLLOW_SECONDS = 0.5  # between two looks at what it has written
FOLLOW_BYTES = OUTPUT_CHARACTERS  # of that are passed on at once; the rest stands in the log


async def run(
    script: str, launch: Launch, token: str, seconds: float, say: Callable[[str], None]
) -> None:
    """Return when it has ended well; what it has left running is ended too.

    `say` gets what it writes. Raises ServiceError, with its last lines, where it fails or takes
    longer than `seconds`: the release is to blame then.
    """
    launch.output.parent.mkdir(exist_ok=True)
    output.set_aside(launch.output)
    try:
        instance = processes.spawn(launch, token)
    except ServiceError as error:
        error.blame = "environment"
        raise
    following = asyncio.create_task(_follow(launch.output, say))
    try:
        async with asyncio.timeout(seconds) as limit:
            code = await processes.wait_exit(instance)
    except TimeoutError:
        if not limit.expired():
            raise
        raise _failed(script, f"did not end within {seconds:g} s", launch.output) from None
    finally:
        await to_the_end(_end(instance))
        following.cancel()
        await asyncio.wait([following])
    if code is None:
        raise _failed(script, "ended, nobody knows how", launch.output)
    if code != 0:
        how = f"exited with code {code}" if code > 0 else f"was killed by {_signal(-code)}"
        raise _failed(script, how, launch.output)


async def end_leftovers(token: str) -> None:
    """End what a script of an earlier life of the agent has left running."""
    if (instance := processes.find(token)) is not None:
        await _end(instance)


async def _end(instance: Instance) -> None:
    await processes.stop(instance, GRACE_SECONDS)


def _failed(script: str, how: str, log: Path) -> ServiceError:
    return ServiceError(f"{script} {how}", output.tail(log), blame="release")


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


async def _follow(path: Path, say: Callable[[str], None]) -> None:
    """Pass on whole lines as they come, until cancelled, and then the rest."""
    follower = output.Follower(path, FOLLOW_BYTES)
    try:
        while True:
            await asyncio.sleep(FOLLOW_SECONDS)
            if text := follower.lines():
                say(text)
    finally:
        if text := follower.rest():
            say(text)
