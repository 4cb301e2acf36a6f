"""What is wrong with what a person has: configuration, artifact, the words of a command.

Nothing is sent, so no controller is needed: the address that is given here would answer nobody.
"""

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from desk import Answer, AppFolder, Desk

NOBODY = "127.0.0.1:9"


@pytest.fixture
def app(tmp_path: Path) -> AppFolder:
    """An app to deploy, and no controller."""
    return Desk(tmp_path).app("shop")


def refusal(app: AppFolder, *words: str, code: int = 2) -> str:
    """What stderr says; stdout is empty, as --json promises."""
    answer = app.desk.type(*words, "--json", cwd=app.folder, TIDEGATE_CONTROLLER=NOBODY)
    assert (answer.code, answer.out) == (code, ""), answer
    assert answer.err.startswith("error: "), answer
    return answer.err


# --- Configuration -------------------------------------------------------------------------------


def change(app: AppFolder, old: str, new: str) -> None:
    path = app.folder / "tidegate.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def line_with(app: AppFolder, words: str) -> int:
    lines = (app.folder / "tidegate.toml").read_text().splitlines()
    (found,) = (number for number, line in enumerate(lines, 1) if words in line)
    return found


def test_a_misspelt_key_is_named_with_its_line_and_the_nearest_key(app: AppFolder) -> None:
    change(app, "healthy_after", "healty_after")
    said = refusal(app, *app.words("1"))
    line = line_with(app, "healty_after")
    assert f"tidegate.toml:{line}: [health] healty_after: unknown key" in said
    assert 'did you mean "healthy_after"?' in said
    assert "  next: mend the file" in said


def test_all_that_is_wrong_with_a_file_is_said_at_once(app: AppFolder) -> None:
    change(app, "deadline =", "dedline =")
    change(app, 'soak = "0s"', 'soak = "5 parsecs"')
    change(app, "lanes = 4", "lanes = 0")
    said = refusal(app, *app.words("1"))
    for words in ("dedline", "5 parsecs", "lanes = 0"):
        assert f"tidegate.toml:{line_with(app, words)}: " in said
    assert said.count("tidegate.toml:") == 3


def test_a_file_that_is_no_toml_is_said_with_the_line(app: AppFolder) -> None:
    change(app, "[health]", "[health")
    said = refusal(app, *app.words("1"))
    assert f"tidegate.toml:{line_with(app, '[health')}: not TOML" in said


def test_a_missing_configuration_is_said_with_the_option_that_names_it(app: AppFolder) -> None:
    words = app.words("1")
    said = refusal(app, *words, "-c", "elsewhere.toml")
    assert "elsewhere.toml: no such file" in said
    assert "  next: name the file with -c PATH" in said


def test_an_unknown_environment_is_said_with_those_that_are_known(app: AppFolder) -> None:
    said = refusal(app, *app.words("1"), "-e", "tset")
    assert 'no environment "tset"; did you mean "test"?' in said
    assert "  next: name one with -e: test" in said


def test_of_several_environments_one_has_to_be_named(app: AppFolder) -> None:
    with (app.folder / "tidegate.toml").open("a") as file:
        file.write('[environments.production]\nnodes = { role = "web" }\n')
    said = refusal(app, *app.words("1"))
    assert "has several environments: test, production" in said
    assert "  next: name one with -e" in said


# --- Artifact ------------------------------------------------------------------------------------


def missing(_: Path) -> None:
    """Not there."""


def folder(path: Path) -> None:
    path.mkdir()


def empty(path: Path) -> None:
    path.touch()


def text(path: Path) -> None:
    path.write_text("#!/bin/sh\necho hello\n")


def lone_gz(path: Path) -> None:
    path.write_bytes(gzip.compress(b"#!/bin/sh\necho hello\n" * 100))


def plain_tar(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        archive.add(__file__, "serve.py")


def nothing_in_it(path: Path) -> None:
    with tarfile.open(path, "w:gz"):
        pass


def truncated(path: Path) -> None:
    """As an upload leaves it that broke off half way."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as archive:
        archive.add(__file__, "serve.py")
    path.write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])


@pytest.mark.parametrize(
    ("make", "found", "next_step"),
    [
        (missing, "there is no artifact", "build it first, or correct --artifact"),
        (folder, "is a folder", "make an archive of it: tar czf"),
        (empty, "is empty", "an artifact is a .tar.gz"),
        (text, "is not compressed with gzip", "an artifact is a .tar.gz"),
        (plain_tar, "is not compressed with gzip", "an artifact is a .tar.gz"),
        (lone_gz, "it is no tar archive", "an artifact is a .tar.gz"),
        (nothing_in_it, "is an archive with nothing in it", "an artifact is a .tar.gz"),
        (truncated, "is damaged", "an artifact is a .tar.gz"),
    ],
)
def test_what_is_no_artifact_is_refused_with_what_was_found(
    app: AppFolder, make: Callable[[Path], None], found: str, next_step: str
) -> None:
    artifact = app.folder / "release.tar.gz"
    make(artifact)
    said = refusal(app, *app.words("1", artifact))
    assert found in said
    assert str(artifact) in said
    assert f"  next: {next_step}" in said


def test_an_artifact_that_ends_early_is_refused_however_large_it_is(app: AppFolder) -> None:
    """Where its first member is whole: all of it has to be looked at."""
    whole = app.build("1")
    noise = app.folder / "noise"
    noise.write_bytes(bytes(range(256)) * 4096)
    with tarfile.open(whole, "w:gz") as archive:
        archive.add(app.folder / "serve.py", "serve.py")
        archive.add(noise, "noise")
    whole.write_bytes(whole.read_bytes()[:-2000])
    said = refusal(app, *app.words("1", whole))
    assert "is damaged" in said


# --- Words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["deploy"], "Missing option '--artifact'"),
        (["stauts"], "Did you mean 'status'?"),
        (["--controler", "127.0.0.1:7420", "status"], "Did you mean '--controller'?"),
        (["rollout", "list", "--limit", "-3"], "-3"),
    ],
)
def test_wrong_words_are_answered_with_what_was_wrong_and_where_to_look(
    tmp_path: Path, words: list[str], named: str
) -> None:
    answer = Desk(tmp_path).type(*words)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("Usage: ")
    assert "--help' for help" in answer.err
    assert named in answer.err


# --- Nobody there --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", [["status"], ["rollback", "shop"], ["log", "--follow", "--rollout", "r1"]]
)
def test_where_no_controller_answers_each_command_says_how_to_start_one(
    app: AppFolder, words: list[str]
) -> None:
    assert_unreachable(app.desk.type(*words, "--json", TIDEGATE_CONTROLLER=NOBODY), NOBODY)


def test_a_deploy_without_a_controller_is_given_up_at_once(app: AppFolder) -> None:
    said = refusal(app, *app.words("1"), code=3)
    assert f"no controller answers at {NOBODY}" in said


def test_without_any_address_the_local_socket_is_asked_and_named(app: AppFolder) -> None:
    socket = str(app.folder / "nobody.sock")
    answer = app.desk.type("status", TIDEGATE_CONTROLLER="", TIDEGATE_SOCKET=socket)
    assert_unreachable(answer, f"unix:{socket}")


def test_an_address_that_is_none_is_no_traceback(app: AppFolder) -> None:
    answer = app.desk.type("--controller", "not an address", "status")
    assert answer.code in (2, 3)
    assert "not an address" in answer.err


def assert_unreachable(answer: Answer, target: str) -> None:
    assert (answer.code, answer.out) == (3, "")
    assert f"error: no controller answers at {target}\n" in answer.err
    assert "  next: start one: tidegate controller run --data DIR" in answer.err
