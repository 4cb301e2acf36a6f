"""What an agent does with commands: their order, their results, what it says meanwhile."""

import asyncio
import time

import pytest
from one_node import OneNode, until

from tidegate_agent import job
from tidegate_agent.agent import Agent
from tidegate_agent.commands import HANDLERS, Handler
from tidegate_agent.errors import AgentError, JournalError
from tidegate_agent.job import Job
from tidegate_agent.slot import Slot
from tidegate_protos.v1 import agent_pb2 as pb

STOP = {"stop_slot": pb.StopSlot(slot="blue", grace_seconds=1.0)}
DEAD_END = pb.PrepareSlot(
    slot="blue",
    artifact=pb.Artifact(digest="sha256:" + "a" * 64, size_bytes=5, url="http://127.0.0.1:1/x"),
)


class Script:
    """A handler that the test steers: it has begun, it may end."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.may_end: dict[str, asyncio.Event] = {}
        self.ending_seconds = 0.0

    async def run(self, app: object, job: Job) -> Slot | None:
        name = job.command.id
        self.log.append(f"{name} begins")
        try:
            await self.may_end.setdefault(name, asyncio.Event()).wait()
        except asyncio.CancelledError:
            await asyncio.sleep(self.ending_seconds)
            self.log.append(f"{name} is cancelled")
            raise
        self.log.append(f"{name} ends")
        return None

    def end(self, command: pb.Command) -> None:
        self.may_end.setdefault(command.id, asyncio.Event()).set()


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    """In place of stopping a slot."""
    script = Script()
    monkeypatch.setitem(HANDLERS, "stop_slot", Handler(script.run))
    return script


def failing(error: Exception) -> Handler:
    async def fail(app: object, job: Job) -> Slot | None:
        raise error

    return Handler(fail)


# --- Order ---------------------------------------------------------------------------------------


async def test_a_repeated_command_gets_its_stored_result(node: OneNode, script: Script) -> None:
    command = node.command(**STOP)
    script.end(command)
    node.take(command)
    first = await node.done(command)
    node.reports.clear()
    command.expires_at.seconds = 0
    node.take(command)
    assert await node.done(command) == first
    assert script.log == ["c1 begins", "c1 ends"]


async def test_a_command_that_comes_again_in_the_moment_of_its_result_is_answered_again(
    node: OneNode, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its result could not be recorded, so it is done again: it must not be taken for running."""

    def full(*_: object) -> None:
        raise JournalError("the journal cannot be written: disk full")

    command = node.command(**STOP)
    script.end(command)
    monkeypatch.setattr(node.agent._journal, "finish", full)
    executor, reported = node.agent._executor("shop"), node.agent.report

    def ask_again(report: pb.Report) -> None:
        reported(report)
        if report.HasField("finished"):
            executor._report = reported
            node.take(command)

    executor._report = ask_again
    node.take(command)
    await until(lambda: sum(report.HasField("finished") for report in node.reports) == 2)
    assert script.log == ["c1 begins", "c1 ends"] * 2


async def test_a_lower_fence_is_superseded_and_nothing_is_done(
    node: OneNode, script: Script
) -> None:
    earlier, later = node.command(**STOP), node.command(**STOP)
    script.end(later)
    await node.done(node.take(later))
    finished = await node.done(node.take(earlier))
    assert finished.outcome == pb.OUTCOME_SUPERSEDED
    assert finished.error == "fence (1, 1) is not above (1, 2), which this node has seen"
    assert script.log == ["c2 begins", "c2 ends"]


async def test_of_an_older_epoch_nothing_is_done_whatever_its_version(
    node: OneNode, script: Script
) -> None:
    """As of a controller that was restored from a backup, or one that does not know yet that
    another has taken its place."""
    later = node.command(**STOP, fence=pb.Fence(epoch=3, version=10))
    script.end(later)
    await node.done(node.take(later))
    older = node.command(**STOP, fence=pb.Fence(epoch=2, version=999))
    finished = await node.done(node.take(older))
    assert finished.outcome == pb.OUTCOME_SUPERSEDED
    assert finished.error == "fence (2, 999) is not above (3, 10), which this node has seen"
    assert script.log == ["c1 begins", "c1 ends"]
    assert not node.agent._journal.known(older.id)
    assert (await node.agent.hello()).highest_epoch == 3, "which the controller hears of"


async def test_an_expired_command_is_not_begun_and_both_clocks_are_told(
    node: OneNode, script: Script
) -> None:
    command = node.command(**STOP, expires_at={"seconds": 1_700_000_000})
    finished = await node.done(node.take(command))
    assert finished.outcome == pb.OUTCOME_EXPIRED
    assert "by the controller's clock at 2023-11-14T22:13:20Z, and here it is 20" in finished.error
    fresh = node.command(**STOP, expires_at={"seconds": int(time.time()) - 301})
    assert (await node.done(node.take(fresh))).outcome == pb.OUTCOME_EXPIRED
    assert script.log == []


@pytest.mark.parametrize("set_back_seconds", [365 * 86400, 4 * 365 * 86400])
async def test_a_clock_that_is_set_back_lets_nothing_expire(
    node: OneNode, script: Script, monkeypatch: pytest.MonkeyPatch, set_back_seconds: int
) -> None:
    """Whether it is set back before a command comes, or while one is under way."""
    now = time.time
    before = node.take(node.command(**STOP, deadline_seconds=60.0))
    await until(lambda: script.log == ["c1 begins"])
    monkeypatch.setattr(time, "time", lambda: now() - set_back_seconds)
    script.end(before)
    assert (await node.done(before)).outcome == pb.OUTCOME_OK
    after = node.command(**STOP, expires_at={"seconds": int(now()) + 3600})
    script.end(after)
    assert (await node.done(node.take(after))).outcome == pb.OUTCOME_OK
    fresh = node.command(**STOP, expires_at={"seconds": int(time.time()) + 3600})
    script.end(fresh)
    assert (await node.done(node.take(fresh))).outcome == pb.OUTCOME_OK


async def test_a_higher_fence_begins_when_what_it_cancels_has_ended(
    node: OneNode, script: Script
) -> None:
    script.ending_seconds = 0.05
    first = node.take(node.command(**STOP))
    await until(lambda: script.log == ["c1 begins"])
    second = node.take(node.command(**STOP))
    script.end(second)
    assert (await node.done(first)).outcome == pb.OUTCOME_SUPERSEDED
    assert (await node.done(second)).outcome == pb.OUTCOME_OK
    assert script.log == ["c1 begins", "c1 is cancelled", "c2 begins", "c2 ends"]


async def test_commands_of_two_environments_are_done_one_after_the_other(
    node: OneNode, script: Script
) -> None:
    first = node.take(node.command(**STOP))
    second = node.take(node.command(**STOP, environment="staging"))
    await until(lambda: script.log == ["c1 begins"])
    script.end(second)
    await asyncio.sleep(0.05)
    assert script.log == ["c1 begins"]
    script.end(first)
    assert (await node.done(first)).outcome == pb.OUTCOME_OK
    assert (await node.done(second)).outcome == pb.OUTCOME_OK
    assert script.log == ["c1 begins", "c1 ends", "c2 begins", "c2 ends"]


async def test_a_command_that_waits_for_another_environment_can_be_overtaken_too(
    node: OneNode, script: Script
) -> None:
    first = node.take(node.command(**STOP))
    waiting = node.take(node.command(**STOP, environment="staging"))
    await until(lambda: script.log == ["c1 begins"])
    last = node.take(node.command(**STOP, environment="staging"))
    assert (await node.done(waiting)).outcome == pb.OUTCOME_SUPERSEDED
    script.end(last)
    script.end(first)
    assert (await node.done(last)).outcome == pb.OUTCOME_OK
    assert script.log == ["c1 begins", "c1 ends", "c3 begins", "c3 ends"]


async def test_what_only_looks_needs_no_fence_and_is_not_remembered(
    node: OneNode, script: Script
) -> None:
    running = node.take(node.command(**STOP))
    look = node.command(inspect=pb.Inspect(slot="blue"), fence=pb.Fence())
    assert (await node.done(node.take(look))).outcome == pb.OUTCOME_OK
    assert not node.agent._journal.known(look.id)
    assert node.agent._journal.known(running.id)
    assert [name for name, handler in HANDLERS.items() if not handler.changes] == ["inspect"]


async def test_an_unknown_command_is_answered(node: OneNode) -> None:
    finished = await node.do()
    assert finished.outcome == pb.OUTCOME_FAILED
    assert finished.error == "this agent does not know the command sent"


# --- After a new start of the agent --------------------------------------------------------------


async def test_what_was_unfinished_is_done_again_and_what_was_overtaken_is_not(
    node: OneNode, script: Script
) -> None:
    overtaken = node.command(**STOP)
    unfinished = node.command(**STOP)
    for command in (overtaken, unfinished):
        node.agent._journal.accept(command)
    script.end(unfinished)
    await node.start_anew()
    assert (await node.done(overtaken)).outcome == pb.OUTCOME_SUPERSEDED
    assert (await node.done(unfinished)).outcome == pb.OUTCOME_OK
    assert script.log == ["c2 begins", "c2 ends"]


async def test_for_a_new_controller_what_another_has_asked_for_is_forgotten(
    node: OneNode, script: Script
) -> None:
    """Its unfinished command is not done, and a fence of the new one counts from nothing."""
    unfinished = node.command(**STOP, fence=pb.Fence(epoch=9, version=900))
    node.agent._journal.accept(unfinished)
    node.agent._journal.remember_log("the other")
    await node.agent.stop()
    node.agent = Agent(node.name, node.folder, {}, "127.0.0.1")
    node._sending.enter_context(node.agent.reporting_to(node.reports.append))
    await node.agent.start(new_controller=True)
    hello = await node.agent.hello()
    assert (hello.log_id, hello.highest_epoch) == ("", 0)
    first = node.command(**STOP)
    script.end(first)
    assert (await node.done(node.take(first))).outcome == pb.OUTCOME_OK
    assert script.log == [f"{first.id} begins", f"{first.id} ends"]


async def test_a_result_that_could_not_be_recorded_is_made_again(
    node: OneNode, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_finished: pb.Finished) -> None:
        raise JournalError("the journal cannot be written: disk full")

    command = node.command(**STOP)
    script.end(command)
    monkeypatch.setattr(node.agent._journal, "finish", full)
    assert (await node.done(node.take(command))).outcome == pb.OUTCOME_OK
    monkeypatch.undo()
    monkeypatch.setitem(HANDLERS, "stop_slot", Handler(script.run))
    node.reports.clear()
    assert (await node.done(node.take(command))).outcome == pb.OUTCOME_OK
    assert script.log.count("c1 ends") == 2


# --- What is said --------------------------------------------------------------------------------


async def test_a_prepare_that_runs_out_of_time_says_what_kept_it(node: OneNode) -> None:
    finished = await node.do(prepare_slot=DEAD_END, deadline_seconds=1.2)
    assert finished.outcome == pb.OUTCOME_FAILED
    assert finished.error.startswith(
        "not fetched within 1 s: last: cannot fetch http://127.0.0.1:1/x: "
    )
    assert "refused" in finished.error
    assert finished.blame == pb.BLAME_ENVIRONMENT


async def test_what_keeps_a_prepare_is_reported_meanwhile(node: OneNode) -> None:
    command = node.take(node.command(prepare_slot=DEAD_END))
    await until(lambda: bool(node.progress(command)))
    assert "Connection refused" in node.progress(command)[-1].text
    await node.do(**STOP)


async def test_progress_comes_at_its_pace_and_the_last_word_comes_too(
    node: OneNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "PROGRESS_SECONDS", 0.1)
    told = asyncio.Event()

    async def fetch(app: object, job: Job) -> Slot | None:
        for done in range(1000):
            job.fetched(done, 1000)
            await asyncio.sleep(0)
        await told.wait()
        return None

    monkeypatch.setitem(HANDLERS, "stop_slot", Handler(fetch))
    command = node.take(node.command(**STOP))
    await until(
        lambda: bool(node.progress(command)) and node.progress(command)[-1].done_bytes == 999
    )
    assert len(node.progress(command)) < 50
    assert node.progress(command)[-1].total_bytes == 1000
    assert node.progress(command)[-1].text == "fetching"
    told.set()
    await node.done(command)


async def test_no_progress_follows_the_result(
    node: OneNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "PROGRESS_SECONDS", 0.05)

    async def fetch(app: object, job: Job) -> Slot | None:
        job.fetched(1, 3)
        await asyncio.sleep(0)
        job.fetched(2, 3)
        return None

    monkeypatch.setitem(HANDLERS, "stop_slot", Handler(fetch))
    await node.do(**STOP)
    await asyncio.sleep(0.15)
    assert node.reports[-1].HasField("finished")


@pytest.mark.parametrize(
    ("error", "blame", "text"),
    [
        (OSError(28, "No space left on device"), pb.BLAME_ENVIRONMENT, "No space left on device"),
        (JournalError("the journal"), pb.BLAME_ENVIRONMENT, "the journal"),
        (AgentError("something"), pb.BLAME_UNSPECIFIED, "something"),
        (KeyError("what"), pb.BLAME_UNSPECIFIED, "KeyError: 'what'"),
        (TimeoutError(110, "Connection timed out"), pb.BLAME_ENVIRONMENT, "Connection timed out"),
        (AgentError("x", blame="release"), pb.BLAME_RELEASE, "x"),
    ],
)
async def test_a_failure_says_who_is_to_blame(
    node: OneNode,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    blame: pb.Blame,
    text: str,
) -> None:
    monkeypatch.setitem(HANDLERS, "stop_slot", failing(error))
    finished = await node.do(**STOP)
    assert finished.outcome == pb.OUTCOME_FAILED
    assert finished.blame == blame
    assert text in finished.error


async def test_errors_and_output_of_any_length_are_cut(
    node: OneNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = AgentError("e" * 5_000_000, "first" + "o" * 5_000_000 + "last")
    monkeypatch.setitem(HANDLERS, "stop_slot", failing(error))
    finished = await node.do(**STOP)
    assert len(finished.error) < 2100
    assert finished.error.endswith("(4998000 more characters)")
    assert len(finished.output_tail) < 8100
    assert finished.output_tail.endswith("last")


async def test_a_journal_that_cannot_be_written_refuses_the_command(
    node: OneNode, monkeypatch: pytest.MonkeyPatch, script: Script
) -> None:
    def full(_command: pb.Command) -> None:
        raise JournalError("the journal cannot be written: disk full")

    monkeypatch.setattr(node.agent._journal, "accept", full)
    finished = await node.do(**STOP)
    assert finished.outcome == pb.OUTCOME_FAILED
    assert finished.blame == pb.BLAME_ENVIRONMENT
    assert script.log == []
