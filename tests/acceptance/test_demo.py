"""`tidegate demo` as it is typed: what it prints, and that nothing is left of it."""

import json
import re
import shutil
import signal
from pathlib import Path

import pytest
import shapes
from desk import TIDEGATE, Desk, read_until, rest_of
from shapes import misfits

from tidegate_controller.demo import local_fleet


def folder_in(place: Path) -> Path:
    """The one folder that the demo has made."""
    (found,) = place.glob("tidegate-demo-*")
    return found


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """Where the demo makes its folder."""
    room = tmp_path / "tmp"
    room.mkdir()
    return room


def test_with_json_and_keep_it_shows_all_and_runs_on_until_it_is_stopped(
    tmp_path: Path, room: Path
) -> None:
    desk = Desk(tmp_path)
    demo = desk.start(TIDEGATE, "demo", "--nodes", "2", "--json", "--keep", TMPDIR=str(room))
    answer = rest_of(demo)
    folder = folder_in(room)
    try:
        assert answer.code == 0, answer
        runs_on, next_step = answer.err.splitlines()
        assert runs_on == f"everything runs on, in {folder}"
        look, _, end = next_step.partition("; ")
        assert end.endswith(f"tidegate demo --stop {folder}")
        assert shutil.which(end.split()[0]), "it is typed as this one was"
        (address,) = re.fullmatch(r"  next: \S*tidegate --controller (\S+) status", look).groups()
        assert answer.out.count("\n") == 1
        shown = json.loads(answer.out)
        assert misfits(shown, shapes.DEMO) == []
        assert [(each["version"], each["kind"], each["state"]) for each in shown["releases"]] == [
            ("1", "deploy", "succeeded"),
            ("2", "deploy", "succeeded"),
            ("3", "deploy", "rolled_back"),
            ("4", "deploy", "rolled_back"),
            ("1", "rollback", "succeeded"),
            ("2", "rollback", "succeeded"),
        ]
        assert shown["requests"]["failed"] == 0
        assert shown["requests"]["served"] > 0
        (app,) = desk.type("--controller", address, "status", "--json").json["apps"]
        assert (app["app"], app["version"], len(app["nodes"])) == ("hello", "2", 2)
        stopped = desk.type("demo", "--stop", str(folder), "--json")
        assert (stopped.code, stopped.err) == (0, "")
        assert stopped.json["removed"] is True
        assert stopped.json["stopped"] >= len(["controller", "caddy", "web-1", "web-2"]) + 2
    finally:
        left = local_fleet.stop(folder)
    assert left == 0, "something ran on"
    assert list(room.iterdir()) == []
    again = desk.type("demo", "--stop", str(folder))
    assert (again.code, again.out) == (2, "")
    assert "does not exist" in again.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ended_in_the_middle_it_leaves_no_process_and_no_folder(
    tmp_path: Path, room: Path, number: int
) -> None:
    demo = Desk(tmp_path).start(TIDEGATE, "demo", "--nodes", "1", TMPDIR=str(room))
    said = read_until(demo.stdout, "  Migrate done")
    folder = folder_in(room)
    demo.send_signal(number)
    answer = rest_of(demo, said)
    assert answer.code == 128 + number
    assert answer.err.split() == (["stopping", "everything"] if number == signal.SIGINT else [])
    assert local_fleet.stop(folder) == 0, "something ran on"
    assert list(room.iterdir()) == []


def test_a_folder_that_no_demo_has_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "work").touch()
    answer = Desk(tmp_path).type("demo", "--stop", str(tmp_path / "mine"))
    assert (answer.code, answer.out) == (2, "")
    assert "`tidegate demo` did not make " in answer.err
    assert (tmp_path / "mine" / "work").exists()
