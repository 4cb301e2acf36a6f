"""Artifacts on their way to the controller: refused for want of room, broken off, watched."""

import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest
from servers import SMALL_DISK, needs_namespaces

from tidegate_controller.cli.client import Client
from tidegate_controller.demo.local_fleet import CONTROLLER, LocalFleet

TIDEGATE = str(Path(sys.executable).with_name("tidegate"))


@contextmanager
def controller(folder: Path, *before: str) -> Iterator[LocalFleet]:
    """One that answers; no agents. `before`: in front of its command."""
    fleet = LocalFleet(folder, 0)
    (folder / "controller").mkdir(mode=0o700, exist_ok=True)
    try:
        fleet.start_controller((*before, *CONTROLLER))
        fleet.wait_connected()
        yield fleet
    finally:
        fleet.stop()


def artifact(folder: Path, size_bytes: int) -> Path:
    path = folder / "shop.tar"
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("zeros")
        member.size = size_bytes
        archive.addfile(member, BytesIO(bytes(size_bytes)))
    return path


def push(fleet: LocalFleet, path: Path, **more: object) -> subprocess.Popen[str]:
    words = [TIDEGATE, "release", "push", "--artifact", str(path), "--controller", fleet.address]
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    return subprocess.Popen(words, cwd=fleet.folder, text=True, **given)  # type: ignore[call-overload,no-any-return]


def until(holds: Callable[[], bool], what: str) -> None:
    give_up = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < give_up, f"waited for {what}, in vain"
        time.sleep(0.01)


def stored(fleet: LocalFleet) -> set[str]:
    """Names in the store, without the digests of artifacts."""
    folder = fleet.folder / "controller" / "artifacts"
    return {entry.name if entry.suffix == ".part" else entry.suffix for entry in folder.iterdir()}


@needs_namespaces
def test_what_would_fill_the_controllers_disk_is_refused_at_the_door(tmp_path: Path) -> None:
    disk = tmp_path / "controller"
    with controller(tmp_path, *SMALL_DISK, str(disk), "300m") as fleet:
        refused = push(fleet, artifact(tmp_path, 60 << 20))
        out, err = refused.communicate(timeout=30)
        assert (refused.returncode, out) == (4, "")
        assert "error: the controller's disk has no room for the artifact: " in err
        assert "are needed and 268,435,456 stay free" in err
        assert "  next: make room on that disk" in err
        inside = Path(f"/proc/{fleet.processes['controller'].pid}/root{disk}/artifacts")
        assert list(inside.iterdir()) == []
        fits = push(fleet, artifact(tmp_path, 10 << 20))
        out, err = fits.communicate(timeout=30)
        assert fits.returncode == 0, err
        assert len(list(inside.iterdir())) == 2


def test_an_upload_that_is_broken_off_leaves_nothing(tmp_path: Path) -> None:
    path = artifact(tmp_path, 300 << 20)
    with controller(tmp_path) as fleet:
        client = push(fleet, path)
        until(lambda: bool(stored(fleet)), "the upload to begin")
        client.kill()
        client.communicate()
        until(lambda: stored(fleet) == set(), "the store to be clean")


def test_what_a_controller_has_left_that_was_killed_is_removed(tmp_path: Path) -> None:
    path = artifact(tmp_path, 300 << 20)
    with controller(tmp_path) as fleet:
        client = push(fleet, path)
        until(lambda: bool(stored(fleet)), "the upload to begin")
        fleet.kill("controller")
        _, err = client.communicate(timeout=30)
        assert client.returncode == 3, err
        assert len(stored(fleet)) == 1
        fleet.start_controller()
        fleet.wait_connected()
        assert stored(fleet) == set()


def test_several_who_bring_the_same_at_once_are_all_content(tmp_path: Path) -> None:
    path = artifact(tmp_path, 20 << 20)
    with controller(tmp_path) as fleet:
        clients = [push(fleet, path) for _ in range(6)]
        answers = [client.communicate(timeout=60) for client in clients]
        assert [client.returncode for client in clients] == [0] * 6, answers
        said = {out for out, _ in answers}
        assert len(said) == 1
        assert stored(fleet) == {"", ".json"}
        with Client(fleet.address) as client:
            (listed,) = client.releases("").releases
        assert f"{listed.digest}\n" in said
        assert listed.size_bytes == path.stat().st_size


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_large_upload_is_watched_on_a_terminal_and_a_line_elsewhere(
    tmp_path: Path, is_terminal: bool
) -> None:
    path = artifact(tmp_path, 120 << 20)
    with controller(tmp_path) as fleet:
        ours, theirs = os.openpty() if is_terminal else os.pipe()
        client = push(fleet, path, stderr=theirs, env={**os.environ, "TERM": "xterm"})
        os.close(theirs)
        said = b""
        try:
            while piece := os.read(ours, 65536):
                said += piece
        except OSError:
            assert is_terminal  # which is how the end of one shows itself
        os.close(ours)
        assert client.wait(30) == 0
    lines = said.decode()
    assert f"uploading shop.tar, {path.stat().st_size:,} bytes" in lines
    assert ("MB/s" in lines or "━" in lines) == is_terminal
    assert ("\x1b" in lines) == is_terminal
