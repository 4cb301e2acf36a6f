"""What cleaning up an app on this node is: backups of what slots held before, then away with what
need not be kept. Called by the handlers in commands.py.
"""

import asyncio
import logging

from tidegate_agent import retention
from tidegate_agent.app import App
from tidegate_agent.errors import AgentError
from tidegate_agent.former import Former
from tidegate_agent.inspection import RESERVE_BYTES
from tidegate_agent.releases import hex_of
from tidegate_agent.retention import Tally
from tidegate_agent.slot import Slot
from tidegate_protos.threads import to_the_end
from tidegate_protos.v1 import agent_pb2 as pb

log = logging.getLogger(__name__)


async def clean_up(app: App, environment: str, wanted: pb.Cleanup) -> Tally:
    """Raises AgentError for a digest that is none, and then nothing is done. Cancelled, it has done
    some of it, and the next one goes on."""
    keep = {hex_of(digest): "active, or to go back to" for digest in wanted.keep_digests}
    tally = Tally()
    app.backups.sweep()
    for slot in app.slots.values():
        for former in slot.trees.formers.all():
            if former.environment == environment:
                await _leave(app, slot, former, tally, backs_up=wanted.backups > 0)
    for slot in app.slots.values():
        keep |= dict.fromkeys(slot.digests(), "held by a slot")
        tally.add(await to_the_end(asyncio.to_thread(slot.trees.sweep)))
    pruned = asyncio.to_thread(
        retention.prune,
        app.home / "releases",
        keep,
        wanted.releases,
        wanted.age_seconds,
        app.host.wall_seconds(),
    )
    tally.add(await to_the_end(pruned))
    await to_the_end(asyncio.to_thread(_prune_backups, app, environment, wanted, tally))
    return tally


async def make_way(app: App, needed_bytes: int) -> None:
    """Before so much is written of a release: where the disk may be too full for it, what waits to
    be backed up is not waited for."""
    waiting = [(slot, former) for slot in app.slots.values() for former in slot.trees.formers.all()]
    if not waiting:
        return
    if app.host.free_bytes(app.home) >= needed_bytes + RESERVE_BYTES:
        return
    for slot, former in waiting:
        log.warning(
            "version %s that slot %s held is not backed up: the disk is needed for a release",
            former.version,
            slot.name,
        )
        slot.trees.formers.forget(former)
        await to_the_end(asyncio.to_thread(slot.trees.sweep))


async def _leave(app: App, slot: Slot, former: Former, tally: Tally, *, backs_up: bool) -> None:
    """Back up what the slot held, if that is asked for, and let it go. What fails is tried again by
    the next clean-up."""
    source = slot.folder / former.held
    again = (slot.folder / "release").resolve() == source.resolve()
    if backs_up and source.is_dir() and not again:
        try:
            backup = await app.backups.make(former, slot.name, source.resolve())
        except (AgentError, OSError) as error:
            problem = (
                f"version {former.version} that slot {slot.name} held is not backed up: {error}"
            )
            log.warning("%s", problem)
            tally.problems.append(problem)
            return
        if backup is not None:
            tally.made.append(pb.Thing(kind="backup", name=str(backup.path), bytes=backup.bytes))
    slot.trees.formers.forget(former)


def _prune_backups(app: App, environment: str, wanted: pb.Cleanup, tally: Tally) -> None:
    """Where none are asked for, those there are stay: nobody loses one by a line left out."""
    try:
        if wanted.backups:
            for backup in app.backups.beyond(
                environment, wanted.backups, wanted.backups_age_seconds, app.host.wall_seconds()
            ):
                tally.remove("backup", str(backup.path), backup.path)
        for backup in app.backups.kept(environment):
            why = f"among the newest {wanted.backups}" if wanted.backups else "no longer asked for"
            tally.stays("backup", why, backup.bytes)
    except OSError as error:
        tally.problems.append(f"cannot look through {app.backups.folder}: {error.strerror}")
