"""What a slot held is backed up when something else has taken its place: whole, or not at all."""

import asyncio
import hashlib
import os
import shutil
import stat
import subprocess
import tarfile
import time
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import pytest
from one_node import OneNode, prepare_slot, service, start_slot, until

from tidegate_agent import backups, cleaning, inspection, pack
from tidegate_agent.backups import Backups
from tidegate_agent.errors import AgentError
from tidegate_agent.former import NOTES_MAX, Former
from tidegate_agent.unpacker import unpack
from tidegate_protos.archives.contents import Limits
from tidegate_protos.v1 import agent_pb2 as pb

DAY = 86_400.0
DIGEST = "sha256:" + "5" * 64
ASKED = pb.Cleanup(backups=3, releases=9)


def former(version: str = "1.0", at: float = 0.0, environment: str = "production") -> Former:
    return Former("tree", DIGEST, version, environment, at)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What an app may leave."""
    tree = tmp_path / "tree"
    (tree / "data" / "deep").mkdir(parents=True)
    (tree / "app.py").write_text("print(1)\n")
    (tree / "app.py").chmod(0o750)
    (tree / "data" / "deep" / "orders.db").write_bytes(os.urandom(300_000))
    os.link(tree / "app.py", tree / "again.py")
    (tree / "data" / "latest").symlink_to("deep/orders.db")
    (tree / "away").symlink_to("/etc")
    os.mkfifo(tree / "pipe")
    return tree


def made(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def by_hand(backup: Path, folder: Path) -> None:
    subprocess.run(["tar", "-xzpf", backup, "-C", folder], check=True)


# --- One backup ----------------------------------------------------------------------------------


async def test_a_backup_has_all_that_the_slot_held_and_is_for_its_owner_alone(
    tmp_path: Path, tree: Path
) -> None:
    backup = await Backups(tmp_path / "backups" / "shop", "web-1").make(former(), "blue", tree)
    assert backup is not None
    assert backup.path.name == "1.0@production@web-1-blue-555555555555-19700101T000000Z.tar.gz"
    assert stat.S_IMODE(backup.path.stat().st_mode) == 0o600
    assert backup.bytes == backup.path.stat().st_size
    out = tmp_path / "out"
    out.mkdir()
    by_hand(backup.path, out)
    top = out / "shop-1.0"
    assert (top / "app.py").stat().st_mode == (tree / "app.py").stat().st_mode
    assert (top / "again.py").samefile(top / "app.py")
    data = "data/deep/orders.db"
    assert (top / data).read_bytes() == (tree / data).read_bytes()
    assert os.readlink(top / "away") == "/etc"
    assert not (top / "pipe").exists()
    with tarfile.open(backup.path) as tar:
        owners = {(member.uid, member.gid) for member in tar}
    assert owners == {(os.getuid(), os.getgid())}


async def test_a_backup_can_be_deployed_again(tmp_path: Path, tree: Path) -> None:
    (tree / "away").unlink()  # links that lead out are in no artifact
    backup = await Backups(tmp_path / "shop", "web-1").make(former(), "blue", tree)
    assert backup is not None
    unpacked = await unpack(backup.path, tmp_path / "release", Limits())
    assert unpacked.folders[0] == "shop-1.0"
    assert (tmp_path / "release" / "shop-1.0" / "data" / "deep" / "orders.db").exists()


async def test_a_backup_that_is_there_is_not_made_again(tmp_path: Path, tree: Path) -> None:
    folder = Backups(tmp_path / "shop", "web-1")
    assert await folder.make(former(), "blue", tree) is not None
    assert await folder.make(former(), "blue", tree) is None


async def test_a_disk_that_would_not_have_room_for_a_release_gets_no_backup(
    tmp_path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = SimpleNamespace(f_bavail=pack.RESERVE_BYTES, f_frsize=1)
    monkeypatch.setattr(pack.os, "statvfs", lambda _: disk)
    folder = tmp_path / "shop"
    folder.mkdir()
    with pytest.raises(pack.NoRoom, match=r"not enough disk for a backup: 67,108,864 bytes free"):
        pack.write(tree, folder / "x.tar.gz", folder / ".x.tar.gz.tmp", "shop-1.0")
    assert made(folder) == []


@pytest.mark.parametrize("fails", ["fsync", "open"])
def test_what_fails_in_the_middle_leaves_nothing(
    tmp_path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    folder = tmp_path / "shop"
    folder.mkdir()
    if fails == "fsync":
        monkeypatch.setattr(pack.os, "fsync", refuse)
    else:
        monkeypatch.setattr(pack, "_add_file", refuse)
    with pytest.raises(OSError, match="No space left"):
        pack.write(tree, folder / "x.tar.gz", folder / ".x.tar.gz.tmp", "shop-1.0")
    assert made(folder) == []


async def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path, tree: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AgentError, match=r"cannot write to the folder .*file/shop: Not a dir"):
        await Backups(tmp_path / "file" / "shop", "web-1").make(former(), "blue", tree)


async def test_a_call_that_is_cancelled_leaves_nothing(tmp_path: Path, tree: Path) -> None:
    folder = tmp_path / "shop"
    with (tree / "big").open("wb") as file:
        file.truncate(3_000_000_000)
    making = asyncio.create_task(Backups(folder, "web-1").make(former(), "blue", tree))
    await until(lambda: bool(made(folder)))
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    assert made(folder) == []


def test_what_a_crash_left_is_swept_and_files_of_others_are_not(tmp_path: Path) -> None:
    name = "1.0@production@web-1-blue-555555555555-19700101T000000Z.tar.gz"
    others = f".{name.replace('web-1', 'web-2')}.tmp", ".other.tar.gz.tmp", "shop-old.tar.gz"
    for each in (f".{name}.tmp", f".{name.replace('@web-1', '')}.tmp", name, *others):
        (tmp_path / each).touch()
    Backups(tmp_path, "web-1").sweep()
    assert made(tmp_path) == sorted([name, *others])


Row = namedtuple("Row", "newest age_days stays")


@pytest.mark.parametrize("row", [Row(2, 0, "12"), Row(9, 0, "1234"), Row(9, 2.5, "12")])
def test_the_newest_that_are_young_enough_stay(tmp_path: Path, row: Row) -> None:
    now = time.time()
    for days in (3, 1, 4, 2):
        name = backups._name(former(f"{days}", now - days * DAY), "web-1", "blue")
        (tmp_path / name).touch()
    others = ["shop.tar.gz", backups._name(former("9", 0.0, "staging"), "web-1", "blue")]
    for name in others:
        (tmp_path / name).touch()
    beyond = Backups(tmp_path, "web-1").beyond("production", row.newest, row.age_days * DAY, now)
    left = {path.name for path in tmp_path.iterdir()} - {each.path.name for each in beyond}
    assert "".join(sorted(name[0] for name in left - set(others))) == row.stays
    assert left >= set(others)


async def test_each_node_makes_and_counts_its_own_in_a_folder_that_they_share(
    tmp_path: Path, tree: Path
) -> None:
    nodes = [Backups(tmp_path, name) for name in ("web-1", "web-2")]
    mine, others = [await each.make(former(), "blue", tree) for each in nodes]
    assert mine is not None
    assert others is not None
    assert nodes[0].kept("production") == [mine]
    assert nodes[0].beyond("production", 0, 0, 0.0) == [mine]
    assert nodes[1].beyond("production", 1, 0, 0.0) == []


def test_what_an_agent_made_before_names_had_a_node_counts_too(tmp_path: Path) -> None:
    (tmp_path / "1.0@production-blue-555555555555-19700101T000000Z.tar.gz").touch()
    assert len(Backups(tmp_path, "web-1").kept("production")) == 1
    assert not Backups(tmp_path, "web-1").kept("staging")


# --- The command ---------------------------------------------------------------------------------


async def replaced(node: OneNode, **hooks: str) -> None:
    """Release 1 ran in blue and wrote a file, then release 2 took its place there."""
    for name in "12":
        digest = node.release(name, **hooks)
        await node.do(prepare_slot=prepare_slot(digest, service=service()))
        await node.do(start_slot=start_slot(digest, service=service()))
        if name == "1":
            (node.slot.folder / "release" / "orders.db").write_text("precious")


def digest_of(name: str) -> str:
    return f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"


def contents(path: str) -> list[str]:
    with tarfile.open(path) as tar:
        return sorted(tar.getnames())


@pytest.mark.parametrize("hooks", [{"install": "true"}, {}])
async def test_what_a_slot_held_is_backed_up_with_what_the_app_wrote(
    node: OneNode, hooks: dict[str, str]
) -> None:
    await replaced(node, **hooks)
    finished = await node.do(cleanup=ASKED)
    assert (finished.outcome, finished.error) == (pb.OUTCOME_OK, "")
    (backup,) = finished.cleaned.made
    assert Path(backup.name).parent == node.folder / "backups" / "shop"
    assert "shop-1/orders.db" in contents(backup.name)
    assert node.trees() == [node.links()["release"]] if hooks else not node.trees()
    again = await node.do(cleanup=ASKED)
    assert not again.cleaned.made


async def test_without_being_asked_nothing_is_backed_up(node: OneNode) -> None:
    await replaced(node, install="true")
    finished = await node.do(cleanup=pb.Cleanup())
    assert not finished.cleaned.made
    assert not (node.folder / "backups").exists()
    assert node.trees() == [node.links()["release"]]


async def test_what_cannot_be_backed_up_is_said_and_tried_again(node: OneNode) -> None:
    await replaced(node, install="true")
    (node.folder / "backups").touch()
    finished = await node.do(cleanup=ASKED)
    assert finished.outcome == pb.OUTCOME_OK
    assert finished.error.startswith(
        "version 1 that slot blue held is not backed up: cannot write to the folder "
    )
    assert len(node.trees()) == 2
    (node.folder / "backups").unlink()
    finished = await node.do(cleanup=ASKED)
    assert len(finished.cleaned.made) == 1
    assert len(node.trees()) == 1


async def test_what_waits_to_be_backed_up_survives_another_agent(node: OneNode) -> None:
    await replaced(node, install="true")
    await node.start_anew()
    finished = await node.do(cleanup=ASKED)
    assert "shop-1/orders.db" in contents(finished.cleaned.made[0].name)


async def test_a_release_goes_before_a_backup_where_the_disk_is_full(
    node: OneNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    await replaced(node, install="true")
    with (node.slot.folder / node.slot.trees.formers.all()[0].held / "big").open("wb") as file:
        file.write(bytes(inspection.RESERVE_BYTES + 10_000_000))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    looked = await node.do(inspect=pb.Inspect(slot="green", artifact_bytes=1000))
    assert looked.outcome == pb.OUTCOME_OK, looked.error
    await cleaning.make_way(node.app, 1000)
    assert node.trees() == [node.links()["release"]]
    looked = await node.do(inspect=pb.Inspect(slot="green", artifact_bytes=1000))
    assert "has 0 bytes free" in looked.error


@pytest.mark.parametrize("hooks", [{"install": "true"}, {}])
async def test_going_back_takes_no_room_and_no_backup_from_what_waits_for_one(
    node: OneNode, monkeypatch: pytest.MonkeyPatch, hooks: dict[str, str]
) -> None:
    """Release 2 is unpacked, and the slot has its own tree of it where it needs one."""
    await replaced(node, **hooks)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    finished = await node.do(prepare_slot=prepare_slot(digest_of("2"), service=service()))
    assert finished.outcome == pb.OUTCOME_OK, finished.error
    assert len(node.slot.trees.formers.all()) == 1


@pytest.mark.parametrize("unpacked", [True, False])
async def test_what_is_written_for_a_release_goes_before_a_backup(
    node: OneNode, monkeypatch: pytest.MonkeyPatch, unpacked: bool
) -> None:
    await replaced(node)
    digest = node.release("3", install="true") if unpacked else digest_of("3")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=20_000_000))
    await node.do(prepare_slot=prepare_slot(digest, service=service()), deadline_seconds=2.0)
    assert not node.slot.trees.formers.all()


async def test_what_is_of_another_environment_waits_for_its_own_clean_up(node: OneNode) -> None:
    await replaced(node, install="true")
    command = node.command(environment="staging", cleanup=pb.Cleanup())
    await node.done(node.take(command))
    assert len(node.slot.trees.formers.all()) == 1


async def test_what_is_held_again_is_not_backed_up(node: OneNode) -> None:
    await replaced(node)
    await node.do(start_slot=start_slot(digest_of("1"), service=service()))
    finished = await node.do(cleanup=ASKED)
    (backup,) = finished.cleaned.made
    assert "shop-1/orders.db" not in contents(backup.name)  # it is release 2 that was replaced


async def test_of_a_slot_that_nobody_cleans_up_no_more_than_a_few_wait(node: OneNode) -> None:
    for name in "123456":
        digest = node.release(name)
        await node.do(start_slot=start_slot(digest, service=service()))
    assert len(node.slot.trees.formers.all()) == NOTES_MAX


async def test_a_clean_up_tells_what_went_and_what_stays_and_why(node: OneNode) -> None:
    await replaced(node, install="true")
    node.release("old")
    other = node.release("newest")
    finished = await node.do(cleanup=pb.Cleanup(releases=1))
    cleaned = finished.cleaned
    assert {thing.kind for thing in cleaned.removed} == {"copy", "release"}
    assert cleaned.removed_count == len(cleaned.removed) == 3
    assert cleaned.removed_bytes == sum(thing.bytes for thing in cleaned.removed) > 0
    assert {(stayed.why, stayed.count) for stayed in cleaned.stayed} == {
        ("held by a slot", 1),
        ("among the newest 1", 1),
    }
    assert other not in {thing.name for thing in cleaned.removed}
