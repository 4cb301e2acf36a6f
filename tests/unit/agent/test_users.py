"""Whom an app may run as, and what is said where it may not."""

import os
import pwd
from pathlib import Path

import pytest

from tidegate_agent import users
from tidegate_agent.errors import NodeError

NOBODY = pwd.getpwnam("nobody")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")


@pytest.mark.parametrize("name", ["", users.own_name()])
def test_no_user_and_the_agents_own_are_the_same(name: str) -> None:
    assert users.find(name) is None


@as_root
def test_another_user_comes_with_all_its_groups() -> None:
    user = users.find("nobody")
    assert user is not None
    assert (user.uid, user.gid, user.home) == (NOBODY.pw_uid, NOBODY.pw_gid, NOBODY.pw_dir)
    assert set(user.groups) == set(os.getgrouplist("nobody", NOBODY.pw_gid))


@pytest.mark.parametrize("name", ["no-such-user", "a\0b", "x" * 1000])
def test_a_user_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(NodeError, match="^there is no user ") as raised:
        users.find(name)
    assert len(str(raised.value)) < 400


def test_only_root_becomes_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(NodeError, match="it runs as 12345 itself, and only root may become"):
        users.find("nobody")


def test_root_that_was_deprived_of_its_powers_is_found_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\tagent\nCapEff:\t000001ffffffff7f\n")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(users, "_STATUS", status)
    with pytest.raises(NodeError, match="it is root without CAP_SETUID$"):
        users.find("nobody")


def test_a_way_that_is_closed_is_named_with_what_to_type(open_folder: Path) -> None:
    user = users.find("nobody")
    assert user is not None
    folder = open_folder / "a" / "b"
    folder.mkdir(parents=True)
    folder.parent.chmod(0o700)
    with pytest.raises(
        NodeError, match=rf"cannot enter {folder.parent}, .*chmod o\+x {folder.parent}"
    ):
        users.check_way(folder, user)
    users.open_way(folder, open_folder)
    users.check_way(folder, user)
    assert folder.parent.stat().st_mode & 0o777 == 0o711
