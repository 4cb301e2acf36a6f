"""`tidegate controller init`: a folder is made ready once; nothing of anybody else is touched."""

import json
import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tidegate_controller import data_folder
from tidegate_controller.cli.commands import tidegate
from tidegate_controller.core import events as ev
from tidegate_controller.errors import Refused, TidegateError, UsageError
from tidegate_controller.log import Batch, EventLog


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def typed(data: Path, *words: str) -> Result:
    command = ["controller", "init", "--settings", os.devnull, "--data", str(data), *words]
    return CliRunner().invoke(tidegate, command)


def test_a_folder_is_made_with_a_log_and_closed_to_others(tmp_path: Path) -> None:
    data = tmp_path / "deep" / "controller"
    found = data_folder.prepare(data, None)
    assert (found.is_new, found.events) == (True, 0)
    assert sorted(path.name for path in data.iterdir()) == ["artifacts", "events.db", "lock"]
    assert (mode(data), mode(data / "events.db")) == (0o700, 0o600)
    log = EventLog(data / "events.db")
    assert log.log_id == found.log_id
    log.close()


def test_typed_again_it_changes_nothing_but_who_may_look(tmp_path: Path) -> None:
    first = data_folder.prepare(tmp_path / "data", None)
    log = EventLog(tmp_path / "data" / "events.db")
    log.append([Batch("a@x", 0, "", 1.0, (ev.NodeLeft(node="a"),), None)])
    log.close()
    (tmp_path / "data" / "artifacts" / "a").write_text("kept")
    (tmp_path / "data").chmod(0o755)
    again = data_folder.prepare(tmp_path / "data", None)
    assert (again.is_new, again.log_id, again.events) == (False, first.log_id, 1)
    assert (tmp_path / "data" / "artifacts" / "a").read_text() == "kept"
    assert mode(tmp_path / "data") == 0o700


def test_what_a_killed_restore_has_left_is_the_folder_s_own_and_is_removed(tmp_path: Path) -> None:
    for end in ("", "-wal", "-shm", "-journal"):
        (tmp_path / f"restoring.db{end}").touch()
    assert data_folder.prepare(tmp_path, None).is_new
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["artifacts", "events.db", "lock"]


def test_what_a_restore_makes_is_left_to_it_while_it_runs(tmp_path: Path) -> None:
    with data_folder.held(tmp_path):
        (tmp_path / "restoring.db").touch()
        with pytest.raises(Refused, match="another controller works on"):
            data_folder.prepare(tmp_path, None)
        assert (tmp_path / "restoring.db").exists()


def test_a_folder_with_other_things_in_it_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    for name in ("b.txt", "a", ".hidden", "events.db"):
        (tmp_path / name).touch()
    tmp_path.chmod(0o755)
    with pytest.raises(Refused, match=r"has other things in it: \.hidden, a, b\.txt$"):
        data_folder.prepare(tmp_path, None)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [".hidden", "a", "b.txt", "events.db"]
    assert mode(tmp_path) == 0o755
    for number in range(10):
        (tmp_path / f"c{number}").touch()
    with pytest.raises(Refused, match="…"):
        data_folder.prepare(tmp_path, None)


def test_a_folder_that_a_controller_works_on_is_left_to_it(tmp_path: Path) -> None:
    with (
        data_folder.held(tmp_path / "data"),
        pytest.raises(Refused, match="another controller works on"),
    ):
        data_folder.prepare(tmp_path / "data", None)


def test_a_folder_that_is_held_is_closed_unless_it_is_not_the_controllers_alone(
    tmp_path: Path,
) -> None:
    for name, expected in (("events.db", 0o700), ("somebody-elses", 0o755)):
        tmp_path.chmod(0o755)
        (tmp_path / name).touch()
        with data_folder.held(tmp_path):
            assert mode(tmp_path) == expected


def test_what_is_no_folder_or_cannot_be_one_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TidegateError, match="cannot use .*: Not a directory"):
        data_folder.prepare(tmp_path / "file" / "data", None)
    with pytest.raises(TidegateError, match="cannot use /proc"):
        data_folder.prepare(Path("/proc/tidegate"), None)


def test_a_log_that_is_none_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "events.db").write_bytes(b"not a database, but long enough to be one" * 100)
    with pytest.raises(TidegateError, match="cannot open the event log"):
        data_folder.prepare(tmp_path, None)
    assert (tmp_path / "events.db").read_bytes().startswith(b"not a database")


def test_it_can_be_for_another_user_where_root_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[Path, int]] = []
    monkeypatch.setattr(os, "chown", lambda path, uid, _gid: given.append((path, uid)))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    data_folder.prepare(tmp_path / "data", "nobody")
    assert {path.name for path, _ in given} >= {"data", "events.db", "artifacts", "lock"}
    assert {uid for _, uid in given} == {65534}
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UsageError, match="only root can give a folder to nobody"):
        data_folder.prepare(tmp_path / "other", "nobody")
    with pytest.raises(UsageError, match="there is no user 'nobody-at-all'"):
        data_folder.prepare(tmp_path / "other", "nobody-at-all")
    assert not (tmp_path / "other").exists()


def test_it_says_what_to_type_next(tmp_path: Path) -> None:
    data = tmp_path / "data"
    answer = typed(data, "--listen", "127.0.0.1:9000", "--http", "127.0.0.1:9001")
    assert answer.exit_code == 0, answer
    assert answer.output.startswith(f"{data} is ready: log ")
    run = f"tidegate controller run --data {data} --listen 127.0.0.1:9000 --http 127.0.0.1:9001"
    assert f"  next: start it: {run}; or leave that to systemd: " in answer.output
    assert "--controller 127.0.0.1:9000 --label role=web" in answer.output
    assert f"tidegate doctor --data {data}" in answer.output
    assert f"{data} was ready before, with 0 events: log " in typed(data).output
    document = json.loads(typed(data, "--json").output)
    assert (document["is_new"], len(document["next"])) == (False, 3)


def test_an_address_that_will_not_do_is_said_before_anything_is_made(tmp_path: Path) -> None:
    answer = typed(tmp_path / "data", "--listen", "0.0.0.0:7420")
    assert isinstance(answer.exception, UsageError)
    assert not (tmp_path / "data").exists()
