"""What each command does on this node. To add one: a message in `agent.proto`, a handler here.

A handler may be cancelled at any await and run again after a crash: each goes on from what it
finds. It raises `AgentError` when it fails, and returns the slot whose state goes with the result.
"""

from collections.abc import Awaitable, Callable

from tidegate_agent.app import App
from tidegate_agent.errors import AgentError
from tidegate_agent.slot import Slot
from tidegate_protos.v1 import agent_pb2 as pb


async def inspect(app: App, command: pb.Command) -> Slot:
    app.inspect(command.inspect)
    return app.slot(command.inspect.slot)


async def prepare_slot(app: App, command: pb.Command) -> Slot:
    prepare = command.prepare_slot
    slot = app.slot(prepare.slot)
    artifact = prepare.artifact
    await app.releases.prepare(
        artifact.digest, artifact.size_bytes, lambda: command.prepare_slot.artifact.url
    )
    return slot


async def start_slot(app: App, command: pb.Command) -> Slot:
    start = command.start_slot
    slot = app.own_slot(start.slot, command.environment)
    if start.service.manager != "process":
        raise AgentError(f"this agent has no service manager {start.service.manager!r}")
    release = app.releases.path(start.revision.digest)
    if release is None:
        raise AgentError(f"release {start.revision.digest} was not prepared on this node")
    taken = {other.record.port for other in app.slots.values() if other.record}
    await slot.start(app.name, command.environment, start, release, taken)
    return slot


async def switch_slot(app: App, command: pb.Command) -> Slot:
    if command.switch_slot.lease_seconds:
        raise AgentError("this agent cannot move traffic itself, so it gives no lease")
    app.switch(command.switch_slot.slot, command.environment)
    return app.slot(command.switch_slot.slot)


async def stop_slot(app: App, command: pb.Command) -> Slot:
    slot = app.own_slot(command.stop_slot.slot, command.environment)
    await slot.stop(command.stop_slot.grace_seconds)
    return slot


HANDLERS: dict[str, Callable[[App, pb.Command], Awaitable[Slot]]] = {
    "inspect": inspect,
    "prepare_slot": prepare_slot,
    "start_slot": start_slot,
    "switch_slot": switch_slot,
    "stop_slot": stop_slot,
}
