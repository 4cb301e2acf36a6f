"""What both doctors look at and how they say it, on a real file system."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidegate_protos import findings
from tidegate_protos.findings import Finding

FOUND = [
    Finding("ok", "all is well"),
    Finding("ok", "it could be better", "type this"),
    Finding("warn", "it is tight", "make room"),
    Finding("fail", "it is broken", "mend it"),
]


def test_each_line_says_how_it_is_what_it_is_and_what_to_do() -> None:
    assert findings.as_text(FOUND) == (
        "ok    all is well\n"
        "ok    it could be better\n"
        "      next: type this\n"
        "warn  it is tight\n"
        "      next: make room\n"
        "fail  it is broken\n"
        "      mend: mend it\n"
        "\n"
        "1 to mend, 1 to look at"
    )
    assert findings.as_text(FOUND[:2]).endswith("\n\nnothing to mend")
    document = json.loads(findings.as_json(FOUND))
    assert document["fails"] == 1
    assert document["findings"][2] == {"level": "warn", "what": "it is tight", "mend": "make room"}


def test_only_what_fails_makes_the_exit_code() -> None:
    assert (findings.exit_code(FOUND), findings.exit_code(FOUND[:3])) == (1, 0)


def levels(found: Iterator[Finding]) -> list[str]:
    return [finding.level for finding in found]


def test_a_folder_is_looked_at_and_not_touched(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (missing,) = findings.folder(data, mend="make one", is_private=True)
    assert (missing.level, missing.mend) == ("fail", "make one")
    assert not data.exists()
    data.mkdir(mode=0o700)
    assert levels(findings.folder(data, mend="", is_private=True)) == ["ok"]
    data.chmod(0o755)
    (open_one,) = findings.folder(data, mend="", is_private=True)
    assert (open_one.level, open_one.mend) == ("warn", f"chmod go-rwx {data}")
    assert levels(findings.folder(data, mend="", is_private=False)) == ["ok"]


def test_a_folder_of_somebody_else_is_no_folder_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = findings.user_name(tmp_path.stat().st_uid)
    monkeypatch.setattr(os, "geteuid", lambda: 65_533)
    (found,) = findings.folder(tmp_path, mend="", is_private=False)
    assert found.level == "fail"
    assert found.what == f"{tmp_path} belongs to {owner}, and this is uid 65533"
    assert f"sudo -u {owner}" in found.mend


def test_a_disk_with_little_room_is_said_and_a_full_one_fails(tmp_path: Path) -> None:
    free = 1 << 60
    assert findings.room(tmp_path, 0, 0).level == "ok"
    assert findings.room(tmp_path, 0, free).level == "warn"
    tight = findings.room(tmp_path, free, free)
    assert tight.level == "fail"
    assert tight.what.startswith("only ")
    assert str(tmp_path) in tight.mend


def test_a_clock_behind_what_was_written_here_was_set_back(tmp_path: Path) -> None:
    assert "warn" not in {
        each.level for each in findings.clock(tmp_path) if "set back" in each.what
    }
    year = 365 * 86400
    (tmp_path / "file").touch()
    os.utime(tmp_path / "file", (time.time() + year, time.time() + year))
    first = next(findings.clock(tmp_path))
    assert first.level == "warn"
    assert first.what.startswith("the clock was set back: files in ")
    assert "8760.0 hours ahead" in first.what


def test_who_holds_a_lock_is_known_without_trying_it(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    assert findings.lock_holder(lock) is None
    with lock.open("a") as file:
        assert findings.lock_holder(lock) is None
        fcntl.flock(file, fcntl.LOCK_EX)
        assert findings.lock_holder(lock) == os.getpid()
    assert findings.lock_holder(lock) is None


def test_a_command_that_is_missing_fails_or_hangs_says_nothing() -> None:
    assert findings.run(["/nowhere/at/all"], 5.0) is None
    assert findings.run(["false"], 5.0) is None
    assert findings.run(["sleep", "60"], 0.05) is None
    assert findings.run(["echo", "yes"], 5.0) == "yes\n"
