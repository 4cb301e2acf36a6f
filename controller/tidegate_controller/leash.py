"""Runs a command on a leash: `python leash.py FD COMMAND...`, started by `leashed`.

FD is a pipe whose other end the controller holds. When that is let go, on purpose or because the
controller was killed, the command and all that it has started is killed at once. What the command
leaves behind when it ends by itself is killed as well. Exits as the command did, with 128 + N where
signal N ended it; and not before the last of its processes has ended.

It runs by itself, with the standard library alone, and imports nothing of Tidegate.
"""

import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

CANNOT_RUN = 127
PAUSE_SECONDS = 0.01  # between two looks for what is still to be killed
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_OTHERS_STOP_US = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)  # but the leash ends all anyway


def main(leash: int, command: list[str]) -> int:
    os.set_inheritable(leash, False)
    for number in _OTHERS_STOP_US:
        signal.signal(number, signal.SIG_IGN)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)  # what loses its parent becomes a child of this process
    child = os.fork()
    if child == 0:
        _become(command)
    let_go = select.poll()
    let_go.register(leash, select.POLLIN)
    pidfd = os.pidfd_open(child)
    let_go.register(pidfd, select.POLLIN)
    ended = {descriptor for descriptor, _ in let_go.poll()}
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) if pidfd in ended else -signal.SIGKILL
    _kill_children()
    return code if code >= 0 else 128 - code


def _become(command: list[str]) -> None:
    """In the child: never returns."""
    try:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # should anybody kill the leash itself
        for number in (*_OTHERS_STOP_US, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        os.execvp(command[0], command)  # noqa: S606  (an argument list, without a shell)
    except OSError as error:
        os.write(2, f"cannot run {command[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(CANNOT_RUN)


def _kill_children() -> None:
    """Until none is left. Only children of this process are looked at, and they are not reaped
    before they are killed, so no number can be that of anybody else by then."""
    while True:
        for pid in _children():
            with suppress(PermissionError):  # of another user: it is waited for
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                continue
        except ChildProcessError:
            return
        time.sleep(PAUSE_SECONDS)


def _children() -> Iterator[int]:
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()  # the name may hold anything
                if int(fields[1]) == os.getpid():
                    yield int(name)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
