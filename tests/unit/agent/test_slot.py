"""A slot with real apps: started, overtaken, lost, found again, crashed, restarted, asked."""

import asyncio
import os
import signal
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest
from one_node import OneNode, runs, service, start_slot, until

from tidegate_agent import app as app_module
from tidegate_agent import keeper, users
from tidegate_agent.errors import JournalError, ServiceError
from tidegate_agent.journal import SlotRecord
from tidegate_protos.v1 import agent_pb2 as pb


async def started(node: OneNode, **more: float) -> pb.StartSlot:
    start = start_slot(node.release(), service=service(drain=more.get("drain", 0.0)))
    finished = await node.do(start_slot=start)
    assert finished.outcome == pb.OUTCOME_OK, finished
    return start


# --- Starting and stopping -----------------------------------------------------------------------


async def test_a_slot_that_was_started_runs_and_is_healthy(node: OneNode) -> None:
    start = start_slot(node.release(), service=service())
    finished = await node.do(start_slot=start)
    assert finished.outcome == pb.OUTCOME_OK
    assert finished.blame == pb.BLAME_UNSPECIFIED
    assert finished.slot.running == finished.slot.healthy == pb.TRI_YES
    assert runs(node.pid())
    with socket.create_connection(("127.0.0.1", finished.slot.port), 5):
        assert finished.slot.revision == start.revision


async def test_an_app_that_exits_at_once_is_the_releases_fault(node: OneNode) -> None:
    start = start_slot(node.release(), service=service("3"))
    finished = await node.do(start_slot=start)
    assert finished.outcome == pb.OUTCOME_FAILED
    assert finished.error.startswith("exited with code 3 after")
    assert finished.output_tail == "FATAL: it cannot start"
    assert finished.blame == pb.BLAME_RELEASE
    assert finished.slot.running == pb.TRI_NO


async def test_a_port_that_somebody_has_is_the_nodes_fault(node: OneNode) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        start = start_slot(node.release(), service=service(port=port))
        finished = await node.do(start_slot=start)
    assert finished.error.startswith(f"port {port} is in use by pid {os.getpid()} (")
    assert finished.blame == pb.BLAME_ENVIRONMENT


async def test_an_unknown_manager_changes_nothing(node: OneNode) -> None:
    await started(node)
    start = start_slot(node.release("2"), service=service(manager="rc.d"), config="other")
    finished = await node.do(start_slot=start)
    assert "no service manager 'rc.d', only: process" in finished.error
    assert finished.blame == pb.BLAME_ENVIRONMENT


async def test_just_this_is_taken_up_if_it_runs_already(node: OneNode) -> None:
    start = await started(node)
    pid = node.pid()
    assert (await node.do(start_slot=start)).outcome == pb.OUTCOME_OK
    assert node.pid() == pid


async def test_a_start_that_overtakes_a_stop_never_takes_up_what_is_about_to_end(
    node: OneNode,
) -> None:
    start = await started(node, drain=0.5)
    former = node.pid()
    stop = node.take(node.command(stop_slot=pb.StopSlot(slot="blue", grace_seconds=10.0)))
    await until(lambda: node.slot.record is not None and node.slot.record.phase == "ending")
    again = node.take(node.command(start_slot=start))
    assert (await node.done(stop)).outcome == pb.OUTCOME_SUPERSEDED
    assert (await node.done(again)).outcome == pb.OUTCOME_OK
    assert node.pid() != former
    assert not runs(former)
    assert runs(node.pid())


async def test_a_stop_is_recorded_before_the_first_signal(
    node: OneNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    await started(node)

    def full(_record: SlotRecord) -> None:
        raise JournalError("the journal cannot be written: disk full")

    monkeypatch.setattr(node.agent._journal, "save_slot", full)
    with pytest.raises(JournalError):
        await node.slot.stop(1.0)
    assert runs(node.pid())
    monkeypatch.undo()
    await node.slot.stop(1.0)


# --- After a new start of the agent --------------------------------------------------------------


async def test_an_app_is_found_again_and_kept(node: OneNode) -> None:
    await started(node)
    pid = node.pid()
    await node.start_anew()
    assert node.pid() == pid
    state = await node.slot.state()
    assert state.running == state.healthy == pb.TRI_YES
    os.kill(pid, signal.SIGKILL)
    await until(lambda: node.pid() != pid and runs(node.pid()))


async def test_a_stop_that_was_begun_is_finished_and_not_undone(node: OneNode) -> None:
    stubborn = service(drain=1e6, stop_grace_seconds=0.2)
    start = start_slot(node.release(), service=stubborn)
    assert (await node.do(start_slot=start)).outcome == pb.OUTCOME_OK
    pid = node.pid()
    stopping = asyncio.create_task(node.slot.stop(1e6))
    await until(lambda: node.slot.record is not None and node.slot.record.phase == "ending")
    stopping.cancel()
    await node.start_anew()
    await until(lambda: not runs(pid))
    await until(lambda: "killed, having ignored SIGTERM" in node.slot._detail)
    assert (await node.slot.state()).running == pb.TRI_NO
    assert (await node.do(start_slot=start)).outcome == pb.OUTCOME_OK
    assert node.pid() != pid


async def test_an_app_that_ended_meanwhile_is_started_again(node: OneNode) -> None:
    await started(node)
    pid = node.pid()
    await node.agent.stop()
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not runs(pid))
    node.agent = type(node.agent)(node.name, node.folder, {}, "127.0.0.1")
    await node.begin()
    assert (await node.slot.state()).detail == "had ended while no agent ran"
    await until(lambda: node.pid() != pid and runs(node.pid()))


# --- Afterwards ----------------------------------------------------------------------------------


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "RESTART_SECONDS_MIN", 0.02)
    monkeypatch.setattr(keeper, "RESTART_SECONDS_MAX", 0.5)


async def crash(node: OneNode) -> int:
    """The pid of what runs after it was killed."""
    pid = node.pid()
    os.kill(pid, signal.SIGKILL)
    await until(lambda: node.pid() != pid and runs(node.pid()))
    return node.pid()


@pytest.mark.usefixtures("hurry")
async def test_a_crashed_app_is_started_again_though_the_journal_cannot_be_written(
    node: OneNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    await started(node)
    assert node.slot.record is not None
    token = node.slot.record.token

    def full(*_: object) -> None:
        raise JournalError("the journal cannot be written: database or disk is full")

    monkeypatch.setattr(node.agent._journal, "write", full)
    pid = await crash(node)
    assert node.slot.record.token == token
    monkeypatch.undo()
    await node.start_anew()  # the journal still has the handle of the one that was killed
    assert node.pid() == pid
    assert (await node.slot.state()).running == pb.TRI_YES


# --- Inspect -------------------------------------------------------------------------------------


async def test_a_release_that_is_here_needs_no_room(
    node: OneNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = node.release()
    little = SimpleNamespace(free=100 * 1024 * 1024)
    monkeypatch.setattr(app_module.shutil, "disk_usage", lambda _: little)
    inspect = pb.Inspect(slot="green", artifact_bytes=20 * 1024 * 1024)
    finished = await node.do(inspect=inspect)
    assert "has 104,857,600 bytes free, about 150,994,944 are needed" in finished.error
    assert finished.blame == pb.BLAME_ENVIRONMENT
    inspect.digest = digest
    assert (await node.do(inspect=inspect)).outcome == pb.OUTCOME_OK
    inspect.digest = "sha256:" + "0" * 64
    assert (await node.do(inspect=inspect)).outcome == pb.OUTCOME_FAILED


async def test_a_probe_is_answered_with_what_the_health_check_says_now(node: OneNode) -> None:
    await started(node)
    probe = pb.Inspect(slot="blue", probe=True)
    assert (await node.do(inspect=probe)).outcome == pb.OUTCOME_OK
    (node.slot.folder / "release" / "sick").touch()
    finished = await node.do(inspect=probe)
    assert finished.outcome == pb.OUTCOME_FAILED
    assert finished.error.endswith("answered 500")
    assert finished.blame == pb.BLAME_RELEASE


async def test_a_probe_forgives_what_the_health_check_forgives(
    node: OneNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    await started(node)
    answers: list[str | None] = ["GET http://x/ answered 500", None]

    async def ask(_check: object) -> str | None:
        return answers.pop(0)

    monkeypatch.setattr("tidegate_agent.slot.probe", ask)
    await node.slot.probe()
    answers[:] = ["first", "second"]
    with pytest.raises(ServiceError, match="second"):
        await node.slot.probe()


async def test_a_probe_of_what_does_not_run_says_so(node: OneNode) -> None:
    finished = await node.do(inspect=pb.Inspect(slot="blue", probe=True))
    assert finished.error == "slot blue does not run: nothing was started here"
    await started(node)
    await node.slot.stop(5.0)
    finished = await node.do(inspect=pb.Inspect(slot="blue", probe=True))
    assert finished.error == "slot blue does not run: stopped"


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"user": "nobody-of-that-name"}, "there is no user 'nobody-of-that-name' on this node"),
        ({"environment_file": "/no/such/file"}, "cannot read environment_file /no/such/file: No "),
        ({"environment_file": "shop.env"}, "environment_file 'shop.env' is not an absolute path"),
        ({"manager": "openrc"}, "this agent has no service manager 'openrc', only: process"),
    ],
)
async def test_what_a_service_needs_is_looked_for_before_anything_is_done(
    node: OneNode, more: dict[str, str], text: str
) -> None:
    finished = await node.do(inspect=pb.Inspect(slot="blue", service=service(**more)))
    assert finished.outcome == pb.OUTCOME_FAILED
    assert text in finished.error
    assert finished.blame == pb.BLAME_ENVIRONMENT
    good = pb.Inspect(slot="blue", service=service(user=users.own_name()))
    assert (await node.do(inspect=good)).outcome == pb.OUTCOME_OK


async def test_the_environment_file_must_be_readable(node: OneNode, tmp_path: Path) -> None:
    file = tmp_path / "shop.env"
    file.write_text("TOKEN=s3cret\nno sense here\n")
    finished = await node.do(
        inspect=pb.Inspect(slot="blue", service=service(environment_file=str(file)))
    )
    assert finished.error == f"environment_file {file}, line 2: not NAME=value"


async def test_a_detail_of_any_length_is_cut(node: OneNode) -> None:
    node.slot.changed(False, "x" * 100_000)
    assert len((await node.slot.state()).detail) < 600
