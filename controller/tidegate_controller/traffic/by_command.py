"""Traffic by a command of the operator's: a program that can be asked to `check`, `read`, `write`.

Made by `traffic.ADAPTERS` for the adapter `exec`, used by the shell. What the program is given and
has to answer stands in docs/reference/traffic-exec.md. It runs on a leash (see `leash`): nothing of
it goes on once a call here has returned, was cancelled, or the controller was killed.
"""

import asyncio
import os
import re
import shlex
import shutil
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from tidegate_controller.core.spec import Traffic
from tidegate_controller.errors import TrafficError
from tidegate_controller.traffic import leash
from tidegate_controller.units import spell_duration
from tidegate_protos.rules import split_host_port
from tidegate_protos.threads import to_the_end

ANSWER_BYTES = 1 << 20
TAIL_BYTES = 4096  # of what it says on stderr
SHOWN_CHARS = 200
LEASH = (sys.executable, "-I", "-S", str(Path(leash.__file__)))


class ByCommand:
    """The adapter `exec`. Errors are `TrafficError`, with the end of what the command said."""

    def __init__(self, spec: Traffic) -> None:
        self._spec = spec

    async def check(self, addresses: int) -> None:
        await self._run("check", str(addresses))

    async def state(self) -> Mapping[str, int]:
        """Address -> share, as the command reads it back; without those that get nothing."""
        return self._understood(await self._run("read"))

    async def shift(self, weights: Mapping[str, int]) -> None:
        wanted = {address: share for address, share in weights.items() if share}
        await self._run("write", given=msgspec.json.encode(wanted, order="sorted"))
        await self._compare(wanted, "`write` may end only when the balancer has the new shares")

    async def verify(self, weights: Mapping[str, int]) -> None:
        wanted = {address: share for address, share in weights.items() if share}
        await self._compare(
            wanted, "something else moves this traffic too; deploy the same release again"
        )

    async def _compare(self, wanted: Mapping[str, int], mend: str) -> None:
        found = await self.state()
        if not _same_shares(found, wanted):
            raise TrafficError(
                f"{self._shown('read')} does not read back what was written: "
                f"{_spelled(found)} in place of {_spelled(wanted)}",
                mend,
            )

    async def _run(self, *words: str, given: bytes = b"") -> bytes:
        """What the command says on stdout, if it ends well and in time."""
        self._refuse_what_cannot_run()
        reading, writing = os.pipe()  # the leash, and the end that only this process holds
        run = asyncio.ensure_future(_whole([*self._spec.command, *words], reading, given))
        try:
            async with asyncio.timeout(self._spec.timeout_seconds):
                code, answer, said = await asyncio.shield(run)
        except TimeoutError:
            seconds = spell_duration(self._spec.timeout_seconds)
            raise TrafficError(
                f"{self._shown(*words)} did not end within {seconds} and was killed",
                "see `timeout` under [traffic]",
            ) from None
        except OSError as error:
            raise TrafficError(f"cannot run {self._shown(*words)}: {error.strerror}") from error
        finally:
            os.close(writing)  # which ends whatever still runs
            await to_the_end(asyncio.wait({run}))
            os.close(reading)
        if code:
            last = f"; it said: {_last_line(said)}" if _last_line(said) else ""
            raise TrafficError(
                f"{self._shown(*words)} exited with {code}{last}", output_tail=_text(said)
            )
        if len(answer) > ANSWER_BYTES:
            raise TrafficError(f"{self._shown(*words)} wrote more than {ANSWER_BYTES:,} bytes")
        return answer

    def _refuse_what_cannot_run(self) -> None:
        program = self._spec.command[0] if self._spec.command else ""
        if shutil.which(program) is None:
            raise TrafficError(
                f"there is no program {program!r} on the controller's machine that may be run",
                "see `command` under [traffic]",
            )

    def _understood(self, answer: bytes) -> dict[str, int]:
        try:
            found = msgspec.json.decode(answer, type=dict[str, int])
            for address, share in found.items():
                split_host_port(address)
                if share < 0:
                    raise ValueError(f"the share of {address} is {share}")
        except (msgspec.DecodeError, ValueError) as error:
            raise TrafficError(
                f"{self._shown('read')} did not answer with JSON such as "
                f'{{"127.0.0.1:8001": 100}}: {error}',
                output_tail=_text(answer[:TAIL_BYTES]),
            ) from None
        return {address: share for address, share in found.items() if share}

    def _shown(self, *words: str) -> str:
        return shlex.join([*self._spec.command, *words])[:SHOWN_CHARS]


async def _whole(command: list[str], reading: int, given: bytes) -> tuple[int, bytes, bytes]:
    """Exit code, stdout up to a bound, end of stderr; when nothing of it runs any more."""
    process = await asyncio.create_subprocess_exec(
        *(*LEASH, str(reading), *command),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        pass_fds=(reading,),
        cwd="/",
        start_new_session=True,  # a Ctrl-C is for the controller
    )
    answer, said = bytearray(), bytearray()
    await asyncio.gather(_give(process, given), _keep(process, answer), _keep_end(process, said))
    return await process.wait(), bytes(answer), bytes(said)


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


def _same_shares(found: Mapping[str, int], wanted: Mapping[str, int]) -> bool:
    """Whether each address has the same part of all; balancers may count to another total."""
    all_found, all_wanted = sum(found.values()), sum(wanted.values())
    return found.keys() == wanted.keys() and all(
        found[address] * all_wanted == wanted[address] * all_found for address in wanted
    )


def _spelled(shares: Mapping[str, int]) -> str:
    return ", ".join(f"{address} {share}" for address, share in sorted(shares.items())) or "nothing"


def _text(said: bytes) -> str:
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", said.decode(errors="replace"))


def _last_line(said: bytes) -> str:
    lines = [line.strip() for line in _text(said).splitlines() if line.strip()]
    return lines[-1][-SHOWN_CHARS:] if lines else ""
