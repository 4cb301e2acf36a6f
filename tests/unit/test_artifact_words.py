"""From `tidegate.toml` and the request to the words that an agent gets about the artifact."""

from pathlib import Path

import msgspec
import pytest
from config_samples import SMALLEST, changed, read

from tidegate_controller.core import types as t
from tidegate_controller.core.rendered import render_digest
from tidegate_controller.core.spec import Settings
from tidegate_controller.wire import to_command
from tidegate_protos.v1 import agent_pb2 as pb


def settings(folder: Path, strip_components: str = "") -> Settings:
    more = f"[artifact]\nstrip_components = {strip_components}\n" if strip_components else ""
    text = changed("[service]", f"{more}[service]")
    return read(folder, text).environment().settings


def prepared(given: Settings, url: str = "") -> pb.Artifact:
    """What the agent is told to fetch."""
    revision = t.Revision(digest="sha256:1", config="1")
    release = t.Release(version="1", revision=revision, size_bytes=7, settings=given, url=url)
    place = t.Place.of("web-1", "blue")
    work = t.Work(verb="prepare", at="web-1", place=place, revision=revision)
    action = t.Action(id="a", fence=(1, 1), step="s", index=0, work=work, deadline=99.0)
    state = t.State(committed=(release,))
    command = to_command("shop@test", state, action, lambda digest: f"http://c/{digest}", 0.0)
    return command.prepare_slot.artifact


def test_agents_fetch_from_the_controller_unless_the_release_has_an_address(
    tmp_path: Path,
) -> None:
    plain = prepared(settings(tmp_path))
    assert (plain.url, plain.digest, plain.size_bytes) == ("http://c/sha256:1", "sha256:1", 7)
    assert prepared(settings(tmp_path), "https://x.org/a.zip").url == "https://x.org/a.zip"


@pytest.mark.parametrize("count", ["0", "1", "9"])
def test_how_many_folders_are_left_out_is_told_where_it_was_said(
    tmp_path: Path, count: str
) -> None:
    assert not prepared(settings(tmp_path)).HasField("strip_components")
    told = prepared(settings(tmp_path, count))
    assert told.HasField("strip_components")
    assert told.strip_components == int(count)


def test_leaving_out_another_number_of_folders_is_another_revision(tmp_path: Path) -> None:
    digests = {render_digest(settings(tmp_path, count), "1") for count in ("", "0", "1")}
    assert len(digests) == 3


def test_an_address_is_in_the_log_and_comes_back_from_it(tmp_path: Path) -> None:

    assert read(tmp_path, SMALLEST).app == "shop"
    revision = t.Revision(digest="sha256:1", config="1")
    given = settings(tmp_path)
    release = t.Release(
        version="1", revision=revision, size_bytes=7, settings=given, url="https://x.org/a.zip"
    )
    assert msgspec.json.decode(msgspec.json.encode(release), type=t.Release) == release
    older = msgspec.json.encode(msgspec.structs.replace(release, url="")).replace(b',"url":""', b"")
    assert msgspec.json.decode(older, type=t.Release).url == ""
