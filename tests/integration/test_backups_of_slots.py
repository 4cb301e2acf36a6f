"""A real agent that is killed in the middle of a backup: afterwards it is whole, or not there."""

import contextlib
import tarfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from one_node import prepare_slot, service, start_slot, until
from test_agent_alone import Alone, Artifacts, running

from tidegate_agent import procfs
from tidegate_protos.v1 import agent_pb2 as pb

BIG_BYTES = 400_000_000  # zeros without blocks: a second or two of work


@pytest.fixture
def artifacts() -> Iterator[Artifacts]:
    with Artifacts() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


async def replaced(alone: Alone, artifacts: Artifacts) -> None:
    """Release 2 has taken the place of release 1 in blue, and that one has left a big file."""
    for made_by in ("1", "2"):
        artifact = artifacts.add(install=f"echo {made_by} > made; truncate -s {BIG_BYTES} big")
        prepare = prepare_slot(artifact.digest, service=service())
        prepare.artifact.CopyFrom(artifact)
        await alone.do(prepare_slot=prepare)
        await alone.do(start_slot=start_slot(artifact.digest, service=service()))


def packs(folder: Path) -> bool:
    """Whether anybody still makes a backup there."""
    commands = (Path(f"/proc/{process.pid}/cmdline") for process in procfs.everyone())
    return any(b"tidegate_agent.pack" in text and bytes(folder) in text for text in _read(commands))


def _read(paths: Iterable[Path]) -> Iterator[bytes]:
    for path in paths:
        with contextlib.suppress(OSError):
            yield path.read_bytes()


async def test_a_kill_in_the_middle_of_a_backup_is_made_good(
    artifacts: Artifacts, tmp_path: Path
) -> None:
    folder = tmp_path / "data" / "backups" / "shop"
    async with running(tmp_path) as alone:
        await replaced(alone, artifacts)
        cleanup = alone.send(cleanup=pb.Cleanup(backups=3, releases=9))
        await until(lambda: any(folder.glob(".*.tmp")) if folder.exists() else False)
        await alone.kill()
        await until(lambda: not packs(tmp_path))  # it does not outlive the agent
        assert not list(folder.glob("*.tar.gz"))
        await alone.start()  # which goes on with the command by itself
        finished = await alone.done(cleanup)
        assert (finished.outcome, finished.error) == (pb.OUTCOME_OK, "")
        (thing,) = finished.cleaned.made
        assert [str(path) for path in folder.iterdir()] == [thing.name]
        with tarfile.open(thing.name) as tar:
            made, big = tar.extractfile("shop-1/made"), tar.getmember("shop-1/big")
            assert made is not None
            assert (made.read(), big.size) == (b"1\n", BIG_BYTES)


async def test_a_rollout_does_not_wait_for_a_backup_which_is_made_after_it(
    artifacts: Artifacts, tmp_path: Path
) -> None:
    folder = tmp_path / "data" / "backups" / "shop"
    async with running(tmp_path) as alone:
        await replaced(alone, artifacts)
        cleanup = alone.send(cleanup=pb.Cleanup(backups=3, releases=9))
        await until(lambda: any(folder.glob(".*.tmp")) if folder.exists() else False)
        await alone.do(stop_slot=pb.StopSlot(slot="green", grace_seconds=1.0))
        assert (await alone.done(cleanup)).outcome == pb.OUTCOME_SUPERSEDED
        assert not list(folder.iterdir())
        finished = await alone.do(cleanup=pb.Cleanup(backups=3, releases=9))
        assert len(finished.cleaned.made) == 1
