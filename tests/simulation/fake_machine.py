"""A fake server: its processes and ports, its disk, its clocks. An agent gets it as its `Host`.

Files are real ones beneath `folder`; what is installed, started or run is only said to be. A
machine goes on when its agent is killed. What happens here is told to `Watcher`, which judges it.
"""

import asyncio
import shutil
import zlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Protocol

from programs import Program, Programs
from virtual_time import EPOCH, OUTSIDE, VirtualLoop

from tidegate_agent import health
from tidegate_agent.errors import ArtifactError, NodeError, ServiceError
from tidegate_agent.fetch import Patience
from tidegate_agent.health import Check, Context
from tidegate_agent.host import Host
from tidegate_agent.managers import Ended, Ending, Handle, Kind, Place, Sight
from tidegate_agent.processes import Launch
from tidegate_agent.unpacker import Unpacked
from tidegate_protos.archives.contents import Limits
from tidegate_protos.v1 import agent_pb2 as pb

FREE_BYTES = 10_000_000_000
BYTES_PER_SECOND = 20_000_000


class Watcher(Protocol):
    """Hears of every effect on a machine, at the moment when it happens."""

    def effect(self, machine: "Machine", kind: str, what: str) -> None: ...
    def is_stopping(self, machine: "Machine", service: "Running") -> None: ...
    def has_ended(self, machine: "Machine", service: "Running") -> None: ...


@dataclass(eq=False)
class Running:
    """One process of an app."""

    pid: int
    token: str
    app: str
    environment: str
    slot: str
    version: str
    port: int
    release: Path
    program: Program
    started_at: float
    ended: "asyncio.Future[str]"
    own_fault: bool = False  # it has ended, or is unwell, by itself or with its machine
    flapping_until: float = 0.0
    was_healthy: bool = False

    @property
    def alive(self) -> bool:
        return not self.ended.done()


class Machine:
    """`at` is where a balancer finds it: HOST of HOST:PORT."""

    def __init__(
        self, loop: VirtualLoop, name: str, folder: Path, rng: Random, programs: Programs
    ) -> None:
        self.loop = loop
        self.name = name
        self.folder = folder
        self.rng = rng
        self.programs = programs
        self.watcher: Watcher | None = None
        self.services: dict[int, Running] = {}
        self.scripts: dict[str, str] = {}  # token -> script that runs
        self.script_runs: dict[tuple[str, str], int] = {}  # (token, script) -> how often it began
        self.boots = 1
        self.disks = 1  # one after the other
        self.wall_offset = 0.0
        self.full = False
        self.no_network = False  # to where artifacts are
        self.corrupting = 0  # so many downloads from now on are not what they should be
        self.slowness = 1.0
        self.kill_agent: Callable[[], None] = lambda: None
        self.eaten_by: set[str] = set()  # digests of programs that have used up its memory, once
        self._pids = 100
        self._ids = 0

    # --- What an agent sees ---------------------------------------------------------------------

    def host(self) -> Host:
        return Host(
            manager=lambda _: Kind(lambda place: FakeManager(self, place)),
            check_of=self._check_of,
            run_script=self._run_script,
            end_scripts=self._end_scripts,
            fetch=self._fetch,
            unpack=self._unpack,
            free_bytes=lambda _: 0 if self.full else FREE_BYTES,
            keep_short=_for_ever,
            pick_port=_pick_port,
            port_holder=lambda _: None,
            facts=lambda _: {},
            heartbeat=lambda _: pb.Heartbeat(),
            boot_id=lambda: f"boot-{self.boots}",
            wall_seconds=self.wall_seconds,
            new_id=self._new_id,
        )

    def wall_seconds(self) -> float:
        return EPOCH + self.loop.time() + self.wall_offset

    def _new_id(self) -> str:
        self._ids += 1
        return f"{self.name}-{self._ids}"

    def pause(self, least: float, most: float) -> "asyncio.Future[None]":
        """As long as this machine takes for something."""
        return asyncio.ensure_future(asyncio.sleep(self.rng.uniform(least, most) * self.slowness))

    def _check_of(self, told: pb.HealthCheck, words: Mapping[str, str], context: Context) -> Check:
        real = health.check_of(told, words, context)
        return replace(real, kind=Question(self, int(words["port"])))

    async def _fetch(
        self,
        part: Path,
        name: str,
        size_bytes: int,
        patience: Patience,
        url: Callable[[], str],
        progress: Callable[[int, int], None],
        note: Callable[[str], None],
    ) -> None:
        await self.pause(0.01, 0.1)
        while self.no_network:
            note("no answer")
            await asyncio.sleep(1.0)
        progress(0, size_bytes)
        await asyncio.sleep(size_bytes / BYTES_PER_SECOND * self.slowness)
        if self.full:
            raise ArtifactError("disk full while fetching the artifact: 0 bytes free")
        if self.corrupting:
            self.corrupting -= 1
            raise ArtifactError("the artifact has another digest; nothing was unpacked")
        part.write_text(name)
        progress(size_bytes, size_bytes)

    async def _unpack(self, archive: Path, tree: Path, limits: Limits) -> Unpacked:
        await self.pause(0.02, 0.3)
        if self.full:
            raise ArtifactError("disk full while unpacking")
        program = self.programs.of(archive.read_text())
        tree.mkdir()
        for file in ("serve", *sorted(program.scripts)):
            (tree / file).write_text(program.version)
        return Unpacked(1 + len(program.scripts), 1000, ())

    async def _run_script(
        self, script: str, launch: Launch, token: str, seconds: float, say: Callable[[str], None]
    ) -> None:
        said = launch.environment
        program = _program(self.programs, said)
        key = (token, script)
        self.script_runs[key] = self.script_runs.get(key, 0) + 1
        self.scripts[token] = script
        takes = min(seconds, program.script_seconds * self.slowness)
        if script == "migrate.sh" and program.fate_on(self.name) == "eats memory":
            self.loop.call_later(takes / 2, self.exhaust, program, context=OUTSIDE)
        self.effect("script", f"{script} of {said['TIDEGATE_APP']} {program.version}")
        try:
            await asyncio.sleep(takes)
        finally:
            self.scripts.pop(token, None)
        if program.script_seconds * self.slowness >= seconds:
            raise ServiceError(f"{script} did not end within {seconds:g} s", blame="release")
        if script in program.failing:
            raise ServiceError(f"{script} exited with code 1", blame="release")

    async def _end_scripts(self, token: str) -> None:
        self.scripts.pop(token, None)

    # --- What happens to it ---------------------------------------------------------------------

    def effect(self, kind: str, what: str) -> None:
        if self.watcher is not None:
            self.watcher.effect(self, kind, what)

    def service_at(self, port: int) -> Running | None:
        """The one that listens there; else the last that did."""
        found = [one for one in self.services.values() if one.port == port]
        alive = [one for one in found if one.alive]
        return (alive or found or [None])[-1]

    def start(self, launch: Launch, token: str) -> Running:
        said = launch.environment
        self._pids += 1
        service = Running(
            pid=self._pids,
            token=token,
            app=said["TIDEGATE_APP"],
            environment=said["TIDEGATE_ENVIRONMENT"],
            slot=said["TIDEGATE_SLOT"],
            version=said["TIDEGATE_VERSION"],
            port=int(said["TIDEGATE_PORT"]),
            release=launch.directory.resolve(),
            program=_program(self.programs, said),
            started_at=self.loop.time(),
            ended=self.loop.create_future(),
        )
        self.services[service.pid] = service
        fate, program = service.program.fate_on(self.name), service.program
        if fate == "exits at once":
            self._later(0.1, self.crash, service)
        if fate == "crashes":
            self._later(program.up_seconds + program.fate_seconds, self.crash, service)
        return service

    def crash(self, service: Running) -> None:
        """By its own fault."""
        if service.alive:
            service.own_fault = True
            self.end(service, "exited with code 1")

    def end(self, service: Running, how: str) -> None:
        if service.alive:
            service.ended.set_result(how)
            if self.watcher is not None:
                self.watcher.has_ended(self, service)

    def problem_of(self, service: Running | None) -> str | None:
        """What its health check says now: None where it is well."""
        if service is None or not service.alive:
            return "connection refused"
        fate = service.program.fate_on(self.name)
        age = self.loop.time() - service.started_at
        up_seconds = service.program.up_seconds * (10.0 if fate == "slow" else 1.0)
        if age < up_seconds:
            return "connection refused"
        over = age - up_seconds - service.program.fate_seconds
        bad = fate == "never healthy" or (fate == "turns bad" and over > 0)
        bad = bad or (fate == "flaps" and over > 0 and int(over / 8) % 2 == 0)
        if bad or self.loop.time() < service.flapping_until:
            service.own_fault = True
            return "answered 500"
        service.own_fault = False
        service.was_healthy = True
        return None

    def exhaust(self, program: Program) -> None:
        """The first time, its script uses up the memory, and the agent is killed for it."""
        if program.digest not in self.eaten_by:
            self.eaten_by.add(program.digest)
            self.kill_agent()

    def reboot(self) -> None:
        """All that runs is gone; files stay."""
        self.boots += 1
        self.scripts.clear()
        for service in list(self.services.values()):
            service.own_fault = True
            self.end(service, "the machine went down")

    def wipe(self) -> None:
        """A new disk; nothing of the old one runs."""
        self.reboot()
        self.disks += 1
        shutil.rmtree(self.folder)
        self.folder.mkdir()

    def _later(self, seconds: float, act: Callable[[Running], None], service: Running) -> None:
        self.loop.call_later(seconds, act, service, context=OUTSIDE)


def _program(programs: Programs, said: Mapping[str, str]) -> Program:
    wanted = (said["TIDEGATE_APP"], said["TIDEGATE_VERSION"])
    return next(p for p in programs.by_digest.values() if (p.app, p.version) == wanted)


def _pick_port(key: str, asked: int, last: int, taken: Collection[int]) -> int:
    """The same one for an app's slot on every machine."""
    app, slot = key.split("/")[-2:]
    return asked or last or 20000 + zlib.crc32(f"{app}/{slot}".encode()) % 9000


async def _for_ever(_: Path) -> None:
    await asyncio.get_running_loop().create_future()


class Question:
    """A health check's kind: asks whatever listens at the port."""

    def __init__(self, machine: Machine, port: int) -> None:
        self._machine = machine
        self._port = port

    def __str__(self) -> str:
        return f"port {self._port}"

    async def ask(self, timeout_seconds: float) -> str | None:
        machine = self._machine
        if machine.slowness > 1.0:
            if machine.slowness / 20 > timeout_seconds:
                await asyncio.sleep(timeout_seconds)
                return f"no answer within {timeout_seconds:g} s"
            await asyncio.sleep(machine.slowness / 20)
        return machine.problem_of(machine.service_at(self._port))


class FakeManager:
    """A service manager, of one slot."""

    renews = True

    def __init__(self, machine: Machine, place: Place) -> None:
        self._machine = machine
        self._place = place

    async def start(self, launch: Launch, token: str) -> Handle:
        machine = self._machine
        if not launch.directory.exists():
            raise NodeError(f"there is no {launch.directory}")
        await machine.pause(0.005, 0.05)
        machine.effect(
            "start", f"{launch.environment['TIDEGATE_APP']} in {self._place.folder.name}"
        )
        service = machine.start(launch, token)
        await machine.pause(0.001, 0.02)
        return self._handle(service)

    async def find(self, token: str) -> Handle | None:
        service = self._carrying(token)
        return None if service is None else self._handle(service)

    def _handle(self, service: Running) -> Handle:
        return {"pid": service.pid, "boot": self._machine.boots, "token": service.token}

    def _carrying(self, token: str) -> Running | None:
        services = self._machine.services.values()
        return next((one for one in services if one.token == token and one.alive), None)

    def _service(self, handle: Handle) -> Running | None:
        if handle["boot"] != self._machine.boots:
            return None
        return self._machine.services.get(int(handle["pid"]))

    async def look(self, handle: Handle) -> Sight:
        service = self._service(handle)
        alive = service is not None and service.alive
        return Sight(alive, "" if alive else "it has ended")

    async def wait(self, handle: Handle) -> Ended:
        service = self._service(handle)
        if service is None:
            return Ended("ended, nobody knows how")
        return Ended(await asyncio.shield(service.ended))

    async def stop(self, handle: Handle, grace_seconds: float) -> Ending:
        machine, service = self._machine, self._service(handle)
        if service is None or not service.alive:
            service = self._carrying(str(handle["token"]))
        if service is None:
            return "gone"
        if machine.watcher is not None:
            machine.watcher.is_stopping(machine, service)
        machine.effect("stop", f"{service.app} in {service.slot}")
        takes = service.program.stop_seconds
        how: Ending = "stopped" if takes <= grace_seconds else "killed"
        machine.loop.call_later(
            min(takes, grace_seconds), machine.end, service, "was stopped", context=OUTSIDE
        )
        await asyncio.shield(service.ended)
        return how

    async def tail(self, handle: Handle) -> str:
        return ""
