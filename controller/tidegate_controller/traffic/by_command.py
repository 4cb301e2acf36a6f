"""Traffic by a command of the operator's: a program that can be asked to `check`, `read`, `write`.

Made by `traffic.ADAPTERS` for the adapter `exec`, used by the shell. What the program is given and
has to answer stands in docs/reference/traffic-exec.md. It runs on a leash (see `leashed`): nothing
of it goes on once a call here has returned, was cancelled, or the controller was killed.
"""

import shlex
import shutil
from collections.abc import Mapping

import msgspec

from tidegate_controller import leashed
from tidegate_controller.core.spec import Traffic
from tidegate_controller.errors import TrafficError
from tidegate_controller.leashed import ANSWER_BYTES, TAIL_BYTES, last_line, text
from tidegate_controller.units import spell_duration
from tidegate_protos.rules import split_host_port

SHOWN_CHARS = 200


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
            wanted,
            "something else moves this traffic too; deploy the same release again",
            redeploy=True,
        )

    async def _compare(
        self, wanted: Mapping[str, int], mend: str, *, redeploy: bool = False
    ) -> None:
        found = await self.state()
        if not _same_shares(found, wanted):
            raise TrafficError(
                f"{self._shown('read')} does not read back what was written: "
                f"{_spelled(found)} in place of {_spelled(wanted)}",
                mend,
                redeploy=redeploy,
            )

    async def _run(self, *words: str, given: bytes = b"") -> bytes:
        """What the command says on stdout, if it ends well and in time."""
        self._refuse_what_cannot_run()
        seconds = self._spec.timeout_seconds
        try:
            code, answer, said = await leashed.run(
                [*self._spec.command, *words], seconds, given=given
            )
        except TimeoutError:
            raise TrafficError(
                f"{self._shown(*words)} did not end within {spell_duration(seconds)} and was "
                "killed",
                "see `timeout` under [traffic]",
            ) from None
        except OSError as error:
            raise TrafficError(f"cannot run {self._shown(*words)}: {error.strerror}") from error
        if code:
            last = f"; it said: {last_line(said)}" if last_line(said) else ""
            raise TrafficError(
                f"{self._shown(*words)} exited with {code}{last}", output_tail=text(said)
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
                output_tail=text(answer[:TAIL_BYTES]),
            ) from None
        return {address: share for address, share in found.items() if share}

    def _shown(self, *words: str) -> str:
        return shlex.join([*self._spec.command, *words])[:SHOWN_CHARS]


def _same_shares(found: Mapping[str, int], wanted: Mapping[str, int]) -> bool:
    """Whether each address has the same part of all; balancers may count to another total."""
    all_found, all_wanted = sum(found.values()), sum(wanted.values())
    return found.keys() == wanted.keys() and all(
        found[address] * all_wanted == wanted[address] * all_found for address in wanted
    )


def _spelled(shares: Mapping[str, int]) -> str:
    return ", ".join(f"{address} {share}" for address, share in sorted(shares.items())) or "nothing"
