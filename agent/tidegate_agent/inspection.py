"""Questions that change nothing: could a release be started here, is what runs here healthy?

Called by the handler of `inspect` in commands.py.
"""

import asyncio

from tidegate_agent import environment_file, launching, managers, users
from tidegate_agent.app import App
from tidegate_agent.errors import NodeError, ServiceError
from tidegate_agent.health import probe
from tidegate_agent.releases import room_needed
from tidegate_agent.slot import Slot
from tidegate_protos.v1 import agent_pb2 as pb

RESERVE_BYTES = 64 * 1024 * 1024  # left free for what apps and the journal write


async def inspect(app: App, command: pb.Command) -> Slot:
    """Raise unless a release of this size could be prepared and started in the slot, and with
    `probe` unless what it runs is healthy. Returns the slot."""
    asked = command.inspect
    slot = app.slot(asked.slot)
    if not (asked.digest and app.releases.path(asked.digest)):
        _check_room(app, room_needed(asked.artifact_bytes))
    ours = slot.record is not None and slot.record.port == asked.port
    if asked.port and not ours and (holder := app.host.port_holder(asked.port)):
        raise NodeError(f"port {asked.port} is in use by {holder}")
    if asked.HasField("service"):
        await _check_service(app, slot, command.environment, asked.service)
    if asked.probe:
        await _probe(slot, asked.digest)
    return slot


def _check_room(app: App, needed_bytes: int) -> None:
    free, needed = app.host.free_bytes(app.home), needed_bytes + RESERVE_BYTES
    if free < needed:  # but for what gives way to a release
        free += sum(slot.trees.spare_bytes() for slot in app.slots.values())
    if free < needed:
        raise NodeError(
            f"the disk that holds {app.home} has {free:,} bytes free, about {needed:,} are needed"
        )


async def _check_service(app: App, slot: Slot, environment: str, service: pb.Service) -> None:
    kind = app.host.manager(service.manager)
    if kind.check is not None:
        words = {"slot": slot.name, "app": app.name, "environment": environment, "node": slot.node}
        unit = launching.unit_name(service, words)
        await kind.check(managers.Place(slot.folder, slot.output, unit))
    if (user := users.find(service.user)) is not None:
        users.check_way(app.home.parent.parent.parent, user)  # what lies beneath is ours to open
    if service.environment_file:
        environment_file.read(service.environment_file)


async def _probe(slot: Slot, digest: str) -> None:
    """Ask its health check now, so often as failures are forgiven: once healthy is enough. What
    runs has to be the release that is meant (empty: any), not one from before a disk was put
    back."""
    record = slot.record
    if digest and record is not None and record.start.revision.digest != digest:
        raise NodeError(
            f"slot {slot.name} holds release {record.start.version} "
            f"({record.start.revision.digest[:19]}…), not the one that was started there "
            f"({digest[:19]}…): was the node's disk put back to an earlier time?"
        )
    if not await slot.runs():
        raise ServiceError(
            f"slot {slot.name} does not run: {slot.detail or 'nothing was started here'}",
            await slot.tail(),
            blame="release",
        )
    check = slot.check()
    problem: str | None = None
    for attempt in range(check.failures):
        if attempt:
            await asyncio.sleep(check.every_seconds)
        problem = await probe(check)
        if problem is None:
            return
    raise ServiceError(problem or "", await slot.tail(), blame="release")
