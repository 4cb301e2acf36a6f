"""One app on this node: its releases, its two slots, and the `current` link."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

from tidegate_agent import environment_file, links, managers, ports, users
from tidegate_agent.errors import NodeError, ServiceError
from tidegate_agent.journal import Journal, SlotRecord
from tidegate_agent.releases import Releases, room_needed
from tidegate_agent.slot import Slot
from tidegate_protos.v1 import agent_pb2 as pb

SLOTS = ("blue", "green")
DISK_RESERVE_BYTES = 64 * 1024 * 1024  # left free for what apps and the journal write


class App:
    """`home` is the folder of the app, `apps/NAME` in the agent's data folder."""

    def __init__(
        self, journal: Journal, node: str, home: Path, on_change: Callable[["App", Slot], None]
    ) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.name = home.name
        self.releases = Releases(home)
        self.releases.sweep()
        self._home = home
        self._on_change = on_change
        self.slots = {name: Slot(journal, node, home, name, self._slot_changed) for name in SLOTS}

    def _slot_changed(self, slot: Slot) -> None:
        self._on_change(self, slot)

    def slot(self, name: str) -> Slot:
        if name not in self.slots:
            raise ServiceError(f"there is no slot {name[:80]!r}; slots: {', '.join(SLOTS)}")
        return self.slots[name]

    async def own_slot(self, name: str, environment: str) -> Slot:
        """The slot, unless it serves another environment. Raises `ServiceError` then."""
        slot = self.slot(name)
        holder = slot.record.environment if slot.record else environment
        if holder != environment and await slot.runs():
            raise ServiceError(f"slot {name} on this node serves environment {holder}")
        return slot

    def ports_but(self, slot: Slot) -> set[int]:
        """The ports of the other slots."""
        others = [other for other in self.slots.values() if other is not slot]
        return {other.record.port for other in others if other.record is not None}

    async def recover(self, records: list[SlotRecord]) -> None:
        """After a start of the agent: take up what each slot was running."""
        await asyncio.gather(*(self.slots[record.slot].recover(record) for record in records))

    async def leave(self) -> None:
        for slot in self.slots.values():
            await slot.unkeep()

    async def states(self) -> list[pb.SlotState]:
        return [await slot.state() for slot in self.slots.values() if slot.record is not None]

    async def inspect(self, inspect: pb.Inspect) -> None:
        """Raise unless a release of this size could be prepared and started in the slot, and with
        `probe` unless what it runs is healthy."""
        slot = self.slot(inspect.slot)
        if not (inspect.digest and self.releases.path(inspect.digest)):
            self._check_room(room_needed(inspect.artifact_bytes))
        ours = slot.record is not None and slot.record.port == inspect.port
        if inspect.port and not ours and (holder := ports.holder(inspect.port)):
            raise NodeError(f"port {inspect.port} is in use by {holder}")
        if inspect.HasField("service"):
            self._check_service(inspect.service)
        if inspect.probe:
            await slot.probe()

    def _check_room(self, needed_bytes: int) -> None:
        free = shutil.disk_usage(self._home).free
        needed = needed_bytes + DISK_RESERVE_BYTES
        if free < needed:
            raise NodeError(
                f"the disk that holds {self._home} has {free:,} bytes free, "
                f"about {needed:,} are needed"
            )

    def _check_service(self, service: pb.Service) -> None:
        managers.manager(service.manager)
        if (user := users.find(service.user)) is not None:
            users.open_way(self._home, self._home.parent.parent)
            users.check_way(self._home, user)
        if service.environment_file:
            environment_file.read(service.environment_file)

    async def switch(self, name: str, environment: str) -> Slot:
        """Let `current` name the slot."""
        slot = await self.own_slot(name, environment)
        if not (slot.folder / "release").exists():
            raise ServiceError(f"slot {name} holds no release")
        links.replace(self._home / "current", f"slots/{name}")
        return slot
