"""One executor an app: takes commands in the order of their fences and does one at a time.

The checks stand in `submit`, in the order that makes them safe. A command is recorded before
anything of it is done; a higher fence cancels the one of its environment that runs. Commands of
different environments of the app cannot be compared: they are done one after the other.
"""

import asyncio
import functools
import hashlib
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from tidegate_agent import output, reports
from tidegate_agent.app import App
from tidegate_agent.commands import HANDLERS
from tidegate_agent.errors import AgentError, Blame
from tidegate_agent.job import Job
from tidegate_agent.journal import Journal
from tidegate_agent.preparation import log_of
from tidegate_agent.slot import Slot
from tidegate_protos.v1 import agent_pb2 as pb

log = logging.getLogger(__name__)

CLOCK_SKEW_SECONDS = 300.0  # expiry is hygiene; clocks may differ by this much
OVERTAKEN = "overtaken by a later command"
NOT_KNOWN = "whether it is complete is not known"

Task = asyncio.Task[None]


class Executor:
    """`report` sends to the controller, or drops: what matters is in the journal."""

    def __init__(self, journal: Journal, app: App, report: Callable[[pb.Report], None]) -> None:
        self._journal = journal
        self._app = app
        self._report = report
        self._jobs: dict[str, Job] = {}  # by command id; at most one of them changes something
        self._overtaken: set[str] = set()  # ids of those that a higher fence has cancelled
        self._acting: dict[Task, str] = {}  # what runs, waits or is being cancelled: environment
        self._looking: set[Task] = set()

    def submit(self, command: pb.Command) -> None:
        """Check, record, begin. The controller has been told when this was refused."""
        if (stored := self._journal.result(command.id)) is not None:
            self._report(pb.Report(finished=stored))
            return
        if command.id in self._jobs:
            self._renew(command)
            return
        handler = HANDLERS.get(command.WhichOneof("work") or "")
        if handler is not None and not handler.changes:
            self._looking.add(self._spawn(command, ()))
            return
        fence = (command.fence.epoch, command.fence.version)
        highest = self._journal.fence(command.app, command.environment)
        if fence == highest and self._journal.known(command.id):
            self._repeat(command)
            return
        if fence <= highest:
            error = f"fence {fence} is not above {highest}, which this node has seen"
            self._answer(command, pb.OUTCOME_SUPERSEDED, error)
            return
        if command.expires_at.seconds + CLOCK_SKEW_SECONDS < self._app.host.wall_seconds():
            self._answer(command, pb.OUTCOME_EXPIRED, self._expired(command))
            return
        try:
            self._journal.accept(command)
        except AgentError as error:
            self._answer(command, pb.OUTCOME_FAILED, str(error), error.blame)
            return
        self._report(pb.Report(accepted=pb.Accepted(command_id=command.id)))
        self._begin(command)

    async def resume(self, commands: list[pb.Command], lasting: Mapping[str, str]) -> None:
        """After a start: what was overtaken by a higher fence stays undone, the rest is done. Of a
        script that had begun nobody can know what it did, and it is not run again; nor is anything
        done beside one that cannot be ended: `lasting` says by the command's id, why."""
        for command in commands:
            fence = (command.fence.epoch, command.fence.version)
            if script := self._journal.begun(command.id):
                error = f"the agent died while {script} ran; {NOT_KNOWN}"
                if command.id in lasting:
                    error = f"{error}; {lasting[command.id]}"
                await self._finish(
                    command, pb.OUTCOME_UNKNOWN, error, output_tail=self._said(command, script)
                )
            elif fence < self._journal.fence(command.app, command.environment):
                await self._finish(command, pb.OUTCOME_SUPERSEDED, OVERTAKEN)
            elif command.id in lasting:
                await self._fail(command, AgentError(lasting[command.id], blame="environment"))
            else:
                self._begin(command)

    async def leave(self) -> None:
        """The agent stops: what is unfinished is done at its next start."""
        tasks = {*self._acting, *self._looking}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _said(self, command: pb.Command, script: str) -> str:
        """The last lines of a script that ran for the command: who has to decide whether it was
        done wants to see them."""
        slot = self._slot_of(command)
        return output.tail(log_of(slot, script)) if slot is not None else ""

    def _slot_of(self, command: pb.Command) -> Slot | None:
        """The slot that the command is about, if it is about one that there is."""
        work = getattr(command, command.WhichOneof("work") or "", None)
        return self._app.slots.get(getattr(work, "slot", ""))

    def _repeat(self, command: pb.Command) -> None:
        """It was done before, but its result could not be recorded: it is done again, if it may."""
        if script := self._journal.begun(command.id):
            error = f"{script} ran, but how it ended could not be recorded; {NOT_KNOWN}"
            said = self._said(command, script)
            self._answer(command, pb.OUTCOME_UNKNOWN, error, output_tail=said)
        else:
            self._begin(command)

    def _renew(self, command: pb.Command) -> None:
        """The same command again: only where to fetch from may have changed."""
        running = self._jobs[command.id].command
        if running.WhichOneof("work") == "prepare_slot":
            running.prepare_slot.artifact.url = command.prepare_slot.artifact.url

    def _begin(self, command: pb.Command) -> None:
        """Do the command once all that was begun before has ended; what was begun for the same
        environment is cancelled."""
        earlier = tuple(self._acting)
        for task in earlier:
            if self._acting[task] == command.environment:
                self._overtaken.add(task.get_name())
                task.cancel()
        self._acting[self._spawn(command, earlier)] = command.environment

    def _spawn(self, command: pb.Command, earlier: tuple[Task, ...]) -> Task:
        token = script_token(self._journal, command)
        begin = functools.partial(self._journal.begin, command.id)
        job = Job(command, token, self._report, begin)
        self._jobs[command.id] = job
        task = asyncio.create_task(self._run(job, earlier), name=command.id)
        task.add_done_callback(functools.partial(self._ended, job))
        return task

    def _ended(self, job: Job, task: Task) -> None:
        self._acting.pop(task, None)
        self._looking.discard(task)
        self._overtaken.discard(task.get_name())
        if self._jobs.get(task.get_name()) is job:
            del self._jobs[task.get_name()]
        job.close()

    async def _run(self, job: Job, earlier: tuple[Task, ...]) -> None:
        command = job.command
        try:
            if earlier:
                await asyncio.wait(earlier)
            slot = await self._do(job)
            await self._finish(command, pb.OUTCOME_OK, job.remark, slot, cleaned=job.cleaned)
        except asyncio.CancelledError:
            await self._cancelled(job)
        except AgentError as error:
            await self._fail(command, error)
        except OSError as error:
            log.error("command %s failed for the machine's sake: %s", command.id, error)
            await self._fail(command, AgentError(str(error), blame="environment"))
        except Exception as error:
            log.exception("command %s failed unexpectedly", command.id)
            await self._fail(command, AgentError(f"{type(error).__name__}: {error}"))

    async def _cancelled(self, job: Job) -> None:
        overtaken = job.command.id in self._overtaken
        if job.begun:  # and it has been killed
            why = OVERTAKEN if overtaken else "the agent was stopped"
            error = f"{why} while {job.begun} ran, and ended it; {NOT_KNOWN}"
            await self._finish(job.command, pb.OUTCOME_UNKNOWN, error, output_tail=job.said())
        elif overtaken:
            await self._finish(job.command, pb.OUTCOME_SUPERSEDED, OVERTAKEN)
        if not overtaken:
            raise asyncio.CancelledError  # the agent stops; the rest is done at its next start

    async def _do(self, job: Job) -> Slot | None:
        kind = job.command.WhichOneof("work") or ""
        if kind not in HANDLERS:
            raise AgentError(f"this agent does not know the command {kind or 'sent'}")
        try:
            async with asyncio.timeout(job.command.deadline_seconds) as limit:
                return await HANDLERS[kind].run(self._app, job)
        except TimeoutError:
            if not limit.expired():
                raise  # a connection's, which is an OSError like others
            raise job.out_of_time() from None

    async def _fail(self, command: pb.Command, error: AgentError) -> None:
        slot = self._slot_of(command)
        await self._finish(
            command, pb.OUTCOME_FAILED, str(error), slot, error.output_tail, error.blame
        )

    async def _finish(
        self,
        command: pb.Command,
        outcome: pb.Outcome,
        error: str,
        slot: Slot | None = None,
        output_tail: str = "",
        blame: Blame = "unclear",
        cleaned: pb.CleanedUp | None = None,
    ) -> None:
        """Record the result, then report it. Whoever asks again from then on is answered anew."""
        finished = reports.finished(
            command.id,
            outcome,
            error,
            output_tail=output_tail,
            slot=await slot.state() if slot is not None else None,
            blame=blame,
            cleaned=cleaned,
        )
        try:
            if self._journal.known(command.id):
                self._journal.finish(finished)
        except AgentError as trouble:
            log.error("the result of %s could not be recorded: %s", command.id, trouble)
        if (job := self._jobs.pop(command.id, None)) is not None:
            job.close()
        self._report(pb.Report(finished=finished))

    def _answer(
        self,
        command: pb.Command,
        outcome: pb.Outcome,
        error: str,
        blame: Blame = "unclear",
        output_tail: str = "",
    ) -> None:
        """Refuse to do a command, now or once more."""
        log.warning("refused command %s: %s", command.id, error)
        finished = reports.finished(
            command.id, outcome, error, output_tail=output_tail, blame=blame
        )
        self._report(pb.Report(finished=finished))

    def _expired(self, command: pb.Command) -> str:
        """Where a clock is wrong, the two times show which."""
        times = (command.expires_at.seconds, self._app.host.wall_seconds())
        then, now = (
            datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for seconds in times
        )
        return (
            f"the command came after it had expired: by the controller's clock at {then}, and here "
            f"it is {now}; if one of the two is wrong, set that clock"
        )


def script_token(journal: Journal, command: pb.Command) -> str:
    """What the scripts of this command carry: the same after a crash, and another on each node."""
    return hashlib.sha256(f"{journal.journal_id} {command.id}".encode()).hexdigest()[:32]
