"""One agent without a link, real short-lived apps, and the commands of a controller to it."""

import asyncio
import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tidegate_agent import procfs
from tidegate_agent.agent import Agent
from tidegate_agent.app import App
from tidegate_agent.executor import script_token
from tidegate_agent.slot import Slot
from tidegate_protos.v1 import agent_pb2 as pb

PATIENCE_SECONDS = 20.0
PYTHON = "/usr/bin/python3"  # that every user may run, where there is one

# Answers 200, or 500 while the file "sick" is in its folder. On SIGTERM it goes on answering for
# DRAIN seconds. With a third argument it exits with that code at once.
SERVER = """
import os, signal, socket, sys, time
if len(sys.argv) > 3:
    print("FATAL: it cannot start", flush=True)
    os._exit(int(sys.argv[3]))
end_at = None
def end(*_):
    global end_at
    end_at = end_at or time.monotonic() + float(sys.argv[2])
signal.signal(signal.SIGTERM, end)
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
listener.settimeout(0.02)
print("serving", flush=True)
while end_at is None or time.monotonic() < end_at:
    try:
        client, _ = listener.accept()
    except TimeoutError:
        continue
    client.recv(4096)
    status = b"500 No" if os.path.exists("sick") else b"200 OK"
    client.sendall(b"HTTP/1.1 " + status + b"\\r\\nContent-Length: 0\\r\\n\\r\\n")
    client.close()
"""


class OneNode:
    """`reports` is all that the agent has sent. The names are those of a controller's commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = f"node-{uuid.uuid4().hex[:12]}"
        self.reports: list[pb.Report] = []
        self.agent = Agent(self.name, folder, {}, "127.0.0.1")
        self._version = 0
        self._sending = contextlib.ExitStack()

    @classmethod
    @asynccontextmanager
    async def running(cls, folder: Path) -> AsyncIterator["OneNode"]:
        node = cls(folder)
        try:
            await node.begin()
            yield node
            await node.agent.stop()
        finally:
            node.end_apps()

    async def begin(self) -> None:
        self._sending.enter_context(self.agent.reporting_to(self.reports.append))
        await self.agent.start()

    async def start_anew(self) -> None:
        """The agent leaves and another one comes, as at an upgrade."""
        await self.agent.stop()
        self.agent = Agent(self.name, self.folder, {}, "127.0.0.1")
        await self.begin()

    def end_apps(self) -> None:
        end_apps(self.name)

    # --- The machine --------------------------------------------------------------------------

    @property
    def app(self) -> App:
        return self.agent._app("shop")

    @property
    def slot(self) -> Slot:
        return self.app.slots["blue"]

    @property
    def home(self) -> Path:
        return self.folder / "apps" / "shop"

    def release(self, name: str = "1", *, install: str = "", migrate: str = "") -> str:
        """The digest of a release that is complete here, perhaps with scripts."""
        hexed = hashlib.sha256(name.encode()).hexdigest()
        tree = self.home / "releases" / hexed
        tree.mkdir(parents=True)
        (tree / "serve.py").write_text(SERVER)
        for script, text in (("install.sh", install), ("migrate.sh", migrate)):
            if text:
                (tree / script).write_text(textwrap.dedent(text))
        (tree.parent / f"{hexed}.ok").write_text('{"files": 1, "bytes": 1000}')
        return f"sha256:{hexed}"

    def links(self, slot: str = "blue") -> dict[str, str]:
        """Where the slot's links lead."""
        folder = self.app.slots[slot].folder
        names = ("release", "next")
        return {name: os.readlink(folder / name) for name in names if (folder / name).is_symlink()}

    def trees(self, slot: str = "blue") -> list[str]:
        """The trees of the slot's own that are there, whole or not."""
        folder = self.app.slots[slot].folder
        return sorted(path.name for path in folder.glob("tree-*") if path.suffix != ".json")

    def pid(self, slot: str = "blue") -> int:
        record = self.app.slots[slot].record
        assert record is not None
        assert record.handle is not None
        return int(record.handle["pid"])

    # --- Commands -----------------------------------------------------------------------------

    def token(self, command: pb.Command) -> str:
        """What the scripts of the command carry."""
        return script_token(self.agent._journal, command)

    def command(self, *, environment: str = "production", **more: Any) -> pb.Command:
        self._version += 1
        return pb.Command(
            **{
                "id": f"c{self._version}",
                "node": self.name,
                "journal_id": self.agent._journal.journal_id,
                "app": "shop",
                "environment": environment,
                "fence": pb.Fence(epoch=1, version=self._version),
                "deadline_seconds": 60.0,
                "expires_at": {"seconds": int(time.time()) + 3600},
                **more,
            }
        )

    def take(self, command: pb.Command) -> pb.Command:
        self.agent.take(pb.Instruction(command=command))
        return command

    async def done(self, command: pb.Command) -> pb.Finished:
        """The result of a command that was taken."""
        found: list[pb.Finished] = []

        def ended() -> bool:
            found[:] = [
                report.finished
                for report in self.reports
                if report.finished.command_id == command.id
            ]
            return bool(found)

        await until(ended)
        return found[-1]

    async def do(self, **work: Any) -> pb.Finished:
        return await self.done(self.take(self.command(**work)))

    async def started(self, drain: float = 0.0) -> pb.StartSlot:
        """A release runs in blue."""
        start = start_slot(self.release(), service=service(drain=drain))
        finished = await self.do(start_slot=start)
        assert finished.outcome == pb.OUTCOME_OK, finished
        return start

    def progress(self, command: pb.Command) -> list[pb.Progress]:
        found = [report.progress for report in self.reports if report.HasField("progress")]
        return [progress for progress in found if progress.command_id == command.id]

    def health(self) -> list[pb.SlotState]:
        return [report.health.slot for report in self.reports if report.HasField("health")]


def apps_of(node: str) -> set[int]:
    """The pids of all that agents of this name have started on this machine."""
    pids = [process.pid for process in procfs.everyone()]
    return {pid for pid in pids if procfs.has_variable(pid, "TIDEGATE_NODE", node)}


def end_apps(node: str) -> None:
    for pid in apps_of(node):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def service(*arguments: str, drain: float = 0.0, **more: Any) -> pb.Service:
    command = [sys.executable, "serve.py", "{port}", str(drain), *arguments]
    return pb.Service(
        **{"manager": "process", "command": command, "stop_grace_seconds": 5.0, **more}
    )


def start_slot(
    digest: str, slot: str = "blue", *, service: pb.Service, config: str = "c", **health: Any
) -> pb.StartSlot:
    return pb.StartSlot(
        slot=slot,
        revision=pb.Revision(digest=digest, config=config),
        version="1",
        service=service,
        health=pb.HealthCheck(
            **{
                "http": pb.HttpCheck(url="http://127.0.0.1:{port}/"),
                "every_seconds": 0.05,
                "timeout_seconds": 5.0,
                "failures": 2,
                "healthy_after_seconds": 0.05,
                "deadline_seconds": PATIENCE_SECONDS,
                **health,
            }
        ),
    )


def prepare_slot(
    digest: str, slot: str = "blue", *, service: pb.Service, config: str = "c", **hooks: Any
) -> pb.PrepareSlot:
    return pb.PrepareSlot(
        slot=slot,
        revision=pb.Revision(digest=digest, config=config),
        version="1",
        artifact=pb.Artifact(digest=digest, size_bytes=1000, url="http://127.0.0.1:1/"),
        service=service,
        hooks=pb.Hooks(**{"install": True, "install_seconds": PATIENCE_SECONDS, **hooks}),
    )


def run_task(
    digest: str, slot: str = "blue", *, service: pb.Service, config: str = "c", **more: Any
) -> pb.RunTask:
    return pb.RunTask(
        **{
            "slot": slot,
            "task": "migrate",
            "revision": pb.Revision(digest=digest, config=config),
            "version": "1",
            "service": service,
            "hooks": pb.Hooks(migrate_seconds=PATIENCE_SECONDS),
            **more,
        }
    )


def anybody_may_run_python() -> bool:
    """Whether this is root, who may become anybody, and anybody may run `PYTHON`."""
    if os.geteuid() != 0:
        return False
    try:
        ended = subprocess.run([PYTHON, "-c", "pass"], check=False, user="nobody")
    except OSError:
        return False
    return ended.returncode == 0


async def until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < give_up, "waited in vain"
        await asyncio.sleep(0.01)


def runs(pid: int) -> bool:
    process = procfs.look(pid)
    return process is not None and process.running
