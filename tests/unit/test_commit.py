"""Which commit something was deployed from, for the history."""

import subprocess
from pathlib import Path

import pytest

from tidegate_controller.cli.commit import commit_of, short


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=ann", "-c", "user.email=ann@laptop")
    command = ["git", *who, *words]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    (tmp_path / "app").write_text("1")
    git(tmp_path, "add", "app")
    git(tmp_path, "commit", "-q", "-m", "the first")
    git(tmp_path, "tag", "v1")
    return tmp_path


def test_a_clean_folder_is_its_commit_whatever_it_is_tagged(repository: Path) -> None:
    assert commit_of(repository) == git(repository, "rev-parse", "HEAD")


def test_one_with_changes_says_so_and_new_files_are_none(repository: Path) -> None:
    (repository / "notes").write_text("new")
    assert not commit_of(repository).endswith("-dirty")
    (repository / "app").write_text("2")
    assert commit_of(repository) == git(repository, "rev-parse", "HEAD") + "-dirty"


def test_a_folder_within_is_of_the_same_commit(repository: Path) -> None:
    (repository / "deploy").mkdir()
    assert commit_of(repository / "deploy") == commit_of(repository)


def test_where_nothing_was_committed_there_is_none(tmp_path: Path) -> None:
    assert commit_of(tmp_path) == ""
    git(tmp_path, "init", "-q")
    assert commit_of(tmp_path) == ""


def test_without_git_there_is_none(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert commit_of(repository) == ""


def test_people_name_it_by_its_first_digits() -> None:
    assert short("0123456789abcdef" * 2 + "01234567-dirty") == "0123456789-dirty"
    assert short("") == ""
