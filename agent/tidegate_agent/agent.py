"""The agent: journal, apps and executors put together; the link brings commands."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from tidegate_agent import reports
from tidegate_agent.app import App
from tidegate_agent.commands import HANDLERS
from tidegate_agent.errors import AgentError, Blame, JournalError
from tidegate_agent.executor import Executor, script_token
from tidegate_agent.host import THIS, Host
from tidegate_agent.journal import Journal, SlotRecord
from tidegate_agent.pacing import Paced
from tidegate_agent.slot import Slot
from tidegate_protos import VERSION, logs
from tidegate_protos.rules import NAME
from tidegate_protos.v1 import agent_pb2 as pb

log = logging.getLogger(__name__)

HEALTH_SECONDS = 1.0  # between two reports of what a slot does by itself


class Agent:
    """Everything of the agent but its link. `data` is its own folder; `backups`, where somebody has
    chosen one, for what slots held before."""

    def __init__(
        self,
        node: str,
        data: Path,
        labels: dict[str, str],
        address: str,
        backups: Path | None = None,
        host: Host = THIS,
    ) -> None:
        self.node = node
        self._host = host
        self._data = data
        self._backups = backups or data / "backups"
        self._labels = labels
        self._address = address
        self._journal = Journal(data / "journal.db", host.new_id)
        self._apps: dict[str, App] = {}
        self._executors: dict[str, Executor] = {}
        self._send: Callable[[pb.Report], None] | None = None
        self._changes: dict[tuple[str, str], Paced] = {}  # by app and slot
        self._rotation: asyncio.Task[None] | None = None

    def claim(self, controller: str) -> None:
        """Before `start`: the folder is this node's from now on, and whoever looks at it later
        finds there where the link looks for the controller ("HOST:PORT"). Raises `NotThisNode`
        where it is another node's; what cannot be written is logged, since the apps come first."""
        try:
            self._journal.belong_to(self.node)
            self._journal.remember_address(controller)
        except JournalError as error:
            log.error("whose folder this is could not be kept: %s", error)

    async def start(self, *, new_controller: bool = False) -> None:
        """Take up what runs, then what an earlier life has left unfinished; its scripts are ended
        before anything else, since they may be at work in what is looked at here. One that cannot
        be ended keeps nothing from being cared for but its own command. With `new_controller` what
        is unfinished is forgotten, and whom it was done for."""
        lasting = await self._end_scripts()
        if new_controller:
            log.warning("forgetting the controller of log %s", self._journal.log_id() or "(none)")
            self._journal.forget_controller()
        records = self._journal.slots()
        recovering = (self._recover(name, records) for name in sorted({one.app for one in records}))
        for problem in await asyncio.gather(*recovering, return_exceptions=True):
            if problem is not None:  # said once all others are cared for
                raise problem
        unfinished = self._journal.unfinished()
        for name in sorted({command.app for command in unfinished}):
            mine_too = [command for command in unfinished if command.app == name]
            with logs.about(app=name):
                await self._executor(name).resume(mine_too, lasting)
        self._rotation = asyncio.create_task(self._host.keep_short(self._data / "apps"))

    async def _recover(self, name: str, records: Iterable[SlotRecord]) -> None:
        with logs.about(app=name):
            await self._app(name).recover([record for record in records if record.app == name])

    async def _end_scripts(self) -> Mapping[str, str]:
        """Of commands that an earlier life has left unfinished. Returns by the command's id why one
        cannot be ended, such as for a disk that does not answer."""
        lasting = {}
        for command in self._journal.unfinished():
            handler = HANDLERS.get(command.WhichOneof("work") or "")
            if handler is not None and handler.scripts:
                try:
                    await self._host.end_scripts(script_token(self._journal, command))
                except AgentError as error:
                    log.error("a script of command %s cannot be ended: %s", command.id, error)
                    lasting[command.id] = f"the script of before cannot be ended: {error}"
        return lasting

    async def stop(self) -> None:
        """Leave; the apps go on serving."""
        if self._rotation is not None:
            self._rotation.cancel()
        for executor in self._executors.values():
            await executor.leave()
        for app in self._apps.values():
            await app.leave()
        for change in self._changes.values():
            change.close()
        self._journal.close()

    # --- The link's side ----------------------------------------------------------------------

    @contextlib.contextmanager
    def reporting_to(self, send: Callable[[pb.Report], None]) -> Iterator[None]:
        """While connected, reports go to `send`; otherwise they wait to be asked for."""
        self._send = send
        try:
            yield
        finally:
            self._send = None

    async def hello(self) -> pb.Hello:
        hello = pb.Hello(
            node=self.node,
            journal_id=self._journal.journal_id,
            agent_version=VERSION,
            labels=self._labels,
            address=self._address,
            highest_epoch=self._journal.highest_epoch(),
            capabilities=sorted(HANDLERS),
            facts=self._host.facts(self._data),
            boot_id=self._host.boot_id(),
            log_id=self._journal.log_id(),
            fences=[
                pb.StreamFence(
                    app=app,
                    environment=environment,
                    fence=pb.Fence(epoch=epoch, version=version),
                )
                for app, environment, epoch, version in self._journal.fences()
            ],
        )
        for app in self._apps.values():
            for state in await app.states():
                hello.slots.append(state)
        return hello

    def heartbeat(self) -> pb.Heartbeat:
        return self._host.heartbeat(self._data)

    def welcomed(self, welcome: pb.Welcome) -> None:
        """The controller has taken this agent in."""
        former = self._journal.log_id()
        if welcome.log_id in ("", former):
            return
        if former:
            log.warning("the controller has another event log than before: %s", welcome.log_id)
        try:
            self._journal.remember_log(welcome.log_id)
        except AgentError as error:
            log.error("the controller's event log could not be remembered: %s", error)

    def take(self, instruction: pb.Instruction) -> None:
        """One instruction from the controller."""
        kind = instruction.WhichOneof("kind")
        try:
            if kind == "acknowledge":
                self._journal.forget(instruction.acknowledge.command_id)
            elif kind == "command":
                command = instruction.command
                with logs.about(
                    app=command.app, environment=command.environment, action=command.id
                ):
                    self._take_command(command)
        except (AgentError, OSError) as error:
            log.exception("an instruction could not be taken")
            if kind == "command":
                blame = error.blame if isinstance(error, AgentError) else "environment"
                self._refuse(instruction.command, pb.OUTCOME_FAILED, str(error), blame)

    def _take_command(self, command: pb.Command) -> None:
        log.info("command %s: %s", command.id, command.WhichOneof("work"))
        if problem := self._problem(command):
            log.warning("refused command %s: %s", command.id, problem)
            self._refuse(command, pb.OUTCOME_REFUSED, problem)
        else:
            self._executor(command.app).submit(command)

    def _refuse(
        self, command: pb.Command, outcome: pb.Outcome, error: str, blame: Blame = "unclear"
    ) -> None:
        finished = reports.finished(command.id, outcome, error, blame=blame)
        self.report(pb.Report(finished=finished))

    def _problem(self, command: pb.Command) -> str:
        """Why the command is not for this agent; empty when it is."""
        if command.node != self.node:
            return f"this is {self.node}, not {command.node[:80]}"
        if not NAME.fullmatch(command.app) or not NAME.fullmatch(command.environment):
            return f"the app {command.app[:80]!r} or its environment has a name that is not allowed"
        if command.journal_id != self._journal.journal_id:
            return "the command was made for another journal: this node's disk was replaced"
        return ""

    def report(self, report: pb.Report) -> None:
        if self._send is not None:
            self._send(report)

    # --- Parts --------------------------------------------------------------------------------

    def _app(self, name: str) -> App:
        if name not in self._apps:
            home = self._data / "apps" / name
            self._apps[name] = App(
                self._journal, self.node, home, self._slot_changed, self._backups, self._host
            )
        return self._apps[name]

    def _executor(self, name: str) -> Executor:
        if name not in self._executors:
            self._executors[name] = Executor(self._journal, self._app(name), self.report)
        return self._executors[name]

    def _slot_changed(self, app: App, slot: Slot) -> None:
        """Soon reported; of a slot that changes all the time only what it is now and then."""

        async def report() -> None:
            self.report(pb.Report(health=pb.Health(slot=await slot.state())))

        key = (app.name, slot.name)
        if key not in self._changes:
            self._changes[key] = Paced(HEALTH_SECONDS, report)
        self._changes[key].poke()
