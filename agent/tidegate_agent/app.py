"""One app on this node: its releases, its two slots, and the `current` link."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

from tidegate_agent import ports
from tidegate_agent.errors import ServiceError
from tidegate_agent.journal import Journal, SlotRecord
from tidegate_agent.releases import Releases
from tidegate_agent.slot import Slot, replace_link
from tidegate_protos.v1 import agent_pb2 as pb

SLOTS = ("blue", "green")
UNPACK_FACTOR = 4  # an artifact unpacks to about so many times its size
DISK_RESERVE_BYTES = 64 * 1024 * 1024


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

    def own_slot(self, name: str, environment: str) -> Slot:
        """The slot, unless it serves another environment. Raises `ServiceError` then."""
        slot = self.slot(name)
        holder = slot.record.environment if slot.record else environment
        if holder != environment and slot.runs():
            raise ServiceError(f"slot {name} on this node serves environment {holder}")
        return slot

    async def recover(self, records: list[SlotRecord]) -> None:
        """After a start of the agent: take up what each slot was running."""
        await asyncio.gather(*(self.slots[record.slot].recover(record) for record in records))

    async def leave(self) -> None:
        for slot in self.slots.values():
            await slot.unkeep()

    def states(self) -> list[pb.SlotState]:
        return [slot.state() for slot in self.slots.values() if slot.record is not None]

    def inspect(self, inspect: pb.Inspect) -> None:
        """Raise unless a release of this size could be prepared and started in the slot."""
        slot = self.slot(inspect.slot)
        free = shutil.disk_usage(self._home).free
        needed = inspect.artifact_bytes * (1 + UNPACK_FACTOR) + DISK_RESERVE_BYTES
        if free < needed:
            raise ServiceError(
                f"the disk that holds {self._home} has {free:,} bytes free, "
                f"about {needed:,} are needed"
            )
        ours = slot.record is not None and slot.record.port == inspect.port
        if inspect.port and not ours and (holder := ports.holder(inspect.port)):
            raise ServiceError(f"port {inspect.port} is in use by {holder}")

    def switch(self, name: str, environment: str) -> None:
        """Let `current` name the slot."""
        slot = self.own_slot(name, environment)
        if not (slot.folder / "release").exists():
            raise ServiceError(f"slot {name} holds no release")
        replace_link(self._home / "current", f"slots/{name}")
