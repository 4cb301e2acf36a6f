"""migrate.sh: run once, and never a second time by itself, whatever happens to the agent."""

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from one_node import PATIENCE_SECONDS, OneNode, prepare_slot, run_task, runs, service, until

from tidegate_agent.agent import Agent
from tidegate_agent.durable import make_folder
from tidegate_agent.errors import JournalError, ServiceError
from tidegate_agent.host import THIS
from tidegate_protos.v1 import agent_pb2 as pb


async def prepared(node: OneNode, migrate: str = "", **more: str) -> str:
    digest = node.release(migrate=migrate, **more)
    finished = await node.do(prepare_slot=prepare_slot(digest, service=service()))
    assert finished.outcome == pb.OUTCOME_OK, finished
    return digest


async def begun(node: OneNode, tmp_path: Path) -> tuple[pb.Command, int]:
    """A migration that hangs, and its pid."""
    file = tmp_path / "pid"
    digest = await prepared(node, f"echo begun; echo $$ > {file}; sleep 60")
    command = node.take(node.command(run_task=run_task(digest, service=service())))
    await until(lambda: file.exists() and file.read_text().endswith("\n"))
    return command, int(file.read_text())


# --- Running it ----------------------------------------------------------------------------------


async def test_a_migration_runs_in_the_prepared_tree_and_tells_what_it_does(node: OneNode) -> None:
    digest = await prepared(
        node, "pwd; echo $TIDEGATE_SLOT $TIDEGATE_APP $PORT; cat made", install="echo it > made"
    )
    task = run_task(digest, service=service())
    command = node.take(node.command(run_task=task))
    finished = await node.done(command)
    assert finished.outcome == pb.OUTCOME_OK
    assert finished.error == finished.output_tail == ""
    ready = node.slot.trees.next()
    assert ready is not None
    written = (node.home / "logs" / "blue.migrate.log").read_text()
    assert written == f"{ready.path}\nblue shop {ready.purpose.port}\nit\n"
    assert "".join(one.text for one in node.progress(command)).endswith(written)


async def test_a_release_without_a_migration_is_done_at_once(node: OneNode) -> None:
    digest = await prepared(node)
    finished = await node.do(run_task=run_task(digest, service=service()))
    assert finished.outcome == pb.OUTCOME_OK
    assert finished.error == "this release has no migrate.sh"


async def test_a_migration_that_fails_is_the_releases_fault(node: OneNode) -> None:
    digest = await prepared(node, "echo table missing; exit 4")
    finished = await node.do(run_task=run_task(digest, service=service()))
    assert finished.outcome == pb.OUTCOME_FAILED
    assert finished.error == "migrate.sh exited with code 4"
    assert finished.output_tail == "table missing"
    assert finished.blame == pb.BLAME_RELEASE


async def test_a_migration_that_takes_too_long_is_killed(node: OneNode) -> None:
    digest = await prepared(node, "sleep 60")
    hooks = pb.Hooks(migrate_seconds=0.3)
    finished = await node.do(run_task=run_task(digest, service=service(), hooks=hooks))
    assert finished.outcome == pb.OUTCOME_FAILED
    assert finished.error == "migrate.sh did not end within 0.3 s"


async def test_a_deadline_of_the_command_is_told_apart_and_shows_the_last_output(
    node: OneNode,
) -> None:
    digest = await prepared(node, "echo at table 7; sleep 60")
    work = {"run_task": run_task(digest, service=service())}
    finished = await node.do(**work, deadline_seconds=1.0)
    assert finished.error == "not through with migrate.sh within 1 s"
    assert finished.output_tail == "at table 7"


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"task": "../../bin/sh"}, "this agent knows no task '../../bin/sh', only: migrate"),
        ({"revision": pb.Revision(digest="sha256:" + "0" * 64)}, "was not prepared on this node"),
        ({"slot": "green"}, "slot green was not prepared for release sha256:"),
    ],
)
async def test_what_cannot_be_run_is_said(
    node: OneNode, more: dict[str, object], text: str
) -> None:
    digest = await prepared(node, "true")
    finished = await node.do(run_task=run_task(digest, service=service(), **more))
    assert finished.outcome == pb.OUTCOME_FAILED
    assert text in finished.error


# --- Never twice ---------------------------------------------------------------------------------


async def test_the_same_command_again_gets_the_stored_result(node: OneNode, tmp_path: Path) -> None:
    digest = await prepared(node, f"echo run >> {tmp_path}/runs")
    command = node.command(run_task=run_task(digest, service=service()))
    first = await node.done(node.take(command))
    await node.start_anew()
    node.reports.clear()
    assert await node.done(node.take(command)) == first
    assert (tmp_path / "runs").read_text() == "run\n"


async def test_a_migration_that_is_overtaken_is_killed_and_unknown(
    node: OneNode, tmp_path: Path
) -> None:
    command, pid = await begun(node, tmp_path)
    await node.do(stop_slot=pb.StopSlot(slot="blue"))
    finished = await node.done(command)
    assert finished.outcome == pb.OUTCOME_UNKNOWN
    assert finished.error == (
        "overtaken by a later command while migrate.sh ran, and ended it; "
        "whether it is complete is not known"
    )
    assert finished.output_tail == "begun"
    assert not runs(pid)


async def test_a_migration_that_waits_its_turn_and_is_overtaken_never_began(
    node: OneNode, tmp_path: Path
) -> None:
    _, pid = await begun(node, tmp_path)
    digest = node.release("2", migrate=f"touch {tmp_path}/ran")
    work = {"run_task": run_task(digest, service=service())}
    waiting = node.take(node.command(environment="staging", **work))
    await asyncio.sleep(0.05)
    node.take(node.command(environment="staging", inspect=pb.Inspect(slot="blue")))
    node.take(node.command(environment="staging", stop_slot=pb.StopSlot(slot="green")))
    assert (await node.done(waiting)).outcome == pb.OUTCOME_SUPERSEDED
    assert runs(pid)
    await node.do(stop_slot=pb.StopSlot(slot="blue"))


async def test_an_agent_that_is_stopped_kills_the_migration_and_says_so(
    node: OneNode, tmp_path: Path
) -> None:
    command, pid = await begun(node, tmp_path)
    await node.start_anew()
    assert not runs(pid)
    finished = await node.done(command)
    assert finished.outcome == pb.OUTCOME_UNKNOWN
    assert finished.error.startswith("the agent was stopped while migrate.sh ran, and ended it; ")
    assert finished.output_tail == "begun"
    node.reports.clear()
    assert await node.done(node.take(command)) == finished


async def test_an_agent_that_died_meanwhile_ends_the_migration_and_answers_unknown(
    node: OneNode, tmp_path: Path
) -> None:
    """As after `kill -9`: the journal says that it has begun, and it still runs."""
    digest = await prepared(node, f"echo run >> {tmp_path}/runs")
    command = node.command(run_task=run_task(digest, service=service()))
    node.agent._journal.accept(command)
    node.agent._journal.begin(command.id, "migrate.sh")
    make_folder(node.home / "logs")
    (node.home / "logs" / "blue.migrate.log").write_text("table made\n")
    carrying = {"TIDEGATE_INSTANCE": node.token(command)}
    left = await asyncio.create_subprocess_exec("sleep", "60", env=carrying, start_new_session=True)
    await node.start_anew()
    assert await asyncio.wait_for(left.wait(), PATIENCE_SECONDS) == -signal.SIGTERM
    finished = await node.done(command)
    assert (finished.outcome, finished.output_tail) == (pb.OUTCOME_UNKNOWN, "table made")
    assert finished.error == (
        "the agent died while migrate.sh ran; whether it is complete is not known"
    )
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("hook", ["migrate", "install"])
async def test_a_script_that_cannot_be_ended_keeps_no_agent_from_looking_after_apps(
    node: OneNode, tmp_path: Path, hook: str
) -> None:
    """It hangs on a disk that does not answer, or runs as another user."""

    async def fails(_token: str) -> None:
        raise ServiceError("still there 10 s after SIGKILL: pid 7")

    await node.started()
    digest = node.release("2", **{hook: f"echo run >> {tmp_path}/runs"})
    if hook == "migrate":
        command = node.command(run_task=run_task(digest, service=service()))
    else:
        command = node.command(prepare_slot=prepare_slot(digest, service=service()))
    node.agent._journal.accept(command)
    if hook == "migrate":
        node.agent._journal.begin(command.id, "migrate.sh")
    await node.agent.stop()
    host = replace(THIS, end_scripts=fails)
    node.agent = Agent(node.name, node.folder, {}, "127.0.0.1", host=host)
    await node.begin()
    assert (await node.slot.state()).healthy == pb.TRI_YES
    finished = await node.done(command)
    assert finished.error.endswith(
        "the script of before cannot be ended: still there 10 s after SIGKILL: pid 7"
    )
    if hook == "migrate":
        assert finished.outcome == pb.OUTCOME_UNKNOWN
    else:
        assert (finished.outcome, finished.blame) == (pb.OUTCOME_FAILED, pb.BLAME_ENVIRONMENT)
    assert not (tmp_path / "runs").exists()
    pid = node.pid()
    os.kill(pid, signal.SIGKILL)
    await until(lambda: node.pid() != pid and runs(node.pid()))


async def test_an_agent_that_died_before_it_began_begins_it(node: OneNode, tmp_path: Path) -> None:
    digest = await prepared(node, f"echo run >> {tmp_path}/runs")
    command = node.command(run_task=run_task(digest, service=service()))
    node.agent._journal.accept(command)
    await node.start_anew()
    assert (await node.done(command)).outcome == pb.OUTCOME_OK
    assert (tmp_path / "runs").read_text() == "run\n"


async def test_a_migration_does_not_begin_where_that_cannot_be_recorded(
    node: OneNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise JournalError("the journal cannot be written: disk full")

    digest = await prepared(node, f"touch {tmp_path}/ran")
    monkeypatch.setattr(node.agent._journal, "begin", full)
    finished = await node.do(run_task=run_task(digest, service=service()))
    assert finished.outcome == pb.OUTCOME_FAILED
    assert finished.blame == pb.BLAME_ENVIRONMENT
    assert not (tmp_path / "ran").exists()


async def test_a_migration_whose_result_could_not_be_recorded_is_unknown_when_asked_again(
    node: OneNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise JournalError("the journal cannot be written: disk full")

    digest = await prepared(node, f"echo run >> {tmp_path}/runs; echo table made")
    command = node.command(run_task=run_task(digest, service=service()))
    monkeypatch.setattr(node.agent._journal, "finish", full)
    assert (await node.done(node.take(command))).outcome == pb.OUTCOME_OK
    node.reports.clear()
    again = await node.done(node.take(command))
    assert (again.outcome, again.output_tail) == (pb.OUTCOME_UNKNOWN, "table made")
    assert (tmp_path / "runs").read_text() == "run\n"
