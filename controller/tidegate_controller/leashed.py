"""Runs a program of the operator's on the controller's machine, on a leash (see `leash`).

Nothing of it goes on once a call here has returned, was cancelled, or the controller was killed.
Used by the adapter `exec` and by checks.
"""

import asyncio
import os
import re
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from tidegate_controller import leash
from tidegate_protos.threads import to_the_end

ANSWER_BYTES = 1 << 20
TAIL_BYTES = 4096  # of what it says on stderr
SHOWN_CHARS = 200
LEASH = (sys.executable, "-I", "-S", str(Path(leash.__file__)))


class Ended(NamedTuple):
    """How a program ended: `answer` is stdout up to a byte more than `ANSWER_BYTES`, `said` the end
    of stderr."""

    code: int
    answer: bytes
    said: bytes


async def run(
    command: Sequence[str],
    seconds: float,
    *,
    given: bytes = b"",
    variables: Mapping[str, str] | None = None,
) -> Ended:
    """`given` is what it reads, `variables` come on top of the controller's. Raises `TimeoutError`
    where it does not end in time, and `OSError` where it cannot be run."""
    reading, writing = os.pipe()  # the leash, and the end that only this process holds
    whole = asyncio.ensure_future(_whole(command, reading, given, variables or {}))
    try:
        async with asyncio.timeout(seconds):
            return await asyncio.shield(whole)
    finally:
        os.close(writing)  # which ends whatever still runs
        await to_the_end(asyncio.wait({whole}))
        os.close(reading)


async def _whole(
    command: Sequence[str], reading: int, given: bytes, variables: Mapping[str, str]
) -> Ended:
    """When nothing of it runs any more."""
    process = await asyncio.create_subprocess_exec(
        *(*LEASH, str(reading), *command),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        pass_fds=(reading,),
        cwd="/",
        env={**os.environ, **variables},
        start_new_session=True,  # a Ctrl-C is for the controller
    )
    answer, said = bytearray(), bytearray()
    await asyncio.gather(_give(process, given), _keep(process, answer), _keep_end(process, said))
    return Ended(await process.wait(), bytes(answer), bytes(said))


async def _give(process: Process, given: bytes) -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError, ConnectionResetError):  # it need not read it
        process.stdin.write(given)
        await process.stdin.drain()
    process.stdin.close()


async def _keep(process: Process, kept: bytearray) -> None:
    """The beginning, and a byte more than is allowed where there is more."""
    assert process.stdout is not None
    while data := await process.stdout.read(ANSWER_BYTES):
        kept += data[: ANSWER_BYTES + 1 - len(kept)]


async def _keep_end(process: Process, kept: bytearray) -> None:
    assert process.stderr is not None
    while data := await process.stderr.read(ANSWER_BYTES):
        kept += data
        del kept[:-TAIL_BYTES]


def text(said: bytes) -> str:
    """Without the colours that it was meant to have."""
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", said.decode(errors="replace"))


def last_line(said: bytes) -> str:
    """The last line that says anything; often why a program has failed."""
    lines = [line.strip() for line in text(said).splitlines() if line.strip()]
    return lines[-1][-SHOWN_CHARS:] if lines else ""
