"""What is wrong with what a person has: configuration, artifact, the words of a command.

All of it is said without asking a controller: the address that is given here answers nobody, and
yet the exit code is 2.
"""

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from desk import AppFolder, Desk

NOBODY = "127.0.0.1:9"


@pytest.fixture
def app(tmp_path: Path) -> AppFolder:
    """An app to deploy, and no controller."""
    return Desk(tmp_path).app("shop")


def refusal(app: AppFolder, *words: str) -> str:
    """What stderr says; stdout is empty, as --json promises, and nothing has been made."""
    before = sorted(app.folder.rglob("*"))
    answer = app.desk.type(*words, "--json", cwd=app.folder, TIDEGATE_CONTROLLER=NOBODY)
    assert (answer.code, answer.out) == (2, ""), answer
    assert sorted(app.folder.rglob("*")) == before
    return answer.err


def error(app: AppFolder, *words: str) -> str:
    """The same, for errors in the form of our own."""
    said = refusal(app, *words)
    assert said.startswith("error: ")
    assert said.count("\n  next: ") == 1
    return said


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
    said = error(app, *app.words("1"))
    line = line_with(app, "healty_after")
    assert f"tidegate.toml:{line}: [health] healty_after: unknown key" in said
    assert 'did you mean "healthy_after"?' in said
    assert "  next: mend the file and type the command again; nothing was done" in said


def test_all_that_is_wrong_with_a_file_is_said_at_once(app: AppFolder) -> None:
    change(app, "deadline =", "dedline =")
    change(app, 'soak = "0s"', 'soak = "5 parsecs"')
    change(app, "lanes = 4", "lanes = 0")
    said = error(app, *app.words("1"))
    for words in ("dedline", "5 parsecs", "lanes = 0"):
        assert f"tidegate.toml:{line_with(app, words)}: " in said
    assert said.count("tidegate.toml:") == 3


def test_a_file_that_is_no_toml_is_said_with_the_line(app: AppFolder) -> None:
    change(app, "[health]", "[health")
    said = error(app, *app.words("1"))
    assert f"tidegate.toml:{line_with(app, '[health')}: not TOML" in said


def test_a_missing_configuration_is_said_with_the_option_that_names_it(app: AppFolder) -> None:
    words = app.words("1")
    said = error(app, *words, "-c", "elsewhere.toml")
    assert "elsewhere.toml: no such file" in said
    assert "  next: make one: tidegate init; or name another with -c PATH" in said


def test_an_unknown_environment_is_said_with_those_that_are_known(app: AppFolder) -> None:
    said = error(app, *app.words("1"), "-e", "tset")
    assert 'no environment "tset"; did you mean "test"?' in said
    assert "  next: name one with -e: test" in said


def test_of_several_environments_one_has_to_be_named(app: AppFolder) -> None:
    with (app.folder / "tidegate.toml").open("a") as file:
        file.write('[environments.production]\nnodes = { role = "web" }\n')
    said = error(app, *app.words("1"))
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


def nothing_in_it(path: Path) -> None:
    with tarfile.open(path, "w:gz"):
        pass


def release() -> bytes:
    """A whole archive whose last member is large and cannot be compressed."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz", compresslevel=0) as archive:
        archive.add(__file__, "serve.py")
        noise = tarfile.TarInfo("noise")
        noise.size = 1 << 20
        archive.addfile(noise, io.BytesIO(bytes(range(256)) * 4096))
    return whole.getvalue()


def truncated_at_once(path: Path) -> None:
    path.write_bytes(release()[:20])


def truncated_half_way(path: Path) -> None:
    """As an upload leaves it that broke off; the first member is whole."""
    path.write_bytes(release()[:-500_000])


def truncated_at_its_end(path: Path) -> None:
    """All members are whole, but the checksum is not there."""
    path.write_bytes(release()[:-4])


def with_a_wrong_bit(path: Path) -> None:
    whole = bytearray(release())
    whole[-300_000] ^= 1
    path.write_bytes(whole)


@pytest.mark.parametrize(
    ("make", "found", "next_step"),
    [
        (missing, "there is no artifact", "build it first, or correct --artifact"),
        (folder, "is a folder", "make an archive of it: tar czf"),
        (empty, "is empty", "an artifact is a .tar.gz"),
        (text, "is a text file", "an artifact is a .tar.gz"),
        (lone_gz, "the archive is a lone .gz: no tar archive in it", "an artifact is a .tar.gz"),
        (nothing_in_it, "the archive holds no files", "an artifact is a .tar.gz"),
        (truncated_at_once, "its gzip data are truncated", "an artifact is a .tar.gz"),
        (truncated_half_way, "its gzip data are truncated", "an artifact is a .tar.gz"),
        (truncated_at_its_end, "its gzip data are truncated", "an artifact is a .tar.gz"),
        (with_a_wrong_bit, "gzip data are damaged", "an artifact is a .tar.gz"),
    ],
)
def test_what_is_no_artifact_is_refused_with_what_was_found(
    app: AppFolder, make: Callable[[Path], None], found: str, next_step: str
) -> None:
    artifact = app.folder / "release.tar.gz"
    make(artifact)
    said = error(app, *app.words("1", artifact))
    assert found in said
    assert str(artifact) in said
    assert next_step in said.partition("\n  next: ")[2]


def test_the_archive_of_the_folder_where_one_stands_is_written_beside_it(app: AppFolder) -> None:
    said = " ".join(error(app, *app.words("1", Path("."))).split())
    assert "make an archive of it: tar czf ../release.tar.gz -C . ." in said


# --- Words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["deploy"], "Missing option '--artifact'"),
        (["deploy", "--artifact", "a.tar.gz"], "Missing option '--version'"),
        (["deploy", "--artifact", "a.tar.gz", "--version", "../1"], "'../1' is not a version: "),
        (["deploy", "--artifact", "a.tar.gz", "--version", "1", "--now"], "--now"),
        (["rollback"], "Missing argument 'APP'"),
        (["rollback", "Shop"], "'Shop' is not a name: "),
        (["rollback", "shop", "-e", "a b"], "'a b' is not a name: "),
        (["status", "shop/test"], "'shop/test' is not a name: "),
        (["rollout", "list", "--limit", "-3"], "-3"),
        (
            ["rollout", "show", "R7"],
            "'R7' is not a rollout such as r12; see: tidegate rollout list",
        ),
        (["log", "--rollout", "r0"], "'r0' is not a rollout such as r12"),
        (["stauts"], "Did you mean 'status'?"),
        (["--controler", "127.0.0.1:7420", "status"], "Did you mean '--controller'?"),
        (["demo", "--nodes", "0"], "0 is not in the range"),
    ],
)
def test_wrong_words_are_answered_with_what_was_wrong_and_where_to_look(
    tmp_path: Path, words: list[str], named: str
) -> None:
    answer = Desk(tmp_path).type(*words, TIDEGATE_CONTROLLER=NOBODY)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("Usage: ")
    assert "\nerror: " in answer.err
    assert answer.err.endswith(" --help\n")
    assert named in answer.err


@pytest.mark.parametrize("version", ["", "1\n", "x" * 64, "{{7*7}}"])
def test_a_version_that_is_no_name_is_refused(app: AppFolder, version: str) -> None:
    artifact = str(app.build("1"))
    said = refusal(app, "deploy", "--artifact", artifact, f"--version={version}")
    assert f"{version!r} is not a version: 1 to 63 of A-Z" in said


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("not an address", "'not an address' is not HOST:PORT"),
        ("127.0.0.1:742O", "'127.0.0.1:742O' is not HOST:PORT"),
        ("192.0.2.1:7420", "192.0.2.1:7420: without mutual TLS only loopback addresses"),
    ],
)
def test_an_address_that_cannot_be_is_refused_wherever_it_was_given(
    tmp_path: Path, address: str, found: str
) -> None:
    desk = Desk(tmp_path)
    for name, answer in (
        ("--controller", desk.type("--controller", address, "status")),
        ("--controller", desk.type("status", "--controller", address)),
        ("TIDEGATE_CONTROLLER", desk.type("status", TIDEGATE_CONTROLLER=address)),
    ):
        assert (answer.code, answer.out) == (2, "")
        assert answer.err.startswith(f"error: {name} {found}")
        assert "127.0.0.1:7420" in answer.err.partition("\n  next: ")[2]


# --- A Caddyfile ---------------------------------------------------------------------------------


@pytest.mark.parametrize("listen", ["nonsense", "8080", "127.0.0.1:http", "a{b}:80", "127.0.0.1:0"])
def test_a_caddyfile_for_what_is_no_address_is_not_printed(app: AppFolder, listen: str) -> None:
    said = error(app, "traffic", "caddyfile", "--listen", listen)
    assert f"error: --listen {listen!r} is not HOST:PORT" in said
    assert "  next: for example 127.0.0.1:8080" in said


def test_a_caddyfile_is_made_of_a_configuration_without_errors(app: AppFolder) -> None:
    change(app, "lanes", "lane")
    said = error(app, "traffic", "caddyfile")
    assert "[traffic] lane: unknown key" in said


def test_a_directory_for_lanes_that_cannot_be_made_is_named(app: AppFolder) -> None:
    (app.folder / "file").touch()
    change(app, '"traffic"', '"file/traffic"')
    answer = app.desk.type("traffic", "caddyfile", cwd=app.folder)
    assert (answer.code, answer.out) == (1, "")
    place = app.folder / "file" / "traffic"
    assert f"error: the traffic directory {place} cannot be made: Not a directory" in answer.err
    assert "  next: choose another `directory` under [traffic]" in answer.err
