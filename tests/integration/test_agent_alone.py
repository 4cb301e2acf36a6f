"""The real agent, a process that is killed with SIGKILL, and a controller that the test plays."""

import asyncio
import contextlib
import hashlib
import io
import os
import signal
import sys
import tarfile
import tempfile
import threading
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from fake_controller import FakeController
from one_node import (
    PYTHON,
    SERVER,
    anybody_may_run_python,
    prepare_slot,
    run_task,
    runs,
    service,
    start_slot,
    until,
)

from tidegate_agent import procfs
from tidegate_agent.journal import Journal
from tidegate_protos.v1 import agent_pb2 as pb


class Artifacts(ThreadingHTTPServer):
    """Serves what it is given, by digest."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}

    def add(self, **scripts: str) -> pb.Artifact:
        """An artifact with an app that serves, and with these scripts."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            texts = {"serve.py": SERVER} | {f"{name}.sh": text for name, text in scripts.items()}
            for name, text in texts.items():
                member = tarfile.TarInfo(name)
                member.size = len(text.encode())
                archive.addfile(member, io.BytesIO(text.encode()))
        data = packed.getvalue()
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.files[f"/{digest}"] = data
        url = f"http://127.0.0.1:{self.server_port}/{digest}"
        return pb.Artifact(digest=digest, size_bytes=len(data), url=url)


class Handler(BaseHTTPRequestHandler):
    server: Artifacts

    def do_GET(self) -> None:
        data = self.server.files[self.path]
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Quiet."""


class Alone:
    """One agent process at a time on one folder."""

    def __init__(self, folder: Path, controller: FakeController) -> None:
        self.folder = folder
        self.controller = controller
        self.name = f"node-{uuid.uuid4().hex[:12]}"
        self.version = 0
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> pb.Hello:
        """Start the agent; its first words."""
        already = len(self.controller.hellos)
        with (self.folder / "agent.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tidegate_agent", "run", "--node", self.name),
                *("--data", str(self.folder / "data"), "--controller", self.controller.address),
                stdout=log,
                stderr=log,
            )
        await until(lambda: len(self.controller.hellos) > already)
        return self.controller.hellos[-1]

    async def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        await self.process.wait()

    def end(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
        for process in list(procfs.everyone()):
            if procfs.has_variable(process.pid, "TIDEGATE_NODE", self.name):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)

    def send(self, **work: Any) -> pb.Command:
        self.version += 1
        return self.controller.send(
            pb.Command(
                id=f"c{self.version}",
                node=self.name,
                journal_id=self.controller.hellos[-1].journal_id,
                app="shop",
                environment="production",
                fence=pb.Fence(epoch=1, version=self.version),
                deadline_seconds=60.0,
                expires_at={"seconds": int(time.time()) + 3600},
                **work,
            )
        )

    async def done(self, command: pb.Command) -> pb.Finished:
        await until(lambda: bool(self.controller.finished(command.id)))
        return self.controller.finished(command.id)[-1]

    async def do(self, **work: Any) -> pb.Finished:
        finished = await self.done(self.send(**work))
        assert finished.outcome == pb.OUTCOME_OK, finished
        return finished

    def prepare(self, artifact: pb.Artifact) -> pb.PrepareSlot:
        prepare = prepare_slot(artifact.digest, service=service())
        prepare.artifact.CopyFrom(artifact)
        return prepare


@pytest.fixture
def artifacts() -> Iterator[Artifacts]:
    with Artifacts() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
async def alone(tmp_path: Path) -> AsyncIterator[Alone]:
    async with running(tmp_path) as alone:
        yield alone


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Alone]:
    async with FakeController().running() as controller:
        alone = Alone(folder, controller)
        try:
            await alone.start()
            yield alone
        finally:
            alone.end()


async def pid_in(file: Path) -> int:
    await until(lambda: file.exists() and file.read_text().endswith("\n"))
    return int(file.read_text())


async def test_the_whole_path_of_a_release_with_scripts(
    alone: Alone, artifacts: Artifacts, tmp_path: Path
) -> None:
    artifact = artifacts.add(install="echo made > made", migrate=f"cat made >> {tmp_path}/runs")
    home = tmp_path / "data" / "apps" / "shop"
    await alone.do(inspect=pb.Inspect(slot="blue", artifact_bytes=1000, service=service()))
    prepared = alone.send(prepare_slot=alone.prepare(artifact))
    assert (await alone.done(prepared)).outcome == pb.OUTCOME_OK
    await alone.do(run_task=run_task(artifact.digest, service=service()))
    assert (tmp_path / "runs").read_text() == "made\n"
    started = await alone.do(start_slot=start_slot(artifact.digest, service=service()))
    assert started.slot.healthy == pb.TRI_YES
    await alone.do(switch_slot=pb.SwitchSlot(slot="blue"))
    assert (home / "current" / "release" / "made").read_text() == "made\n"
    await alone.do(inspect=pb.Inspect(slot="blue", probe=True))
    stopped = await alone.do(stop_slot=pb.StopSlot(slot="blue", grace_seconds=5.0))
    assert stopped.slot.running == pb.TRI_NO
    await alone.do(cleanup=pb.Cleanup())
    assert (home / "current" / "release" / "made").exists()
    texts = [one.progress.text for one in alone.controller.reports if one.HasField("progress")]
    assert "running migrate.sh" in texts


@pytest.mark.skipif(not anybody_may_run_python(), reason="needs root and a Python for everybody")
async def test_apps_and_scripts_of_another_user_are_started_beside_a_busy_link(
    artifacts: Artifacts,
) -> None:
    """The child that becomes another user is made by a fork of a process with gRPC's threads."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)  # unlike pytest's own, everybody can enter it
        async with running(Path(name)) as alone:
            artifact = artifacts.add(install="id -un > who", migrate="id -un >> who")
            nobody = service(user="nobody", command=[PYTHON, "serve.py", "{port}", "0"])
            prepare = alone.prepare(artifact)
            prepare.service.CopyFrom(nobody)
            for _ in range(5):
                await alone.do(prepare_slot=prepare)
                await alone.do(run_task=run_task(artifact.digest, service=nobody))
                await alone.do(start_slot=start_slot(artifact.digest, service=nobody))
                await alone.do(stop_slot=pb.StopSlot(slot="blue", grace_seconds=5.0))
            release = Path(name) / "data" / "apps" / "shop" / "slots" / "blue" / "release"
            assert (release / "who").read_text() == "nobody\nnobody\n"


async def test_an_app_serves_on_while_its_agent_is_dead_and_is_found_by_the_next(
    alone: Alone, artifacts: Artifacts
) -> None:
    artifact = artifacts.add(install="true")
    await alone.do(prepare_slot=alone.prepare(artifact))
    started = await alone.do(start_slot=start_slot(artifact.digest, service=service()))
    await alone.kill()
    reader, writer = await asyncio.open_connection("127.0.0.1", started.slot.port)
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 200 OK")
    writer.close()
    hello = await alone.start()
    (slot,) = hello.slots
    assert (slot.running, slot.healthy, slot.port) == (pb.TRI_YES, pb.TRI_YES, started.slot.port)
    assert hello.log_id == "log-1"


async def test_a_migration_under_an_agent_that_dies_is_unknown_and_not_run_again(
    alone: Alone, artifacts: Artifacts, tmp_path: Path
) -> None:
    artifact = artifacts.add(
        migrate=f"echo run >> {tmp_path}/runs; echo $$ > {tmp_path}/pid; sleep 60"
    )
    await alone.do(prepare_slot=alone.prepare(artifact))
    command = alone.send(run_task=run_task(artifact.digest, service=service()))
    pid = await pid_in(tmp_path / "pid")
    await alone.kill()
    assert runs(pid)
    await alone.start()
    assert not runs(pid)
    alone.controller.send(command)
    finished = await alone.done(command)
    assert finished.outcome == pb.OUTCOME_UNKNOWN
    assert finished.error == (
        "the agent died while migrate.sh ran; whether it is complete is not known"
    )
    await alone.kill()
    await alone.start()
    alone.controller.send(command)
    await until(lambda: len(alone.controller.finished(command.id)) >= 2)
    assert alone.controller.finished(command.id)[-1] == finished
    assert (tmp_path / "runs").read_text() == "run\n"


async def test_without_a_migration_nothing_is_in_doubt_wherever_the_agent_dies(
    alone: Alone, artifacts: Artifacts, tmp_path: Path
) -> None:
    artifact = artifacts.add(install="true")
    await alone.do(prepare_slot=alone.prepare(artifact))
    for has_accepted in (False, True):
        command = alone.send(run_task=run_task(artifact.digest, service=service()))
        await alone.kill()
        if has_accepted and not alone.controller.finished(command.id):
            journal = Journal(tmp_path / "data" / "journal.db")
            if not journal.known(command.id):
                journal.accept(command)
            journal.close()
        await alone.start()
        alone.controller.send(command)
        finished = await alone.done(command)
        assert finished.outcome == pb.OUTCOME_OK
        assert finished.error == "this release has no migrate.sh"


async def test_an_install_under_an_agent_that_dies_is_ended_and_done_anew(
    alone: Alone, artifacts: Artifacts, tmp_path: Path
) -> None:
    artifact = artifacts.add(
        install=f"echo $$ > {tmp_path}/pid; test -e {tmp_path}/go || sleep 60; echo made > made"
    )
    command = alone.send(prepare_slot=alone.prepare(artifact))
    pid = await pid_in(tmp_path / "pid")
    (tmp_path / "go").touch()
    await alone.kill()
    await alone.start()
    assert not runs(pid)
    alone.controller.send(command)
    assert (await alone.done(command)).outcome == pb.OUTCOME_OK
    folder = tmp_path / "data" / "apps" / "shop" / "slots" / "blue"
    (tree,) = folder.glob("tree-*-????????")
    assert os.readlink(folder / "next") == tree.name
    assert (tree / "made").read_text() == "made\n"


async def test_a_kill_at_any_moment_of_a_rollout_is_made_good(
    alone: Alone, artifacts: Artifacts, tmp_path: Path
) -> None:
    """The same commands again and again, as a controller does, while the agent is killed."""
    artifact = artifacts.add(install="echo made > made; sleep 0.1", migrate="true")
    prepare = alone.prepare(artifact)
    start = start_slot(artifact.digest, service=service())
    for moment in range(8):
        work = {"prepare_slot": prepare} if moment % 2 == 0 else {"start_slot": start}
        command = alone.send(**work)
        await asyncio.sleep(0.04 * (moment + 1))
        await alone.kill()
        await alone.start()
        alone.controller.send(command)
        assert (await alone.done(command)).outcome == pb.OUTCOME_OK, command
    cleanup = alone.send(cleanup=pb.Cleanup())  # of what the former start came from
    assert (await alone.done(cleanup)).outcome == pb.OUTCOME_OK
    home = tmp_path / "data" / "apps" / "shop"
    apps = [
        process.pid
        for process in procfs.everyone()
        if procfs.has_variable(process.pid, "TIDEGATE_NODE", alone.name)
    ]
    assert len(apps) == 1
    assert (home / "slots" / "blue" / "release" / "made").read_text() == "made\n"
    trees = {path.name for path in (home / "slots" / "blue").glob("tree-*-????????")}
    links = (home / "slots" / "blue" / name for name in ("next", "release"))
    assert trees == {os.readlink(link) for link in links}
