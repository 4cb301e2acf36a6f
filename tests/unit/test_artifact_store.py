"""The controller's store of artifacts: what it takes, what it refuses, what it removes."""

import asyncio
import hashlib
import os
import shutil
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tidegate_controller import artifacts
from tidegate_controller.artifacts import ArtifactStore, Note
from tidegate_controller.errors import Refused, TidegateError, UsageError

DATA = b"an artifact" * 1000
DIGEST = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
HOUR, DAY = 3600, 86400


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path)


async def pieces(data: bytes = DATA, size: int = 999) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


HEX = DIGEST.removeprefix("sha256:")
BOTH = {HEX, f"{HEX}.json"}


async def test_what_is_received_is_there_under_its_digest_with_a_note(
    tmp_path: Path, store: ArtifactStore
) -> None:
    note = Note(name="shop.tar.gz", app="shop", version="1", added_by="ann@laptop")
    assert await store.receive(pieces(), note, digest=DIGEST, size_bytes=len(DATA)) == DIGEST
    path = store.path(DIGEST)
    assert path is not None
    assert path.read_bytes() == DATA
    known = store.note(DIGEST)
    assert known is not None
    assert (known.name, known.version, known.size_bytes) == ("shop.tar.gz", "1", len(DATA))
    assert known.added_at.endswith("Z")
    assert store.notes() == ArtifactStore(tmp_path).notes() == {DIGEST: known}
    assert names(tmp_path) == BOTH


async def test_of_what_nobody_knows_before_the_digest_is_found(store: ArtifactStore) -> None:
    assert await store.receive(pieces(), Note(url="https://example.org/a")) == DIGEST


@pytest.mark.parametrize(
    ("data", "size", "digest", "words"),
    [
        (DATA, len(DATA), "sha256:" + "0" * 64, "has the digest sha256:.* not sha256:0000"),
        (DATA, len(DATA) - 1, DIGEST, "more than the 10,999 bytes that were announced"),
        (DATA, len(DATA) + 1, DIGEST, "ended early: 11,000 of 11,001 bytes came"),
        (b"", 0, "", "ended early: 0 of 0 bytes"),
        (DATA, artifacts.ARTIFACT_BYTES_MAX + 1, DIGEST, "is larger than 10,737,418,240 bytes"),
    ],
    ids=["another digest", "longer", "shorter", "nothing", "too large"],
)
async def test_what_is_not_as_announced_leaves_nothing(
    tmp_path: Path, store: ArtifactStore, data: bytes, size: int, digest: str, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        await store.receive(pieces(data), Note(), digest=digest, size_bytes=size)
    assert names(tmp_path) == set()


async def test_what_never_ends_is_stopped_at_the_limit(
    tmp_path: Path, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(100_000)

    monkeypatch.setattr(artifacts, "ARTIFACT_BYTES_MAX", 1_000_000)
    with pytest.raises(UsageError, match="larger than 1,000,000 bytes"):
        await store.receive(endless(), Note())
    assert names(tmp_path) == set()


async def test_what_never_comes_is_given_up(
    tmp_path: Path, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never() -> AsyncIterator[bytes]:
        yield DATA[:10]
        await asyncio.sleep(60)

    monkeypatch.setattr(artifacts, "RECEIVE_SECONDS", 0.1)
    with pytest.raises(TidegateError, match="did not arrive within"):
        await store.receive(never(), Note(), digest=DIGEST, size_bytes=len(DATA))
    assert names(tmp_path) == set()


async def test_a_cancelled_upload_leaves_nothing(tmp_path: Path, store: ArtifactStore) -> None:
    async def stuck() -> AsyncIterator[bytes]:
        yield DATA[:10]
        await asyncio.sleep(60)

    task = asyncio.create_task(store.receive(stuck(), Note(), digest=DIGEST, size_bytes=len(DATA)))
    while not names(tmp_path):
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    assert names(tmp_path) == set()


def test_a_start_removes_what_a_crash_has_left(tmp_path: Path) -> None:
    for name in (".abc.part", f".{HEX}.json.part", f"{HEX}.json", "README"):
        (tmp_path / name).touch()
    ArtifactStore(tmp_path)
    assert names(tmp_path) == {"README"}


@pytest.mark.parametrize("content", [None, b"", b"[]", b'{"size_bytes": "many"}'])
async def test_an_artifact_whose_note_cannot_be_read_is_listed_all_the_same(
    tmp_path: Path, store: ArtifactStore, content: bytes | None
) -> None:
    await store.receive(pieces(), Note(name="shop.tar.gz"))
    note = tmp_path / f"{HEX}.json"
    note.unlink()
    if content is not None:
        note.write_bytes(content)
    known = store.note(DIGEST)
    assert known is not None
    assert (known.size_bytes, known.name) == (len(DATA), "")


async def test_a_label_is_added_to_what_is_there_and_keeps_when_it_came(
    store: ArtifactStore,
) -> None:
    await store.receive(pieces(), Note(name="a.tar.gz", added_by="ann"))
    before = store.note(DIGEST)
    store.relabel(DIGEST, Note(version="2"))
    after = store.note(DIGEST)
    assert before is not None
    assert after is not None
    assert (after.name, after.added_by, after.version) == ("a.tar.gz", "ann", "2")
    assert (after.added_at, after.size_bytes) == (before.added_at, before.size_bytes)


async def test_several_may_label_the_same_at_once(tmp_path: Path, store: ArtifactStore) -> None:
    await store.receive(pieces(), Note())
    named = [Note(name=f"{number}.tar") for number in range(200)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda note: store.relabel(DIGEST, note), named))  # raises what went wrong
    assert store.note(DIGEST).name in {note.name for note in named}
    assert names(tmp_path) == BOTH


@pytest.mark.parametrize("digest", ["", HEX, "sha256:..", f"sha256:{HEX}/../x", DIGEST + "\n"])
def test_only_a_digest_becomes_a_path(store: ArtifactStore, digest: str) -> None:
    with pytest.raises(UsageError, match="is not a digest"):
        store.path(digest)


# --- Room ----------------------------------------------------------------------------------------


def leave(monkeypatch: pytest.MonkeyPatch, folder: Path, size_bytes: int) -> None:
    """Let the store think that so much of the disk may be filled."""
    free = shutil.disk_usage(folder).free
    monkeypatch.setattr(artifacts, "RESERVE_BYTES", free - size_bytes)


GREAT = 1 << 30  # larger than what others do to this disk meanwhile


async def test_an_upload_that_leaves_too_little_is_refused_before_it_begins(
    tmp_path: Path, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unasked() -> AsyncIterator[bytes]:
        pytest.fail("nothing may be taken")
        yield b""

    leave(monkeypatch, tmp_path, GREAT)
    with pytest.raises(Refused, match=r"no room .* bytes are free in .* are needed and .* stay"):
        await store.receive(unasked(), Note(), digest=DIGEST, size_bytes=3 * GREAT)
    assert names(tmp_path) == set()


async def test_room_is_promised_once_and_given_back(
    tmp_path: Path, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, free = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        begun.set()
        await free.wait()
        yield DATA

    leave(monkeypatch, tmp_path, 3 * GREAT)
    first = asyncio.create_task(store.receive(slow(), Note(), digest=DIGEST, size_bytes=2 * GREAT))
    await begun.wait()
    with pytest.raises(Refused, match="no room"):
        await store.receive(pieces(), Note(), digest=DIGEST, size_bytes=2 * GREAT)
    free.set()
    with pytest.raises(UsageError, match="ended early"):
        await first
    assert store._coming_bytes == 0
    with pytest.raises(UsageError, match="ended early"):  # and no word of room
        await store.receive(pieces(), Note(), digest=DIGEST, size_bytes=2 * GREAT)
    await store.receive(pieces(), Note(), digest=DIGEST, size_bytes=len(DATA))
    assert store._coming_bytes == 0


async def test_what_does_not_say_its_size_stops_where_the_room_ends(
    tmp_path: Path, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(monkeypatch, tmp_path, -GREAT)
    with pytest.raises(Refused, match="no room"):
        await store.receive(pieces(), Note())
    assert names(tmp_path) == set()


async def test_a_few_are_received_at_once_and_the_others_wait(store: ArtifactStore) -> None:
    inside, most = 0, 0

    async def counted(number: int) -> AsyncIterator[bytes]:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0.02)
        inside -= 1
        yield b"%d" % number

    await asyncio.gather(*(store.receive(counted(number), Note()) for number in range(12)))
    assert most == artifacts.RECEIVED_AT_ONCE
    assert len(store.notes()) == 12


# --- What is removed -----------------------------------------------------------------------------


async def aged(store: ArtifactStore, *ages: float) -> list[str]:
    """Artifacts that were asked for so many seconds ago."""
    digests = []
    for number, age in enumerate(ages):
        digest = await store.receive(pieces(b"%d" % number), Note())
        path = store.path(digest)
        assert path is not None
        os.utime(path, (time.time() - age,) * 2)
        digests.append(digest)
    return digests


async def test_what_no_release_needs_goes_after_a_week(
    tmp_path: Path, store: ArtifactStore
) -> None:
    old, needed, young, older = await aged(store, 8 * DAY, 30 * DAY, 6 * DAY, 9 * DAY)
    assert store.prune({needed}) == [older, old]
    assert set(store.notes()) == {needed, young}
    assert len(names(tmp_path)) == 4
    assert store.prune({needed}) == []


async def test_on_a_disk_that_is_nearly_full_it_goes_after_an_hour(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "PRESSURE_BYTES", 1 << 60)
    old, needed, young = await aged(store, 2 * HOUR, 2 * HOUR, HOUR / 2)
    assert store.prune({needed}) == [old]
    assert set(store.notes()) == {needed, young}


async def test_what_somebody_has_just_asked_for_stays(store: ArtifactStore) -> None:
    (digest,) = await aged(store, 30 * DAY)
    store.renew(digest)
    assert store.prune(set()) == []


async def test_a_clock_that_was_set_back_removes_nothing(store: ArtifactStore) -> None:
    await aged(store, -365 * DAY)
    assert store.prune(set()) == []


async def test_what_is_not_the_stores_own_is_left_alone(
    tmp_path: Path, store: ArtifactStore
) -> None:
    (tmp_path / "README").touch()
    os.utime(tmp_path / "README", (0, 0))
    assert store.prune(set()) == []
    assert names(tmp_path) == {"README"}


async def test_what_nobody_needs_goes_before_an_upload_is_refused(
    tmp_path: Path, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk has room for one more once the old one is gone."""
    bad, needed, young = await aged(store, 2 * HOUR, 2 * HOUR, HOUR / 2)
    full = shutil.disk_usage(tmp_path)._replace(free=artifacts.PRESSURE_BYTES)

    def usage(_: Path) -> Any:
        gone = store.path(bad) is None
        return full._replace(free=full.free + GREAT) if gone else full

    monkeypatch.setattr(shutil, "disk_usage", usage)
    fix = artifacts.PRESSURE_BYTES  # announced, of which only a part will come

    async def make_room() -> None:
        store.prune({needed})

    with pytest.raises(Refused, match="no room"):
        await store.receive(pieces(), Note(), digest=DIGEST, size_bytes=fix)
    store.make_room = make_room
    with pytest.raises(UsageError, match="ended early"):  # and no word of room
        await store.receive(pieces(), Note(), digest=DIGEST, size_bytes=fix)
    assert set(store.notes()) == {needed, young}
