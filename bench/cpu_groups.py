"""Processor time of whole groups of processes, whoever their parents are; for the benchmarks.

A group is a control group of the kernel (version 2, of which `cpu.stat` needs no controller): what
is started from within stays within, also what lost its parent meanwhile, and what has ended stays
counted. So nothing of an ssh server's sessions or an agent's children is missed. Needs root.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

EMPTY_SECONDS = 10.0  # for the last processes of a group to be gone


class CpuGroups:
    """Groups by name, made when first asked for. `close` ends whatever still runs in them."""

    def __init__(self) -> None:
        self._home = _hierarchy()
        self._own = self._home / _own_group().removeprefix("/")
        self._folder = self._home / f"tidegate-bench-{os.getpid()}"
        try:
            self._folder.mkdir()
        except OSError as error:
            raise SystemExit(
                f"cannot count processor time: {error.strerror} ({self._folder}). Run this as root."
            ) from error

    @contextlib.contextmanager
    def within(self, name: str) -> Iterator[None]:
        """This process is in the group meanwhile, and so is for good what it starts."""
        (self._group(name) / "cgroup.procs").write_text(str(os.getpid()))
        try:
            yield
        finally:
            (self._own / "cgroup.procs").write_text(str(os.getpid()))

    def seconds(self, *names: str) -> float:
        """User and system time of all that ever ran in these groups."""
        return sum(_usage_seconds(self._group(name)) for name in names)

    def close(self) -> None:
        give_up = time.monotonic() + EMPTY_SECONDS
        for group in self._folder.glob("*/"):
            while pids := (group / "cgroup.procs").read_text().split():
                for pid in pids:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
                if time.monotonic() > give_up:
                    raise SystemExit(f"these processes do not end: {', '.join(pids)}")
                time.sleep(0.05)
            group.rmdir()
        self._folder.rmdir()

    def _group(self, name: str) -> Path:
        group = self._folder / name
        group.mkdir(exist_ok=True)
        return group


def _usage_seconds(group: Path) -> float:
    for line in (group / "cpu.stat").read_text().splitlines():
        key, _, value = line.partition(" ")
        if key == "usage_usec":
            return int(value) / 1e6
    raise SystemExit(f"this kernel does not say how much processor time {group} took")


def _hierarchy() -> Path:
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    raise SystemExit("cannot count processor time: there are no control groups (version 2) here")


def _own_group() -> str:
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        if line.startswith("0::"):
            return line.removeprefix("0::")
    raise SystemExit("cannot count processor time: this process is in no control group")
