"""The trees of a slot's own: copies of releases that scripts and the app's user may change.

    slots/SLOT/release -> ../../releases/HEX or tree-HEX-RANDOM    what runs there, or ran last
    slots/SLOT/next    -> tree-HEX-RANDOM                          what was prepared last
    slots/SLOT/tree-HEX-RANDOM/        the copy
    slots/SLOT/tree-HEX-RANDOM.json    what it was made for; there before any link is

A tree that neither link names, nor a note of what was held before (former.py), counts for nothing.
Used by cleaning.py, preparation.py and slot.py.
"""

import asyncio
import json
import logging
import os
import re
import secrets
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

from tidegate_agent import durable, links
from tidegate_agent.copying import copy_tree
from tidegate_agent.former import Formers
from tidegate_agent.releases import hex_of, remove
from tidegate_agent.retention import Tally, disk_bytes, removed
from tidegate_agent.tree import sync_disk
from tidegate_agent.users import User
from tidegate_protos.folders import sync_folder
from tidegate_protos.threads import to_the_end
from tidegate_protos.v1 import agent_pb2 as pb

log = logging.getLogger(__name__)

NEXT, RELEASE = "next", "release"
SHARED = re.compile(r"\.\./\.\./releases/([0-9a-f]{64})\b")
TREE = re.compile(r"tree-[0-9a-f]{64}-[0-9a-f]{8}")


@dataclass(frozen=True)
class Purpose:
    """What a tree was made for. `told`: a script has seen the port, so it must stay this one.
    `command` is the id of the command that made it ready."""

    digest: str
    config: str
    port: int
    told: bool
    command: str

    def is_for(self, revision: pb.Revision) -> bool:
        return (self.digest, self.config) == (revision.digest, revision.config)


@dataclass(frozen=True)
class Tree:
    path: Path
    purpose: Purpose


class Trees:
    """`folder` is the slot's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.formers = Formers(folder)

    def next(self) -> Tree | None:
        """The one that was prepared last."""
        return self._named_by(NEXT)

    def of(self, revision: pb.Revision) -> Tree | None:
        """The one to start this revision from: the one prepared last, or that of the last start."""
        for name in (NEXT, RELEASE):
            tree = self._named_by(name)
            if tree is not None and tree.purpose.is_for(revision):
                return tree
        return None

    def digests(self) -> set[str]:
        """The hex digits of the releases that the links and notes lead to, by a copy or not."""
        targets = " ".join(self._targets())
        return set(re.findall(r"\b[0-9a-f]{64}\b", targets))

    def releases(self) -> set[str]:
        """The hex digits of those releases that themselves are what a link or note leads to."""
        return {found[1] for target in self._targets() if (found := SHARED.match(target))}

    def spare_bytes(self) -> int:
        """What the trees take that only wait to be backed up: a release that needs room gets it."""
        spare = {former.held for former in self.formers.all()} - self._linked()
        return sum(disk_bytes(self._folder / name) for name in spare if TREE.fullmatch(name))

    async def make(self, digest: str, release: Path, owner: User | None) -> Path:
        """A new copy of the release. Raises OSError; nothing is left of it then."""
        durable.make_folder(self._folder)
        tree = self._folder / f"tree-{hex_of(digest)}-{secrets.token_hex(4)}"
        call_off = threading.Event()
        copying = asyncio.create_task(asyncio.to_thread(copy_tree, release, tree, owner, call_off))
        try:
            await asyncio.shield(copying)
        except BaseException:
            call_off.set()
            await to_the_end(asyncio.wait([copying]))
            await self.discard(tree)
            raise
        return tree

    async def publish(self, path: Path, purpose: Purpose) -> None:
        """Let `next` name it, once it is durable with all that scripts have written there."""
        await to_the_end(asyncio.to_thread(self._publish, path, purpose))

    async def discard(self, path: Path) -> None:
        await to_the_end(asyncio.to_thread(remove, path))
        remove(path.with_name(f"{path.name}.json"))

    def withdraw(self) -> None:
        """Nothing is prepared any more."""
        if self._link(NEXT).is_symlink():
            self._link(NEXT).unlink()
            sync_folder(self._folder)

    def sweep(self) -> Tally:
        """Remove what neither link names, and no note; what a crash has left, and what was
        replaced."""
        tally = Tally()
        if not self._folder.is_dir():
            return tally
        links.sweep(self._folder)
        self.formers.sweep()
        named = self._targets()
        for entry in list(self._folder.iterdir()):
            name = entry.name.removesuffix(".tmp").removesuffix(".json")
            if TREE.fullmatch(name) and (name not in named or entry.name.endswith(".tmp")):
                if entry.name == name:
                    tally.remove("copy", f"sha256:{name.split('-')[1]}", entry)
                elif problem := removed(entry):
                    tally.problems.append(problem)
        return tally

    def _publish(self, path: Path, purpose: Purpose) -> None:
        _sync_disk(path)
        told = self._folder / f"{path.name}.json"
        durable.write(told, json.dumps(asdict(purpose)), told.with_name(f"{told.name}.tmp"))
        links.replace(self._link(NEXT), path.name)

    def _targets(self) -> set[str]:
        return self._linked() | {former.held for former in self.formers.all()}

    def _linked(self) -> set[str]:
        all_links = (self._link(NEXT), self._link(RELEASE))
        return {os.readlink(link) for link in all_links if link.is_symlink()}

    def _named_by(self, name: str) -> Tree | None:
        link = self._link(name)
        if not link.is_symlink() or not TREE.fullmatch(target := os.readlink(link)):
            return None
        path = self._folder / target
        try:
            purpose = Purpose(**json.loads(path.with_name(f"{target}.json").read_text()))
        except (OSError, ValueError, TypeError):
            log.exception("nobody can tell what %s was made for", path)
            return None
        return Tree(path, purpose) if path.is_dir() else None

    def _link(self, name: str) -> Path:
        return self._folder / name


def _sync_disk(folder: Path) -> None:
    """All that was written on this file system: scripts may have written anywhere in the tree."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if not sync_disk(fd):
            os.sync()
    finally:
        os.close(fd)
