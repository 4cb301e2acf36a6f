"""A backup is whole or not there; a restore takes only what is whole, and loses nothing before."""

import json
import os
import signal
import sqlite3
import stat
import subprocess
import tarfile
from hashlib import sha256
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tidegate_controller import backup as module
from tidegate_controller import log_check
from tidegate_controller import restore as restoring
from tidegate_controller.cli.commands import tidegate
from tidegate_controller.core import events as ev
from tidegate_controller.core.inputs import Tick
from tidegate_controller.core.types import Known, Place
from tidegate_controller.errors import Refused, TidegateError, UsageError
from tidegate_controller.log import Batch, EventLog, LogError, read_log, read_stream

CONTENT = b"an artifact"
NAME = sha256(CONTENT).hexdigest()


def append(log: EventLog, node: str) -> None:
    batch = Batch("shop@prod", log.version("shop@prod"), "2026-11-25T12:00:00Z", 1.0, (), Tick())
    seen = ev.Observed(place=Place.of(node, "blue"), known=Known(), current=False)
    log.append([batch._replace(events=(seen,))])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A controller's folder: a log with three events and one artifact."""
    folder = tmp_path / "controller"
    (folder / "artifacts").mkdir(parents=True)
    (folder / "artifacts" / NAME).write_bytes(CONTENT)
    (folder / "artifacts" / f"{NAME}.json").write_text("{}")
    (folder / "artifacts" / ".x.part").write_text("half of one")
    log = EventLog(folder / "events.db")
    for node in "abc":
        append(log, node)
    log.close()
    return folder


def typed(word: str, data: Path, *words: object) -> Result:
    line = ["controller", word, "--settings", os.devnull, "--data", str(data)]
    return CliRunner().invoke(tidegate, [*line, *map(str, words)])


def done(result: Result) -> dict[str, object]:
    assert result.exit_code == 0, result.exception
    return dict(json.loads(result.output))


def nodes(data: Path) -> list[str]:
    records = read_stream(data / "events.db", "shop@prod", 0, 3)
    return [record.event.place.node for record in records]


# --- Backup --------------------------------------------------------------------------------------


def test_a_backup_is_a_log_that_can_be_checked_like_any(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "monday.backup"
    view = done(typed("backup", data, file, "--json"))
    checked = log_check.check(file)
    assert (view["events"], view["seq"], view["head"]) == (3, 3, checked.head)
    assert read_log(file, 0, 10) == read_log(data / "events.db", 0, 10)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["controller", "monday.backup"]


def test_it_is_told_with_its_last_hash(data: Path, tmp_path: Path) -> None:
    said = typed("backup", data, tmp_path / "monday.backup").output
    assert "with 3 events, no artifacts" in said
    assert read_log(data / "events.db", 2, 1)[0].hash in said


def test_it_is_taken_beside_a_controller_that_writes(data: Path, tmp_path: Path) -> None:
    log = EventLog(data / "events.db")
    list(log.load())
    append(log, "d")
    view = done(typed("backup", data, tmp_path / "b", "--json"))
    append(log, "e")
    log.close()
    assert view["events"] == 4


def test_a_file_that_is_there_stays_unless_it_is_to_be_replaced(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "b"
    file.write_text("something dear")
    refused = typed("backup", data, file)
    assert isinstance(refused.exception, Refused)
    assert file.read_text() == "something dear"
    assert done(typed("backup", data, file, "--replace", "--json"))["events"] == 3


def test_one_that_comes_meanwhile_stays_too(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, sync = tmp_path / "b", module._sync

    def interrupted(path: Path) -> None:
        sync(path)
        file.write_text("something dear")

    monkeypatch.setattr(module, "_sync", interrupted)
    assert isinstance(typed("backup", data, file).exception, Refused)
    assert file.read_text() == "something dear"


def test_of_a_damaged_log_there_is_no_backup(data: Path, tmp_path: Path) -> None:
    with sqlite3.connect(data / "events.db") as database:
        database.execute("UPDATE events SET at = 'x' WHERE seq = 2")
    assert isinstance(typed("backup", data, tmp_path / "b").exception, LogError)
    assert [path.name for path in tmp_path.iterdir()] == ["controller"]


def test_where_it_cannot_be_written_nothing_is_left(data: Path, tmp_path: Path) -> None:
    failed = typed("backup", data, tmp_path / "nowhere" / "b")
    assert isinstance(failed.exception, TidegateError)
    assert "cannot be written: No such file" in failed.exception.message


def test_what_a_killed_one_has_left_is_removed_by_the_next_to_the_same_file(
    data: Path, tmp_path: Path
) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    left = [f".all.tar.{part}.{gone.pid}{end}" for part in ("log", "all") for end in ("", "-wal")]
    kept = [f".all.tar.log.{os.getppid()}", f".other.tar.log.{gone.pid}", f"all.tar.log.{gone.pid}"]
    for name in (*left, f".all.tar.log.{os.getpid()}", *kept):
        (tmp_path / name).touch()
    done(typed("backup", data, tmp_path / "all.tar", "--json"))
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"all.tar", "controller", *kept}


@pytest.mark.parametrize("word", ["backup", "restore"])
def test_ended_by_sigterm_it_leaves_nothing(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    file, folder = tmp_path / "kept.backup", data
    if word == "restore":
        done(typed("backup", data, file, "--json"))
        folder = tmp_path / "new"
    before = sorted(tmp_path.iterdir())

    def terminated(log: Path) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError(log)

    monkeypatch.setattr(log_check, "check", terminated)
    handler = signal.getsignal(signal.SIGTERM)
    assert typed(word, folder, file).exit_code == 143
    assert sorted(tmp_path.iterdir()) == before
    assert signal.getsignal(signal.SIGTERM) == handler


def test_artifacts_come_with_it_where_that_is_asked_for(data: Path, tmp_path: Path) -> None:
    view = done(typed("backup", data, tmp_path / "all.tar", "--artifacts", "--json"))
    assert view["artifacts"] == 1
    with tarfile.open(tmp_path / "all.tar") as archive:
        names = archive.getnames()
    assert names == ["events.db", f"artifacts/{NAME}", f"artifacts/{NAME}.json"]


def test_a_folder_without_a_log_has_nothing_to_back_up(tmp_path: Path) -> None:
    assert isinstance(typed("backup", tmp_path, tmp_path / "b").exception, UsageError)


# --- Restore -------------------------------------------------------------------------------------


@pytest.fixture
def kept(data: Path, tmp_path: Path) -> Path:
    file = tmp_path / "monday.backup"
    done(typed("backup", data, file, "--json"))
    return file


def test_restored_into_an_empty_folder_it_goes_on_as_another_log(
    data: Path, kept: Path, tmp_path: Path
) -> None:
    new = tmp_path / "new"
    view = done(typed("restore", new, kept, "--json"))
    assert sorted(path.name for path in new.iterdir()) == ["events.db", "lock"]
    checked = log_check.check(new / "events.db")
    assert (view["log_id"], view["former_log"]) == (checked.log_id, log_check.log_id(kept))
    assert view["log_id"] != view["former_log"]
    assert view["apps"] == ["shop@prod"]
    assert nodes(new) == ["a", "b", "c"]
    kinds = [record.kind for record in read_log(new / "events.db", 3, 10)]
    assert kinds == ["Restored", "Restored"]
    log_check.check(new / "events.db", str(view["head"]), 3)


def test_a_folder_that_was_only_prepared_counts_as_empty(kept: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    done(typed("init", new, "--json"))
    done(typed("restore", new, kept, "--json"))
    assert nodes(new) == ["a", "b", "c"]


def test_a_log_that_is_there_is_kept_aside_or_stays(data: Path, kept: Path) -> None:
    log = EventLog(data / "events.db")
    list(log.load())
    append(log, "tuesday")
    log.close()
    before = (data / "events.db").read_bytes()
    refused = typed("restore", data, kept)
    assert isinstance(refused.exception, Refused)
    assert (data / "events.db").read_bytes() == before
    view = done(typed("restore", data, kept, "--replace", "--json"))
    aside = Path(str(view["replaced"]))
    assert read_log(aside, 3, 1)[0].event.place.node == "tuesday"
    assert log_check.check(aside).events == 4
    assert nodes(data) == ["a", "b", "c"]
    assert log_check.check(data / "events.db").events == 5


def test_what_a_damaged_log_leaves_is_not_taken_for_the_new_one_s(data: Path, kept: Path) -> None:
    """A journal beside the file belongs to what was there before."""
    (data / "events.db").write_bytes(b"not a database any more" * 100)
    (data / "events.db-wal").write_bytes(b"whatever is in here")
    view = done(typed("restore", data, kept, "--replace", "--json"))
    assert log_check.check(data / "events.db").events == 5
    aside = Path(str(view["replaced"]))
    assert Path(f"{aside}-wal").read_bytes() == b"whatever is in here"


def test_while_a_controller_runs_nothing_is_restored(data: Path, kept: Path) -> None:
    from tidegate_controller import data_folder

    with data_folder.held(data):
        refused = typed("restore", data, kept, "--replace")
    assert isinstance(refused.exception, Refused)
    assert "another controller works on" in refused.exception.message


@pytest.mark.parametrize(
    ("sql", "kind"),
    [("UPDATE events SET at = 'x' WHERE seq = 2", LogError), ("DROP TABLE meta", LogError)],
)
def test_a_damaged_backup_changes_nothing(
    data: Path, kept: Path, sql: str, kind: type[TidegateError]
) -> None:
    with sqlite3.connect(kept) as database:
        database.execute(sql)
    before = (data / "events.db").read_bytes()
    failure = typed("restore", data, kept, "--replace").exception
    assert isinstance(failure, kind)
    assert f"tidegate log verify --file FILE; this one is not: {kept}" in failure.hint
    assert "restoring.db" not in failure.message
    assert (data / "events.db").read_bytes() == before
    assert not (data / "replaced").exists()
    assert not list(data.glob("restoring*"))


def test_a_file_that_is_no_backup_is_said(data: Path, tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"a letter to a friend" * 1000)
    refused = typed("restore", tmp_path / "new", tmp_path / "b")
    assert isinstance(refused.exception, Refused)
    assert "is no backup, or was damaged" in refused.exception.message


def test_of_a_restore_that_failed_nothing_is_left(data: Path, tmp_path: Path) -> None:
    """Also no artifact that came before what is wrong."""
    with tarfile.open(tmp_path / "b.tar", "w") as archive:
        archive.add(data / "artifacts" / NAME, f"artifacts/{NAME}")
        archive.add(data / "events.db", "something")
    before = sorted(tmp_path.rglob("*"))
    assert isinstance(typed("restore", tmp_path / "a" / "b", tmp_path / "b.tar").exception, Refused)
    assert sorted(tmp_path.rglob("*")) == before


def test_of_a_restore_that_failed_only_what_it_has_made_is_removed(
    data: Path, tmp_path: Path
) -> None:
    with tarfile.open(tmp_path / "b.tar", "w") as archive:
        archive.add(data / "artifacts" / NAME, f"artifacts/{NAME}")
    own = tmp_path / "own"
    (own / "artifacts").mkdir(parents=True)
    (own / "artifacts" / "another").touch()
    (own / "lock").touch()
    before = sorted(own.rglob("*"))
    assert isinstance(typed("restore", own, tmp_path / "b.tar").exception, Refused)
    assert sorted(own.rglob("*")) == before


def test_where_the_log_has_its_place_already_a_failure_removes_nothing(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(folder: Path) -> None:
        raise OSError(5, f"Input/output error: {folder}")

    done(typed("backup", data, tmp_path / "all.tar", "--artifacts", "--json"))
    monkeypatch.setattr(restoring, "sync_folder", no_room)
    failed = typed("restore", tmp_path / "new", tmp_path / "all.tar")
    assert isinstance(failed.exception, TidegateError)
    assert nodes(tmp_path / "new") == ["a", "b", "c"]
    assert (tmp_path / "new" / "artifacts" / NAME).read_bytes() == CONTENT


def test_artifacts_come_back_with_it(data: Path, tmp_path: Path) -> None:
    done(typed("backup", data, tmp_path / "all.tar", "--artifacts", "--json"))
    new = tmp_path / "new"
    assert done(typed("restore", new, tmp_path / "all.tar", "--json"))["artifacts"] == 1
    assert (new / "artifacts" / NAME).read_bytes() == CONTENT
    found = sorted(path.name for path in (new / "artifacts").iterdir())
    assert found == [NAME, f"{NAME}.json"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (f"artifacts/{NAME}", b"something else"),
        (f"artifacts/../{NAME}", CONTENT),
        ("artifacts/../../evil", CONTENT),
        ("/etc/evil", CONTENT),
        ("lock", b""),
    ],
)
def test_what_does_not_belong_into_a_backup_is_not_taken(
    data: Path, kept: Path, tmp_path: Path, name: str, content: bytes
) -> None:
    import io

    with tarfile.open(tmp_path / "b.tar", "w") as archive:
        archive.add(kept, "events.db")
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    refused = typed("restore", tmp_path / "new", tmp_path / "b.tar")
    assert isinstance(refused.exception, Refused)
    assert "is no backup" in refused.exception.message
    assert not (tmp_path / "new" / "events.db").exists()
    assert not list(tmp_path.rglob("evil"))
