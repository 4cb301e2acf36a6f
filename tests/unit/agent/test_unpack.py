"""The child process that unpacks: good archives come out whole, bad ones leave nothing at all."""

import contextlib
import gzip
import io
import json
import os
import resource
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import pytest
from backports import zstd
from hostile_archives import (
    FILE,
    GOOD,
    HOSTILE,
    SMALL_DISK,
    TIGHT,
    archive,
    bomb,
    bomb_of_headers,
    header,
    long_name,
    member,
    pax,
    symlink,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from zip_writer import Zipped, deflated, zip_of

from tidegate_agent.isolated import OWN_FOLDERS
from tidegate_agent.tree import Tree
from tidegate_agent.unpack import open_archive, unpack
from tidegate_agent.unpacker import START_UNPACK
from tidegate_protos.archives import tar_gz
from tidegate_protos.archives.contents import Limits
from tidegate_protos.archives.reading import File, Refused

LIMITS = {name.removeprefix("max_"): limit for name, limit in TIGHT.items()}
PYTHON = [sys.executable, "-I", "-S", "-c"]
FOLDERS = ":".join([*OWN_FOLDERS, str(Path(zstd.__file__).parents[2])])
SMALL = [*SMALL_DISK, "/mnt", "64k", "true"]
needs_namespaces = pytest.mark.skipif(
    not shutil.which("unshare") or subprocess.run(SMALL, check=False).returncode != 0,
    reason="needs user and mount namespaces",
)


def command(folder: Path, start: str = START_UNPACK, **limits: float) -> list[str]:
    given_limits = {**LIMITS, **limits}
    flags = [text for key, value in given_limits.items() for text in (f"--max-{key}", str(value))]
    return [*PYTHON, start, FOLDERS, str(folder / "a.tar.gz"), str(folder / "tree"), *flags]


def run(  # type: ignore[no-untyped-def]
    folder: Path, data: bytes, *, before: list[str] | None = None, start: str = "", **limits: float
):
    """The child's one line of answer, checked against its exit code."""
    (folder / "a.tar.gz").write_bytes(data)
    line = [*(before or []), *command(folder, start + START_UNPACK, **limits)]
    ended = subprocess.run(line, capture_output=True, text=True, timeout=30, check=False)
    answer = json.loads(ended.stdout)
    assert ended.returncode == (1 if "error" in answer else 0), ended.stderr
    assert ended.stdout.count("\n") == 1
    return answer


def seen(folder: Path) -> dict[str, bytes | str | None]:
    """Every path beneath: the content of files, the target of links, None for directories."""
    return {
        str(path.relative_to(folder)): str(path.readlink())
        if path.is_symlink()
        else (path.read_bytes() if path.is_file() else None)
        for path in folder.rglob("*")
    }


# --- Good archives -------------------------------------------------------------------------------


def test_a_release_is_exactly_what_the_archive_holds(tmp_path: Path) -> None:
    data = archive(
        member(b"./", kind=b"5", mode=0o700),
        member(b"./app/a.txt", b"hello"),
        member(b"app/", kind=b"5", mode=0o700),
        member(b"app/empty"),
        member(b"app/again", kind=b"1", link=b"./app/a.txt"),
        member(b"app/and again", kind=b"1", link=b"app/again"),
        symlink(b"bin/a", b"../app/a.txt"),
        symlink(b"bin/here", b"./../bin/../app/./a.txt"),
        symlink(b"current", b"app"),
        symlink(b"dangling", b"not/there/yet"),
        symlink(b"self", b"."),
    )
    assert run(tmp_path, data) == {"files": 9, "bytes": 5, "folders": []}
    assert seen(tmp_path / "tree") == {
        "app": None,
        "app/a.txt": b"hello",
        "app/again": b"hello",
        "app/and again": b"hello",
        "app/empty": b"",
        "bin": None,
        "bin/a": "../app/a.txt",
        "bin/here": "../bin/../app/a.txt",
        "current": "app",
        "dangling": "not/there/yet",
        "self": ".",
    }
    app = tmp_path / "tree/app"
    assert app.joinpath("a.txt").stat().st_ino == app.joinpath("and again").stat().st_ino


@pytest.mark.parametrize(
    ("given_mode", "mode"), [(0o777, 0o755), (0o644, 0o644), (0o000, 0o600), (0o551, 0o751)]
)
def test_a_mode_keeps_what_is_harmless_whatever_the_umask(
    tmp_path: Path, given_mode: int, mode: int
) -> None:
    data = archive(member(b"d/", kind=b"5", mode=given_mode), member(b"d/f", b"x", mode=given_mode))
    run(tmp_path, data, before=["sh", "-c", 'umask 077; exec "$@"', "sh"])
    assert stat.S_IMODE((tmp_path / "tree/d/f").stat().st_mode) == mode
    assert stat.S_IMODE((tmp_path / "tree/d").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "tree").stat().st_mode) == 0o755


def test_times_come_from_the_archive_but_never_from_the_future(tmp_path: Path) -> None:
    data = archive(
        member(b"old", mtime=1_600_000_000),
        member(b"new", mtime=8_000_000_000),
        pax({"mtime": b"1650000000.25"}) + member(b"pax"),
        pax({"mtime": b"-5.5"}) + member(b"before the epoch"),
    )
    run(tmp_path, data)
    times = {path.name: int(path.stat().st_mtime) for path in (tmp_path / "tree").iterdir()}
    assert abs(times.pop("new") - time.time()) < 60
    assert times == {"old": 1_600_000_000, "pax": 1_650_000_000, "before the epoch": 0}


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_form_of_tar_is_read(tmp_path: Path, form: int) -> None:
    source = tmp_path / "source"
    for name in ("plain", "d" * 90 + "/" + "f" * 90, "deep/" * 9 + "f", "größe/水.txt"):
        source.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
        source.joinpath(name).write_bytes(name.encode() * 300)
    (source / "link").symlink_to("plain")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", format=form) as tar:
        tar.add(source, ".")
    run(tmp_path, packed.getvalue())
    assert seen(tmp_path / "tree") == seen(source)


def test_what_the_tar_command_writes_is_read(tmp_path: Path) -> None:
    (tmp_path / "source/sub").mkdir(parents=True)
    (tmp_path / "source/sub" / ("n" * 200)).write_bytes(os.urandom(400_000))
    (tmp_path / "source/sub/hard").hardlink_to(tmp_path / "source/sub" / ("n" * 200))
    packed = subprocess.run(
        ["tar", "czf", "-", "-C", tmp_path / "source", "."], capture_output=True, check=True
    )
    run(tmp_path, packed.stdout)
    assert seen(tmp_path / "tree") == seen(tmp_path / "source")


@pytest.mark.parametrize(
    "data",
    [
        gzip.compress(FILE[:700]) + gzip.compress(FILE[700:] + bytes(1024)),
        gzip.compress(b"") + GOOD + bytes(1000),
        archive(FILE, end=bytes(512)),
        archive(FILE, end=bytes(10240)),
        archive(pax({"comment": b"a commit"}, b"g"), FILE),
        archive(member(b"app/", kind=b"\0"), header(b"app/a.txt", 5, b"\0") + FILE[512:]),
        archive(long_name(b"app/a.txt"), header(b"cut", 5) + FILE[512:]),
        archive(pax({"path": b"app/a.txt", "size": b"5"}), header(b"cut", 0) + FILE[512:]),
        archive(header(b"app/a.txt", size_field=b"\x80" + bytes(10) + b"\x05") + FILE[512:]),
        archive(header(b"app/a.txt", 5, magic=b"ustar  \0", prefix=b"9" * 12) + FILE[512:]),
        archive(header(b"a.txt", 5, prefix=b"app") + FILE[512:]),
    ],
    ids=[
        *("joined gzip", "zero padding", "one zero block", "a record of zeros", "git archive"),
        *("before posix", "gnu long name", "pax size", "base 256", "gnu times", "ustar prefix"),
    ],
)
def test_the_dialects_of_tar_and_gzip_are_understood(tmp_path: Path, data: bytes) -> None:
    run(tmp_path, data)
    assert seen(tmp_path / "tree") == {"app": None, "app/a.txt": b"hello"}


def test_a_tree_wider_than_the_open_files_comes_out_whole(tmp_path: Path) -> None:
    names = [b"%d/" % number * 100 + b"f" for number in range(8)]
    names += [b"wide/%d/f" % number for number in range(600)]
    data = archive(*(pax({"path": name}) + member(b"cut", name) for name in names))
    answer = run(tmp_path, data, members=5000)
    assert answer["files"] == 608
    assert (tmp_path / "tree/wide/599/f").read_bytes() == b"wide/599/f"


# --- Hostile and damaged ones --------------------------------------------------------------------


def unpack_here(folder: Path) -> None:
    archive_fd, form = open_archive(str(folder / "a.tar.gz"))
    try:
        unpack(archive_fd, form, str(folder / "tree"), Limits(**TIGHT))
    finally:
        os.close(archive_fd)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_by_name_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    """In this process, since the corpus is large; the next test has the whole child."""
    data, words = HOSTILE[name]
    folder = tmp_path / "in/side"
    folder.mkdir(parents=True)
    (folder / "a.tar.gz").write_bytes(data)
    with pytest.raises(Refused) as refused:
        unpack_here(folder)
    assert words in str(refused.value)
    assert str(refused.value).isprintable()
    assert seen(tmp_path) == {"in": None, "in/side": None, "in/side/a.tar.gz": data}
    assert not Path("/tmp/evil").exists()  # noqa: S108 - where the corpus would have it


@pytest.mark.parametrize(
    "name",
    ["parent.tar", "write through a symlink.tar.zst", "setuid.zip", "text", "latin 1.tar.gz"],
)
def test_the_child_answers_with_one_sentence(tmp_path: Path, name: str) -> None:
    data, words = HOSTILE[name]
    answer = run(tmp_path, data)
    assert words in answer["error"]
    assert seen(tmp_path) == {"a.tar.gz": data}


NAMES = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3).map("/".join)
TARGETS = st.lists(st.sampled_from(["a", "b", "c", "..", "..", "."]), min_size=1, max_size=6)
MEMBERS = st.one_of(
    st.tuples(st.just("link"), NAMES, TARGETS.map("/".join)),
    st.tuples(st.sampled_from(["file", "directory"]), NAMES, st.just("")),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(MEMBERS, max_size=9))
def test_no_set_of_links_that_is_accepted_leads_outside(
    entries: list[tuple[str, str, str]],
) -> None:
    """The rule is lexical and looks at one link at a time; the kernel judges the whole."""
    with contextlib.ExitStack() as stack:
        top = Path(stack.enter_context(tempfile.TemporaryDirectory())).resolve()
        root = top / "deep/deep/root"
        root.mkdir(parents=True)
        root_fd = os.open(root, os.O_RDONLY)
        stack.callback(os.close, root_fd)
        tree = Tree(root_fd, Limits(1000, 1000, 1000))
        stack.callback(tree.close)
        for kind, name, target in entries:
            made = {"link": symlink(name.encode(), target.encode()), "file": member(name.encode())}
            data = archive(made.get(kind) or member(name.encode(), kind=b"5"))
            packed_fd = os.memfd_create("archive")
            stack.callback(os.close, packed_fd)
            os.pwrite(packed_fd, data, 0)
            with contextlib.suppress(Refused):
                tree.add(next(tar_gz.members(File(packed_fd, 10, 1000))))
        assert [path for path in top.rglob("*") if not path.is_relative_to(root)] == [
            top / "deep",
            top / "deep/deep",
        ]
        for path in root.rglob("*"):
            with contextlib.suppress(RuntimeError):  # links in a circle lead nowhere
                assert path.resolve().is_relative_to(root)


# --- Limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [".tar.gz", ".tar.zst", ".zip"])
def test_a_bomb_of_ten_gigabytes_is_stopped_at_the_cap(tmp_path: Path, form: str) -> None:
    answer = run(tmp_path, bomb(10 << 30, form), bytes=1 << 24)
    assert answer["error"] == "member 'bomb' brings the release above the limit of 16777216 bytes"
    assert not (tmp_path / "tree").exists()


@pytest.mark.parametrize("form", [".tar.gz", ".tar.zst"])
def test_a_bomb_that_writes_nothing_is_stopped_by_the_clock(tmp_path: Path, form: str) -> None:
    answer = run(tmp_path, bomb_of_headers(10 << 30, form), seconds=0.3)
    assert answer["error"] == "unpacking took more than 0.3 seconds"
    assert not (tmp_path / "tree").exists()


def test_a_zip_that_says_less_than_it_holds_is_stopped_where_it_said(tmp_path: Path) -> None:
    inside = deflated(bytes(64 << 20))
    answer = run(tmp_path, zip_of(Zipped(b"x", bytes(10), packed=inside)), bytes=1 << 30)
    assert answer["error"] == "member 'x' has more data than it says"
    assert not (tmp_path / "tree").exists()


def test_the_process_is_confined(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path += sys.argv[1].split(':'); "
        "from tidegate_agent.unpack import confine; "
        "confine(12345, 7.5); print(open('/proc/self/limits').read())"
    )
    line = [*PYTHON, code, FOLDERS]
    table = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    hard = {row[:25].strip(): row.split()[-2] for row in table.splitlines()[1:] if row.strip()}
    assert hard["Max file size"] == "12345"
    assert hard["Max core file size"] == "0"
    assert hard["Max cpu time"] == "9"
    assert int(hard["Max open files"]) <= 512
    assert int(hard["Max address space"]) <= 1 << 30


def test_a_process_whose_agent_was_killed_does_not_live_on(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(bomb_of_headers(10 << 30))
    code = "import subprocess, sys; c = subprocess.Popen(sys.argv[1:]); print(c.pid); c.wait()"
    line = [sys.executable, "-u", "-c", code, *command(tmp_path)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as agent:
        assert agent.stdout is not None
        child = int(agent.stdout.readline())
        wait_until((tmp_path / "tree").exists)
        agent.kill()
    wait_until(lambda: not is_alive(child))


def is_alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def wait_until(condition) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- The disk ------------------------------------------------------------------------------------


@needs_namespaces
def test_a_full_disk_is_said_so_and_cleaned(tmp_path: Path) -> None:
    data = archive(member(b"fits", b"x"), member(b"too/big", os.urandom(900_000)))
    folder = tmp_path / "disk"
    folder.mkdir()
    listing = f'cat {tmp_path}/a.tar.gz > {folder}/a.tar.gz; "$@"; ls {folder} >&2'
    (tmp_path / "a.tar.gz").write_bytes(data)
    line = [*SMALL_DISK, str(folder), "1200k", listing, *command(folder)]
    ended = subprocess.run(line, capture_output=True, text=True, check=False)
    error = json.loads(ended.stdout)["error"]
    assert error.startswith("disk full while unpacking 'too/big': ")
    assert error.endswith(" bytes free, 900,000 needed for it")
    assert ended.stderr.split() == ["a.tar.gz"]


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(archive(member(b"big", bytes(9000))))
    ended = subprocess.run(
        command(tmp_path),
        capture_output=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000)),
        check=False,
    )
    assert json.loads(ended.stdout) == {"error": "cannot write 'big': File too large"}
    assert not (tmp_path / "tree").exists()


def test_without_syncfs_each_file_and_directory_is_synced(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(archive(FILE, symlink(b"l", b"app")))
    start = (
        "import os, sys; sys.modules['ctypes'] = None; "
        "os.fsync = lambda fd: print(os.readlink(f'/proc/self/fd/{fd}'), file=sys.stderr); "
    )
    line = command(tmp_path, start + START_UNPACK)
    ended = subprocess.run(line, check=True, capture_output=True, text=True)
    synced = {os.path.relpath(path, tmp_path) for path in ended.stderr.split()}
    assert synced == {"tree", "tree/app", "tree/app/a.txt"}


# --- What it is given ----------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["a folder", "no regular file", "No such file"])
def test_what_is_no_file_is_said_so(tmp_path: Path, what: str) -> None:
    place = tmp_path / "a.tar.gz"
    {"a folder": place.mkdir, "no regular file": lambda: os.mkfifo(place)}.get(what, int)()
    ended = subprocess.run(command(tmp_path), capture_output=True, timeout=10, check=False)
    assert what in json.loads(ended.stdout)["error"]


def test_a_place_that_is_taken_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/mine").touch()
    assert "File exists" in run(tmp_path, GOOD)["error"]
    assert (tmp_path / "tree/mine").exists()
