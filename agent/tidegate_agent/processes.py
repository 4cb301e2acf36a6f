"""The `process` service manager: apps as plain children that outlive the agent.

Called by managers/process.py, and by scripts.py for what runs once. A child leads a session of its
own and carries a token in its environment. So an agent that was killed finds it again: by pid,
start time and boot id, which it had recorded, or by the token alone if it died before it could
record them.
All that asks what runs raises NodeError where that cannot be told: that is not "it has ended".
Needs Linux 5.3 (pidfd), and a unit with `KillMode=process` where systemd runs the agent.
"""

import asyncio
import contextlib
import errno
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tidegate_agent.errors import ServiceError
from tidegate_agent.procfs import (
    Identity,
    Process,
    boot_id,
    ended,
    everyone,
    handle,
    has_variable,
    look,
    shows_no_variables,
)
from tidegate_agent.users import User

FOLDERS_NAMED = 4  # of a PATH, in an error
TOKEN_VARIABLE = "TIDEGATE_INSTANCE"  # noqa: S105
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
KILL_SECONDS = 10.0  # how long the kernel may take to end what was sent SIGKILL
EXIT_CODES_KEPT = 256
LOADING_LOOKS, LOADING_SECONDS = 20, 0.05  # a busy machine takes its time to load a program
LOADING_AGE_SECONDS = 10.0  # of a process that may still be loading its first one


@dataclass(frozen=True)
class Launch:
    """What to start; every placeholder is filled in already.

    `output` gets standard output and error, appended; its directory must exist. A command with a
    slash is looked for from `directory`, one without in the PATH that the child will have.
    `user` is None for the agent's own.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str]
    directory: Path
    output: Path
    user: User | None = None


@dataclass(frozen=True)
class Instance:
    """One started process, told apart from any other that has or will ever have its pid.

    `started_ticks` is field 22 of /proc/PID/stat (clock ticks since boot), `boot_id` the kernel's.
    """

    token: str
    pid: int
    started_ticks: int
    boot_id: str


_children: set[Instance] = set()  # started by this agent and not reaped yet
_exit_codes: dict[Instance, int] = {}  # of those reaped, oldest first


def spawn(launch: Launch, token: str) -> Instance:
    """Start it, and return as soon as the program is running (not: healthy).

    The caller must have recorded the token before, so that `find` can answer after a crash.
    Raises ServiceError with what is missing and where.
    """
    for child in tuple(_children):
        _reap(child)
    user = launch.user
    environment = {**base_environment(user), **launch.environment, TOKEN_VARIABLE: token}
    _check(launch, environment["PATH"])
    try:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        output = os.open(launch.output, flags, 0o640)
    except OSError as error:
        raise ServiceError(f"cannot write output to {launch.output}: {error.strerror}") from error
    try:
        process = subprocess.Popen(
            launch.command,
            cwd=launch.directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            close_fds=True,
            start_new_session=True,
            user=None if user is None else user.uid,
            group=None if user is None else user.gid,
            extra_groups=None if user is None else user.groups,
        )
    except (OSError, ValueError) as error:  # ValueError: a NUL, or "=" in a variable's name
        raise ServiceError(
            f"cannot start {launch.command[0]!r} in {launch.directory}: {_reason(error)}"
        ) from error
    finally:
        os.close(output)
    process.returncode = 0  # disowned: it may outlive us, and `_reap` alone collects it
    seen = look(process.pid)
    if seen is None:  # only where SIGCHLD is ignored, so that nobody has to reap
        raise ServiceError(f"{launch.command[0]!r} exited at once, its exit code is unknown")
    instance = Instance(token, process.pid, seen.started_ticks, boot_id())
    _children.add(instance)
    return instance


def find(token: str) -> Instance | None:
    """The running session leader that `spawn` started with this token. Where only what it has
    left behind still runs, an instance without a pid, for `stop`; None where nothing does.

    Looks at each process on the machine (about 5 ms per hundred). A descendant that still
    carries the token leads to its session's leader, should that have overwritten its environment.
    """
    carrying = [one for one in everyone() if has_variable(one.pid, TOKEN_VARIABLE, token)]
    if not carrying:
        return None
    leaders = [leader for one in carrying if (leader := look(one.session)) is not None]
    running = [(leader.started_ticks, leader.pid) for leader in leaders if leader.running]
    ticks, pid = min(running, default=(0, 0))
    return Instance(token, pid, ticks, boot_id())


def alive(instance: Instance) -> bool:
    """Whether it runs: the same process since the same boot, and not a zombie."""
    seen = look(instance.pid)
    if (
        seen is not None
        and seen.running
        and seen.started_ticks == instance.started_ticks
        and instance.boot_id == boot_id()
    ):
        return True
    _reap(instance)
    return False


async def wait_exit(instance: Instance) -> int | None:
    """Return once it is gone: the exit code of an own child, None for an adopted one.

    A negative code is the signal that killed it. May be awaited by several at once.
    """
    if instance.boot_id == boot_id():
        with handle(instance.pid, instance.started_ticks) as pidfd:
            if pidfd is not None:
                await ended(pidfd)
    return _reap(instance)


async def stop(instance: Instance, grace_seconds: float) -> Literal["stopped", "killed", "gone"]:
    """End it and all that descends from it or carries its token: SIGTERM, then after the grace
    SIGKILL.

    Returns "gone" if it had ended before (its leftovers are ended all the same), "killed" if any
    of them was still there after the grace. If cancelled, nothing more is sent; it can be called
    again. Raises ServiceError if a process may not be signalled or does not go away.
    """
    if instance.boot_id != boot_id():  # its number says nothing any more, but its token does
        instance = Instance(instance.token, 0, 0, boot_id())
    was_alive = alive(instance)
    known: set[Identity] = set()
    outcome: Literal["stopped", "killed"] = "stopped"
    if await _end(instance, known, signal.SIGTERM, grace_seconds):
        outcome = "killed"
        if left := await _end(instance, known, signal.SIGKILL, KILL_SECONDS):
            pids = ", ".join(str(process.pid) for process in left)
            raise ServiceError(f"still there {KILL_SECONDS:g} s after SIGKILL: pid {pids}")
    _reap(instance)
    return outcome if was_alive else "gone"


# --- Starting --------------------------------------------------------------------------------


def base_environment(user: User | None) -> dict[str, str]:
    """What a child gets of the agent's environment: nothing that could be a secret of its."""
    common = {
        "PATH": os.environ.get("PATH", DEFAULT_PATH),
        "LANG": os.environ.get("LANG", "C.UTF-8"),
    }
    if user is not None:
        return {**common, "HOME": user.home, "USER": user.name, "LOGNAME": user.name}
    home = os.environ.get("HOME")
    if home is None:
        try:
            home = pwd.getpwuid(os.geteuid()).pw_dir
        except KeyError:
            home = "/"
    return {**common, "HOME": home}


def _check(launch: Launch, search_path: str) -> None:
    """Raise ServiceError for what Popen would call "No such file", without saying which."""
    if not launch.command or not launch.command[0]:
        raise ServiceError("the command is empty")
    name = launch.command[0]
    if not os.path.isdir(launch.directory):
        raise ServiceError(f"cannot start {name!r}: the directory {launch.directory} is missing")
    if "/" not in name:
        find_program(name, search_path)
        return
    program = launch.directory / name
    if not os.path.isfile(program):
        raise ServiceError(f"command not found: {name!r}, in {launch.directory}")
    if not os.access(program, os.X_OK):
        raise ServiceError(f"not executable: {name!r}, in {launch.directory}")


def find_program(name: str, search_path: str) -> None:
    """Raise ServiceError where no folder of the path has it."""
    if shutil.which(name, path=search_path) is None:
        raise ServiceError(f"command not found: {name!r}, in PATH {_clipped(search_path)}")


def _clipped(search_path: str) -> str:
    """Its first folders, and how many more there are: some have dozens."""
    folders = search_path.split(":")
    rest = len(folders) - FOLDERS_NAMED
    named = ":".join(folders[:FOLDERS_NAMED])
    return f"{named} and {rest} more folders" if rest > 2 else search_path


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):  # the file itself was there just now
        return "the interpreter that it asks for is missing"
    if isinstance(error, OSError) and error.errno == errno.ENOEXEC:
        return "it is neither a program for this machine nor a script with a #! line"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


# --- Waiting and ending ----------------------------------------------------------------------


def _reap(instance: Instance) -> int | None:
    """The exit code of an own child that has ended, which then leaves no zombie; else None."""
    if instance in _children:
        try:
            pid, status = os.waitpid(instance.pid, os.WNOHANG)
        except ChildProcessError:  # somebody else has collected it
            _children.discard(instance)
            return None
        if pid != 0:
            _children.discard(instance)
            _exit_codes[instance] = os.waitstatus_to_exitcode(status)
            while len(_exit_codes) > EXIT_CODES_KEPT:
                del _exit_codes[next(iter(_exit_codes))]
    return _exit_codes.get(instance)


def _members(instance: Instance, known: Collection[Identity]) -> list[Process]:
    """All running processes that belong to the instance, also after its leader has ended.

    Those that carry the token, be they older than what is taken for the leader, and everybody in
    its session, as long as someone there is known, carries the token or is the leader: its number
    is not given away before the last has left. A lone process shows no token while its program is
    being loaded, so a young one is looked at again; an old one has written over its environment,
    or is another user's.
    """
    leader = (instance.pid, instance.started_ticks)
    for _ in range(LOADING_LOOKS):
        seen = [(one, has_variable(one.pid, TOKEN_VARIABLE, instance.token)) for one in everyone()]
        session = [(one, carries) for one, carries in seen if one.session == instance.pid]
        ours = any(carries or one.identity in {leader, *known} for one, carries in session)
        young = (one for one, _ in session if one.running and one.age_seconds < LOADING_AGE_SECONDS)
        if ours or not any(shows_no_variables(one.pid) for one in young):
            break
        time.sleep(LOADING_SECONDS)
    return [
        process
        for process, carries in seen
        if process.running
        and process.pid != os.getpid()
        and (carries or (ours and process.session == instance.pid))
    ]


async def _end(
    instance: Instance, known: set[Identity], number: signal.Signals, seconds: float
) -> list[Process]:
    """Send each member the signal once, wait until all have ended; returns those who have not.

    Adds all it has seen to `known`.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    signalled: set[Identity] = set()
    while members := await asyncio.to_thread(_members, instance, known):
        if signalled and loop.time() >= deadline:
            return members
        if fresh := [one for one in members if one.identity not in signalled]:
            _signal(instance, fresh, number)
        signalled.update(one.identity for one in members)
        known |= signalled
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                for one in members:
                    with handle(*one.identity) as pidfd:
                        if pidfd is not None:
                            await ended(pidfd)
    return []


def _signal(instance: Instance, members: Collection[Process], number: signal.Signals) -> None:
    """To the leader's group at once, so that no fork slips through; to the others one by one.
    Raises ServiceError where some may not be signalled, once all others are."""
    group, denied = 0, set[int]()
    with handle(instance.pid, instance.started_ticks) as pidfd, _signalling(instance.pid, denied):
        if pidfd is not None and os.getpgid(instance.pid) == instance.pid > 1:
            signal.pidfd_send_signal(pidfd, 0)  # not reaped, so the number is still its own
            os.killpg(instance.pid, number)
            group = instance.pid
    for member in members:
        with handle(*member.identity) as pidfd, _signalling(member.pid, denied):
            if pidfd is not None and member.group != group:
                signal.pidfd_send_signal(pidfd, number)
    if denied:
        pids = ", ".join(str(pid) for pid in sorted(denied))
        raise ServiceError(f"cannot stop pid {pids}: it runs as another user")


@contextlib.contextmanager
def _signalling(pid: int, denied: set[int]) -> Iterator[None]:
    try:
        yield
    except ProcessLookupError:  # it has just ended
        return
    except PermissionError:
        denied.add(pid)
