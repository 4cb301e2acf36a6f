"""A slot with real apps: started, overtaken, lost, found again, crashed, restarted, asked."""

import asyncio
import os
import signal
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from fake_systemd import NONE, FakeSystemd
from one_node import PATIENCE_SECONDS, OneNode, runs, service, start_slot, until

from tidegate_agent import job, keeper
from tidegate_agent.errors import JournalError, NodeError, ServiceError
from tidegate_agent.health import check
from tidegate_agent.host import THIS
from tidegate_agent.journal import SlotRecord
from tidegate_agent.managers.process import Processes
from tidegate_protos.v1 import agent_pb2 as pb


def family(folder: Path) -> pb.Service:
    """An app with two workers in its session and a helper in one of its own."""
    script = (
        "sleep 60 & echo $! > {0}/family; env -i sleep 60 & echo $! >> {0}/family; "
        "setsid sleep 60 & echo $! >> {0}/family; exec {1} serve.py $PORT 0"
    )
    return service(command=["bash", "-c", script.format(folder, sys.executable)])


def family_of(folder: Path) -> list[int]:
    """The pids of two workers and a helper."""
    return [int(pid) for pid in (folder / "family").read_text().split()]


async def killed(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not runs(pid))


def full_disk(*_: object) -> None:
    """Instead of what the journal writes."""
    raise JournalError("the journal cannot be written: database or disk is full")


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
    await node.started()
    start = start_slot(node.release("2"), service=service(manager="rc.d"), config="other")
    finished = await node.do(start_slot=start)
    assert "no service manager 'rc.d', only: process, systemd" in finished.error
    assert finished.blame == pb.BLAME_ENVIRONMENT


async def test_just_this_is_taken_up_if_it_runs_already(node: OneNode) -> None:
    start = await node.started()
    pid = node.pid()
    assert (await node.do(start_slot=start)).outcome == pb.OUTCOME_OK
    assert node.pid() == pid


async def test_what_an_app_has_left_is_not_taken_up_by_the_next_start(
    node: OneNode, tmp_path: Path
) -> None:
    start = start_slot(node.release(), service=family(tmp_path), deadline_seconds=5.0)
    assert (await node.do(start_slot=start)).outcome == pb.OUTCOME_OK
    await node.slot.unkeep()
    await killed(node.pid())
    left = family_of(tmp_path)
    assert (await node.do(start_slot=start)).outcome == pb.OUTCOME_OK
    assert not any(runs(one) for one in left)


async def test_a_start_that_overtakes_a_stop_never_takes_up_what_is_about_to_end(
    node: OneNode,
) -> None:
    start = await node.started(drain=0.5)
    former = node.pid()
    stop = node.take(node.command(stop_slot=pb.StopSlot(slot="blue", grace_seconds=10.0)))
    await until(lambda: node.slot.record is not None and node.slot.record.phase == "ending")
    again = node.take(node.command(start_slot=start))
    assert (await node.done(stop)).outcome == pb.OUTCOME_SUPERSEDED
    assert (await node.done(again)).outcome == pb.OUTCOME_OK
    assert node.pid() != former
    assert not runs(former)
    assert runs(node.pid())


async def test_a_start_that_systemd_has_still_to_make_is_not_said_to_be_over(
    node: OneNode, systemd: FakeSystemd
) -> None:
    """It comes when what it waits for has come, long after the rollout was undone: so the slot has
    to be stopped, which it would not be if nothing ran there."""
    systemd.shows(NONE, {**NONE, "Job": "12"})
    unit = service(manager="systemd", unit="shop@{slot}.service", command=[])
    start = start_slot(node.release(), service=unit)
    finished = await node.do(start_slot=start, deadline_seconds=0.5)
    assert finished.outcome == pb.OUTCOME_FAILED
    assert finished.slot.running == pb.TRI_YES
    systemd.shows({**NONE, "Job": "12"}, {**NONE, "Job": "12"}, NONE)
    stopped = await node.do(stop_slot=pb.StopSlot(slot="blue", grace_seconds=5.0))
    assert stopped.slot.running == pb.TRI_NO
    assert systemd.told()[-1] == "stop --no-block -- shop@blue.service"


async def test_what_was_told_to_end_is_not_healthy_however_well_it_answers(node: OneNode) -> None:
    start = await node.started(drain=1e6)
    stop = node.take(node.command(stop_slot=pb.StopSlot(slot="blue", grace_seconds=1e6)))
    await until(lambda: node.slot.record is not None and node.slot.record.phase == "ending")
    (told,) = (await node.agent.hello()).slots
    assert (told.running, told.healthy) == (pb.TRI_YES, pb.TRI_NO)
    node.take(node.command(cleanup=pb.Cleanup()))
    assert (await node.done(stop)).outcome == pb.OUTCOME_SUPERSEDED
    (told,) = (await node.agent.hello()).slots
    assert (told.revision, told.healthy) == (start.revision, pb.TRI_NO)


async def test_a_stop_is_recorded_before_the_first_signal(
    node: OneNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    await node.started()

    def full(_record: SlotRecord) -> None:
        raise JournalError("the journal cannot be written: disk full")

    monkeypatch.setattr(node.agent._journal, "save_slot", full)
    with pytest.raises(JournalError):
        await node.slot.stop(1.0)
    assert runs(node.pid())
    monkeypatch.undo()
    await node.slot.stop(1.0)


async def test_a_stop_ends_what_a_dead_app_has_left_in_its_session_and_elsewhere(
    node: OneNode, tmp_path: Path
) -> None:
    """One of its workers shows no token, like those that write over their environment."""
    start = start_slot(node.release(), service=family(tmp_path))
    assert (await node.do(start_slot=start)).outcome == pb.OUTCOME_OK
    await node.slot.unkeep()
    await killed(node.pid())
    finished = await node.do(stop_slot=pb.StopSlot(slot="blue", grace_seconds=5.0))
    assert finished.outcome == pb.OUTCOME_OK
    assert not any(runs(pid) for pid in family_of(tmp_path))


@pytest.mark.parametrize("phase", ["starting", "wanted", "ending"])
async def test_what_is_left_of_an_app_that_died_before_it_was_recorded_is_ended(
    node: OneNode, tmp_path: Path, phase: str
) -> None:
    """By a stop, or before it is started again."""
    start = start_slot(node.release(), service=family(tmp_path))
    assert (await node.do(start_slot=start)).outcome == pb.OUTCOME_OK
    worker, _, helper = family_of(tmp_path)
    await node.slot.unkeep()
    await killed(node.pid())
    await killed(helper)
    assert node.slot.record is not None
    node.slot._save(replace(node.slot.record, phase=phase, handle=None))
    await node.start_anew()
    if phase == "starting":
        await node.do(stop_slot=pb.StopSlot(slot="blue", grace_seconds=5.0))
    await until(lambda: not runs(worker))
    await until(lambda: (node.slot._healthy is True) == (phase == "wanted"))


# --- After a new start of the agent --------------------------------------------------------------


async def test_an_app_is_found_again_and_kept(node: OneNode) -> None:
    await node.started()
    pid = node.pid()
    await node.start_anew()
    assert node.pid() == pid
    state = await node.slot.state()
    assert state.running == state.healthy == pb.TRI_YES
    os.kill(pid, signal.SIGKILL)
    await until(lambda: node.pid() != pid and runs(node.pid()))


async def test_an_app_that_takes_its_time_to_answer_keeps_no_agent_from_starting(
    node: OneNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = start_slot(node.release(), service=service(), timeout_seconds=3600.0)
    assert (await node.do(start_slot=start)).outcome == pb.OUTCOME_OK
    pid = node.pid()
    monkeypatch.setattr(check, "HASTE_SECONDS", 0.05)
    os.kill(pid, signal.SIGSTOP)
    await asyncio.wait_for(node.start_anew(), PATIENCE_SECONDS)
    state = await node.slot.state()
    assert (state.running, state.healthy) == (pb.TRI_YES, pb.TRI_UNKNOWN)
    os.kill(pid, signal.SIGCONT)
    await until(lambda: node.slot._healthy is True)
    assert node.pid() == pid


async def test_a_check_that_makes_no_sense_any_more_costs_no_app(
    node: OneNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise ServiceError("health check: {what} stands for nothing")

    await node.started()
    pid = node.pid()
    await node.agent.stop()
    host = replace(THIS, check_of=fails)
    node.agent = type(node.agent)(node.name, node.folder, {}, "127.0.0.1", host=host)
    await node.begin()
    state = await node.slot.state()
    assert (state.running, state.healthy) == (pb.TRI_YES, pb.TRI_UNKNOWN)
    assert state.detail == "health check: {what} stands for nothing"
    assert node.pid() == pid


async def test_what_an_app_runs_from_outlives_its_marker(node: OneNode) -> None:
    start = await node.started()
    digest = start.revision.digest.removeprefix("sha256:")
    (node.home / "releases" / f"{digest}.ok").write_text("damaged")
    await node.start_anew()
    pid = node.pid()
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
    await node.started()
    pid = node.pid()
    await node.agent.stop()
    await killed(pid)
    node.agent = type(node.agent)(node.name, node.folder, {}, "127.0.0.1")
    await node.begin()
    assert (await node.slot.state()).detail == "had ended while no agent ran"
    await until(lambda: node.pid() != pid and runs(node.pid()))


@pytest.mark.parametrize("kind", ["http", "unit"])
async def test_what_an_app_that_ended_meanwhile_has_left_is_not_taken_for_it(
    node: OneNode, tmp_path: Path, kind: str
) -> None:
    check = {"http": None, "unit": pb.UnitCheck()} if kind == "unit" else {}
    start = start_slot(node.release(), service=family(tmp_path), **check)
    assert (await node.do(start_slot=start)).outcome == pb.OUTCOME_OK
    pid, left = node.pid(), family_of(tmp_path)
    await node.agent.stop()
    await killed(pid)
    node.agent = type(node.agent)(node.name, node.folder, {}, "127.0.0.1")
    await node.begin()
    assert (await node.slot.state()).detail == "had ended while no agent ran"
    await until(lambda: node.slot._healthy is True)
    assert not any(runs(one) for one in left)
    assert (await node.slot.state()).running == pb.TRI_YES


async def test_a_manager_that_cannot_be_asked_for_a_while_costs_no_app(
    node: OneNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    await node.started()
    pid = node.pid()

    async def fails(*_: object) -> None:
        raise NodeError("systemd cannot be asked on this node")

    monkeypatch.setattr(keeper, "RESTART_SECONDS_MIN", 0.02)
    monkeypatch.setattr(Processes, "look", fails)
    await node.start_anew()
    state = await node.slot.state()
    assert (state.running, state.healthy) == (pb.TRI_UNKNOWN, pb.TRI_UNKNOWN)
    assert state.detail == "systemd cannot be asked on this node"
    monkeypatch.undo()
    await until(lambda: node.slot._healthy is True)
    assert node.pid() == pid
    assert (await node.slot.state()).running == pb.TRI_YES


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
    await node.started()
    assert node.slot.record is not None
    token = node.slot.record.token

    monkeypatch.setattr(node.agent._journal, "write", full_disk)
    pid = await crash(node)
    assert node.slot.record.token == token
    await until(lambda: node.slot._healthy is True)
    monkeypatch.undo()
    await node.start_anew()  # the journal still has the handle of the one that was killed
    assert node.pid() == pid
    assert (await node.slot.state()).running == pb.TRI_YES


@pytest.mark.usefixtures("hurry")
@pytest.mark.parametrize("what", ["stop_slot", "start_slot"])
async def test_what_could_not_be_recorded_leaves_the_app_with_its_keeper(
    node: OneNode, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    start = await node.started()
    pid = node.pid()

    monkeypatch.setattr(node.agent._journal, "save_slot", full_disk)
    work = {"start_slot": start, "stop_slot": pb.StopSlot(slot="blue", grace_seconds=5.0)}
    finished = await node.do(**{what: work[what]})
    assert "the journal cannot be written" in finished.error
    assert node.pid() == pid
    assert finished.slot.healthy == pb.TRI_YES
    await crash(node)


@pytest.mark.usefixtures("hurry")
@pytest.mark.parametrize("how", ["overtaken", "healthy, which cannot be recorded"])
async def test_what_serves_is_kept_however_a_start_of_just_this_ends(
    node: OneNode, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    start = await node.started()
    (node.slot.folder / "release" / "sick").touch()
    await until(lambda: node.slot._healthy is False)
    command = node.take(node.command(start_slot=start))
    await until(lambda: node.slot._task is None)

    if how == "overtaken":
        node.take(node.command(cleanup=pb.Cleanup()))
        assert (await node.done(command)).outcome == pb.OUTCOME_SUPERSEDED
    else:
        monkeypatch.setattr(node.agent._journal, "save_slot", full_disk)
        (node.slot.folder / "release" / "sick").unlink()
        assert (await node.done(command)).outcome == pb.OUTCOME_FAILED
    await crash(node)


async def test_a_detail_of_any_length_is_cut(node: OneNode) -> None:
    node.slot.changed(False, "x" * 100_000)
    assert len((await node.slot.state()).detail) < 600


async def test_an_app_that_ignores_sigterm_is_killed_after_its_grace_and_that_is_said(
    node: OneNode, caplog: pytest.LogCaptureFixture
) -> None:
    await node.started(drain=60.0)  # goes on answering for so long
    pid = node.pid()
    finished = await node.do(stop_slot=pb.StopSlot(slot="blue", grace_seconds=0.3))
    assert (finished.outcome, finished.slot.running) == (pb.OUTCOME_OK, pb.TRI_NO)
    assert finished.error == "killed, having ignored SIGTERM for 0.3 s"
    assert finished.slot.detail == finished.error
    assert f"slot blue of shop was {finished.error}" in caplog.text
    assert not runs(pid)


async def test_a_start_says_that_it_stops_what_ran_before_and_that_it_needed_force(
    node: OneNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ignored SIGTERM would else look like a slow start of the next release."""
    monkeypatch.setattr(job, "NOTICE_SECONDS", 0.05)
    stubborn = service(drain=99.0, stop_grace_seconds=0.4)
    await node.do(start_slot=start_slot(node.release(), service=stubborn))
    command = node.command(start_slot=start_slot(node.release("2"), service=service()))
    node.take(command)
    finished = await node.done(command)
    assert finished.outcome == pb.OUTCOME_OK
    assert finished.error == "what ran here before was killed, having ignored SIGTERM for 0.4 s"
    told = node.progress(command)[0].text
    assert told == "stopping what ran here before, for up to 0.4 s"
