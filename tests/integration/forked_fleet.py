"""A local fleet whose controller and agents are forked from processes that have imported Tidegate
already: used by stage.py, whose tests start hundreds, and most of what a start takes is imports.

What is forked is a process like any other: the program in it is `__main__`, it leads a session, has
the arguments, working folder and output that it would have otherwise, and nothing of Tidegate or
gRPC has run in it yet. Its environment is the one that the test had when the first was started. It
can be killed. Daemons as people start them are in test_daemons.py and in tests/acceptance.
"""

import gc
import importlib
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

from tidegate_controller.demo.local_fleet import MARK, LocalFleet

# What the programs import, and what they do only once they know what they were asked for.
IMPORTED = (
    "crash_points",
    "tidegate_agent.main",
    "tidegate_controller.cli.commands",
    "tidegate_controller.cli.controller",
    "tidegate_controller.server",
)
NURSERIES = 2  # processes forked from one have their sets in the same order, which may hide much


class Forked:
    """Another process's child, as `subprocess.Popen` shows one's own. How it ended is not known."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        try:
            self._pidfd = os.pidfd_open(pid)
        except ProcessLookupError:  # ended already
            self._pidfd = -1

    def poll(self) -> int | None:
        return self._ended(0)

    def wait(self) -> int | None:
        return self._ended(None)

    def kill(self) -> None:
        if self.poll() is None:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def _ended(self, timeout_ms: int | None) -> int | None:
        """0 if it has, None if not within this time."""
        if self._pidfd < 0:
            return 0
        ending = select.poll()
        ending.register(self._pidfd, select.POLLIN)
        if not ending.poll(timeout_ms):
            return None
        os.close(self._pidfd)
        self._pidfd = -1
        return 0


class Nursery:
    """A process that forks. Of the fleet in `folder`, by working folder and mark, like its
    children: what ends that ends this too."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            (sys.executable, __file__),
            cwd=folder,
            env={**os.environ, MARK: str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def start(self, arguments: list[str], log: Path) -> Forked:
        """`arguments`: the path of a Python program, and what it is given."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([arguments, str(log)]) + "\n")
        self._process.stdin.flush()
        return Forked(int(self._process.stdout.readline()))

    def close(self) -> None:
        with self._process:  # closes its stdin, at which it ends, and waits for that
            pass


class ForkedFleet(LocalFleet):
    """Programs in files are forked, by turns from one nursery and another; all else is started as
    in any fleet."""

    def __init__(self, folder: Path, nodes: int) -> None:
        super().__init__(folder, nodes)
        self._nurseries: list[Nursery] = []  # whose turn it is comes last
        self._starting = threading.Lock()  # a test and its supervisor may both do so

    def stop(self) -> None:
        super().stop()
        for nursery in self._nurseries:
            nursery.close()

    def _spawn(self, name: str, *command: str, more: object = None) -> None:
        python, *arguments = command
        if python != sys.executable or not arguments[0].endswith(".py"):
            super()._spawn(name, *command, more=more)
            return
        with self._starting:
            new = len(self._nurseries) < NURSERIES
            self._nurseries.append(Nursery(self.folder) if new else self._nurseries.pop(0))
            log = self.folder / f"{name}.log"
            self.processes[name] = self._nurseries[-1].start(arguments, log)


def bury(*_: object) -> None:
    """Whoever has ended; so what it has taken counts as its parents', as that of any child does."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def main() -> None:
    """Each line on stdin is one to start, answered with its pid."""
    for module in IMPORTED:
        importlib.import_module(module)
    assert os.listdir("/proc/self/task") == [str(os.getpid())]  # a thread would not be forked
    signal.signal(signal.SIGCHLD, bury)
    gc.freeze()  # what is not touched need not be copied for each
    for line in sys.stdin:
        arguments, log = json.loads(line)
        if not (pid := os.fork()):
            break
        print(pid, flush=True)
    else:
        return
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(descriptor, target)
    os.close(output)
    os.close(nothing)
    sys.argv = arguments
    runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    main()
