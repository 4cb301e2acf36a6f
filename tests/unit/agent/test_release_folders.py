"""Which folder of an archive is the release, and what is remembered of it."""

import json
import os
from pathlib import Path

import artifact_web
import pytest
from artifact_web import Server, digest_of, status, whole
from hostile_archives import archive, every, member, symlink

from tidegate_agent.errors import ArtifactError
from tidegate_agent.releases import Releases
from tidegate_protos.archives.contents import Limits

INSIDE = [
    member(b"app-1.2/", kind=b"5", mode=0o755),
    member(b"app-1.2/serve", b"#!/bin/sh\n", mode=0o755),
    member(b"app-1.2/lib/x", b"x"),
]


server = artifact_web.server


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    return Releases(tmp_path)


async def prepare(
    releases: Releases, server: Server, data: bytes, strip_components: int | None = None
) -> Path:
    server.answers = [whole(data)]
    digest, size = digest_of(data), len(data)
    path = await releases.prepare(digest, size, server.url, strip_components=strip_components)
    assert releases.path(digest) == path
    return path.relative_to(releases._folder / digest.removeprefix("sha256:"))


# --- The folder around everything ----------------------------------------------------------------


@pytest.mark.parametrize("form", [".tar", ".tar.gz", ".tar.zst", ".zip"])
async def test_one_folder_around_everything_is_left_out(
    releases: Releases, server: Server, form: str
) -> None:
    assert await prepare(releases, server, every(*INSIDE)[form]) == Path("app-1.2")


@pytest.mark.parametrize(
    "more",
    [
        [member(b"README", b"x")],
        [member(b"other/x", b"x")],
        [member(b"other/", kind=b"5")],
        [symlink(b"l", b"app-1.2/serve")],
        [symlink(b"app-1.2/l", b"../app-1.2/serve")],
        [symlink(b"app-1.2/lib/l", b"../../app-1.2/lib/x")],
    ],
    ids=[
        *("a file beside it", "a folder beside it", "an empty folder beside it"),
        *("a link beside it", "a link that leaves it", "a link that leaves it from below"),
    ],
)
async def test_a_folder_stays_where_something_is_beside_it_or_leads_out_of_it(
    releases: Releases, server: Server, more: list[bytes]
) -> None:
    assert await prepare(releases, server, archive(*INSIDE, *more)) == Path()


async def test_links_inside_the_folder_lead_where_they_led(
    releases: Releases, server: Server
) -> None:
    links = [symlink(b"app-1.2/bin/s", b"../serve"), symlink(b"app-1.2/self", b".")]
    assert await prepare(releases, server, archive(*INSIDE, *links)) == Path("app-1.2")
    (digest,) = [digest_of(archive(*INSIDE, *links))]
    root = releases.path(digest)
    assert root is not None
    assert (root / "bin/s").resolve() == root / "serve"


async def test_of_folders_in_each_other_one_is_left_out_unless_told_otherwise(
    releases: Releases, server: Server
) -> None:
    data = archive(member(b"a/b/c/serve", b"x"))
    assert await prepare(releases, server, data) == Path("a")
    for count, expected in enumerate(["", "a", "a/b", "a/b/c"]):
        assert await prepare(releases, server, data, count) == Path(expected)
    assert await prepare(releases, server, data) == Path("a")
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("parts", "count", "words"),
    [
        (INSIDE, 2, "strip_components = 2: .* around everything .* only 'app-1.2' is"),
        ([*INSIDE, member(b"README", b"x")], 1, "strip_components = 1: .* but it has none"),
        ([member(b"a/b/f", b"x"), symlink(b"a/b/l", b"../b/f")], 2, "but only 'a' is"),
    ],
    ids=["too many", "none", "a link that would lead out"],
)
async def test_more_folders_than_there_are_cannot_be_left_out(
    releases: Releases, server: Server, parts: list[bytes], count: int, words: str
) -> None:
    with pytest.raises(ArtifactError, match=words):
        await prepare(releases, server, archive(*parts), count)
    await prepare(releases, server, archive(*parts), 0)


async def test_two_revisions_of_an_artifact_have_each_its_own_folder(
    releases: Releases, server: Server
) -> None:
    data = archive(*INSIDE)
    server.answers = [whole(data)]
    digest, tree = digest_of(data), releases._folder / digest_of(data)[7:]
    asked = {"first": None, "second": 0, "third": 1, "fourth": None}
    expected = {"first": "app-1.2", "second": ".", "third": "app-1.2", "fourth": "app-1.2"}
    for _ in range(2):
        for config, count in asked.items():
            path = await releases.prepare(
                digest, len(data), server.url, config=config, strip_components=count
            )
            assert path == tree / expected[config]
    again = Releases(releases._folder.parent)
    assert {config: again.path(digest, config) for config in asked} == {
        config: tree / name for config, name in expected.items()
    }


async def test_what_a_revision_leaves_out_is_remembered_of_the_newest(
    releases: Releases, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidegate_agent.releases.OTHERS_MAX", 2)
    data = archive(*INSIDE)
    server.answers = [whole(data)]
    digest = digest_of(data)
    await releases.prepare(digest, len(data), server.url)
    for config in "abc":
        await releases.prepare(digest, len(data), server.url, config=config, strip_components=0)
    tree = releases._folder / digest[7:]
    found = {config: releases.path(digest, config) for config in "abc"}
    assert found == {"a": tree / "app-1.2", "b": tree, "c": tree}


async def test_a_release_of_an_older_agent_keeps_all_of_its_folders(
    tmp_path: Path, releases: Releases
) -> None:
    name = "ab" * 32
    (tmp_path / "releases" / name / "app-1.2").mkdir(parents=True)
    (tmp_path / f"releases/{name}.ok").write_text('{"files": 1, "bytes": 2}\n')
    assert releases.path(f"sha256:{name}") == tmp_path / "releases" / name


async def test_a_marker_that_cannot_be_read_counts_for_nothing(
    tmp_path: Path, releases: Releases, server: Server
) -> None:
    data = archive(*INSIDE)
    await prepare(releases, server, data)
    (marker,) = (tmp_path / "releases").glob("*.ok")
    for content in ("", "[]", '{"files": 1, "unheard": 2}'):
        marker.write_text(content)
        assert releases.path(digest_of(data)) is None
    await prepare(releases, server, data)
    assert json.loads(marker.read_text())["folders"] == ["app-1.2"]


async def test_what_a_newer_agent_has_written_into_a_marker_is_left_aside(
    releases: Releases, server: Server, tmp_path: Path
) -> None:
    data = archive(*INSIDE)
    await prepare(releases, server, data)
    (marker,) = (tmp_path / "releases").glob("*.ok")
    known = json.loads(marker.read_text())
    marker.write_text(json.dumps({**known, "of_a_newer_agent": [1]}))
    path = releases.path(digest_of(data))
    assert path is not None
    assert path.name == "app-1.2"


async def test_what_a_slot_serves_from_is_left_alone_though_its_marker_cannot_be_read(
    server: Server, tmp_path: Path
) -> None:
    data = archive(*INSIDE)
    digest = digest_of(data)
    releases = Releases(tmp_path, held=lambda: {digest.removeprefix("sha256:")})
    await prepare(releases, server, data)
    (marker,) = (tmp_path / "releases").glob("*.ok")
    serving = (marker.with_suffix("") / "app-1.2" / "serve").stat()
    marker.write_text("damaged")
    releases.sweep()
    server.answers = [status(404)]
    with pytest.raises(ArtifactError):
        await releases.prepare(digest, len(data), server.url)
    assert marker.read_text() == "damaged"
    await prepare(releases, server, data)
    assert (marker.with_suffix("") / "app-1.2" / "serve").stat().st_ino == serving.st_ino
    assert json.loads(marker.read_text())["folders"] == ["app-1.2"]
    assert {path.suffix for path in releases._folder.iterdir()} == {"", ".ok"}


async def test_an_agent_without_the_library_for_zstd_says_what_is_missing(
    releases: Releases, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("tidegate_agent.unpacker.find_spec", missing)
    made = every(*INSIDE)
    with pytest.raises(ArtifactError, match=r"lacks the package backports.zstd"):
        await prepare(releases, server, made[".tar.zst"])
    await prepare(releases, server, made[".zip"])


async def test_a_refused_zip_leaves_nothing(
    tmp_path: Path, releases: Releases, server: Server
) -> None:
    data = every(member(b"a", b"x"), member(b"../evil", b"x"))[".zip"]
    with pytest.raises(ArtifactError, match=r"'../evil' has '..' in its path"):
        await prepare(releases, server, data)
    assert list((tmp_path / "releases").iterdir()) == []


async def test_an_archive_larger_than_the_limit_is_stopped(tmp_path: Path, server: Server) -> None:
    small = Releases(tmp_path, Limits(max_bytes=1000))
    with pytest.raises(ArtifactError, match="above the limit of 1000 bytes"):
        await prepare(small, server, every(member(b"a", bytes(2000)))[".tar.zst"])


async def test_it_is_known_how_much_a_copy_of_a_release_takes(
    releases: Releases, server: Server
) -> None:
    data = archive(*INSIDE)
    assert releases.unpacked_bytes(digest_of(data)) == 0
    await prepare(releases, server, data)
    assert releases.unpacked_bytes(digest_of(data)) == 11


async def test_a_release_that_is_prepared_again_counts_as_new(
    tmp_path: Path, releases: Releases, server: Server
) -> None:
    """The time of the marker is what a clean-up goes by."""
    await prepare(releases, server, archive(*INSIDE))
    (marker,) = (tmp_path / "releases").glob("*.ok")
    os.utime(marker, (1_700_000_000, 1_700_000_000))
    await prepare(releases, server, archive(*INSIDE))
    assert marker.stat().st_mtime > 1_700_000_000
