"""Service managers: who starts what a slot runs, and ends it. Each is a class with these five
methods and a line in `MANAGERS`; slot.py knows no other word of them.

A handle is what a manager needs to know its service again, also after the agent's restart: a few
strings and numbers, which the journal keeps as JSON. They are called from one task a slot.
"""

from collections.abc import Mapping
from typing import Literal, Protocol

from tidegate_agent import processes
from tidegate_agent.errors import NodeError
from tidegate_agent.processes import Instance, Launch

Handle = Mapping[str, str | int]
Ending = Literal["stopped", "killed", "gone"]


class Manager(Protocol):
    """All raise ServiceError with what went wrong, in a sentence."""

    async def start(self, launch: Launch, token: str) -> Handle:
        """Start it and return as soon as it runs (not: is healthy). The token is in the journal
        before, and a service that carries it is found by it."""

    async def find(self, token: str) -> Handle | None:
        """The running service that was started with this token, if there is one."""

    async def alive(self, handle: Handle) -> bool:
        """Whether just this service runs: not one that was started since, or after a reboot."""

    async def wait(self, handle: Handle) -> int | None:
        """Return once it has ended: its exit code, None where nobody knows it. Several may wait."""

    async def stop(self, handle: Handle, grace_seconds: float) -> Ending:
        """End it and all that descends from it: asked first, killed after the grace; "gone" if it
        had ended before. Cancelled, it can be called again."""


class Processes:
    """The `process` manager: plain children that outlive the agent (processes.py)."""

    async def start(self, launch: Launch, token: str) -> Handle:
        return _handle(processes.spawn(launch, token))

    async def find(self, token: str) -> Handle | None:
        instance = processes.find(token)
        return None if instance is None else _handle(instance)

    async def alive(self, handle: Handle) -> bool:
        return processes.alive(_instance(handle))

    async def wait(self, handle: Handle) -> int | None:
        return await processes.wait_exit(_instance(handle))

    async def stop(self, handle: Handle, grace_seconds: float) -> Ending:
        return await processes.stop(_instance(handle), grace_seconds)


MANAGERS: dict[str, Manager] = {"process": Processes()}


def manager(name: str) -> Manager:
    """Raises NodeError where this agent has no such manager."""
    if name not in MANAGERS:
        known = ", ".join(MANAGERS)
        raise NodeError(
            f"this agent has no service manager {name[:80]!r}, only: {known}; a newer agent may "
            "have it"
        )
    return MANAGERS[name]


def _handle(instance: Instance) -> Handle:
    return {
        "token": instance.token,
        "pid": instance.pid,
        "started_ticks": instance.started_ticks,
        "boot_id": instance.boot_id,
    }


def _instance(handle: Handle) -> Instance:
    return Instance(
        str(handle["token"]),
        int(handle["pid"]),
        int(handle["started_ticks"]),
        str(handle["boot_id"]),
    )
