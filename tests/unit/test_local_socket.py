"""Which local socket the command line trusts: nobody can pretend to be the controller."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidegate_controller.cli import target
from tidegate_controller.cli.client import Client
from tidegate_controller.errors import UsageError


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A socket of this user's, in a folder of this user's."""
    path = tmp_path / "run" / "controller.sock"
    path.parent.mkdir()
    monkeypatch.setenv("TIDEGATE_SOCKET", str(path))
    monkeypatch.delenv("TIDEGATE_CONTROLLER", raising=False)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        yield path


def found_at() -> str:
    with Client(None) as found:
        return found.target


def test_a_socket_of_ones_own_is_trusted(path: Path) -> None:
    assert found_at() == f"unix:{path}"


def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Socket and folder belong to somebody who is neither root nor whoever asks."""
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
        os.chown(path.parent, 12345, -1)
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)


def test_a_socket_of_another_user_is_not(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give_away(path, monkeypatch)
    with pytest.raises(UsageError, match="belongs to another user"):
        found_at()


def test_in_the_folder_that_only_root_can_make_its_owner_is_trusted(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where systemd has made it for the user of the controller, and root asks."""
    give_away(path, monkeypatch)
    monkeypatch.setattr(target, "RUN", path.parent)
    assert found_at() == f"unix:{path}"
