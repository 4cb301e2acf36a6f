"""One slot of one app: starts, keeps, checks and stops what it runs.

Called by the command handlers; reports changes that happen by themselves through `on_change`.
Every start is recorded before and after, so that after `kill -9` at any point the process is
found again, or known not to exist.
"""

import asyncio
import logging
import os
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from tidegate_agent import health, ports, processes
from tidegate_agent.errors import AgentError, ServiceError
from tidegate_agent.health import Check, Monitor, probe, wait_healthy
from tidegate_agent.journal import Journal, SlotRecord
from tidegate_agent.processes import Instance, Launch
from tidegate_protos.rules import render
from tidegate_protos.v1 import agent_pb2 as pb

log = logging.getLogger(__name__)

RESTART_SECONDS_MIN = 1.0
RESTART_SECONDS_MAX = 30.0
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
    ) -> None:
        self.name = name
        self.record: SlotRecord | None = None
        self._journal = journal
        self._node = node
        self._home = home
        self._on_change = on_change
        self._healthy: bool | None = None
        self._detail = ""
        self._keeper: asyncio.Task[None] | None = None

    # --- What it is ---------------------------------------------------------------------------

    def state(self) -> pb.SlotState:
        """The slot as it is now; the machine is looked at, not the memory."""
        state = pb.SlotState(slot=self.name, current=self.is_current(), detail=self._detail)
        record = self.record
        if record is None:
            state.running = state.healthy = pb.TRI_NO
            return state
        running = self.runs()
        state.app, state.environment = record.app, record.environment
        state.revision.CopyFrom(record.start.revision)
        state.version, state.port = record.start.version, record.port
        state.running = TRI[running]
        state.healthy = TRI[self._healthy if running else False]
        return state

    def runs(self) -> bool:
        """Whether a process runs here, by what the machine says."""
        record = self.record
        return (
            record is not None and record.instance is not None and processes.alive(record.instance)
        )

    @property
    def folder(self) -> Path:
        return self._home / "slots" / self.name

    @property
    def output(self) -> Path:
        return self._home / "logs" / f"{self.name}.log"

    def is_current(self) -> bool:
        link = self._home / "current"
        return link.is_symlink() and os.readlink(link) == f"slots/{self.name}"

    # --- Commands -----------------------------------------------------------------------------

    async def start(
        self, app: str, environment: str, start: pb.StartSlot, release: Path, taken: set[int]
    ) -> None:
        """Run the release here and return once it is healthy. Raises `ServiceError`.

        What ran here before is stopped first, unless it is just this. Cancelled, it leaves things
        as they are: the next command for the slot goes on from there.
        """
        record = await self._take_up(app, environment, start)
        if record is None:
            await self._clear()
            record = self._begin(app, environment, start, release, taken)
        assert record.instance is not None
        try:
            check = self._check(record)
            await wait_healthy(check, processes.wait_exit(record.instance))
        except ServiceError as error:
            tail = processes.tail(self.output)
            await self.stop(start.service.stop_grace_seconds)
            self._detail = str(error)
            raise ServiceError(str(error), tail) from error
        self._save(replace(record, wanted=True))
        self._healthy, self._detail = True, "healthy"
        self._keep(healthy=True)

    async def stop(self, grace_seconds: float) -> str:
        """End what runs here, in words how. It stays stopped over restarts of the agent."""
        await self.unkeep()
        record = self.record
        if record is None:
            return "nothing ran here"
        self._save(replace(record, wanted=False))
        instance = record.instance or processes.find(record.token)
        if instance is None:
            return "nothing ran here"
        how = await processes.stop(instance, grace_seconds)
        self._healthy = False
        self._detail = {
            "stopped": "stopped",
            "killed": f"killed, having ignored SIGTERM for {grace_seconds:g} s",
            "gone": "had ended before",
        }[how]
        return self._detail

    async def _take_up(self, app: str, environment: str, start: pb.StartSlot) -> SlotRecord | None:
        """The slot's record if it runs just this already, perhaps from before a crash."""
        record = self.record
        if record is None or record.start != start or record.environment != environment:
            return None
        instance = record.instance or processes.find(record.token)
        if instance is None or not processes.alive(instance):
            return None
        await self.unkeep()
        self._save(replace(record, instance=instance))
        return self.record

    async def _clear(self) -> None:
        if self.record is not None:
            await self.stop(self.record.start.service.stop_grace_seconds)

    def _begin(
        self, app: str, environment: str, start: pb.StartSlot, release: Path, taken: set[int]
    ) -> SlotRecord:
        port = self._port(app, start, taken)
        self._link(release)
        if self.output.exists():
            self.output.replace(self.output.with_suffix(".log.1"))
        record = SlotRecord(app, self.name, environment, start, port, False, uuid.uuid4().hex, None)
        self._healthy, self._detail = None, "starting"
        self._save(record)
        return self._spawn(record)

    def _port(self, app: str, start: pb.StartSlot, taken: set[int]) -> int:
        """The port that was asked for, the slot's last one, or another that is free."""
        wanted = start.service.port or (self.record.port if self.record else 0)
        if not wanted:
            return ports.choose(f"{self._home}/{self.name}", taken)
        holder = ports.holder(wanted)
        if holder is None:
            return wanted
        if not start.service.port:
            return ports.choose(f"{self._home}/{self.name}", taken | {wanted})
        raise ServiceError(f"port {wanted} is in use by {holder}")

    def _link(self, release: Path) -> None:
        """Let the slot's `release` name the unpacked tree, by a rename that is durable."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.output.parent.mkdir(exist_ok=True)
        replace_link(self.folder / "release", os.path.relpath(release, self.folder))

    def _spawn(self, record: SlotRecord) -> SlotRecord:
        words = self._words(record)
        service = record.start.service
        launch = Launch(
            command=tuple(_filled(part, words) for part in service.command),
            environment=self._environment(record),
            directory=self.folder / "release",
            output=self.output,
            stop_grace_seconds=service.stop_grace_seconds,
        )
        instance = processes.spawn(launch, record.token)
        return self._hold(replace(record, instance=instance))

    def _environment(self, record: SlotRecord) -> dict[str, str]:
        words = self._words(record)
        own = record.start.service.environment
        return {
            **{f"TIDEGATE_{key.upper()}": value for key, value in words.items()},
            "PORT": words["port"],
            **{key: _filled(value, words) for key, value in own.items()},
        }

    def _words(self, record: SlotRecord) -> Mapping[str, str]:
        return {
            "port": str(record.port),
            "slot": self.name,
            "app": record.app,
            "environment": record.environment,
            "version": record.start.version,
            "node": self._node,
        }

    def _check(self, record: SlotRecord) -> Check:
        async def is_active() -> bool:
            return self.runs()

        context = health.Context(
            directory=self.folder / "release",
            environment=lambda: {**processes.base_environment(), **self._environment(record)},
            user=record.start.service.user,
            is_active=is_active,
        )
        return health.check_of(record.start.health, self._words(record), context)

    def _hold(self, record: SlotRecord) -> SlotRecord:
        """Remember what runs, in the journal too if it can be written: it is found again by its
        token in any case."""
        self.record = record
        try:
            self._journal.save_slot(record)
        except AgentError:
            log.exception("the process of slot %s could not be recorded", self.name)
        return record

    def _save(self, record: SlotRecord) -> SlotRecord:
        self._journal.save_slot(record)
        self.record = record
        return record

    # --- Afterwards ---------------------------------------------------------------------------

    async def recover(self, record: SlotRecord) -> None:
        """After a start of the agent: find the process again, or start it again if it is gone."""
        self.record = record
        if not record.wanted:
            return
        instance = record.instance or processes.find(record.token)
        if instance is None or not processes.alive(instance):
            self._healthy, self._detail = False, "had ended while no agent ran"
            self._keep(healthy=False)
            return
        self._hold(replace(record, instance=instance))
        problem = await probe(self._check(record))
        self._healthy = True if problem is None else None
        self._detail = problem or "healthy"
        self._keep(healthy=self._healthy)

    def _keep(self, *, healthy: bool | None) -> None:
        self._keeper = asyncio.create_task(self._keep_running(healthy))

    async def unkeep(self) -> None:
        """Watch it no longer; what runs here goes on."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
            self._keeper = None

    async def _keep_running(self, healthy: bool | None) -> None:
        """Watch the process and its health; start it again, ever more slowly, when it ends."""
        pause = RESTART_SECONDS_MIN
        while True:
            assert self.record is not None
            if self.record.instance is not None and processes.alive(self.record.instance):
                code = await self._watch(self.record.instance, healthy)
                words = "ended" if code is None else f"exited with code {code}"
                self._changed(False, f"{words}; starting it again in {pause:.0f} s")
            await asyncio.sleep(pause)
            pause = min(pause * 2, RESTART_SECONDS_MAX)
            healthy = False
            try:
                await self._end_leftovers()
                fresh = replace(self.record, token=uuid.uuid4().hex, instance=None)
                self._spawn(self._save(fresh))
            except (AgentError, OSError) as error:
                self._changed(False, str(error))

    async def _end_leftovers(self) -> None:
        """What a process that has ended may have left behind, on its port too."""
        assert self.record is not None
        if self.record.instance is not None:
            grace_seconds = self.record.start.service.stop_grace_seconds
            await processes.stop(self.record.instance, grace_seconds)

    async def _watch(self, instance: Instance, healthy: bool | None) -> int | None:
        """Until the process ends; its exit code, if known."""
        task = asyncio.create_task(self._monitor(healthy))
        try:
            return await processes.wait_exit(instance)
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _monitor(self, healthy: bool | None) -> None:
        """Report changes of health; first, where it is not known, what it is."""
        assert self.record is not None
        check = self._check(self.record)
        just_started = healthy is False
        for _ in range(check.failures):
            if healthy is not None:
                break
            problem = await probe(check)
            if problem is None:
                healthy = True
                self._changed(True, "healthy")
            else:
                self._detail = problem
                await asyncio.sleep(check.every_seconds)
        if healthy is None:
            healthy = False
            self._changed(False, self._detail)
        await Monitor(check, self._changed, healthy).run(just_started)

    def _changed(self, healthy: bool, detail: str) -> None:
        self._healthy, self._detail = healthy, detail
        log.info("slot %s is %s: %s", self.name, "healthy" if healthy else "unhealthy", detail)
        self._on_change(self)


def _filled(text: str, words: Mapping[str, str]) -> str:
    try:
        return render(text, words)
    except ValueError as error:
        raise ServiceError(str(error)) from error


def replace_link(link: Path, target: str) -> None:
    """Let a symlink name another target, atomically and durably."""
    if link.is_symlink() and os.readlink(link) == target:
        return
    fresh = link.with_name(f".{link.name}.{uuid.uuid4().hex[:8]}")
    os.symlink(target, fresh)
    os.rename(fresh, link)
    folder = os.open(link.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
