"""What is left of a demo: nothing, or what was asked for, or what shows why it went wrong."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tidegate_controller.demo import temporary
from tidegate_controller.demo.local_fleet import MARK, LocalFleet
from tidegate_controller.demo.temporary import temporary_fleet
from tidegate_controller.errors import TidegateError, UsageError

# When it is to end, it first presses Ctrl-C for whoever ends it.
UNRULY = """
import os, signal, sys
def end(*_):
    os.kill(os.getppid(), signal.SIGINT)
    sys.exit()
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
signal.pause()
"""


@pytest.fixture(autouse=True)
def _own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def start_part(fleet: LocalFleet) -> subprocess.Popen[bytes]:
    """A process that belongs to the fleet."""
    part = subprocess.Popen(
        [sys.executable, "-c", UNRULY],
        env={**os.environ, MARK: str(fleet.folder)},
        stdout=subprocess.PIPE,
    )
    assert part.stdout is not None
    assert part.stdout.readline() == b"ready\n"
    part.stdout.close()
    fleet.processes["unruly"] = part
    return part


class Demo:
    """A demo of one part that ends with this error, or well."""

    def __init__(self, keep: bool, error: BaseException | None = None) -> None:
        try:
            with temporary_fleet(1, keep=keep) as fleet:
                self.folder = fleet.folder
                self.part = start_part(fleet)
                if error is not None:
                    raise error
        except BaseException as raised:
            if raised is not error:
                raise


def test_a_demo_that_went_well_leaves_nothing(tmp_path: Path) -> None:
    demo = Demo(keep=False)
    assert tmp_path in demo.folder.parents
    assert demo.part.poll() is not None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("keep", [True, False])
def test_nor_does_one_that_was_interrupted(
    tmp_path: Path, ending: type[BaseException], keep: bool
) -> None:
    demo = Demo(keep, ending())
    assert demo.part.poll() is not None
    assert list(tmp_path.iterdir()) == []


def test_one_that_went_wrong_leaves_its_folder_and_says_where(tmp_path: Path) -> None:
    error = TidegateError("no agent came", "look")
    demo = Demo(keep=False, error=error)
    assert demo.part.poll() is not None
    assert list(tmp_path.iterdir()) == [demo.folder]
    assert error.hint.startswith(f"look; what each part has said is in {demo.folder}/*.log")


def test_so_does_one_that_ran_into_a_bug(tmp_path: Path) -> None:
    bug = ZeroDivisionError()
    demo = Demo(keep=True, error=bug)
    assert demo.part.poll() is not None
    assert list(tmp_path.iterdir()) == [demo.folder]
    assert str(demo.folder) in bug.__notes__[0]


def test_what_is_kept_is_ended_and_removed_later(tmp_path: Path) -> None:
    with temporary_fleet(1, keep=True) as fleet:
        part = start_part(fleet)
    assert part.poll() is None
    assert list(tmp_path.iterdir()) == [fleet.folder]
    assert temporary.stop(fleet.folder) == 1
    assert part.wait() is not None
    assert list(tmp_path.iterdir()) == []


def test_in_a_folder_of_somebody_else_nothing_is_ended(tmp_path: Path) -> None:
    fleet = LocalFleet(tmp_path, 1)
    part = start_part(fleet)
    (tmp_path / "mine").touch()
    with pytest.raises(UsageError, match="did not make"):
        temporary.stop(tmp_path)
    assert part.poll() is None
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    part.kill()
    part.wait()
