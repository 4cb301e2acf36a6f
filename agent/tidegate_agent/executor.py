"""One executor an app: takes commands in the order of their fences and does one at a time.

The checks stand in `submit`, in the order that makes them safe. A command is recorded before
anything of it is done; a higher fence cancels the one that runs.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from tidegate_agent.app import App
from tidegate_agent.commands import HANDLERS
from tidegate_agent.errors import AgentError
from tidegate_agent.journal import Journal
from tidegate_agent.slot import Slot
from tidegate_protos.v1 import agent_pb2 as pb

log = logging.getLogger(__name__)

CLOCK_SKEW_SECONDS = 300.0  # expiry is hygiene; clocks may differ by this much


class Executor:
    """`report` sends to the controller, or drops: what matters is in the journal."""

    def __init__(self, journal: Journal, app: App, report: Callable[[pb.Report], None]) -> None:
        self._journal = journal
        self._app = app
        self._report = report
        self._running: dict[str, pb.Command] = {}  # by id; at most one changes something
        self._overtaken: set[str] = set()  # ids of those that a higher fence has cancelled
        self._acting: set[asyncio.Task[None]] = set()  # what runs, or is being cancelled
        self._looking: set[asyncio.Task[None]] = set()

    def submit(self, command: pb.Command) -> None:
        """Check, record, begin. The controller has been told when this was refused."""
        if (stored := self._journal.result(command.id)) is not None:
            self._report(pb.Report(finished=stored))
            return
        if command.id in self._running:
            self._renew(command)
            return
        if command.WhichOneof("work") == "inspect":
            self._looking.add(self._spawn(command, ()))
            return
        fence = (command.fence.epoch, command.fence.version)
        highest = self._journal.fence(command.app, command.environment)
        if fence == highest and self._journal.known(command.id):
            self._begin(command)  # done before, but its result could not be recorded
            return
        if fence <= highest:
            error = f"fence {fence} is not above {highest}, which this node has seen"
            self._answer(command, pb.OUTCOME_SUPERSEDED, error)
            return
        if command.expires_at.seconds + CLOCK_SKEW_SECONDS < time.time():
            self._answer(command, pb.OUTCOME_EXPIRED, "the command came after it had expired")
            return
        try:
            self._journal.accept(command)
        except AgentError as error:
            self._answer(command, pb.OUTCOME_FAILED, str(error))
            return
        self._report(pb.Report(accepted=pb.Accepted(command_id=command.id)))
        self._begin(command)

    def resume(self, commands: list[pb.Command]) -> None:
        """After a start: what was overtaken by a higher fence stays undone, the rest is done."""
        for command in commands:
            fence = (command.fence.epoch, command.fence.version)
            if fence < self._journal.fence(command.app, command.environment):
                self._finish(command, pb.OUTCOME_SUPERSEDED, "overtaken by a later command")
            else:
                self._begin(command)

    async def leave(self) -> None:
        """The agent stops: what is unfinished is done at its next start."""
        tasks = self._acting | self._looking
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _renew(self, command: pb.Command) -> None:
        """The same command again: only where to fetch from may have changed."""
        running = self._running[command.id]
        if running.WhichOneof("work") == "prepare_slot":
            running.prepare_slot.artifact.url = command.prepare_slot.artifact.url

    def _begin(self, command: pb.Command) -> None:
        """Do the command once all that was begun before has been cancelled and has ended."""
        earlier = tuple(self._acting)
        for task in earlier:
            self._overtaken.add(task.get_name())
            task.cancel()
        self._acting.add(self._spawn(command, earlier))

    def _spawn(
        self, command: pb.Command, earlier: tuple[asyncio.Task[None], ...]
    ) -> asyncio.Task[None]:
        self._running[command.id] = command
        task = asyncio.create_task(self._run(command, earlier), name=command.id)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._acting.discard(task)
        self._looking.discard(task)
        self._running.pop(task.get_name(), None)
        self._overtaken.discard(task.get_name())

    async def _run(self, command: pb.Command, earlier: tuple[asyncio.Task[None], ...]) -> None:
        try:
            if earlier:
                await asyncio.wait(earlier)
            kind = command.WhichOneof("work") or ""
            if kind not in HANDLERS:
                raise AgentError(f"this agent does not know the command {kind or 'sent'}")
            async with asyncio.timeout(command.deadline_seconds):
                slot = await HANDLERS[kind](self._app, command)
            self._finish(command, pb.OUTCOME_OK, "", slot)
        except asyncio.CancelledError:
            if command.id not in self._overtaken:
                raise  # the agent stops; the command is done at its next start
            self._finish(command, pb.OUTCOME_SUPERSEDED, "overtaken by a later command")
        except TimeoutError:
            error = f"not done within {command.deadline_seconds:.0f} s"
            self._finish(command, pb.OUTCOME_FAILED, error, self._slot(command))
        except AgentError as error:
            self._finish(
                command, pb.OUTCOME_FAILED, str(error), self._slot(command), error.output_tail
            )
        except Exception as error:
            log.exception("command %s failed unexpectedly", command.id)
            text = f"{type(error).__name__}: {error}"
            self._finish(command, pb.OUTCOME_FAILED, text, self._slot(command))

    def _slot(self, command: pb.Command) -> Slot | None:
        work = getattr(command, command.WhichOneof("work") or "", None)
        return self._app.slots.get(getattr(work, "slot", ""))

    def _finish(
        self,
        command: pb.Command,
        outcome: pb.Outcome,
        error: str,
        slot: Slot | None = None,
        output_tail: str = "",
    ) -> None:
        """Record the result, then report it."""
        finished = pb.Finished(
            command_id=command.id, outcome=outcome, error=error, output_tail=output_tail
        )
        if slot is not None:
            finished.slot.CopyFrom(slot.state())
        try:
            if self._journal.known(command.id):
                self._journal.finish(finished)
        except AgentError:
            log.exception("the result of %s could not be recorded", command.id)
        self._report(pb.Report(finished=finished))

    def _answer(self, command: pb.Command, outcome: pb.Outcome, error: str) -> None:
        """Refuse a command that was never begun."""
        log.warning("refused command %s: %s", command.id, error)
        finished = pb.Finished(command_id=command.id, outcome=outcome, error=error)
        self._report(pb.Report(finished=finished))
