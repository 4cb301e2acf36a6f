"""`tidegate controller restore`: a controller's folder made of a backup.

The log gets a new id, since the fleet may have gone on with the old one after the backup was made.
What was under way is interrupted, and each app waits until a person has decided what counts
(`core/reconciling`). The log is there whole, or the one before is; that one is kept aside.
Called by `cli/backup`, while no controller works on the folder. Blocking.
"""

import os
import shutil
import sqlite3
import tarfile
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, NamedTuple

from tidegate_controller import data_folder, log_check
from tidegate_controller.artifacts import digest_of
from tidegate_controller.clock import wall_now
from tidegate_controller.core import events as ev
from tidegate_controller.core.decide import decide
from tidegate_controller.core.facts import has_past
from tidegate_controller.core.inputs import Restore
from tidegate_controller.errors import Refused, TidegateError
from tidegate_controller.log import Batch, EventLog, LogError
from tidegate_controller.log_check import Checked
from tidegate_controller.log_index import CONTROLLER_STREAM, LogIndex
from tidegate_controller.snapshot_keeper import load
from tidegate_protos.folders import sync_folder
from tidegate_protos.rules import DIGEST

SQLITE = b"SQLite format 3\0"  # the first bytes of a backup without artifacts


class Restored(NamedTuple):
    """`log`: the backup as it was found. `aside`: where the log before is kept."""

    log: Checked
    log_id: str
    apps: list[str]  # as app@environment, each of which waits for a decision
    interrupted: list[str]  # rollouts
    artifacts: int
    aside: Path | None


def restore(file: Path, data: Path, *, replace: bool) -> Restored:
    """Raises `Refused` where the folder has a log already, `LogError` where the backup is damaged:
    then nothing was changed."""
    with _held(data):
        target = data / data_folder.LOG
        if not replace and _has_events(target):
            raise Refused(
                f"{data} has a log already",
                "restore into an empty folder; or take this backup in its place, and keep the old "
                "log aside: --replace",
            )
        try:
            with _coming(data) as coming:
                artifacts = _unpack(file, coming, data / data_folder.ARTIFACTS)
                checked = _checked(coming, file)
                log_id, apps, interrupted = _begin_anew(coming)
                with coming.open("rb") as whole:
                    os.fsync(whole.fileno())
                aside = _put_aside(target)
                coming.rename(target)
                _give_to_owner(data)
                sync_folder(data)
        except OSError as error:
            raise TidegateError(
                f"{file} cannot be restored to {data}: {error.strerror}",
                "look at the disk, and at who may read and write there",
            ) from error
    return Restored(checked, log_id, apps, interrupted, artifacts, aside)


@contextmanager
def _held(data: Path) -> Iterator[None]:
    """Hold the folder. Where it fails before the log has its place, what was made there until then
    is removed again, and that alone."""
    folders = [folder for folder in (data, *data.parents) if not os.path.exists(folder)]
    log, lock, artifacts = (
        data / name for name in (data_folder.LOG, data_folder.LOCK, data_folder.ARTIFACTS)
    )
    new_files = [] if lock.exists() else [lock]
    with data_folder.held(data):
        log_before, artifacts_before = _inode(log), set(artifacts.glob("*"))
        if not artifacts.exists():
            folders.insert(0, artifacts)
        try:
            yield
        except BaseException:
            if _inode(log) == log_before:
                for path in (*(set(artifacts.glob("*")) - artifacts_before), *new_files):
                    path.unlink(missing_ok=True)
                for folder in folders:
                    with suppress(OSError):  # somebody else has put something there
                        folder.rmdir()
            raise


def _inode(path: Path) -> int | None:
    return path.stat().st_ino if path.exists() else None


def _checked(coming: Path, file: Path) -> Checked:
    """Whoever restores knows the log by the name of the backup."""
    try:
        return log_check.check(coming)
    except LogError as error:
        raise LogError(
            error.message.replace(str(coming), str(file)),
            f"nothing was changed; restore another backup, that is whole by: tidegate log verify "
            f"--file FILE; this one is not: {file}",
        ) from error


def _give_to_owner(data: Path) -> None:
    """Root restores for the user whose folder it is."""
    owner = data.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        for path in (data / data_folder.LOG, *data.rglob("*")):
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _has_events(log: Path) -> bool:
    """One that cannot be read may have some."""
    if not log.exists():
        return False
    try:
        with closing(sqlite3.connect(log)) as database:
            return bool(database.execute("SELECT 1 FROM events LIMIT 1").fetchall())
    except sqlite3.Error:
        return True


@contextmanager
def _coming(data: Path) -> Iterator[Path]:
    """Where the log is made, of which nothing is left."""
    try:
        yield data / data_folder.COMING
    finally:
        data_folder.remove_coming(data)


def _begin_anew(path: Path) -> tuple[str, list[str], list[str]]:
    """New id of the log, the apps to decide about, and the rollouts that were open."""
    with closing(EventLog(path)) as log:
        found = load(log)
        former, log_id, now, at = log.log_id, uuid.uuid4().hex[:12], log.last_clock, wall_now()
        restored = ev.Restored(log_id=log_id, former=former)
        own = found.version(CONTROLLER_STREAM)
        batches = [Batch(CONTROLLER_STREAM, own, at, now, (restored,), None)]
        cause = Restore(log_id=log_id, former=former)
        for name, state in sorted(found.states.items()):
            events = decide(state, cause, now)
            batches.append(Batch(name, state.version, at, now, events, cause))
        log.append(batches)
        log.take_id(log_id)
    undecided = [name for name, state in sorted(found.states.items()) if has_past(state)]
    return log_id, undecided, _open_rollouts(found)


def _open_rollouts(found: LogIndex) -> list[str]:
    states = sorted(found.states.items())
    return [state.rollout.id for _, state in states if state.rollout is not None]


def _put_aside(log: Path) -> Path | None:
    """The log that is there, with all that belongs to it, linked elsewhere: it is complete in one
    place or the other. What a damaged one leaves beside it must not be taken for the new one's."""
    if not log.exists():
        return None
    folder = log.parent / data_folder.REPLACED
    folder.mkdir(mode=0o700, exist_ok=True)
    aside = folder / f"events-{datetime.now(UTC).strftime('%Y%m%dT%H%M%S.%f')}.db"
    journal = Path(f"{log}-wal")
    if journal.exists():
        shutil.copy2(journal, f"{aside}-wal")  # opening a damaged log may cost it what is in there
    with suppress(sqlite3.Error), closing(sqlite3.connect(log)) as database:
        database.execute("PRAGMA journal_mode=DELETE")
        Path(f"{aside}-wal").unlink(missing_ok=True)  # now all of it is in the log
    for left in (journal, Path(f"{log}-shm")):
        left.unlink(missing_ok=True)
    os.link(log, aside)
    sync_folder(folder)
    return aside


# --- What is in the file -------------------------------------------------------------------------


def _unpack(file: Path, log: Path, artifacts: Path) -> int:
    """The backup's log to `log`; how many artifacts came with it."""
    with file.open("rb") as source:
        is_log_alone = source.read(len(SQLITE)) == SQLITE
        source.seek(0)
        if is_log_alone:
            _write(source, log)
            return 0
        try:
            return _unpack_all(source, log, artifacts)
        except tarfile.TarError as error:
            raise Refused(
                f"{file} is no backup, or was damaged: {error}",
                "give a file that tidegate controller backup has made",
            ) from error


def _unpack_all(source: IO[bytes], log: Path, artifacts: Path) -> int:
    """Only what a backup holds, under the names that it has there; of artifacts those that are not
    there yet, and true."""
    count = 0
    artifacts.mkdir(mode=0o700, exist_ok=True)
    with tarfile.open(fileobj=source, mode="r:") as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isreg() else None
            folder, _, name = member.name.rpartition("/")
            digest = f"sha256:{name.removesuffix('.json')}"
            if content is None:
                raise tarfile.ReadError(f"{member.name[:80]!r} is no file")
            if member.name == data_folder.LOG:
                _write(content, log)
            elif folder == data_folder.ARTIFACTS and DIGEST.fullmatch(digest):
                if not (artifacts / name).exists():
                    _keep(content, artifacts, name, digest)
                count += not name.endswith(".json")
            else:
                raise tarfile.ReadError(f"{member.name[:80]!r} does not belong into a backup")
    if not log.exists():
        raise tarfile.ReadError(f"there is no {data_folder.LOG} in it")
    return count


def _keep(content: IO[bytes], artifacts: Path, name: str, digest: str) -> None:
    coming = artifacts / f".{name}.part"
    coming.unlink(missing_ok=True)  # left by a crash
    _write(content, coming)
    if not name.endswith(".json") and digest_of(coming) != digest:
        coming.unlink()
        raise tarfile.ReadError(f"the artifact {digest} has another content")
    coming.rename(artifacts / name)


def _write(content: IO[bytes], path: Path) -> None:
    with open(path, "xb", opener=_private) as target:
        shutil.copyfileobj(content, target)
        target.flush()
        os.fsync(target.fileno())


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
