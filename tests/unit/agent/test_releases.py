"""Releases against a real HTTP server that misbehaves, real disks that fill, real kills."""

import asyncio
import contextlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import artifact_web
import pytest
from artifact_web import (
    ARTIFACT,
    DIGEST,
    NAME,
    OTHER,
    Answer,
    Server,
    digest_of,
    hang,
    status,
    whole,
)
from hostile_archives import HOSTILE, SMALL_DISK, bomb_of_headers

from tidegate_agent.errors import ArtifactError
from tidegate_agent.fetch import Fetch, Patience, _Cut
from tidegate_agent.isolated import OWN_FOLDERS
from tidegate_agent.releases import Releases
from tidegate_protos.archives.contents import Limits
from tidegate_protos.threads import to_the_end

HASTE = Patience(
    connect_seconds=30,  # longer than any test: what falls silent must be seen by the next
    read_seconds=0.3,
    first_pause_seconds=0.01,
    longest_pause_seconds=0.05,
    progress_every_seconds=0.02,
)


server = artifact_web.server


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    return Releases(tmp_path, Limits(max_bytes=1 << 20, max_seconds=20), HASTE)


def names(root: Path) -> set[str]:
    folder = root / "releases"
    return {re.sub(r"\.[0-9a-f]{8}\.tmp", ".tmp", p.name) for p in folder.glob("*")}


async def prepare(
    releases: Releases, server: Server, data: bytes = ARTIFACT, digest: str = "", **more: object
) -> Path:
    preparing = releases.prepare(digest or digest_of(data), len(data), server.url, **more)  # type: ignore[arg-type]
    return await asyncio.wait_for(preparing, 20)


PART, TREE, MARKER = f".{NAME}.part", NAME, f"{NAME}.ok"


def is_whole(root: Path) -> bool:
    tree = root / "releases" / TREE
    content = {str(path.relative_to(tree)) for path in tree.rglob("*")}
    is_tree = content == {"app", "app/a.txt", "l", "big"} and (tree / "l").readlink() == Path("app")
    return is_tree and names(root) == {TREE, MARKER} and (tree / "big").stat().st_size == 600_000


# --- The good path -------------------------------------------------------------------------------


async def test_a_release_is_fetched_once_and_then_there(
    tmp_path: Path, server: Server, releases: Releases
) -> None:
    assert releases.path(DIGEST) is None
    tree = await prepare(releases, server)
    assert tree == tmp_path / "releases" / TREE == releases.path(DIGEST)
    assert is_whole(tmp_path)
    assert json.loads((tmp_path / "releases" / MARKER).read_text()) == {
        "files": 3,
        "bytes": 600005,
        "folders": [],
        "strip_components": None,
    }
    assert await prepare(releases, server) == tree
    assert server.asked == [None]


async def test_progress_ends_at_the_whole_size(server: Server, releases: Releases) -> None:
    server.answers = [whole(until=1000, then=lambda _: time.sleep(0.1)), whole()]
    seen: list[tuple[int, int]] = []
    await prepare(releases, server, progress=lambda done, size: seen.append((done, size)))
    assert (1000, len(ARTIFACT)) in seen
    assert seen[-1] == (len(ARTIFACT), len(ARTIFACT))
    assert seen == sorted(seen)


async def test_two_who_want_the_same_release_fetch_it_once(
    server: Server, releases: Releases
) -> None:
    first, second = await asyncio.gather(prepare(releases, server), prepare(releases, server))
    assert first == second
    assert server.asked == [None]


async def test_a_length_need_not_be_told(
    tmp_path: Path, server: Server, releases: Releases
) -> None:
    server.answers = [whole(length=False)]
    await prepare(releases, server)
    assert is_whole(tmp_path)


# --- The network ---------------------------------------------------------------------------------


async def test_a_server_that_ends_early_is_asked_for_the_rest(
    tmp_path: Path, server: Server, releases: Releases
) -> None:
    server.answers = [whole(until=1000), whole(until=400_000), whole()]
    notes: list[str] = []
    await prepare(releases, server, note=notes.append)
    assert is_whole(tmp_path)
    assert server.asked == [None, "bytes=1000-", "bytes=400000-"]
    assert (
        f"{server.url()} ended early, {len(ARTIFACT) - 1000} bytes of {len(ARTIFACT)} missing; next"
        in notes[0]
    )


async def test_a_server_that_falls_silent_half_way_is_asked_for_the_rest(
    tmp_path: Path, server: Server, releases: Releases
) -> None:
    server.answers = [whole(until=1000, then=hang), whole()]
    await prepare(releases, server)
    assert is_whole(tmp_path)
    assert server.asked == [None, "bytes=1000-"]


async def test_a_server_that_never_answers_is_given_up_and_asked_again(
    tmp_path: Path, server: Server, releases: Releases
) -> None:
    server.answers = [hang, whole()]
    notes: list[str] = []
    await prepare(releases, server, note=notes.append)
    assert is_whole(tmp_path)
    assert len(notes) == 1
    assert "timed out" in notes[0]


@pytest.mark.parametrize("code", [500, 503, 429, 403])
async def test_a_server_in_trouble_is_asked_again(
    tmp_path: Path, server: Server, releases: Releases, code: int
) -> None:
    server.answers = [status(code), status(code), whole()]
    await prepare(releases, server)
    assert is_whole(tmp_path)


@pytest.mark.parametrize("code", [404, 410, 400])
async def test_what_is_not_there_fails_at_once(
    tmp_path: Path, server: Server, releases: Releases, code: int
) -> None:
    server.answers = [status(code)]
    with pytest.raises(ArtifactError, match=f"answered {code} [A-Z]"):
        await prepare(releases, server)
    assert len(server.asked) == 1
    assert names(tmp_path) == set()


async def test_each_attempt_asks_for_the_address_anew(
    tmp_path: Path, server: Server, releases: Releases
) -> None:
    addresses = iter(["http://127.0.0.1:1/refused", server.url()])
    notes: list[str] = []
    await releases.prepare(DIGEST, len(ARTIFACT), lambda: next(addresses), note=notes.append)
    assert is_whole(tmp_path)
    assert notes[0].startswith("cannot fetch http://127.0.0.1:1/refused: ")


async def test_an_endless_failure_lasts_until_the_caller_has_enough(
    tmp_path: Path, server: Server, releases: Releases
) -> None:
    server.answers = [status(500)]
    trying = asyncio.create_task(prepare(releases, server))
    while len(server.asked) <= 5:
        await asyncio.sleep(0.01)
    assert not trying.done()
    trying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await trying


async def test_pauses_grow_and_differ_and_have_a_bound(tmp_path: Path) -> None:
    fetch = Fetch(tmp_path / "part", NAME, 1, Patience())
    assert all(0.25 <= fetch._pause_seconds(1) <= 0.5 for _ in range(50))
    assert all(2 <= fetch._pause_seconds(4) <= 4 for _ in range(50))
    assert all(15 <= fetch._pause_seconds(10_000) <= 30 for _ in range(50))
    assert len({fetch._pause_seconds(4) for _ in range(50)}) > 10


@pytest.mark.parametrize(
    "url",
    [
        "http://a b/",
        "http://127.0.0.1:0/",
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "data:,x",
        "/etc/passwd",
        "http://[",
        "",
    ],
)
async def test_only_http_is_fetched(releases: Releases, url: str) -> None:
    with pytest.raises(ArtifactError, match=r"address is (not http|malformed)"):
        await releases.prepare(DIGEST, len(ARTIFACT), lambda: url)


async def test_a_redirect_is_followed_but_only_to_http(
    tmp_path: Path, server: Server, releases: Releases
) -> None:
    server.answers = [status(302, Location="file:///etc/passwd")]
    with pytest.raises(ArtifactError, match="answered 302"):
        await prepare(releases, server)
    server.answers = [status(302, Location="/elsewhere"), whole()]
    await prepare(releases, server)
    assert is_whole(tmp_path)


async def test_secrets_in_an_address_are_not_told(server: Server, releases: Releases) -> None:
    server.answers = [status(404)]
    with pytest.raises(ArtifactError, match="answered 404") as error:
        await releases.prepare(DIGEST, 10, lambda: server.url() + "?signature=hidden")
    assert "hidden" not in str(error.value)
    with pytest.raises(ArtifactError, match="has a user or password in it") as error:
        await releases.prepare(DIGEST, 10, lambda: "http://user:hidden@127.0.0.1/x")
    assert "hidden" not in str(error.value)


# --- Resume --------------------------------------------------------------------------------------


def leave_part(root: Path, data: bytes) -> None:
    (root / "releases").mkdir(exist_ok=True)
    (root / "releases" / PART).write_bytes(data)


async def test_a_download_is_resumed_by_another_process(
    tmp_path: Path, server: Server, releases: Releases
) -> None:
    leave_part(tmp_path, ARTIFACT[:5000])
    await prepare(releases, server)
    assert is_whole(tmp_path)
    assert server.asked == ["bytes=5000-"]


async def test_a_download_that_was_complete_is_not_fetched_again(
    tmp_path: Path, server: Server, releases: Releases
) -> None:
    leave_part(tmp_path, ARTIFACT)
    await prepare(releases, server)
    assert is_whole(tmp_path)
    assert server.asked == []


@pytest.mark.parametrize(
    ("left", "asked"),
    [
        (OTHER[:400_000], ["bytes=400000-", None]),
        (OTHER, [None]),
        (ARTIFACT + b"more", [None]),
    ],
    ids=["damaged", "damaged and full", "too long"],
)
async def test_what_does_not_fit_is_fetched_anew(
    tmp_path: Path, server: Server, releases: Releases, left: bytes, asked: list[str | None]
) -> None:
    leave_part(tmp_path, left)
    await prepare(releases, server)
    assert is_whole(tmp_path)
    assert server.asked == asked


async def test_a_download_that_somebody_takes_away_is_begun_anew(
    tmp_path: Path, server: Server, releases: Releases
) -> None:
    def take(_: BaseHTTPRequestHandler) -> None:
        (tmp_path / "releases" / PART).unlink()

    server.answers = [whole(until=1000, then=take), whole()]
    await prepare(releases, server)
    assert is_whole(tmp_path)
    assert server.asked == [None, None]


@pytest.mark.parametrize(
    ("second", "asked"),
    [
        (whole(ranges=False), [None, "bytes=1000-"]),
        (whole(ARTIFACT + b"more", total=len(ARTIFACT) + 4), [None, "bytes=1000-", None]),
        (whole(OTHER[::-1]), [None, "bytes=1000-", None]),
        (status(416), [None, "bytes=1000-", None]),
        (status(206), [None, "bytes=1000-", None]),
    ],
    ids=["no range", "another size", "another file", "range refused", "no content range"],
)
async def test_a_server_that_cannot_resume_is_asked_for_all(
    tmp_path: Path, server: Server, releases: Releases, second: Answer, asked: list[str | None]
) -> None:
    server.answers = [whole(until=1000), second, whole()]
    await prepare(releases, server)
    assert is_whole(tmp_path)
    assert server.asked == asked


async def test_a_server_that_resumes_at_another_byte_is_noticed_at_once(
    tmp_path: Path, server: Server, releases: Releases
) -> None:
    def from_the_start(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes 0-{len(ARTIFACT) - 1}/{len(ARTIFACT)}")
        handler.end_headers()
        handler.wfile.write(ARTIFACT)

    server.answers = [whole(until=1000), from_the_start, whole()]
    notes: list[str] = []
    await prepare(releases, server, note=notes.append)
    assert is_whole(tmp_path)
    assert "resumes with something else" in notes[1]


# --- What is not the artifact --------------------------------------------------------------------


async def test_a_wrong_digest_unpacks_nothing_and_fails_at_once(
    tmp_path: Path, server: Server, releases: Releases
) -> None:
    server.answers = [whole(OTHER)]
    with pytest.raises(ArtifactError, match=f"not {DIGEST}; nothing was unpacked"):
        await prepare(releases, server)
    assert server.asked == [None]
    assert names(tmp_path) == set()


async def test_another_file_again_and_again_is_not_fetched_for_ever(
    tmp_path: Path, server: Server, releases: Releases
) -> None:
    server.answers = [whole(OTHER, until=1000), whole(OTHER), whole(OTHER, until=10), whole(OTHER)]
    with pytest.raises(ArtifactError, match="nothing was unpacked"):
        await prepare(releases, server)
    assert len(server.asked) == 4
    assert names(tmp_path) == set()


async def test_a_file_of_another_size_fails_at_once(
    tmp_path: Path, server: Server, releases: Releases
) -> None:
    server.answers = [whole(b"<html>Please sign in")]
    with pytest.raises(ArtifactError, match=f"offers 20 bytes, the artifact has {len(ARTIFACT)}"):
        await prepare(releases, server)
    assert names(tmp_path) == set()


async def test_no_byte_above_the_size_is_read(
    tmp_path: Path, server: Server, releases: Releases
) -> None:
    def flood(handler: BaseHTTPRequestHandler) -> None:
        with contextlib.suppress(OSError):
            for _ in range(1000):
                handler.wfile.write(bytes(1 << 20))

    server.answers = [whole(length=False, then=flood)]
    await prepare(releases, server)
    assert is_whole(tmp_path)


@pytest.mark.parametrize(
    "digest",
    [
        *("", NAME, "sha256:", "sha256:" + NAME[:-1], "sha256:" + NAME + "0", DIGEST + "\n"),
        *("SHA256:" + NAME, "sha256:" + NAME.upper(), "sha256:../../" + NAME[6:]),
        *("sha512:" + NAME, "sha256:" + NAME[:-1] + "\0", "sha256:" + "\u0661" * 64),
    ],
)
async def test_only_a_digest_becomes_a_path(
    tmp_path: Path, server: Server, releases: Releases, digest: str
) -> None:
    with pytest.raises(ArtifactError, match="is no digest"):
        await releases.prepare(digest, 10, server.url)
    with pytest.raises(ArtifactError, match="is no digest"):
        releases.path(digest)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["parent.tar.gz", "setuid.zip", "lone.tar.zst", "text", "too many bytes.tar"]
)
async def test_a_bad_archive_is_refused_in_the_childs_words(
    tmp_path: Path, server: Server, releases: Releases, name: str
) -> None:
    data, words = HOSTILE[name]
    server.answers = [whole(data)]
    with pytest.raises(ArtifactError, match=re.escape(words)):
        await prepare(releases, server, data)
    assert names(tmp_path) == set()


async def test_an_empty_artifact_cannot_be(server: Server, releases: Releases) -> None:
    with pytest.raises(ArtifactError, match="an artifact of 0 bytes"):
        await prepare(releases, server, b"")


async def test_a_child_that_dies_is_reported(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "tidegate_agent.unpacker.START_UNPACK", "import os; os.kill(os.getpid(), 9)"
    )
    with pytest.raises(ArtifactError, match="unpacking process failed: killed by SIGKILL"):
        await prepare(Releases(tmp_path, None, HASTE), server)
    assert names(tmp_path) == set()


# --- Cancellation --------------------------------------------------------------------------------


async def cancel(task: asyncio.Task[Path]) -> float:
    """How many seconds the task took to end."""
    start = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return time.monotonic() - start


async def until(condition: Callable[[], object], seconds: float = 5) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


def fetching() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("fetch ")]


@pytest.mark.parametrize("sent", [None, 0, 5000], ids=["no answer", "headers", "some bytes"])
async def test_a_cancelled_fetch_ends_at_once_and_can_be_resumed(
    tmp_path: Path, server: Server, sent: int | None
) -> None:
    releases = Releases(tmp_path, None, Patience())  # with its long waits
    server.answers = [hang if sent is None else whole(until=sent, then=hang), whole()]
    task = asyncio.create_task(prepare(releases, server))
    part = tmp_path / "releases" / PART
    await until(lambda: server.asked and part.exists() and part.stat().st_size == (sent or 0))
    await asyncio.sleep(0.05)
    assert await cancel(task) < 0.3
    await until(lambda: not fetching(), 1)
    assert names(tmp_path) == {PART}
    await prepare(releases, server)
    assert is_whole(tmp_path)
    assert server.asked == [None, f"bytes={sent}-" if sent else None]


async def test_a_cancelled_fetch_never_writes_again(tmp_path: Path, server: Server) -> None:
    """Cancelled and begun again many times, the file is what one of them wrote at a time."""
    releases = Releases(tmp_path, None, HASTE)
    for size in range(0, len(ARTIFACT), 100_000):
        server.answers = [whole(until=size, then=hang)]
        task = asyncio.create_task(prepare(releases, server))
        await asyncio.sleep(random.uniform(0, 0.02))
        await cancel(task)
    server.answers = [whole()]
    await prepare(releases, server)
    assert is_whole(tmp_path)


async def test_a_thread_that_wakes_after_the_cancel_writes_nothing(tmp_path: Path) -> None:
    """Its bytes were on their way when the fetch ended; the next one may have the file open."""
    fetch = Fetch(tmp_path / "part", NAME, 10, HASTE)
    with (tmp_path / "part").open("w+b") as file:
        fetch._store(file.fileno(), b"before")
        fetch._cut()
        with pytest.raises(_Cut):
            fetch._store(file.fileno(), b"late")
        with pytest.raises(_Cut):
            fetch._restart(file.fileno())
    assert (tmp_path / "part").read_bytes() == b"before"


async def test_work_on_the_names_is_done_before_a_cancel_goes_on() -> None:
    begun, free = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        free.wait(5)

    task = asyncio.create_task(to_the_end(asyncio.to_thread(work)))
    await until(begun.is_set)
    for _ in range(3):
        task.cancel("leave")
        await asyncio.sleep(0.02)
        assert not task.done()
    free.set()
    with pytest.raises(asyncio.CancelledError, match="leave"):
        await task


def children() -> set[str]:
    """The processes that this one has started and not yet reaped; those of other tests too."""
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


async def test_a_cancelled_unpacking_kills_the_child_and_keeps_the_download(
    tmp_path: Path, server: Server, releases: Releases
) -> None:
    data = bomb_of_headers(2 << 30)
    server.answers = [whole(data)]
    before = children()
    task = asyncio.create_task(prepare(releases, server, data))
    await until(lambda: any(name.endswith(".tmp") for name in names(tmp_path)))
    assert children() > before
    assert await cancel(task) < 0.3
    assert children() <= before
    name = digest_of(data).removeprefix("sha256:")
    assert names(tmp_path) == {f".{name}.part"}


async def test_a_prepare_cancelled_at_any_moment_can_be_done_again(
    tmp_path: Path, server: Server, releases: Releases
) -> None:
    chance = random.Random(7)
    for _ in range(15):
        task = asyncio.create_task(prepare(releases, server))
        await asyncio.sleep(chance.uniform(0, 0.09))
        task.cancel()
        await asyncio.wait({task})
        assert names(tmp_path) <= {PART, TREE, MARKER}
        assert (TREE in names(tmp_path)) == (MARKER in names(tmp_path))
        shutil.rmtree(tmp_path / "releases", ignore_errors=chance.random() < 0.5)
    await prepare(releases, server)
    assert is_whole(tmp_path)


async def test_a_child_past_its_time_is_stopped(tmp_path: Path, server: Server) -> None:
    data = bomb_of_headers(2 << 30)
    server.answers = [whole(data)]
    releases = Releases(tmp_path, Limits(max_seconds=0.2), HASTE)
    with pytest.raises(ArtifactError, match=r"unpacking took more than 0.2 seconds"):
        await prepare(releases, server, data)
    assert names(tmp_path) == set()


# --- The disk ------------------------------------------------------------------------------------

ALONE = """
import asyncio, sys
from pathlib import Path
sys.path[:0] = sys.argv.pop(1).split(":")
from tidegate_agent.errors import ArtifactError
from tidegate_agent.releases import Patience, Releases
root, digest, size, url, sweep = sys.argv[1:]
async def main():
    releases = Releases(Path(root), None, Patience(first_pause_seconds=0.02))
    if sweep == "sweep":
        releases.sweep()
    try:
        print(await releases.prepare(digest, int(size), lambda: url, unpacked_bytes=1))
    except ArtifactError as error:
        print("ArtifactError:", error)
asyncio.run(main())
"""


def alone(root: Path, server: Server, data: bytes = ARTIFACT, sweep: str = "") -> list[str]:
    """A process of its own that prepares the release."""
    digest, size = digest_of(data), str(len(data))
    start = [sys.executable, "-I", "-c", ALONE, ":".join(OWN_FOLDERS)]
    return [*start, str(root), digest, size, server.url(), sweep]


def run(line: list[str]) -> str:
    ended = subprocess.run(line, capture_output=True, text=True, timeout=20, check=False)
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended.stdout


SMALL = [*SMALL_DISK, "/mnt", "64k", "true"]
needs_namespaces = pytest.mark.skipif(
    not shutil.which("unshare") or subprocess.run(SMALL, check=False).returncode != 0,
    reason="needs user and mount namespaces",
)
LISTING = '"$@"; echo; find . -mindepth 2'


@needs_namespaces
@pytest.mark.parametrize(
    ("size", "words"),
    [
        ("300k", "not enough disk for the release: 307,200 bytes free in "),
        ("900k", "disk full while unpacking 'big': "),
    ],
)
def test_a_full_disk_is_said_so_and_left_as_it_was(
    tmp_path: Path, server: Server, size: str, words: str
) -> None:
    line = [*SMALL_DISK, str(tmp_path), size, f"cd {tmp_path}; {LISTING}"]
    output, _, left = run([*line, *alone(tmp_path, server)]).partition("\n\n")
    assert output.startswith("ArtifactError: " + words)
    assert " bytes free" in output
    assert left == ""


@needs_namespaces
def test_a_disk_that_fills_during_the_fetch_is_said_so(tmp_path: Path, server: Server) -> None:
    """Another process takes the place that was free when the fetch began."""
    taken = threading.Event()

    def fill(_: BaseHTTPRequestHandler) -> None:
        (tmp_path / "go").touch()
        taken.wait(0.4)

    server.answers = [whole(until=1000, then=fill), whole()]
    disk = tmp_path / "disk"
    disk.mkdir()
    wait = f"while [ ! -e {tmp_path}/go ] && kill -0 $$; do sleep 0.02; done"  # $$: the one around
    filler = f"({wait}; head -c 2M /dev/zero > fill) &"
    script = f"cd {disk}; {filler} {LISTING}"
    output = run([*SMALL_DISK, str(disk), "1300k", script, *alone(disk, server)])
    assert output.startswith(
        "ArtifactError: disk full while fetching the artifact: 0 bytes free in "
    )
    assert output.partition("\n\n")[2] == ""


async def test_a_disk_that_is_too_small_is_not_even_tried(
    server: Server, releases: Releases
) -> None:
    with pytest.raises(
        ArtifactError, match=r"not enough disk .* about 4,000,000,000,000,000 needed"
    ):
        await releases.prepare(DIGEST, 10**15, server.url)
    assert server.asked == []


async def test_a_folder_that_cannot_be_made_is_said_so(tmp_path: Path, server: Server) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ArtifactError, match="disk error while preparing the release: Not a dir"):
        await prepare(Releases(tmp_path / "file", None, HASTE), server)


async def test_a_download_is_never_written_through_a_link(
    tmp_path: Path, server: Server, releases: Releases
) -> None:
    (tmp_path / "releases").mkdir()
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "releases" / PART).symlink_to(tmp_path / "victim")
    with pytest.raises(ArtifactError, match="disk error"):
        await prepare(releases, server)
    assert (tmp_path / "victim").read_text() == "precious"


# --- Crashes -------------------------------------------------------------------------------------


async def test_a_sweep_removes_what_is_incomplete_and_nothing_else(
    tmp_path: Path, server: Server, releases: Releases
) -> None:
    releases.sweep()
    await prepare(releases, server)
    folder = tmp_path / "releases"
    other = "ab" * 32
    for name in (f".{other}.0a1b2c3d.tmp", other):
        (folder / name / "deep").mkdir(parents=True)
        (folder / name / "deep/file").touch()
    for name in (f".{other}.part", PART, f".{other}.ok.tmp", f"{'cd' * 32}.ok", "README", "x.tmp"):
        (folder / name).touch()
    releases.sweep()
    assert names(tmp_path) == {TREE, MARKER, f".{other}.part", "README", "x.tmp"}
    assert releases.path(DIGEST) == folder / TREE


async def test_a_tree_without_its_marker_counts_for_nothing(
    tmp_path: Path, server: Server, releases: Releases
) -> None:
    (tmp_path / "releases" / TREE / "half").mkdir(parents=True)
    (tmp_path / "releases" / f".{NAME}.00000000.tmp").mkdir()
    assert releases.path(DIGEST) is None
    await prepare(releases, server)
    assert is_whole(tmp_path)


async def test_a_marker_without_its_tree_counts_for_nothing(
    tmp_path: Path, server: Server, releases: Releases
) -> None:
    (tmp_path / "releases").mkdir()
    (tmp_path / "releases" / MARKER).touch()
    assert releases.path(DIGEST) is None
    await prepare(releases, server)
    assert is_whole(tmp_path)


def test_a_kill_at_any_moment_is_made_good(tmp_path: Path, server: Server) -> None:
    chance = random.Random(3)
    for _ in range(4):
        line = alone(tmp_path, server, sweep=chance.choice(["", "sweep"]))
        with subprocess.Popen(line, stdout=subprocess.DEVNULL) as process:
            time.sleep(chance.uniform(0.1, 0.35))
            process.kill()
    run(alone(tmp_path, server, sweep="sweep"))
    assert is_whole(tmp_path)
