"""One slot of one app: starts, keeps, checks and stops what it runs.

Called by the command handlers; reports changes that happen by themselves through `on_change`.
Every start is recorded before and after, and every stop before, so that after `kill -9` at any
point the process is found again, or known not to exist, and nothing that was told to end is taken
for something that serves.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

from tidegate_agent import health, links, output
from tidegate_agent.durable import make_folder
from tidegate_agent.errors import AgentError, JournalError, NodeError, ServiceError
from tidegate_agent.health import Check, wait_healthy
from tidegate_agent.host import THIS, Host
from tidegate_agent.job import Job
from tidegate_agent.journal import Journal, SlotRecord
from tidegate_agent.keeper import Keeper
from tidegate_agent.managers import BY_FORCE, Ended, Ending, ending_in_words
from tidegate_agent.releases import hex_of
from tidegate_agent.reports import DETAIL_CHARACTERS, clipped
from tidegate_agent.service import Service
from tidegate_agent.trees import Purpose, Trees
from tidegate_protos.v1 import agent_pb2 as pb

log = logging.getLogger(__name__)

TRI = {True: pb.TRI_YES, False: pb.TRI_NO, None: pb.TRI_UNKNOWN}


class Slot:
    """`home` is the app's folder; the slot's own is `home/slots/NAME`."""

    def __init__(
        self,
        journal: Journal,
        node: str,
        home: Path,
        name: str,
        on_change: Callable[["Slot"], None],
        host: Host = THIS,
    ) -> None:
        self.name = name
        self.record: SlotRecord | None = None
        self.node = node
        self.home = home
        self._called = f"slot {name} of {home.name}"  # in the log, which is of all apps
        self.host = host
        self.folder = home / "slots" / name
        self.output = home / "logs" / f"{name}.log"
        self.trees = Trees(self.folder)
        self._journal = journal
        self._on_change = on_change
        self._healthy: bool | None = None
        self._detail = ""
        self._task: asyncio.Task[None] | None = None  # keeps it running, or ends it

    # --- What it is ---------------------------------------------------------------------------

    async def state(self) -> pb.SlotState:
        """The slot as it is now; the machine is looked at, not the memory."""
        detail = clipped(self._detail, DETAIL_CHARACTERS)
        state = pb.SlotState(slot=self.name, current=self.is_current(), detail=detail)
        record = self.record
        if record is None:
            state.running = state.healthy = pb.TRI_NO
            return state
        running: bool | None
        try:
            running = await (self.runs() if record.handle else self._service(record).begun())
        except AgentError as error:  # that it cannot be asked is no reason to say nothing
            running, state.detail = None, clipped(str(error), DETAIL_CHARACTERS)
        state.app, state.environment = record.app, record.environment
        state.revision.CopyFrom(record.start.revision)
        state.version, state.port = record.start.version, record.port
        state.running = TRI[running]
        ends = record.phase == "ending"  # and may answer its checks until it has
        state.healthy = TRI[False if ends or running is False else self._healthy]
        return state

    async def runs(self) -> bool:
        """Whether something runs here, by what the machine says."""
        record = self.record
        if record is None or record.handle is None:
            return False
        return (await self._service(record).manager.look(record.handle)).alive

    async def tail(self) -> str:
        """The last lines that were written here, as plain text."""
        record = self.record
        if record is None or record.handle is None:
            return output.tail(self.output)
        return await self._service(record).manager.tail(record.handle)

    def is_current(self) -> bool:
        return links.names(self.home / "current", f"slots/{self.name}")

    @property
    def detail(self) -> str:
        """Of the last health check, exit or stop, in words; empty if nothing was started here."""
        return self._detail

    def digests(self) -> set[str]:
        """Hex digits of the releases that it needs: told to run them, or linked to them."""
        told = {self.record.start.revision.digest} if self.record is not None else set()
        return {hex_of(digest) for digest in told} | self.trees.digests()

    # --- Commands -----------------------------------------------------------------------------

    async def start(self, job: Job, release: Path | None, taken: Collection[int]) -> None:
        """Run the release here, from the slot's own tree if it was given one, and return once it
        is healthy. Raises `AgentError`.

        What ran here before is stopped first, unless it is just this. Cancelled, it leaves things
        as they are: the next command for the slot goes on from there. What serves stays kept.
        """
        start, environment = job.command.start_slot, job.command.environment
        own = self.trees.of(start.revision)
        place = own.path if own is not None else release
        if place is None:
            raise NodeError(f"release {start.revision.digest} was not prepared on this node")
        try:
            if not await self._take_up(environment, start, place):
                self.host.manager(start.service.manager)  # before anything is changed
                if (former := self.record) is not None:
                    grace = former.start.service.stop_grace_seconds
                    with job.telling(f"stopping what ran here before, for up to {grace:g} s"):
                        how = await self.stop(grace)
                    if how in BY_FORCE:
                        job.remark = f"what ran here before was {ending_in_words(how, grace)}"
                purpose = own.purpose if own is not None else None
                port = self._port(start.service.port, purpose, taken)
                self._link(place)
                await self._begin(job.command.app, environment, start, port)
            record = self.record
            assert record is not None and record.handle is not None  # noqa: PT018
            try:
                await wait_healthy(health.once_up(self.check(), self._problem), self._exited())
            except ServiceError as error:
                tail = await self.tail()
                await self._give_up(start.service.stop_grace_seconds)
                self._detail = str(error)
                raise ServiceError(str(error), tail, blame="release") from error
            self._save(replace(record, phase="wanted"))
            self._healthy, self._detail = True, "healthy"
        finally:  # also where it was called off, or the journal is full
            if self._task is None and self.record is not None and self.record.phase == "wanted":
                self._keep(healthy=self._healthy)

    async def stop(self, grace_seconds: float) -> Ending:
        """End what runs here, "gone" if nothing does. It stays so over restarts of the agent."""
        if self.record is None:
            return "gone"
        if self.record.phase != "ending":
            self._save(replace(self.record, phase="ending"))  # where that fails, it stays kept
        await self.unkeep()
        return await self._end(grace_seconds)

    async def _end(self, grace_seconds: float) -> Ending:
        record = self.record
        assert record is not None
        service = self._service(record)
        handle = await service.find()
        if handle is None:
            return "gone"
        how = await service.manager.stop(handle, grace_seconds)
        self._healthy = False
        self._detail = ending_in_words(how, grace_seconds)
        if how in BY_FORCE:
            log.warning("%s was %s", self._called, self._detail)
        return how

    async def _give_up(self, grace_seconds: float) -> None:
        """Stop what did not become healthy; why it did not is what the operator has to hear."""
        try:
            await self.stop(grace_seconds)
        except AgentError as error:
            log.error("%s was not stopped after a start that failed: %s", self._called, error)

    async def _take_up(self, environment: str, start: pb.StartSlot, place: Path) -> bool:
        """Whether it runs just this already, perhaps from before a crash, and goes on with it."""
        record = self.record
        if (
            record is None
            or record.phase == "ending"
            or record.start != start
            or record.environment != environment
            or (self.folder / "release").resolve() != place.resolve()
        ):
            return False
        service = self._service(record)
        handle = await service.find()
        if handle is None or not (await service.manager.look(handle)).alive:
            return False
        self._save(replace(record, handle=handle))
        await self.unkeep()
        return True

    async def _begin(self, app: str, environment: str, start: pb.StartSlot, port: int) -> None:
        output.set_aside(self.output)
        token = self.host.new_id()
        record = SlotRecord(app, self.name, environment, start, port, "starting", token, None)
        self._healthy, self._detail = None, "starting"
        self._save(record)
        await self._spawn(record)

    def _port(self, asked: int, prepared: Purpose | None, taken: Collection[int]) -> int:
        if prepared is not None and prepared.port == (asked or prepared.port):
            used_by = self.host.port_holder(prepared.port)
            if used_by is None:
                return prepared.port
            if prepared.told:
                raise NodeError(
                    f"port {prepared.port} is in use by {used_by}, and the scripts of this release "
                    "were told that it is the app's; it has to be prepared anew, with another one"
                )
        last = self.record.port if self.record else 0
        return self.host.pick_port(f"{self.home}/{self.name}", asked, last, taken)

    def _link(self, place: Path) -> None:
        """Let the slot's `release` name the unpacked tree, by a rename that is durable."""
        make_folder(self.folder)
        self.output.parent.mkdir(exist_ok=True)
        target = os.path.relpath(place, self.folder)
        if self.record is not None:
            self.trees.formers.note(self.record, target)
        links.replace(self.folder / "release", target)

    # --- Afterwards ---------------------------------------------------------------------------

    async def recover(self, record: SlotRecord) -> None:
        """After a start of the agent: find the process again, start it again if it is gone, or
        end it where that was begun. How it is, if it does not say so soon, its keeper finds out."""
        self.record, problem = record, None
        if record.phase == "starting":
            return  # the command is unfinished, and goes on from here
        try:
            service = self._service(record)
            handle = await service.present()
            alive = handle is not None and (await service.manager.look(handle)).alive
            if alive and service.took_its_place(handle):
                alive = await health.surely(self.check()) is None  # with all its time
            if alive and record.phase == "wanted":
                self._hold(replace(record, handle=handle))
                problem = await health.surely(health.in_haste(self.check()))
        except (AgentError, OSError) as error:
            log.error("what %s runs cannot be told: %s", self._called, error)
            self._detail = str(error)
            if record.phase == "wanted":
                self._keep(healthy=None)
            return
        if record.phase == "ending":
            if handle is not None:
                grace_seconds = record.start.service.stop_grace_seconds
                self._task = asyncio.create_task(self._finish_stop(grace_seconds))
            return
        if not alive:
            self._healthy, self._detail = False, "had ended while no agent ran"
            self._keep(healthy=False)
            return
        self._healthy, self._detail = (True, "healthy") if problem is None else (None, problem)
        self._keep(healthy=self._healthy)

    async def _finish_stop(self, grace_seconds: float) -> None:
        try:
            await self._end(grace_seconds)
        except AgentError as error:
            self.changed(False, str(error))

    def _keep(self, *, healthy: bool | None) -> None:
        self._task = asyncio.create_task(Keeper(self, healthy).run())

    async def unkeep(self) -> None:
        """Watch it no longer; what runs here goes on."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    # --- What its keeper needs ----------------------------------------------------------------

    async def wait(self) -> Ended:
        record = self.record
        assert record is not None and record.handle is not None  # noqa: PT018
        return await self._service(record).manager.wait(record.handle)

    async def restart(self) -> None:
        """Start it once more, after it has ended, and after what it may have left behind, on its
        port too, has been ended. A journal that cannot be written is no reason to stay down: the
        process then carries the token of the one before, and is found by that."""
        record = self.record
        assert record is not None
        service = self._service(record)
        if not service.manager.renews:  # nothing is left behind, and perhaps it runs again by now
            await self._spawn(record)
            return
        if (handle := await service.find()) is not None:
            grace_seconds = record.start.service.stop_grace_seconds
            await service.manager.stop(handle, grace_seconds)
        fresh = replace(record, token=self.host.new_id(), handle=None)
        try:
            self._save(fresh)
        except JournalError as error:
            log.error("%s is started again with its former token: %s", self._called, error)
            fresh = replace(record, handle=None)
        await self._spawn(fresh)

    def check(self) -> Check:
        """How the slot's health is asked. Raises AgentError where that makes no sense."""
        record = self.record
        assert record is not None
        return self._service(record).check(self._problem)

    def changed(self, healthy: bool | None, detail: str) -> None:
        self._healthy, self._detail = healthy, detail
        word = {True: "healthy", False: "unhealthy", None: "not known to be healthy"}[healthy]
        log.info("%s is %s: %s", self._called, word, clipped(detail, DETAIL_CHARACTERS))
        self._on_change(self)

    # --- The record and what belongs to it ----------------------------------------------------

    async def _spawn(self, record: SlotRecord) -> None:
        self._hold(replace(record, handle=await self._service(record).start()))

    async def _exited(self) -> str:
        return (await self.wait()).how

    async def _problem(self) -> str:
        assert self.record is not None
        return await self._service(self.record).problem()

    def _service(self, record: SlotRecord) -> Service:
        return Service(record, self.node, self.folder, self.output, self.host)

    def _hold(self, record: SlotRecord) -> None:
        """Remember what runs; in the journal if it can be written, as the token finds it too."""
        self.record = record
        try:
            self._journal.save_slot(record)
        except JournalError as error:
            log.error("the process of %s could not be recorded: %s", self._called, error)

    def _save(self, record: SlotRecord) -> None:
        self._journal.save_slot(record)
        self.record = record
