"""What is wrong with what a person has: configuration, artifact, the words of a command.

Nothing is sent, so no controller is needed: the address that is given here would answer nobody.
"""

import gzip
import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from desk import Answer, AppFolder, Desk

NOBODY = "127.0.0.1:9"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[AppFolder]:
    """An app to deploy, and no controller."""
    yield Desk(tmp_path).app("shop")


def both(app: AppFolder, *words: str, code: int, message: str = "error: ") -> str:
    """What stderr says, with --json and without; stdout is empty."""
    for options in ((), ("--json",)):
        answer = app.desk.type(*words, *options, cwd=app.folder, TIDEGATE_CONTROLLER=NOBODY)
        assert (answer.code, answer.out) == (code, ""), answer
        assert answer.err.startswith(message), answer
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
    said = both(app, *app.words("1"), code=2)
    line = line_with(app, "healty_after")
    assert f"tidegate.toml:{line}: [health] healty_after: unknown key" in said
    assert 'did you mean "healthy_after"?' in said
    assert "  next: mend the file" in said


def test_all_that_is_wrong_with_a_file_is_said_at_once(app: AppFolder) -> None:
    change(app, "deadline =", "dedline =")
    change(app, 'soak = "0s"', 'soak = "5 parsecs"')
    change(app, "lanes = 4", "lanes = 0")
    said = both(app, *app.words("1"), code=2)
    for words in ("dedline", "5 parsecs", "lanes = 0"):
        assert f"tidegate.toml:{line_with(app, words)}: " in said
    assert said.count("tidegate.toml:") == 3


def test_a_file_that_is_no_toml_is_said_with_the_line(app: AppFolder) -> None:
    change(app, "[health]", "[health")
    said = both(app, *app.words("1"), code=2)
    assert f"tidegate.toml:{line_with(app, '[health')}: not TOML" in said


def test_a_missing_configuration_is_said_with_the_option_that_names_it(app: AppFolder) -> None:
    words = app.words("1")
    said = both(app, *words, "-c", "elsewhere.toml", code=2)
    assert "elsewhere.toml: no such file" in said
    assert "  next: name the file with -c PATH" in said


def test_an_unknown_environment_is_said_with_those_that_are_known(app: AppFolder) -> None:
    said = both(app, *app.words("1"), "-e", "tset", code=2)
    assert 'no environment "tset"; did you mean "test"?' in said
    assert "  next: name one with -e: test" in said


def test_of_several_environments_one_has_to_be_named(app: AppFolder) -> None:
    with (app.folder / "tidegate.toml").open("a") as file:
        file.write('[environments.production]\nnodes = { role = "web" }\n')
    said = both(app, *app.words("1"), code=2)
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
    said = both(app, *app.words("1", artifact), code=2)
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
    said = both(app, *app.words("1", whole), code=2)
    assert "is damaged" in said


# --- Words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["deploy"], "--artifact"),
        (["deploy", "--artifact"], "--artifact"),
        (["deploy", "--artefact", "a.tar.gz"], "--artefact"),
        (["stauts"], "stauts"),
        (["rollout", "shwo", "r1"], "shwo"),
        (["rollout", "show"], "ID"),
        (["rollout", "list", "--limit", "many"], "many"),
        (["rollback"], "APP"),
        (["node", "list", "web-1"], "web-1"),
        (["demo", "--nodes", "0"], "0"),
        (["demo", "--stop", "/nowhere/at/all"], "/nowhere/at/all"),
        (["controller", "run"], "--data"),
        (["--controler", "127.0.0.1:7420", "status"], "--controler"),
    ],
)
def test_wrong_words_are_answered_with_what_was_wrong_and_where_to_look(
    tmp_path: Path, words: list[str], named: str
) -> None:
    answer = Desk(tmp_path).type(*words)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("Usage: ")
    assert "-h' for help" in answer.err
    assert named in answer.err


@pytest.mark.parametrize("version", ["", "1 2", "../1", "1\n", "x" * 64, "{{7*7}}"])
def test_a_version_that_is_no_name_is_refused_before_anything_is_sent(
    app: AppFolder, version: str
) -> None:
    artifact = app.build("1")
    said = both(app, "deploy", "--artifact", str(artifact), "--version", version, code=2)
    assert "version" in said


# --- Nobody there --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["status"],
        ["node", "list"],
        ["rollout", "list"],
        ["rollout", "show", "r1"],
        ["log"],
        ["log", "--follow", "--rollout", "r1"],
        ["rollback", "shop"],
    ],
)
def test_where_no_controller_answers_each_command_says_how_to_start_one(
    app: AppFolder, words: list[str]
) -> None:
    assert_unreachable(app.desk.type(*words, "--json", TIDEGATE_CONTROLLER=NOBODY), NOBODY)


def test_a_deploy_without_a_controller_is_given_up_at_once(app: AppFolder) -> None:
    said = both(app, *app.words("1"), code=3)
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
