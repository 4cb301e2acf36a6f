"""One app on this node: its releases, its two slots, and the `current` link."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from tidegate_agent import links
from tidegate_agent.backups import Backups
from tidegate_agent.durable import make_folder, settle
from tidegate_agent.errors import ServiceError
from tidegate_agent.host import THIS, Host
from tidegate_agent.journal import Journal, SlotRecord
from tidegate_agent.releases import Releases
from tidegate_agent.slot import Slot
from tidegate_protos.v1 import agent_pb2 as pb

log = logging.getLogger(__name__)

SLOTS = ("blue", "green")


class App:
    """`home` is the folder of the app, `apps/NAME` in the agent's data folder; `backups` is for the
    backups of all apps."""

    def __init__(
        self,
        journal: Journal,
        node: str,
        home: Path,
        on_change: Callable[["App", Slot], None],
        backups: Path,
        host: Host = THIS,
    ) -> None:
        make_folder(home)
        self.name = home.name
        self.host = host
        self.releases = Releases(home, host=host, held=self._held)
        links.sweep(home)
        self.home = home
        self.backups = Backups(backups / home.name, node)
        self.backups.sweep()
        self._on_change = on_change
        self.slots = {
            name: Slot(journal, node, home, name, self._slot_changed, host) for name in SLOTS
        }
        self.releases.sweep()
        for slot in self.slots.values():
            slot.trees.sweep()
        settle(home.parent, home, home / "releases", home / "slots")
        settle(*(slot.folder for slot in self.slots.values()))

    def _held(self) -> set[str]:
        return set().union(*(slot.trees.releases() for slot in self.slots.values()))

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
        """The ports that the other slots have, or were prepared to have."""
        found = set()
        for other in self.slots.values():
            if other is not slot:
                found |= {other.record.port} if other.record is not None else set()
                ready = other.trees.next()
                found |= {ready.purpose.port} if ready is not None else set()
        return found

    async def recover(self, records: list[SlotRecord]) -> None:
        """After a start of the agent: take up what each slot was running."""
        await asyncio.gather(*(self.slots[record.slot].recover(record) for record in records))
        self._mend_current()

    def _mend_current(self) -> None:
        """A `current` that names no release any more names the slot that serves, where that is
        beyond doubt. It is said in any case, and is no reason not to look after what runs."""
        if not (broken := self.broken_current()):
            return
        serving = [slot for slot in self.slots.values() if _serves(slot)]
        try:
            if len(serving) == 1:
                links.replace(self.home / "current", f"slots/{serving[0].name}")
                log.warning("%s; it names slots/%s again", broken, serving[0].name)
            else:
                log.warning("%s; the next switch mends it", broken)
        except OSError as error:
            log.warning("%s, and cannot be mended: %s", broken, error)

    def broken_current(self) -> str:
        """In words, that `current` leads nowhere; empty when it does not."""
        link = self.home / "current"
        if target := links.leads_nowhere(link):
            return f"the link {link} leads nowhere: {target} is gone"
        for slot in self.slots.values():
            if slot.is_current() and not _has_release(slot):
                return f"the link {link} leads nowhere: {slot.name} holds no release"
        return ""

    async def leave(self) -> None:
        for slot in self.slots.values():
            await slot.unkeep()

    async def states(self) -> list[pb.SlotState]:
        return [await slot.state() for slot in self.slots.values() if slot.record is not None]

    async def switch(self, name: str, environment: str) -> Slot:
        """Let `current` name the slot."""
        slot = await self.own_slot(name, environment)
        if not _has_release(slot):
            raise ServiceError(f"slot {name} holds no release")
        broken = self.broken_current()
        links.replace(self.home / "current", f"slots/{name}")
        if broken:
            log.warning("%s; it names slots/%s now", broken, name)
        return slot


def _has_release(slot: Slot) -> bool:
    return (slot.folder / "release").exists()


def _serves(slot: Slot) -> bool:
    """Whether it has been healthy with what it holds, and shall go on with it."""
    return slot.record is not None and slot.record.phase == "wanted" and _has_release(slot)
