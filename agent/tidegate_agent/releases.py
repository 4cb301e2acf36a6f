"""The releases of one app on this node: immutable directories, made from artifacts by digest.

    releases/HEX/            the tree, exactly the archive's content, never changed afterwards
    releases/HEX.ok          the marker: the tree is complete and durable; written last; its time
                             is that of the last preparation
    releases/.HEX.part       a download, which the next attempt resumes
    releases/.HEX.*.tmp      a tree or marker in the making

A tree without its marker counts for nothing: a crash at any moment costs the work since the last
durable name and no more. Only where a slot's link leads to it, it was complete, and its marker is
damaged or of a newer agent: it stays as it is, and the next preparation makes its marker anew. Used
by app.py and commands.py.

An archive often has a folder around everything, such as app-1.2/. The tree has it too, and the
release that a slot gets is the folder in it: one folder is left out where it holds all the rest
and no link leads out of it, or as many as `strip_components` says. Two revisions may have the same
artifact and say so differently: each gets its own folder of the one tree.
"""

import asyncio
import contextlib
import json
import logging
import os
import re
import secrets
import shutil
import weakref
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

from tidegate_agent import durable
from tidegate_agent.errors import ArtifactError
from tidegate_agent.fetch import Patience, disk_errors
from tidegate_agent.host import THIS, Host
from tidegate_protos.archives.contents import Limits
from tidegate_protos.folders import sync_folder
from tidegate_protos.rules import DIGEST
from tidegate_protos.threads import to_the_end

log = logging.getLogger(__name__)

ENTRY = re.compile(r"\.?(?P<name>[0-9a-f]{64})(?P<rest>|\.ok|\.part|\.\w+\.tmp)")
OTHERS_MAX = 64  # revisions of one artifact that leave out other folders than its first one
UNPACK_FACTOR = 4  # archive and tree together, in sizes of the archive, where nobody knows better


@dataclass(frozen=True)
class _Marker:
    """What is known of a complete tree. `strip_components`: as it was first asked for; `others`:
    by those who asked for something else, by the `config` of their revisions."""

    files: int
    bytes: int
    folders: tuple[str, ...] = ()
    strip_components: int | None = None
    others: Mapping[str, int | None] = field(default_factory=dict)

    def asked(self, config: str, count: int | None) -> "_Marker":
        others = {other: self.others[other] for other in self.others if other != config}
        if count != self.strip_components:
            others[config] = count
        return replace(self, others=dict([*others.items()][-OTHERS_MAX:]))

    def root(self, tree: Path, config: str) -> Path:
        """The folder that a slot gets. Raises ArtifactError where there are not so many."""
        count = self.others.get(config, self.strip_components)
        if count is None:
            count = min(1, len(self.folders))
        if count > len(self.folders):
            around = "/".join(self.folders)
            has = f"only {around!r} is" if around else "it has none"
            raise ArtifactError(
                f"strip_components = {count}: so many folders, one in the other, would have to be "
                f"around everything in the artifact, but {has}"
            )
        return tree.joinpath(*self.folders[:count])


class Releases:
    """`root` is the app's folder, `apps/APP`; `held` tells the hex digits of the releases that
    slots' links lead to. One Releases a folder and process."""

    def __init__(
        self,
        root: Path,
        limits: Limits | None = None,
        patience: Patience | None = None,
        host: Host = THIS,
        held: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self._host = host
        self._held = held
        self._folder = root / "releases"
        self._limits = limits or Limits()
        self._patience = patience or Patience()
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    def path(self, digest: str, config: str = "") -> Path | None:
        """The release as it was prepared for the revision with this `config`, or None unless it is
        complete.

        Raises ArtifactError for what is no digest, or where the disk cannot be read.
        """
        name = hex_of(digest)
        with disk_errors("reading the release", self._folder, 0):
            marker = self._complete(name)
        return marker.root(self._folder / name, config) if marker else None

    def unpacked_bytes(self, digest: str) -> int:
        """How many bytes the files of a complete release have: what a copy of it takes."""
        with disk_errors("reading the release", self._folder, 0):
            marker = self._complete(hex_of(digest))
        return marker.bytes if marker else 0

    def sweep(self) -> None:
        """Remove what a crash left, before anything is prepared. Downloads stay, to be resumed."""
        if not self._folder.is_dir():
            return
        held = self._held()
        for entry in self._folder.iterdir():
            if not (known := ENTRY.fullmatch(entry.name)):
                continue
            is_wanted = self._complete(known["name"]) is not None
            if known["rest"] == ".part":
                is_wanted = not is_wanted
            elif known["name"] in held:
                is_wanted = True
            if not is_wanted or known["rest"].endswith(".tmp"):
                remove(entry)

    async def prepare(
        self,
        digest: str,
        size_bytes: int,
        url: Callable[[], str],
        progress: Callable[[int, int], None] = lambda _done, _size: None,
        *,
        note: Callable[[str], None] = lambda _sentence: None,
        config: str = "",
        strip_components: int | None = None,
        unpacked_bytes: int | None = None,
    ) -> Path:
        """The release: at once if it is complete, else fetched, verified and unpacked. What is
        asked for the revision with this `config` is what `path` answers for it from then on.

        `url` is asked before each attempt; network trouble is retried until the caller cancels,
        with a sentence to `note` each time. `progress` gets (bytes so far, size_bytes).
        Raises ArtifactError; what is incomplete then is gone. A cancelled call leaves at most a
        download that the next one resumes.
        """
        name = hex_of(digest)
        if size_bytes <= 0:
            raise ArtifactError(f"an artifact of {size_bytes} bytes cannot be")
        lock = self._locks.setdefault(name, asyncio.Lock())
        async with lock:
            needed = room_needed(size_bytes, unpacked_bytes) - size_bytes
            try:
                with disk_errors("preparing the release", self._folder, size_bytes + needed):
                    marker = self._complete(name)
                    if marker is not None:  # perhaps by an attempt that failed to sync it
                        await to_the_end(asyncio.to_thread(sync_folder, self._folder))
                    else:
                        room = asyncio.to_thread(self._make_room, name, size_bytes, needed)
                        await to_the_end(room)
                        part, patience = self._part(name), self._patience
                        await self._host.fetch(
                            part, name, size_bytes, patience, url, progress, note
                        )
                        marker = await self._unpack_and_publish(name)
                        marker = replace(marker, strip_components=strip_components)
                    marker = marker.asked(config, strip_components)
                    release = marker.root(self._folder / name, config)
                    await to_the_end(asyncio.to_thread(self._mark, name, marker))
                    return release
            except ArtifactError:
                with contextlib.suppress(OSError):
                    self._part(name).unlink()
                raise

    # --- On disk ------------------------------------------------------------------------------

    def _complete(self, name: str) -> _Marker | None:
        try:
            told = json.loads(self._marker(name).read_bytes())
            known = {one.name: told[one.name] for one in fields(_Marker) if one.name in told}
            folders, others = tuple(known.get("folders", ())), dict(known.get("others", {}))
            marker = _Marker(**{**known, "folders": folders, "others": others})
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, AttributeError) as error:
            log.warning("the marker of release %s cannot be read: %s", name, error)
            return None
        return marker if (self._folder / name).is_dir() else None

    def _marker(self, name: str) -> Path:
        return self._folder / f"{name}.ok"

    def _part(self, name: str) -> Path:
        return self._folder / f".{name}.part"

    def _make_room(self, name: str, size_bytes: int, unpacked_bytes: int) -> None:
        """Take away what an earlier attempt left, and look whether the disk can hold the rest."""
        durable.make_folder(self._folder)
        leftovers = [*self._folder.glob(f".{name}.*.tmp")]
        if name not in self._held():
            leftovers += [self._marker(name), self._folder / name]
        for leftover in leftovers:
            remove(leftover)
        with contextlib.suppress(FileNotFoundError):
            size_bytes = max(0, size_bytes - self._part(name).stat().st_size)
        free, needed = self._host.free_bytes(self._folder), size_bytes + unpacked_bytes
        if free < needed:
            raise ArtifactError(
                f"not enough disk for the release: {free:,} bytes free in {self._folder}, "
                f"about {needed:,} needed"
            )

    async def _unpack_and_publish(self, name: str) -> _Marker:
        temporary = self._folder / f".{name}.{secrets.token_hex(4)}.tmp"
        try:
            unpacked = await self._host.unpack(self._part(name), temporary, self._limits)
            marker = _Marker(unpacked.files, unpacked.bytes, unpacked.folders)
            await to_the_end(asyncio.to_thread(self._publish, name, temporary, marker))
        finally:
            if temporary.exists():
                await to_the_end(asyncio.to_thread(remove, temporary))
        return marker

    def _publish(self, name: str, temporary: Path, marker: _Marker) -> None:
        """The child synced the tree, so each name here shows only what is durable already. A tree
        that a slot serves from has the same content, and is left in its place."""
        tree = self._folder / name
        serves = tree.is_dir() and name in self._held()
        try:
            if not serves:
                temporary.rename(tree)
                sync_folder(self._folder)
            self._write(name, marker)
        except OSError:
            # With its marker it is complete, and the marker stays true.
            if not serves and not self._marker(name).exists():
                remove(tree)
            raise
        remove(self._part(name))

    def _mark(self, name: str, marker: _Marker) -> None:
        """Remember what was asked for and when: who cleans up keeps the newest."""
        if marker != self._complete(name):
            self._write(name, marker)
        os.utime(self._marker(name))

    def _write(self, name: str, marker: _Marker) -> None:
        temporary = self._folder / f".{name}.ok.tmp"
        known = asdict(marker)
        if not marker.others:  # an agent from before there were any reads it too
            del known["others"]
        durable.write(self._marker(name), json.dumps(known), temporary)


def room_needed(size_bytes: int, unpacked_bytes: int | None = None) -> int:
    """How many free bytes an artifact of this size takes until it is a release: its archive and
    its tree beside each other."""
    if unpacked_bytes is None:
        return size_bytes * UNPACK_FACTOR
    return size_bytes + unpacked_bytes


def hex_of(digest: str) -> str:
    """The hex digits of a digest; nothing else ever becomes part of a path here."""
    if not (found := DIGEST.fullmatch(digest)):
        raise ArtifactError(f"{digest[:80]!r} is no digest: sha256: and 64 digits 0-9a-f")
    return found[1]


def remove(path: Path) -> None:
    """A file, link or whole folder, if it is there. What resists is logged and counts as gone."""
    try:
        if not path.is_dir() or path.is_symlink():
            path.unlink(missing_ok=True)
            return
        try:
            shutil.rmtree(path)
        except PermissionError:
            _make_writable(path)
            shutil.rmtree(path)
    except OSError as error:
        log.warning("cannot remove %s: %s", path, error)


def _make_writable(tree: Path) -> None:
    """Its folders, for their owner: some tools take that away, as Go does in its module cache, and
    then nothing can be removed from them."""
    tree.chmod(0o700)
    for folder, names, _ in os.walk(tree):  # each is read after it has been made readable here
        for inner in (Path(folder, name) for name in names):
            with contextlib.suppress(OSError):  # not ours; the removal says so
                if not inner.is_symlink():
                    inner.chmod(0o700)
