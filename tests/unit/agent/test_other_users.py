"""Apps and scripts of another user: who owns what, what they are told, what nobody else is."""

import os
import pwd
import re
import socket
from pathlib import Path

import psutil
import pytest
from one_node import PYTHON, OneNode, prepare_slot, run_task, runs, service, start_slot, until

from tidegate_protos.v1 import agent_pb2 as pb

NOBODY = pwd.getpwnam("nobody")
SECRET = "hunter2-and-more"
SERVE = [PYTHON, "serve.py", "{port}", "0"]


def as_nobody(**more: object) -> pb.Service:
    return service(user="nobody", command=SERVE, **more)


async def test_an_app_runs_as_its_user_in_a_tree_of_its_own(open_node: OneNode) -> None:
    node = open_node
    digest = node.release()
    prepare, start = (
        prepare_slot(digest, service=as_nobody()),
        start_slot(digest, service=as_nobody()),
    )
    assert (await node.do(prepare_slot=prepare)).outcome == pb.OUTCOME_OK
    finished = await node.do(start_slot=start)
    assert finished.outcome == pb.OUTCOME_OK, finished
    process = psutil.Process(node.pid())
    assert set(process.uids()) == {NOBODY.pw_uid}
    assert set(process.gids()) == {NOBODY.pw_gid}
    groups = re.search(r"Groups:\s*(.*)", Path(f"/proc/{node.pid()}/status").read_text())
    assert groups is not None
    wanted = os.getgrouplist("nobody", NOBODY.pw_gid)
    assert {int(group) for group in groups[1].split()} == set(wanted)
    told = process.environ()
    assert (told["HOME"], told["USER"], told["LOGNAME"]) == (NOBODY.pw_dir, "nobody", "nobody")
    tree = node.slot.folder / node.trees()[0]
    everything = [tree, *tree.rglob("*")]
    assert {(path.lstat().st_uid, path.lstat().st_gid) for path in everything} == {
        (NOBODY.pw_uid, NOBODY.pw_gid)
    }
    release = node.home / "releases" / digest[7:]
    assert {path.stat().st_uid for path in [release, *release.rglob("*")]} == {0}


async def test_the_folders_above_let_the_user_pass_and_no_more(open_node: OneNode) -> None:
    node = open_node
    prepare = prepare_slot(node.release(), service=as_nobody())
    assert (await node.do(prepare_slot=prepare)).outcome == pb.OUTCOME_OK
    assert node.folder.stat().st_mode & 0o777 == 0o711  # it was closed before
    assert (node.folder / "journal.db").stat().st_mode & 0o777 == 0o600


async def test_scripts_run_as_the_apps_user(open_node: OneNode) -> None:
    node = open_node
    digest = node.release(install="id -un > who; echo $HOME", migrate="id -un; cat who")
    prepare = prepare_slot(digest, service=as_nobody())
    finished = await node.do(prepare_slot=prepare)
    assert finished.outcome == pb.OUTCOME_OK, finished
    made = node.slot.folder / node.trees()[0] / "who"
    assert made.read_text() == "nobody\n"
    assert made.stat().st_uid == NOBODY.pw_uid
    logs = node.home / "logs"
    assert (logs / "blue.install.log").read_text() == f"{NOBODY.pw_dir}\n"
    finished = await node.do(run_task=run_task(digest, service=as_nobody()))
    assert finished.outcome == pb.OUTCOME_OK, finished
    assert (logs / "blue.migrate.log").read_text() == "nobody\nnobody\n"
    assert (logs / "blue.migrate.log").stat().st_uid == 0


async def test_an_app_of_another_user_is_found_again_stopped_and_swept(
    open_node: OneNode,
) -> None:
    node = open_node
    digest = node.release(install="mkdir -m 700 deep; touch deep/file")
    await node.do(prepare_slot=prepare_slot(digest, service=as_nobody()))
    started = await node.do(start_slot=start_slot(digest, service=as_nobody()))
    assert started.outcome == pb.OUTCOME_OK, started
    pid = node.pid()
    await node.start_anew()
    assert node.pid() == pid
    assert runs(pid)
    stopped = await node.do(stop_slot=pb.StopSlot(slot="blue", grace_seconds=5.0))
    assert stopped.slot.detail == "stopped"
    assert not runs(pid)
    other = node.release("2")
    await node.do(prepare_slot=prepare_slot(other, service=service()))
    await node.do(start_slot=start_slot(other, service=service()))
    await node.do(cleanup=pb.Cleanup())
    assert node.trees() == []


async def test_a_tree_is_closed_to_its_user_until_it_is_complete(
    open_node: OneNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise whoever is that user could have this agent, as root, write elsewhere."""
    node = open_node
    seen: list[tuple[int, int]] = []
    usual = os.copy_file_range

    def look(*arguments: int) -> int:
        status = (node.slot.folder / node.trees()[0]).stat()
        seen.append((status.st_uid, status.st_mode & 0o777))
        return usual(*arguments)

    monkeypatch.setattr(os, "copy_file_range", look)
    await node.do(prepare_slot=prepare_slot(node.release(), service=as_nobody()))
    assert set(seen) == {(0, 0o700)}


async def test_a_user_that_is_not_there_is_said_before_anything_is_copied(node: OneNode) -> None:
    prepare = prepare_slot(node.release(), service=service(user="no-such-user"))
    finished = await node.do(prepare_slot=prepare)
    assert finished.error == "there is no user 'no-such-user' on this node"
    assert finished.blame == pb.BLAME_ENVIRONMENT
    assert node.trees() == []


async def test_a_port_that_no_script_has_seen_may_change(open_node: OneNode) -> None:
    node = open_node
    digest = node.release()
    await node.do(prepare_slot=prepare_slot(digest, service=as_nobody()))
    ready = node.slot.trees.next()
    assert ready is not None
    with socket.create_server(("127.0.0.1", ready.purpose.port)):
        finished = await node.do(start_slot=start_slot(digest, service=as_nobody()))
    assert finished.outcome == pb.OUTCOME_OK
    assert finished.slot.port != ready.purpose.port


async def test_what_stands_in_the_environment_file_is_read_at_each_start_and_told_to_nobody(
    node: OneNode, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    file = tmp_path / "secrets.env"
    file.write_text(f"SECRET='{SECRET}'\n")
    told = service(environment_file=str(file))
    digest = node.release(install='test -n "$SECRET"')
    await node.do(inspect=pb.Inspect(slot="blue", service=told))
    await node.do(prepare_slot=prepare_slot(digest, service=told))
    await node.do(start_slot=start_slot(digest, service=told))
    assert psutil.Process(node.pid()).environ()["SECRET"] == SECRET
    file.write_text(f"SECRET='{SECRET}, changed'\n")
    pid = node.pid()
    psutil.Process(pid).kill()
    await until(lambda: node.pid() != pid and runs(node.pid()))
    assert psutil.Process(node.pid()).environ()["SECRET"] == f"{SECRET}, changed"
    file.unlink()
    written = b"".join(path.read_bytes() for path in node.folder.rglob("*") if path.is_file())
    sent = b"".join(report.SerializeToString() for report in node.reports)
    assert SECRET.encode() not in written + sent + caplog.text.encode()
