"""What a slot held before: noted when something else takes its place, so that it stays until it
was backed up.

    slots/SLOT/former-XXXXXXXX.json    one note, named by what was held

Written by slot.py, counted by trees.py among what is in use, done with by cleaning.py.
"""

import hashlib
import json
import logging
import os
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from tidegate_agent import durable
from tidegate_agent.journal import SlotRecord
from tidegate_agent.releases import remove
from tidegate_protos.folders import sync_folder

log = logging.getLogger(__name__)

NOTE = re.compile(r"former-[0-9a-f]{8}\.json")
NOTES_MAX = 3  # of a slot: where nobody ever cleans up, the disk is not to fill


@dataclass(frozen=True)
class Former:
    """`held`: where the slot's `release` led, from the slot's folder. `at`: until when, Unix time.
    The others are of what was started there."""

    held: str
    digest: str
    version: str
    environment: str
    at: float


class Formers:
    """`folder` is the slot's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def all(self) -> list[Former]:
        """Oldest first. A note that cannot be read is logged and left out."""
        found = []
        for path in self._notes():
            try:
                found.append(Former(**json.loads(path.read_text())))
            except (OSError, ValueError, TypeError) as error:
                log.warning("%s cannot be read: %s", path, error)
        return sorted(found, key=lambda former: former.at)

    def note(self, record: SlotRecord, target: str) -> None:
        """The slot, which was told to run what `record` says, is about to hold `target`. That no
        note can be made of it is logged, and no reason not to go on."""
        link, start = self._folder / "release", record.start
        if not link.is_symlink() or (held := os.readlink(link)) == target:
            return
        digest, version = start.revision.digest, start.version
        try:
            self._add(Former(held, digest, version, record.environment, time.time()))
        except OSError:
            log.exception("what %s held until now is not backed up", self._folder)

    def _add(self, former: Former) -> None:
        note = self._note(former)
        durable.write(note, json.dumps(asdict(former)), note.with_name(f"{note.name}.tmp"))
        for old in self.all()[:-NOTES_MAX]:
            log.warning("what %s held until now is not backed up: too much waits", self._folder)
            self.forget(old)

    def forget(self, former: Former) -> None:
        """Raises OSError."""
        self._note(former).unlink(missing_ok=True)
        sync_folder(self._folder)

    def sweep(self) -> None:
        """Remove what a crash left in the making."""
        for path in self._folder.glob("former-*.json.tmp"):
            remove(path)

    def _notes(self) -> list[Path]:
        if not self._folder.is_dir():
            return []
        return [path for path in self._folder.iterdir() if NOTE.fullmatch(path.name)]

    def _note(self, former: Former) -> Path:
        name = hashlib.sha256(former.held.encode()).hexdigest()[:8]
        return self._folder / f"former-{name}.json"
