"""What makes a slot ready: trees of its own, install.sh, the port that it was told, room."""

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from one_node import PATIENCE_SECONDS, OneNode, prepare_slot, runs, service, start_slot, until

from tidegate_agent.errors import JournalError
from tidegate_protos.v1 import agent_pb2 as pb

# Starts one that does not heed SIGTERM and is in a session of its own; its pid is in the file.
HANG = """
    echo begun
    setsid bash -c 'trap "" TERM; echo $$ > "$0"; while :; do sleep 0.1; done' {pid_file} &
    sleep 60
"""


def hanging(node: OneNode) -> tuple[str, Path]:
    """A release whose install.sh hangs, and the file that will have the pid of its child."""
    file = node.folder / "pid"
    return node.release(install=HANG.format(pid_file=file)), file


def diff(one: Path, other: Path) -> str:
    command = ["diff", "-r", "--no-dereference", one, other]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout


async def pid_in(file: Path) -> int:
    await until(lambda: file.exists() and file.read_text().endswith("\n"))
    return int(file.read_text())


# --- Trees ---------------------------------------------------------------------------------------


async def test_a_release_without_scripts_needs_no_tree(node: OneNode) -> None:
    digest = node.release()
    assert (await node.do(prepare_slot=prepare_slot(digest, service=service()))).outcome == 1
    assert node.links() == {}
    assert (await node.do(start_slot=start_slot(digest, service=service()))).outcome == 1
    assert node.links() == {"release": f"../../releases/{digest[7:]}"}


async def test_install_runs_in_a_copy_that_the_slot_then_starts_from(node: OneNode) -> None:
    digest = node.release(install="echo made here > made; chmod -x serve.py; pwd")
    finished = await node.do(prepare_slot=prepare_slot(digest, service=service()))
    assert finished.outcome == pb.OUTCOME_OK, finished
    (tree,) = node.trees()
    assert node.links() == {"next": tree}
    assert re.fullmatch(f"tree-{digest[7:]}-[0-9a-f]{{8}}", tree)
    assert (node.slot.folder / tree / "made").read_text() == "made here\n"
    assert not (node.home / "releases" / digest[7:] / "made").exists()
    assert (node.home / "logs" / "blue.install.log").read_text() == f"{node.slot.folder / tree}\n"
    assert (await node.do(start_slot=start_slot(digest, service=service()))).outcome == 1
    assert node.links() == {"next": tree, "release": tree}
    assert os.readlink(f"/proc/{node.pid()}/cwd") == str(node.slot.folder / tree)


async def test_a_copy_is_the_release_with_modes_times_and_links(node: OneNode) -> None:
    digest = node.release(install="true")
    release = node.home / "releases" / digest[7:]
    (release / "deep" / "empty").mkdir(parents=True)
    (release / "deep" / "run").write_bytes(b"x" * 3_000_000)
    (release / "deep" / "run").chmod(0o755)
    os.utime(release / "deep" / "run", (1, 1_000_000_000))
    (release / "link").symlink_to("deep/run")
    (release / "none").touch()
    await node.do(prepare_slot=prepare_slot(digest, service=service()))
    copy = node.slot.folder / node.trees()[0]
    assert diff(release, copy) == ""
    status = (copy / "deep" / "run").stat()
    assert (status.st_mode & 0o777, status.st_mtime) == (0o755, 1_000_000_000)
    assert os.readlink(copy / "link") == "deep/run"
    (copy / "deep" / "run").write_text("changed")
    assert (release / "deep" / "run").stat().st_size == 3_000_000


async def test_a_file_with_several_names_is_one_file_in_a_copy_too(node: OneNode) -> None:
    """Else an archive could make the copy take any number of times what the release takes."""
    digest = node.release(install="true")
    release = node.home / "releases" / digest[7:]
    (release / "deep").mkdir()
    (release / "big").write_bytes(b"x" * 1000)
    for name in ("again", "deep/again"):
        (release / name).hardlink_to(release / "big")
    await node.do(prepare_slot=prepare_slot(digest, service=service()))
    copy = node.slot.folder / node.trees()[0]
    assert diff(release, copy) == ""
    first = (copy / "big").stat()
    assert first.st_nlink == 3
    assert (copy / "deep" / "again").stat().st_ino == first.st_ino
    assert (release / "big").stat().st_nlink == 3


async def test_a_program_that_is_nowhere_in_its_path_is_missed_before_anything_is_stopped(
    node: OneNode,
) -> None:
    told = service()
    told.command[0] = "pyhton3"
    digest = node.release()
    finished = await node.do(prepare_slot=prepare_slot(digest, service=told))
    assert finished.outcome == pb.OUTCOME_FAILED
    assert finished.error.startswith("command not found: 'pyhton3', in PATH /")
    told.environment["PATH"] = "bin:/usr/bin"  # of the release: nobody can tell before the start
    finished = await node.do(prepare_slot=prepare_slot(digest, service=told))
    assert finished.outcome == pb.OUTCOME_OK


async def test_install_is_not_run_where_the_configuration_says_so(node: OneNode) -> None:
    digest = node.release(install="exit 1")
    prepare = prepare_slot(digest, service=service(), install=False)
    assert (await node.do(prepare_slot=prepare)).outcome == pb.OUTCOME_OK
    assert node.trees() == []


async def test_what_runs_goes_on_and_its_tree_is_not_touched(node: OneNode) -> None:
    first = node.release("1", install="echo one > made")
    await node.do(prepare_slot=prepare_slot(first, service=service()))
    start = start_slot(first, service=service())
    await node.do(start_slot=start)
    pid, tree = node.pid(), node.links()["release"]
    second = node.release("2", install="echo two > made")
    await node.do(prepare_slot=prepare_slot(second, service=service()))
    assert node.pid() == pid
    assert runs(pid)
    assert node.links()["release"] == tree != node.links()["next"]
    assert (node.slot.folder / "release" / "made").read_text() == "one\n"
    # Back to what the slot held, although something else was prepared.
    await node.do(stop_slot=pb.StopSlot(slot="blue", grace_seconds=5.0))
    assert (await node.do(start_slot=start)).outcome == pb.OUTCOME_OK
    assert node.links()["release"] == tree


async def test_what_runs_from_a_former_tree_is_not_taken_for_what_was_prepared_since(
    node: OneNode,
) -> None:
    digest = node.release(install="true")
    for _ in range(2):
        await node.do(prepare_slot=prepare_slot(digest, service=service()))
        await node.do(start_slot=start_slot(digest, service=service()))
        assert os.readlink(f"/proc/{node.pid()}/cwd") == str(
            node.slot.folder / node.links()["next"]
        )


async def test_trees_that_nothing_names_are_swept(node: OneNode) -> None:
    for name in "1234":
        digest = node.release(name, install="true")
        await node.do(prepare_slot=prepare_slot(digest, service=service()))
        if name in "13":
            await node.do(start_slot=start_slot(digest, service=service()))
    await node.do(cleanup=pb.Cleanup())  # of what was held before, too
    assert sorted(node.trees()) == sorted(node.links().values())
    assert len(node.trees()) == 2
    left = node.slot.folder / ("tree-" + "a" * 64 + "-00000000")
    left.mkdir()
    left.with_name(f"{left.name}.json.tmp").touch()
    (node.slot.folder / "README").touch()
    await node.start_anew()
    assert node.slot.record is not None
    assert not left.exists()
    assert {path.suffix for path in node.slot.folder.glob("tree-*")} == {"", ".json"}
    assert (node.slot.folder / "README").exists()


async def test_a_release_without_scripts_takes_back_what_was_prepared_before(
    node: OneNode,
) -> None:
    digest = node.release("1", install="true")
    await node.do(prepare_slot=prepare_slot(digest, service=service()))
    await node.do(prepare_slot=prepare_slot(node.release("2"), service=service()))
    assert node.links() == {}
    assert node.trees() == []


async def test_the_same_release_with_other_settings_is_another_revision(node: OneNode) -> None:
    digest = node.release(install="true")
    await node.do(prepare_slot=prepare_slot(digest, service=service(), config="one"))
    start = start_slot(digest, service=service(), config="two")
    await node.do(start_slot=start)
    assert node.links()["release"] == f"../../releases/{digest[7:]}"


async def test_an_undo_goes_back_to_the_folder_that_its_revision_was_prepared_with(
    node: OneNode,
) -> None:
    """The next one has the same artifact, but leaves out no folder of it."""
    digest = node.release()
    tree = node.home / "releases" / digest[7:]
    (tree / "app").mkdir()
    (tree / "serve.py").rename(tree / "app" / "serve.py")
    tree.with_suffix(".ok").write_text('{"files": 1, "bytes": 1000, "folders": ["app"]}')
    first = start_slot(digest, service=service(), config="one")
    await node.do(prepare_slot=prepare_slot(digest, service=service(), config="one"))
    await node.do(start_slot=first)
    pid = node.pid()
    prepare = prepare_slot(digest, service=service(), config="two")
    prepare.artifact.strip_components = 0
    assert (await node.do(prepare_slot=prepare)).outcome == pb.OUTCOME_OK
    assert (await node.do(start_slot=first)).outcome == pb.OUTCOME_OK
    assert node.pid() == pid
    second = await node.do(start_slot=start_slot(digest, service=service(), config="two"))
    assert second.outcome == pb.OUTCOME_FAILED
    assert node.links()["release"] == f"../../releases/{digest[7:]}"
    assert (await node.do(start_slot=first)).outcome == pb.OUTCOME_OK
    assert node.links()["release"] == f"../../releases/{digest[7:]}/app"


async def test_the_same_command_again_does_not_install_again(
    node: OneNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_finished: pb.Finished) -> None:
        raise JournalError("the journal cannot be written: disk full")

    digest = node.release(install=f"echo run >> {node.folder}/runs")
    command = node.command(prepare_slot=prepare_slot(digest, service=service()))
    monkeypatch.setattr(node.agent._journal, "finish", full)
    await node.done(node.take(command))
    monkeypatch.undo()
    node.reports.clear()
    assert (await node.done(node.take(command))).outcome == pb.OUTCOME_OK
    assert (node.folder / "runs").read_text() == "run\n"
    await node.do(prepare_slot=prepare_slot(digest, service=service()))
    assert (node.folder / "runs").read_text() == "run\nrun\n"


async def test_a_record_of_a_tree_that_cannot_be_read_counts_for_nothing(node: OneNode) -> None:
    digest = node.release(install="true")
    await node.do(prepare_slot=prepare_slot(digest, service=service()))
    (node.slot.folder / f"{node.trees()[0]}.json").write_text("{")
    assert node.slot.trees.next() is None
    await node.do(start_slot=start_slot(digest, service=service()))
    assert node.links()["release"] == f"../../releases/{digest[7:]}"


# --- install.sh ----------------------------------------------------------------------------------


async def test_install_knows_where_it_is_and_what_the_app_will_be_told(node: OneNode) -> None:
    file = node.folder / "secrets"
    file.write_text("COLOUR='from the file'\nPORT=1\nSECRET=hunter2\n")
    digest = node.release(install="env")
    told = service(
        environment={"COLOUR": "{slot}", "MOOD": "good in {environment}", "TIDEGATE_APP": "x"},
        environment_file=str(file),
    )
    await node.do(prepare_slot=prepare_slot(digest, service=told))
    lines = (node.home / "logs" / "blue.install.log").read_text().splitlines()
    seen = dict(line.split("=", 1) for line in lines if "=" in line)
    ready = node.slot.trees.next()
    assert ready is not None
    port = str(ready.purpose.port)
    wanted = {
        "TIDEGATE_APP": "shop",
        "TIDEGATE_ENVIRONMENT": "production",
        "TIDEGATE_VERSION": "1",
        "TIDEGATE_SLOT": "blue",
        "TIDEGATE_NODE": node.name,
        "TIDEGATE_PORT": port,
        "PORT": port,
        "COLOUR": "from the file",
        "MOOD": "good in production",
        "SECRET": "hunter2",
    }
    assert {key: seen.get(key) for key in wanted} == wanted
    finished = await node.do(start_slot=start_slot(digest, service=told))
    assert finished.slot.port == ready.purpose.port


async def test_what_install_writes_is_told_as_it_comes(node: OneNode) -> None:
    digest = node.release(install="echo first; sleep 0.8; printf '\\e[31mred\\e[0m\\nlast'")
    command = node.take(node.command(prepare_slot=prepare_slot(digest, service=service())))
    await node.done(command)
    said = [progress.text for progress in node.progress(command)]
    assert [text for text in said if "first" in text or "red" in text] == ["first\n", "red\nlast"]
    assert "running install.sh" in said


async def test_an_install_that_fails_leaves_nothing_and_says_why(node: OneNode) -> None:
    await node.started()
    pid, before = node.pid(), node.links()
    digest = node.release("2", install="echo half > made; echo no compiler >&2; exit 7")
    finished = await node.do(prepare_slot=prepare_slot(digest, service=service()))
    assert finished.outcome == pb.OUTCOME_FAILED
    assert finished.error == "install.sh exited with code 7"
    assert finished.output_tail == "no compiler"
    assert finished.blame == pb.BLAME_RELEASE
    assert node.trees() == []
    assert node.links() == before
    assert runs(pid)


async def test_an_install_that_takes_too_long_is_killed_with_all_it_has_started(
    node: OneNode,
) -> None:
    digest, file = hanging(node)
    prepare = prepare_slot(digest, service=service(), install_seconds=0.5)
    finished = await node.do(prepare_slot=prepare)
    assert finished.error == "install.sh did not end within 0.5 s"
    assert finished.output_tail == "begun"
    assert finished.blame == pb.BLAME_RELEASE
    assert not runs(await pid_in(file))
    assert node.trees() == []


async def test_an_install_that_is_overtaken_is_killed_before_the_next_begins(
    node: OneNode,
) -> None:
    digest, file = hanging(node)
    command = node.take(node.command(prepare_slot=prepare_slot(digest, service=service())))
    child = await pid_in(file)
    stop = node.take(node.command(stop_slot=pb.StopSlot(slot="blue")))
    assert (await node.done(command)).outcome == pb.OUTCOME_SUPERSEDED
    assert (await node.done(stop)).outcome == pb.OUTCOME_OK
    assert not runs(child)
    assert node.trees() == []


async def test_what_an_install_has_left_running_is_ended_with_it(node: OneNode) -> None:
    file = node.folder / "pid"
    digest = node.release(install=HANG.format(pid_file=file).replace("sleep 60", "sleep 0.3"))
    finished = await node.do(prepare_slot=prepare_slot(digest, service=service()))
    assert finished.outcome == pb.OUTCOME_OK
    assert not runs(await pid_in(file))


async def test_an_install_without_a_shell_is_the_nodes_fault(node: OneNode) -> None:
    digest = node.release(install="true")
    poor = service(environment={"PATH": "/nowhere"})
    finished = await node.do(prepare_slot=prepare_slot(digest, service=poor))
    assert finished.error == "command not found: 'bash', in PATH /nowhere"
    assert finished.blame == pb.BLAME_ENVIRONMENT


async def test_an_agent_that_comes_back_ends_what_was_left_and_installs_anew(
    node: OneNode,
) -> None:
    """As after `kill -9`: the command is in the journal, its script still runs."""
    digest = node.release(install=f"echo run >> {node.folder}/runs")
    command = node.command(prepare_slot=prepare_slot(digest, service=service()))
    node.agent._journal.accept(command)
    tokened = {"TIDEGATE_INSTANCE": node.token(command)}
    left = await asyncio.create_subprocess_exec("sleep", "60", env=tokened, start_new_session=True)
    await node.start_anew()
    assert await asyncio.wait_for(left.wait(), PATIENCE_SECONDS) == -signal.SIGTERM
    assert (await node.done(command)).outcome == pb.OUTCOME_OK
    assert (node.folder / "runs").read_text() == "run\n"


# --- Ports ---------------------------------------------------------------------------------------


async def test_the_port_that_a_script_was_told_is_kept_or_the_start_fails(node: OneNode) -> None:
    digest = node.release(install="true")
    await node.do(prepare_slot=prepare_slot(digest, service=service()))
    ready = node.slot.trees.next()
    assert ready is not None
    port = ready.purpose.port
    with socket.create_server(("127.0.0.1", port)):
        finished = await node.do(start_slot=start_slot(digest, service=service()))
    assert finished.outcome == pb.OUTCOME_FAILED
    assert finished.error.startswith(f"port {port} is in use by pid {os.getpid()}")
    assert "the scripts of this release were told that it is the app's" in finished.error
    assert finished.blame == pb.BLAME_ENVIRONMENT
    finished = await node.do(start_slot=start_slot(digest, service=service()))
    assert finished.slot.port == port


async def test_the_other_slot_is_not_given_a_port_that_this_one_was_prepared_for(
    node: OneNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zlib.crc32", lambda _: 4711)
    digest = node.release(install="true")
    ports = set()
    for slot in ("blue", "green"):
        await node.do(prepare_slot=prepare_slot(digest, slot, service=service()))
        ready = node.app.slots[slot].trees.next()
        assert ready is not None
        ports.add(ready.purpose.port)
    assert len(ports) == 2


async def test_a_slot_that_runs_will_have_its_port_again(node: OneNode) -> None:
    await node.started()
    record = node.slot.record
    assert record is not None
    digest = node.release("2", install="true")
    await node.do(prepare_slot=prepare_slot(digest, service=service()))
    finished = await node.do(start_slot=start_slot(digest, service=service()))
    assert finished.outcome == pb.OUTCOME_OK
    assert finished.slot.port == record.port


async def test_a_port_that_was_asked_for_and_is_taken_fails_before_install_runs(
    node: OneNode,
) -> None:
    digest = node.release(install=f"touch {node.folder}/ran")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        asked = service(port=taken.getsockname()[1])
        finished = await node.do(prepare_slot=prepare_slot(digest, service=asked))
    assert "is in use by pid" in finished.error
    assert not (node.folder / "ran").exists()


# --- Room ----------------------------------------------------------------------------------------


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    little = SimpleNamespace(free=1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: little)


@pytest.mark.usefixtures("full")
async def test_no_room_for_a_copy_is_the_nodes_fault(node: OneNode) -> None:
    digest = node.release(install="true")
    finished = await node.do(prepare_slot=prepare_slot(digest, service=service()))
    assert (
        "not enough disk for slot blue to have a copy of the release: 1,000,000" in finished.error
    )
    assert finished.blame == pb.BLAME_ENVIRONMENT
    assert node.trees() == []


async def test_a_full_disk_keeps_nobody_from_going_back_to_what_the_slot_has(
    node: OneNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = node.release(install=f"echo run >> {node.folder}/runs")
    prepare, start = prepare_slot(digest, service=service()), start_slot(digest, service=service())
    await node.do(prepare_slot=prepare)
    first = await node.do(start_slot=start)
    await node.do(stop_slot=pb.StopSlot(slot="blue", grace_seconds=5.0))
    little = SimpleNamespace(free=1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: little)
    assert (await node.do(prepare_slot=prepare)).outcome == pb.OUTCOME_OK
    again = await node.do(start_slot=start)
    assert again.outcome == pb.OUTCOME_OK
    assert again.slot.port == first.slot.port
    assert (node.folder / "runs").read_text() == "run\n"


async def test_a_copy_that_fails_halfway_leaves_nothing(
    node: OneNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(*_: object) -> int:
        raise OSError(28, "No space left on device")

    digest = node.release(install="true")
    monkeypatch.setattr(os, "copy_file_range", no_space)
    finished = await node.do(prepare_slot=prepare_slot(digest, service=service()))
    assert finished.error.startswith("disk full while copying the release for slot blue: ")
    assert finished.blame == pb.BLAME_ENVIRONMENT
    assert node.trees() == []


async def test_a_disk_that_copies_no_ranges_is_copied_another_way(
    node: OneNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(*_: object) -> int:
        raise OSError(18, "Invalid cross-device link")

    digest = node.release(install="true")
    monkeypatch.setattr(os, "copy_file_range", cannot)
    await node.do(prepare_slot=prepare_slot(digest, service=service()))
    release = node.home / "releases" / digest[7:]
    copy = node.slot.folder / node.trees()[0]
    assert (copy / "serve.py").read_bytes() == (release / "serve.py").read_bytes()


async def test_a_copy_that_is_overtaken_leaves_nothing(
    node: OneNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = node.release(install="true")
    release = node.home / "releases" / digest[7:]
    for number in range(2000):
        (release / f"file-{number}").touch()
    command = node.take(node.command(prepare_slot=prepare_slot(digest, service=service())))
    await until(lambda: bool(node.trees()))
    stop = node.take(node.command(stop_slot=pb.StopSlot(slot="blue")))
    assert (await node.done(command)).outcome == pb.OUTCOME_SUPERSEDED
    await node.done(stop)
    assert node.trees() == []
