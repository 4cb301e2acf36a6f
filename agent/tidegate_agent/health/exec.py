"""The health check `exec`: a command of the release's own, healthy when it exits with 0."""

import asyncio
import contextlib
import os
import shlex
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tidegate_agent import users
from tidegate_agent.errors import AgentError, ServiceError
from tidegate_agent.health.kind import Context, Fill, exit_in_words
from tidegate_agent.output import plain
from tidegate_agent.processes import TOKEN_VARIABLE
from tidegate_agent.procfs import ended, everyone, handle, has_variable
from tidegate_protos.v1 import agent_pb2 as pb

MARK_VARIABLE = "TIDEGATE_CHECK"
OUTPUT_BYTES = 4096  # of its last output are kept
READ_BYTES = 64 * 1024  # at once, which is what a pipe holds
SHOWN_CHARS = 200
KILL_SECONDS = 1.0  # how long the kernel may take to end what was sent SIGKILL
KILL_PASSES = 5


@dataclass(frozen=True)
class Exec:
    """`command` is run in `directory`, with this environment and no other, as `user`.
    `environment` is asked each time; an AgentError of it is the check's answer.

    It leads a session of its own; what is left of that when it ends is killed. When it does not end
    in time, or nobody waits any more, all that descends from it is killed.
    """

    command: tuple[str, ...]
    directory: Path
    environment: Callable[[], Mapping[str, str]]
    user: str = ""

    def __post_init__(self) -> None:
        if not self.command or not self.command[0]:
            raise ServiceError("health check: the command is empty")

    def __str__(self) -> str:
        return shlex.join(self.command)[:SHOWN_CHARS]

    async def ask(self, timeout_seconds: float) -> str | None:
        mark = uuid.uuid4().hex
        with _pipe() as (reading, writing):
            try:
                environment = {**self.environment(), MARK_VARIABLE: mark}
                environment.pop(TOKEN_VARIABLE, None)  # it would look like a part of the app
                process = self._spawn(environment, writing)
            except AgentError as error:
                return str(error)
            finally:
                os.close(writing)
            output = _Output(reading)
            try:
                code = await _exit_code(process, mark, timeout_seconds)
                output.drain()
            finally:
                output.close()
        if code == 0:
            return None
        how = f"did not end within {timeout_seconds:g} s and was killed"
        if code is not None:
            how = exit_in_words(code)
        last = output.last_line()
        return f"{self} {how}" + (f"; its last line: {last}" if last else ", without any output")

    def _spawn(self, environment: Mapping[str, str], output: int) -> subprocess.Popen[bytes]:
        """Raises ServiceError."""
        user = users.find(self.user)
        try:
            return subprocess.Popen(
                self.command,
                cwd=self.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                user=user.uid if user else None,
                group=user.gid if user else None,
                extra_groups=user.groups if user else None,
            )
        except (OSError, ValueError) as error:  # ValueError: a NUL in an argument
            why = str(error)
            if isinstance(error, OSError) and error.strerror:
                why = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
            as_user = f" as {self.user}" if user is not None else ""
            raise ServiceError(
                f"{self} cannot be run in {self.directory}{as_user}: {why}"
            ) from error


def of(health: pb.HealthCheck, fill: Fill, context: Context) -> Exec:
    command = tuple(fill(part) for part in health.exec.command)
    return Exec(command, context.directory, context.environment, context.user)


async def _exit_code(
    process: subprocess.Popen[bytes], mark: str, timeout_seconds: float
) -> int | None:
    """Wait for its end, and end what is left of it then; None: it was killed for taking so long."""
    in_time = False
    pidfd = os.pidfd_open(process.pid)
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await ended(pidfd)
            in_time = True
    finally:
        try:
            # Not reaped yet, so its number is still that of its group and of nobody else.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            if not in_time:
                await asyncio.to_thread(_kill_marked, mark)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(KILL_SECONDS):
                        await ended(pidfd)
        finally:
            os.close(pidfd)
            code = process.poll()
    return code if in_time else None


def _kill_marked(mark: str) -> None:
    """Kill what has left the group, as far as it may be killed."""
    for _ in range(KILL_PASSES):  # one that forks just now may slip through a pass
        left = [
            one for one in everyone() if one.running and has_variable(one.pid, MARK_VARIABLE, mark)
        ]
        if not left:
            return
        for process in left:
            with handle(*process.identity) as pidfd:
                if pidfd is not None:
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        signal.pidfd_send_signal(pidfd, signal.SIGKILL)


# --- Output ----------------------------------------------------------------------------------


@contextlib.contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    """The end to read from, closed in the end, and the one to write to, which is the caller's."""
    reading, writing = os.pipe()
    try:
        os.set_blocking(reading, False)
        yield reading, writing
    finally:
        os.close(reading)


class _Output:
    """Reads along, so that a command that says much does not hang; keeps the end of it."""

    def __init__(self, reading: int) -> None:
        self._reading = reading
        self._loop = asyncio.get_running_loop()
        self._end = b""
        self._loop.add_reader(reading, self._read)

    def _read(self) -> bool:
        """Whether there was something."""
        try:
            data = os.read(self._reading, READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self.close()
        self._end = (self._end + data)[-OUTPUT_BYTES:]
        return bool(data)

    def drain(self) -> None:
        """What is still in the pipe, once the command has ended."""
        for _ in range(2):  # a pipe holds less
            if not self._read():
                return

    def close(self) -> None:
        self._loop.remove_reader(self._reading)

    def last_line(self) -> str:
        lines = [line.strip() for line in plain(self._end).splitlines() if line.strip()]
        return lines[-1][-SHOWN_CHARS:] if lines else ""
