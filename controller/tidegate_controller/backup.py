"""`tidegate controller backup`: the event log as one file, with the artifacts if asked for.

It may run beside a controller: SQLite copies the log as it was at one moment. The file is there
whole and checked, or not at all. It is a SQLite database like the log itself; with artifacts it is
a tar of `events.db` and `artifacts/`. Called by `cli/backup`. Blocking.
"""

import os
import re
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from tidegate_controller import data_folder, log_check
from tidegate_controller.errors import Refused, TidegateError, UsageError
from tidegate_controller.log import LogError, connect_to_read
from tidegate_controller.log_check import Checked
from tidegate_protos.folders import sync_folder

DIGITS = 64  # of the name of an artifact


class Kept(NamedTuple):
    """A backup that was made. `bytes_`: of the file."""

    log: Checked
    artifacts: int
    bytes_: int


def backup(data: Path, file: Path, *, replace: bool, artifacts: bool) -> Kept:
    """Raises `Refused` where the file is there already, `LogError` where the log is damaged:
    then nothing was made."""
    source = data / data_folder.LOG
    if not source.exists():
        raise UsageError(f"there is no log at {source}", "name the controller's folder: --data DIR")
    if file.exists() and not replace:
        raise _is_there(file)
    try:
        _remove_left(file)
        with _temporary(file, "log") as log, _temporary(file, "all") as whole:
            _copy(source, log)
            checked = log_check.check(log)
            stored = _artifacts(data / data_folder.ARTIFACTS) if artifacts else []
            if artifacts:
                _pack(whole, log, stored)
            made = whole if artifacts else log
            _sync(made)
            _name(made, file, replace=replace)
    except OSError as error:
        raise TidegateError(
            f"the backup {file} cannot be written: {error.strerror}",
            "give another FILE, in a folder that this user may write to",
        ) from error
    count = sum(path.suffix == "" for path in stored)
    return Kept(checked, count, file.stat().st_size)


def _is_there(file: Path) -> Refused:
    return Refused(f"{file} is there already", "give another name, or --replace")


@contextmanager
def _temporary(file: Path, part: str) -> Iterator[Path]:
    """A name beside the file, of which nothing is left; closed to others, as apps' secrets may be
    in it."""
    path = file.with_name(f".{file.name}.{part}.{os.getpid()}")
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    try:
        yield path
    finally:
        for left in (path, Path(f"{path}-journal"), Path(f"{path}-wal"), Path(f"{path}-shm")):
            left.unlink(missing_ok=True)


def _remove_left(file: Path) -> None:
    """What backups to this file have left that were killed: their processes are gone."""
    name = re.compile(rf"\.{re.escape(file.name)}\.(log|all)\.(\d{{1,9}})(-journal|-wal|-shm)?")
    for path in file.absolute().parent.iterdir():
        found = name.fullmatch(path.name)
        if found and not _runs(int(found[2])):
            with suppress(OSError):  # another user's
                path.unlink(missing_ok=True)


def _runs(pid: int) -> bool:
    """Whether another process has this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid != os.getpid()


def _copy(source: Path, target: Path) -> None:
    """As the log was at one moment, in one file."""
    try:
        with closing(connect_to_read(source)) as log, closing(sqlite3.connect(target)) as copy:
            log.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        raise LogError(
            f"the event log {source} cannot be copied to {target.parent}: {error}",
            "look at the disk, and whether the log is whole: tidegate log verify",
        ) from error


def _artifacts(folder: Path) -> list[Path]:
    """Those that are whole, each with its note."""
    names = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in names if len(path.stem) == DIGITS and path.suffix in ("", ".json")]


def _pack(whole: Path, log: Path, artifacts: list[Path]) -> None:
    with tarfile.open(whole, "w") as archive:
        archive.add(log, data_folder.LOG)
        for path in artifacts:
            with suppress(FileNotFoundError):  # nobody needed it any more
                archive.add(path, f"{data_folder.ARTIFACTS}/{path.name}")


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _name(made: Path, file: Path, *, replace: bool) -> None:
    """Give it its name; where that is taken meanwhile, it is not."""
    if replace:
        made.rename(file)
    else:
        try:
            os.link(made, file)
        except FileExistsError as error:
            raise _is_there(file) from error
    sync_folder(file.absolute().parent)
