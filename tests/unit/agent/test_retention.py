"""Which releases stay on a node: what is used, what is named, the newest that are young enough."""

import os
import pwd
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from one_node import OneNode, prepare_slot, service, start_slot

from tidegate_agent import retention
from tidegate_protos.v1 import agent_pb2 as pb

DAY = 86_400.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "releases"


def complete(folder: Path, digit: str, age_days: float = 0.0) -> str:
    name = digit * 64
    (folder / name / "deep").mkdir(parents=True)
    marker = folder / f"{name}.ok"
    marker.touch()
    os.utime(marker, (0, time.time() - age_days * DAY))
    return name


def left(folder: Path) -> str:
    """The digits of the releases that are there, trees and markers alike."""
    trees = {path.name[0] for path in folder.iterdir() if path.is_dir()}
    assert {path.name[0] for path in folder.glob("*.ok")} == trees
    return "".join(sorted(trees))


@pytest.mark.parametrize(
    ("keep", "newest", "age_days", "stays"),
    [
        ("", 0, 0, ""),
        ("", 2, 0, "12"),
        ("", 9, 0, "12345"),
        ("45", 0, 0, "45"),
        ("45", 1, 0, "145"),
        ("12", 2, 0, "1234"),
        ("", 9, 2.5, "12"),
        ("5", 1, 0.5, "5"),
        ("", 1, 9, "1"),
    ],
)
def test_what_is_named_stays_and_of_the_others_the_newest_that_are_young(
    folder: Path, keep: str, newest: int, age_days: float, stays: str
) -> None:
    for digit in "31524":
        complete(folder, digit, int(digit))
    names = dict.fromkeys((digit * 64 for digit in keep), "named")
    tally = retention.prune(folder, names, newest, age_days * DAY, time.time())
    assert tally.problems == []
    assert left(folder) == stays


def test_a_clock_that_was_set_back_a_year_makes_no_release_old(folder: Path) -> None:
    for digit in "31524":
        complete(folder, digit, int(digit))
    assert retention.prune(folder, {}, 9, DAY, time.time() - 365 * DAY).removed == []
    assert left(folder) == "12345"


def test_downloads_that_were_never_completed_go_too(folder: Path) -> None:
    complete(folder, "1")
    for name in ("." + "a" * 64 + ".part", "." + "b" * 64 + ".part", "notes.part"):
        (folder / name).touch()
    tally = retention.prune(folder, {"b" * 64: "named"}, 1, 0, time.time())
    assert [(thing.kind, thing.name) for thing in tally.removed] == [
        ("download", f"sha256:{'a' * 64}")
    ]
    assert {path.name for path in folder.glob(".*.part")} == {"." + "b" * 64 + ".part"}
    assert (folder / "notes.part").exists()


def test_what_resists_is_said_and_keeps_nothing_else_from_going(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for digit in "123":
        complete(folder, digit)
    remove = retention.remove
    monkeypatch.setattr(
        retention, "remove", lambda path: None if path.name[0] == "2" else remove(path)
    )
    tally = retention.prune(folder, {}, 0, 0, time.time())
    assert tally.problems == [f"cannot remove all of {folder}/{'2' * 64}"]
    assert sorted(thing.name[7] for thing in tally.removed) == ["1", "3"]
    assert [path.name[0] for path in folder.iterdir()] == ["2"]  # and it counts for nothing now


def test_no_folder_at_all_is_fine(folder: Path) -> None:
    assert retention.prune(folder, {}, 0, 0, 0.0) == retention.Tally()


# --- The command ---------------------------------------------------------------------------------


def here(node: OneNode) -> set[str]:
    return {f"sha256:{path.name[:64]}" for path in (node.home / "releases").glob("*.ok")}


async def test_what_a_slot_holds_or_was_prepared_for_stays(node: OneNode) -> None:
    stopped, ready, named, other = (
        node.release(name, install="true" if name == "ready" else "")
        for name in ("stopped", "ready", "named", "other")
    )
    await node.do(start_slot=start_slot(stopped, service=service()))
    await node.do(stop_slot=pb.StopSlot(slot="blue", grace_seconds=5.0))
    await node.do(prepare_slot=prepare_slot(ready, "green", service=service()))
    linked = node.release("linked")
    (node.app.slots["green"].folder / "release").symlink_to(f"../../releases/{linked[7:]}")
    finished = await node.do(cleanup=pb.Cleanup(keep_digests=[named]))
    assert finished.outcome == pb.OUTCOME_OK
    assert finished.error == ""
    assert here(node) == {stopped, ready, named, linked}
    assert other not in here(node)


async def test_a_clean_up_never_fails_for_what_resists(
    node: OneNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.release()
    monkeypatch.setattr(retention, "remove", lambda _: None)
    finished = await node.do(cleanup=pb.Cleanup())
    assert finished.outcome == pb.OUTCOME_OK
    assert finished.error.startswith("cannot remove all of ")


async def test_a_wrong_digest_removes_nothing(node: OneNode) -> None:
    digest = node.release()
    finished = await node.do(cleanup=pb.Cleanup(keep_digests=["../.."]))
    assert finished.outcome == pb.OUTCOME_FAILED
    assert here(node) == {digest}


@pytest.fixture
def unprivileged(tmp_path: Path) -> Iterator[Path]:
    """A folder of whoever runs the test meanwhile, who is not root, whom no mode keeps out."""
    if os.geteuid() != 0:
        yield tmp_path
        return
    nobody = pwd.getpwnam("nobody").pw_uid
    with tempfile.TemporaryDirectory() as name:
        os.chown(name, nobody, -1)
        os.seteuid(nobody)
        try:
            yield Path(name)
        finally:
            os.seteuid(0)


def test_a_tree_with_folders_that_nobody_may_write_is_removed(unprivileged: Path) -> None:
    outside, tree = unprivileged / "outside", unprivileged / "tree"
    deep = tree / "go" / "pkg" / "mod"
    deep.mkdir(parents=True)
    (deep / "go.sum").touch()
    outside.mkdir(mode=0o555)
    (tree / "away").symlink_to(outside)
    (tree / "closed" / "x").mkdir(parents=True)
    (tree / "closed").chmod(0o000)
    for folder in (deep, deep.parent, deep.parent.parent, tree):
        folder.chmod(0o555)
    with pytest.raises(PermissionError):
        (deep / "go.sum").unlink()
    assert retention.removed(tree) == ""
    assert not tree.exists()
    assert outside.stat().st_mode & 0o777 == 0o555
