"""What the kernel says of processes: /proc, and handles that no reused pid can mislead.

Called by processes.py, managers/systemd.py and health/exec.py. Needs Linux 5.3 (pidfd).

An agent that has no descriptor left, for one, cannot look: all that looks raises NodeError then. A
process that could not be looked at has not ended.
"""

import asyncio
import contextlib
import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tidegate_agent.errors import NodeError

ENVIRON_BYTES = 1 << 20  # of a process's environment are looked at
NOT_TO_BE_READ = {errno.ENOENT, errno.ESRCH, errno.EACCES, errno.EPERM}  # it ended, or is not ours

Identity = tuple[int, int]  # pid and started_ticks: unique within one boot


class Process(NamedTuple):
    """What /proc/PID/stat says; `started_ticks` (field 22) are clock ticks since boot."""

    pid: int
    state: str
    group: int
    session: int
    threads: int
    started_ticks: int

    @property
    def identity(self) -> Identity:
        return self.pid, self.started_ticks

    @property
    def age_seconds(self) -> float:
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        return now - self.started_ticks / os.sysconf("SC_CLK_TCK")

    @property
    def running(self) -> bool:
        # A first thread that ended before the others looks like a zombie.
        return self.state not in "ZXx" or self.threads > 1


def boot_id() -> str:
    """The kernel's name for the time since the machine was last started."""
    with _looking():
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()


def look(pid: int) -> Process | None:
    """The process that has this pid now, perhaps a zombie; None if it is free."""
    data = _read(f"/proc/{pid}/stat", 4096)
    if not data:
        return None
    # "pid (name) state ppid group session …": the name may hold spaces and parentheses.
    fields = data.rpartition(b")")[2].split()
    group, session, threads, ticks = (int(fields[index]) for index in (2, 3, 17, 19))
    return Process(pid, fields[0].decode("ascii"), group, session, threads, ticks)


def everyone() -> Iterator[Process]:
    with _looking():
        names = os.listdir("/proc")
    for name in names:
        if name.isdigit() and (process := look(int(name))) is not None:
            yield process


def has_variable(pid: int, name: str, value: str) -> bool:
    """Whether its environment says so, as far as we may read it (of our user; root: of all).

    It shows none for the moment in which the kernel loads the program, or when it has ended.
    """
    return f"\0{name}={value}\0".encode() in b"\0" + _environment(pid) + b"\0"


def shows_no_variables(pid: int) -> bool:
    """Whether it has none, or they cannot be seen, or not at this moment: see `has_variable`."""
    return not _environment(pid)


@contextlib.contextmanager
def handle(pid: int, started_ticks: int) -> Iterator[int | None]:
    """A pidfd, which means this very process for as long as it is open; None if it is no more."""
    with any_handle(pid) as pidfd:
        # Looked at after opening: had the pid been given away, the ticks would differ.
        seen = look(pid) if pidfd is not None else None
        yield pidfd if seen is not None and seen.started_ticks == started_ticks else None


@contextlib.contextmanager
def any_handle(pid: int) -> Iterator[int | None]:
    """A pidfd of whatever has this pid now, which may be hidden in /proc; None if nothing has."""
    pidfd = None
    with _looking(), contextlib.suppress(ProcessLookupError):
        pidfd = os.pidfd_open(pid) if pid > 0 else None
    try:
        yield pidfd
    finally:
        if pidfd is not None:
            os.close(pidfd)


async def ended(pidfd: int) -> None:
    """Return once the process has ended, whoever its parent is. One waiter for each handle."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def resolve() -> None:
        if not future.done():
            future.set_result(None)

    loop.add_reader(pidfd, resolve)
    try:
        await future
    finally:
        loop.remove_reader(pidfd)


@contextlib.contextmanager
def _looking() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NodeError(f"what runs on this node cannot be told: {error.strerror}") from error


def _environment(pid: int) -> bytes:
    return _read(f"/proc/{pid}/environ", ENVIRON_BYTES)


def _read(path: str, limit: int) -> bytes:
    """Without the buffers of `open`, which cost more than the reading: each process is read."""
    data = b""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            while piece := os.read(fd, limit - len(data)):
                data += piece
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno in NOT_TO_BE_READ:
            return b""
        with _looking():
            raise
    return data
