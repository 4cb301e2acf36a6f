"""`tidegate log verify` says what is wrong with a log, and which event it is."""

import json
import os
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tidegate_controller.cli.commands import tidegate
from tidegate_controller.core import events as ev
from tidegate_controller.core.inputs import Tick
from tidegate_controller.errors import UsageError
from tidegate_controller.log import Batch, EventLog, LogError, read_log


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A controller's folder, with five events in its log."""
    log = EventLog(tmp_path / "events.db")
    for number, stream in enumerate(("shop@prod", "blog@prod", "shop@prod", "fleet", "shop@prod")):
        event: ev.Event = ev.NodeLeft(node=f"n{number}")
        if stream == "fleet":
            event = ev.NodeRemoved(node="n9", removed_by="ada")
        at = f"2026-11-25T12:00:0{number}Z"
        log.append([Batch(stream, log.version(stream), at, 1.0, (event,), Tick())])
    log.close()
    return tmp_path


def typed(data: Path, *words: str) -> Result:
    line = ["log", "verify", "--settings", os.devnull, "--data", str(data), *words]
    return CliRunner().invoke(tidegate, line)


def change(data: Path, *statements: str) -> None:
    with sqlite3.connect(data / "events.db") as database:
        for sql in statements:
            database.execute(sql)


def hash_of(data: Path, seq: int) -> str:
    return read_log(data / "events.db", 0, 10)[seq - 1].hash


def test_a_log_in_which_all_holds_is_told_with_its_last_hash(data: Path) -> None:
    done = typed(data)
    assert done.exit_code == 0
    assert "5 events in 3 streams" in done.output
    assert f"event 5 is the last, with the hash {hash_of(data, 5)}" in done.output
    view = json.loads(typed(data, "--json").output)
    assert (view["events"], view["seq"], view["head"]) == (5, 5, hash_of(data, 5))
    assert (view["first_at"], view["last_at"]) == ("2026-11-25T12:00:00Z", "2026-11-25T12:00:04Z")


def test_nothing_is_written_and_a_controller_may_run(data: Path) -> None:
    log = EventLog(data / "events.db")
    list(log.load())
    log.append([Batch("blog@prod", 1, "now", 1.0, (ev.NodeLeft(node="n"),), None)])
    before = {path.name: path.read_bytes() for path in data.iterdir() if "shm" not in path.name}
    assert json.loads(typed(data, "--json").output)["events"] == 6
    after = {path.name: path.read_bytes() for path in data.iterdir() if "shm" not in path.name}
    assert after == before
    log.append([Batch("blog@prod", 2, "now", 1.0, (ev.NodeLeft(node="n"),), None)])
    log.close()


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE events SET data = '{}' WHERE seq = 3", r"event 3 \(NodeLeft of shop@prod\) was"),
        ("UPDATE events SET cause = NULL WHERE seq = 3", r"event 3 .* its hash does not fit"),
        ("DELETE FROM events WHERE seq = 2", "event 3 .* its hash does not fit"),
        ("UPDATE meta SET value = '9' WHERE key = 'schema_version'", "schema version 9"),
        ("DROP TABLE events", "is damaged: no such table"),
    ],
)
def test_what_was_changed_is_named(data: Path, statement: str, said: str) -> None:
    change(data, statement)
    done = typed(data)
    assert isinstance(done.exception, LogError)
    assert done.exception.exit_code == 1
    with pytest.raises(LogError, match=said):
        raise done.exception


def appended(data: Path, *rows: tuple[str, int, bytes, bytes | None]) -> None:
    """Rows whose hashes fit, as only somebody who knows how could write them."""
    from tidegate_controller import log as module

    path = data / "events.db"
    last = read_log(path, 0, 100)[-1]
    with sqlite3.connect(path) as database:
        for stream, version, event, cause in rows:
            record = module.Record(
                last.seq + 1, stream, version, "now", 1.0, "NodeLeft", event, cause, ""
            )
            last = record._replace(hash=module._hash(last.hash, record))
            sql = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
            database.execute(sql, module._to_row(last))


LEFT = b'{"type":"NodeLeft","node":"n"}'


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (("shop@prod", 5, LEFT, None), "event 6 is version 5 of shop@prod, after version 3"),
        (("shop@prod", 4, b'{"type":"Teleported"}', None), "event 6 .* cannot be read"),
        (("shop@prod", 4, LEFT, b'{"type":"Wish"}'), "the cause of event 6 .* cannot be read"),
    ],
)
def test_what_no_controller_writes_is_named(
    data: Path, row: tuple[str, int, bytes, bytes | None], said: str
) -> None:
    appended(data, row)
    done = typed(data)
    assert isinstance(done.exception, LogError)
    with pytest.raises(LogError, match=said):
        raise done.exception


def test_a_hash_that_was_noted_is_found_again(data: Path) -> None:
    somewhere = typed(data, "--head", hash_of(data, 3))
    there = typed(data, "--head", hash_of(data, 3), "--seq", "3")
    assert (somewhere.exit_code, there.exit_code) == (0, 0)
    told = " has the hash that was given: up to there nothing was changed or cut off"
    assert f"  one of them{told}\n" in somewhere.output
    assert f"  event 3{told}\n" in there.output
    assert told not in typed(data).output


def test_a_log_that_was_cut_off_lacks_the_hash_that_was_noted(data: Path) -> None:
    noted = hash_of(data, 5)
    change(data, "DELETE FROM events WHERE seq = 5")
    assert typed(data).exit_code == 0  # nobody could tell, without the hash
    done = typed(data, "--head", noted)
    assert isinstance(done.exception, LogError)
    assert "its last is event 4: it was cut off" in done.exception.message


def test_a_log_that_was_written_anew_has_another_hash_there(data: Path) -> None:
    done = typed(data, "--head", "0" * 64, "--seq", "3")
    assert isinstance(done.exception, LogError)
    assert done.exception.message.startswith(f"event 3 has the hash {hash_of(data, 3)}")


@pytest.mark.parametrize("words", [("--head", "short"), ("--seq", "3")])
def test_what_cannot_be_meant_is_refused(data: Path, words: tuple[str, ...]) -> None:
    refused = typed(data, *words).exception
    assert isinstance(refused, UsageError)
    assert "--head HASH --seq N" in refused.hint


def test_without_a_folder_its_own_help_is_what_says_more() -> None:
    refused = CliRunner().invoke(tidegate, ["log", "verify", "--settings", os.devnull]).exception
    assert isinstance(refused, UsageError)
    assert "tidegate log verify --help" in refused.hint


def test_a_folder_without_a_log_is_said(tmp_path: Path) -> None:
    assert isinstance(typed(tmp_path).exception, UsageError)
