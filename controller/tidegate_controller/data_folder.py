"""The controller's own folder: made ready once, held by one process at a time.

Called by `server`, and by the commands that work on such a folder.
"""

import fcntl
import os
import pwd
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from tidegate_controller.errors import Refused, TidegateError, UsageError
from tidegate_controller.log import EventLog

LOG = "events.db"
ARTIFACTS = "artifacts"
LOCK = "lock"
PORT = "http-port"  # of the artifact server, when it was last run
REPLACED = "replaced"  # logs in whose place a backup was restored
COMING = "restoring.db"  # the log that a restore makes, until it is complete
COMING_FILES = tuple(f"{COMING}{end}" for end in ("", "-wal", "-shm", "-journal"))
OWN = {LOG, f"{LOG}-wal", f"{LOG}-shm", ARTIFACTS, LOCK, PORT, REPLACED, *COMING_FILES}
STRANGE_SHOWN = 5


class Prepared(NamedTuple):
    """A folder that a controller can be started on. `is_new`: it had no log before."""

    log_id: str
    events: int
    is_new: bool


@contextmanager
def held(data: Path) -> Iterator[None]:
    """Hold the folder for this process; the kernel lets go of it when the process ends. What a
    restore has left that was killed is removed."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (data / LOCK).open("a")
    except OSError as error:
        raise _unusable(data, error) from error
    with lock as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Refused(
                f"another controller works on {data}",
                "stop it first, or choose another --data DIR",
            ) from error
        try:
            remove_coming(data)
        except OSError as error:
            raise _unusable(data, error) from error
        _close(data)
        yield


def remove_coming(data: Path) -> None:
    """For whoever holds the folder: the log that was to come there."""
    for name in COMING_FILES:
        (data / name).unlink(missing_ok=True)


def _close(data: Path) -> None:
    """Let nobody else look into it: systemd makes it open to all. A folder that is not the
    controller's alone is left as it is."""
    is_ours = os.geteuid() in (0, data.stat().st_uid)
    if is_ours and {path.name for path in data.iterdir()} <= OWN:
        data.chmod(0o700)


def prepare(data: Path, user: str | None) -> Prepared:
    """Make the folder and an empty log, for `user` (None: whoever asks). What is there already
    stays as it is. Raises `Refused` for a folder with other things in it."""
    owner = None if user is None else _user(user)
    _refuse_strangers(data)
    with held(data):
        is_new = not (data / LOG).exists()
        try:
            with closing(EventLog(data / LOG)) as log:
                events = sum(1 for _ in log.load())
            (data / ARTIFACTS).mkdir(mode=0o700, exist_ok=True)
            (data / LOG).chmod(0o600)
            if owner is not None:
                for path in (data, *data.iterdir()):
                    os.chown(path, owner.pw_uid, owner.pw_gid)
        except OSError as error:
            raise _unusable(data, error) from error
    return Prepared(log.log_id, events, is_new)


def _unusable(data: Path, error: OSError) -> TidegateError:
    return TidegateError(
        f"cannot use {data}: {error.strerror}",
        "choose another --data DIR: a folder that this user may write to",
    )


def _user(name: str) -> pwd.struct_passwd:
    try:
        found = pwd.getpwnam(name)
    except (KeyError, ValueError) as error:
        raise UsageError(
            f"there is no user {name[:80]!r} on this machine",
            "make one first, as systemd/README.md has it: useradd --system …",
        ) from error
    if os.geteuid() not in (0, found.pw_uid):
        raise UsageError(f"only root can give a folder to {name}", "type it with sudo")
    return found


def _refuse_strangers(data: Path) -> None:
    try:
        strangers = sorted({path.name for path in data.iterdir()} - OWN)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unusable(data, error) from error
    if strangers:
        shown = ", ".join(strangers[:STRANGE_SHOWN])
        more = ", …" if len(strangers) > STRANGE_SHOWN else ""
        raise Refused(
            f"{data} has other things in it: {shown}{more}",
            "choose a --data DIR that is empty, or that is not there yet",
        )
