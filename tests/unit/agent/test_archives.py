"""Each format of archive as its tools write it: all come out as the same tree."""

import contextlib
import io
import os
import random
import shutil
import stat
import struct
import subprocess
import tempfile
import zipfile
from argparse import Namespace
from pathlib import Path

import pytest
from backports import zstd
from hostile_archives import (
    GOOD_TAR,
    GOOD_ZIP,
    every,
    member,
    symlink,
    tar_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from test_unpack import run, seen
from zip_writer import Zipped, described, zip_of

from tidegate_agent.unpack import open_archive, unpack
from tidegate_protos.archives import zip_archive
from tidegate_protos.archives.reading import File, Refused

needs_zip = pytest.mark.skipif(not shutil.which("zip"), reason="needs zip")
needs_zstd = pytest.mark.skipif(not shutil.which("zstd"), reason="needs zstd")
FORMS = [".tar", ".tar.gz", ".tar.zst", ".zip"]


@pytest.mark.parametrize("form", FORMS)
def test_every_format_gives_the_same_tree(tmp_path: Path, form: str) -> None:
    made = every(
        member(b"app/", kind=b"5", mode=0o755),
        member(b"app/a.txt", b"hello" * 100_000),
        member(b"app/empty"),
        member(b"./app/serve", b"#!/bin/sh\n", mode=0o755),
        symlink(b"app/l", b"../current/a.txt"),
        symlink(b"current", b"app"),
        member("größe/水.txt".encode(), b"x"),
    )
    assert run(tmp_path, made[form]) == {"files": 6, "bytes": 500_011, "folders": []}
    assert seen(tmp_path / "tree") == {
        "app": None,
        "app/a.txt": b"hello" * 100_000,
        "app/empty": b"",
        "app/l": "../current/a.txt",
        "app/serve": b"#!/bin/sh\n",
        "current": "app",
        "größe": None,
        "größe/水.txt": b"x",
    }
    assert stat.S_IMODE((tmp_path / "tree/app/serve").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "tree/app/empty").stat().st_mode) == 0o644


def source_folder(folder: Path) -> Path:
    """What a build leaves: a program, data, a link, names of all kinds, an empty folder."""
    source = folder / "source"
    for name in ("plain", "deep/" * 9 + "f", "größe/水.txt", "n" * 200, "with space"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(name.encode() * 300)
    (source / "noise").write_bytes(os.urandom(300_000))
    (source / "program").write_text("#!/bin/sh\n")
    (source / "program").chmod(0o750)
    (source / "link").symlink_to("deep/deep")
    (source / "empty").mkdir()
    return source


def unpacked_like(source: Path, tree: Path) -> bool:
    mode = stat.S_IMODE((tree / "program").stat().st_mode)
    times = [int((folder / "plain").stat().st_mtime) for folder in (source, tree)]
    return seen(tree) == seen(source) and mode == 0o750 and abs(times[0] - times[1]) <= 1


@needs_zip
@pytest.mark.parametrize("words", [["-qr"], ["-qr0"], ["-qr9"], ["-qrX"], ["-qr", "-fz"]])
def test_what_the_zip_command_writes_is_read(tmp_path: Path, words: list[str]) -> None:
    source = source_folder(tmp_path)
    subprocess.run(["zip", *words, "-y", tmp_path / "made.zip", "."], cwd=source, check=True)
    run(tmp_path, (tmp_path / "made.zip").read_bytes())
    assert unpacked_like(source, tmp_path / "tree")


@needs_zip
def test_a_zip_that_was_written_into_a_pipe_is_read(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for number in range(5):
        (source / f"d{number}").mkdir(parents=True)
        (source / f"d{number}/f").write_bytes(b"content" * number * 9000)
    words = ["sh", "-c", "zip -qr - . | cat"]
    made = subprocess.run(words, cwd=source, check=True, capture_output=True).stdout
    run(tmp_path, made)
    assert seen(tmp_path / "tree") == seen(source)


@pytest.mark.parametrize("kept", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("kind", ["file", "pipe", "zip64", "appended"])
def test_what_python_writes_is_read(tmp_path: Path, kept: int, kind: str) -> None:
    class Pipe(io.BytesIO):
        def seek(self, *_: object) -> int:
            raise io.UnsupportedOperation

        def seekable(self) -> bool:
            return False

        tell = seek

    made = Pipe() if kind == "pipe" else io.BytesIO()
    with zipfile.ZipFile(made, "w", kept) as archive:
        archive.mkdir("d")
        archive.writestr("d/a.txt", b"a" * 1000)
        with archive.open("d/b.txt", "w", force_zip64=kind in ("zip64", "pipe")) as inside:
            inside.write(b"b" * 1000)
    if kind == "appended":
        with zipfile.ZipFile(made, "a", kept) as archive:
            archive.writestr("c.txt", b"c", zipfile.ZIP_STORED)
            archive.comment = b"built today"
    run(tmp_path, made.getvalue())
    more = {"c.txt": b"c"} if kind == "appended" else {}
    expected = {"d": None, "d/a.txt": b"a" * 1000, "d/b.txt": b"b" * 1000, **more}
    assert seen(tmp_path / "tree") == expected


def test_a_zip_of_git_is_read(tmp_path: Path) -> None:
    source = source_folder(tmp_path)
    identity = ["-c", "user.name=ann", "-c", "user.email=ann@example.org"]
    for words in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "first"]):
        subprocess.run(["git", *words], cwd=source, check=True)
    words = ["git", "archive", "--format=zip", "--prefix=app-1/", "HEAD"]
    made = subprocess.run(words, cwd=source, check=True, capture_output=True).stdout
    assert run(tmp_path, made)["folders"] == ["app-1"]
    shutil.rmtree(source / ".git")
    (source / "empty").rmdir()
    assert seen(tmp_path / "tree/app-1") == seen(source)


@pytest.mark.parametrize(
    "data",
    [
        zip_of(Zipped(b"app/a.txt", b"hello", 0, system=0)),
        zip_of(Zipped(b"app/a.txt", b"hello", 0o644, system=3)),
        zip_of(Zipped(b"app", mode=0, system=0, attributes=16), Zipped(b"app/a.txt", b"hello")),
        zip_of(Zipped(b"app/a.txt", b"hello"), zip64=True),
        zip_of(Zipped(b"app/a.txt", b"hello"), comment=b"a comment with PK\5\6 in it"),
        zip_of(Zipped(b"app/a.txt", b"hello", extra=b"\x99\x99\0\0")),
        *(
            zip_of(
                Zipped(
                    b"app/a.txt",
                    b"hello",
                    flags=8,
                    header=dict.fromkeys(("crc", "packed", "size"), 0),
                    after=described(Zipped(b"", b"hello"), form),
                )
            )
            for form in ("<4s3L", "<3L", "<4sL2Q", "<L2Q")
        ),
        GOOD_ZIP,
    ],
    ids=[
        *("of dos", "permissions alone", "folder of dos", "zip64", "comment", "extra field"),
        *("described", "described without mark", "described long", "described long, unmarked"),
        "folder",
    ],
)
def test_the_dialects_of_zip_are_understood(tmp_path: Path, data: bytes) -> None:
    run(tmp_path, data)
    assert seen(tmp_path / "tree") == {"app": None, "app/a.txt": b"hello"}
    assert stat.S_IMODE((tmp_path / "tree/app/a.txt").stat().st_mode) == 0o644


def test_times_in_a_zip_are_those_of_unix_where_it_has_them(tmp_path: Path) -> None:
    unix = struct.pack("<2HBl", 0x5455, 5, 1, 1_600_000_000)
    before = struct.pack("<2HBl", 0x5455, 5, 1, -5)
    run(
        tmp_path,
        zip_of(Zipped(b"unix", extra=unix), Zipped(b"dos"), Zipped(b"before", extra=before)),
    )
    times = {path.name: int(path.stat().st_mtime) for path in (tmp_path / "tree").iterdir()}
    assert times["unix"] == 1_600_000_000
    assert times["before"] == 0
    assert 1_704_000_000 < times["dos"] < 1_704_200_000  # 2024-01-01 12:00, wherever that is


def test_a_zip_of_many_members_is_read(tmp_path: Path) -> None:
    """More than 65,535, which only its zip64 end can say; and no order is asked for."""
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        for number in range(66_000):
            archive.writestr(f"d/{number % 7}/{number}", b"")
        archive.filelist.reverse()
    with (tmp_path / "many.zip").open("rb") as file:
        found = [m.name for m in zip_archive.members(File(file.fileno(), 60, 66_000))]
        with pytest.raises(Refused, match="more than 65999 members"):
            next(zip_archive.members(File(file.fileno(), 60, 65_999)))
    assert found == [b"d/%d/%d" % (number % 7, number) for number in range(66_000)]


# --- zstd ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        zstd.compress(GOOD_TAR[:700]) + zstd.compress(GOOD_TAR[700:]),
        zstd.compress(b"") + zstd.compress(GOOD_TAR),
        b"\x53\x2a\x4d\x18\4\0\0\0skip" + zstd.compress(GOOD_TAR),
        zstd.compress(GOOD_TAR) + b"\x50\x2a\x4d\x18\0\0\0\0",
        zstd.compress(GOOD_TAR, 19),
    ],
    ids=["joined frames", "an empty frame", "skipped first", "skipped last", "level 19"],
)
def test_the_dialects_of_zstd_are_understood(tmp_path: Path, data: bytes) -> None:
    run(tmp_path, data)
    assert seen(tmp_path / "tree") == {"app": None, "app/a.txt": b"hello"}


@needs_zstd
@pytest.mark.parametrize("words", [["-T0"], ["--ultra", "-22"], ["--long=27"], ["--fast"]])
def test_what_the_zstd_command_writes_is_read(tmp_path: Path, words: list[str]) -> None:
    content = os.urandom(100_000) * 9
    tar = tar_of(member(b"d/f", content))
    packed = subprocess.run(["zstd", *words, "-c"], input=tar, capture_output=True, check=True)
    run(tmp_path, packed.stdout)
    assert (tmp_path / "tree/d/f").read_bytes() == content


@needs_zstd
def test_a_window_that_needs_much_memory_is_refused_in_words(tmp_path: Path) -> None:
    tar = tar_of(member(b"d/f", bytes(1000)))
    words = ["zstd", "--long=30", "--no-content-size", "-c"]
    packed = subprocess.run(words, input=tar, capture_output=True, check=True).stdout
    error = run(tmp_path, packed)["error"]
    assert error.endswith("window of more than 128 MiB; pack it without --long")
    assert not (tmp_path / "tree").exists()


def test_the_library_for_zstd_is_imported_for_zstd_alone(tmp_path: Path) -> None:
    """The other formats do not pay for it, and are unpacked where it is missing."""
    hook = "import sys; sys.modules['backports'] = sys.modules['compression'] = None; "
    for form in (".tar", ".tar.gz", ".zip"):
        folder = tmp_path / form
        folder.mkdir()
        assert run(folder, every(member(b"a"))[form], start=hook)["files"] == 1


# --- Damage --------------------------------------------------------------------------------------

SMALL = every(
    member(b"d/", kind=b"5", mode=0o755),
    member(b"d/f", b"hello" * 50),
    symlink(b"d/l", b"f"),
    member(b"e", b"x", mode=0o755),
)
LIMITS = Namespace(max_bytes=1 << 20, max_members=50, max_path=1000, max_seconds=5)


@settings(max_examples=150, deadline=None)
@given(form=st.sampled_from(FORMS), chance=st.randoms(use_true_random=False))
def test_damage_is_refused_in_words_or_harmless(form: str, chance: random.Random) -> None:
    """Whatever bytes are changed, moved, cut or repeated: no error that nobody expects."""
    data = bytearray(SMALL[form])
    for _ in range(chance.randint(1, 4)):
        at, to = sorted(chance.choices(range(len(data) + 1), k=2))
        match chance.choice(["flip", "set", "cut", "repeat", "end"]):
            case "flip" if data:
                data[min(at, len(data) - 1)] ^= 1 << chance.randrange(8)
            case "set" if data:
                data[min(at, len(data) - 1)] = chance.choice([0, 1, 0x7F, 0x80, 0xFF])
            case "cut":
                del data[at : min(to, at + 40)]
            case "repeat":
                data[at:at] = data[at : at + 60]
            case "end":
                del data[to:]
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "archive"
        archive.write_bytes(data)
        with contextlib.suppress(Refused):
            fd, found = open_archive(str(archive))
            try:
                unpack(fd, found, f"{folder}/tree", LIMITS)
            finally:
                os.close(fd)
            return
        assert [entry.name for entry in Path(folder).iterdir()] == ["archive"]
