"""The releases of one app on this node: immutable directories, made from artifacts by digest.

    releases/HEX/            the tree, exactly the archive's content, never changed afterwards
    releases/HEX.ok          the marker: the tree is complete and durable; written last
    releases/.HEX.part       a download, which the next attempt resumes
    releases/.HEX.*.tmp      a tree or marker in the making

A tree without its marker counts for nothing: a crash at any moment costs the work since the last
durable name and no more. Used by app.py and commands.py.
"""

import asyncio
import contextlib
import json
import logging
import os
import re
import secrets
import shutil
import signal
import sys
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tidegate_agent.errors import ArtifactError
from tidegate_agent.fetch import Fetch, Patience, disk_errors
from tidegate_protos.rules import DIGEST

log = logging.getLogger(__name__)

ENTRY = re.compile(r"\.?(?P<name>[0-9a-f]{64})(?P<rest>|\.ok|\.part|\.\w+\.tmp)")
UNPACK_FACTOR = 4  # archive and tree together, in sizes of the archive, where nobody knows better
STOP_SECONDS = 30.0  # how much longer than its own deadline the child may take, to sync the disk
OUTPUT_TAIL = 2000
# Isolated and without site-packages, which saves half of Python's start; so the package is found
# by its folder, be it a source tree or an installed wheel, after the standard library.
START_UNPACK = (
    "import sys; sys.path.append(sys.argv.pop(1)); "
    "from tidegate_agent.unpack import main; sys.exit(main())"
)
PACKAGE_FOLDER = str(Path(__file__).resolve().parent.parent)

T = TypeVar("T")


@dataclass(frozen=True)
class UnpackLimits:
    """What one release may take. The child process enforces them."""

    max_bytes: int = 8 << 30
    max_members: int = 200_000
    max_path: int = 1024
    max_seconds: float = 600.0


def ignore(*_: object) -> None:
    """Nobody asked."""


class Releases:
    """`root` is the app's folder, `apps/APP`. One Releases a folder and process."""

    def __init__(
        self,
        root: Path,
        limits: UnpackLimits | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._folder = root / "releases"
        self._limits = limits or UnpackLimits()
        self._patience = patience or Patience()
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    def path(self, digest: str) -> Path | None:
        """The release's tree, or None unless it is complete. Raises ArtifactError: no digest."""
        return self._complete(hex_of(digest))

    def unpacked_bytes(self, digest: str) -> int:
        """How many bytes the files of a complete release have: what a copy of it takes."""
        marker = self._marker(hex_of(digest))
        return int(json.loads(marker.read_text())["bytes"]) if marker.is_file() else 0

    def sweep(self) -> None:
        """Remove what a crash left, before anything is prepared. Downloads stay, to be resumed."""
        if not self._folder.is_dir():
            return
        for entry in self._folder.iterdir():
            if not (known := ENTRY.fullmatch(entry.name)):
                continue
            is_wanted = self._complete(known["name"]) is not None
            if known["rest"] == ".part":
                is_wanted = not is_wanted
            if not is_wanted or known["rest"].endswith(".tmp"):
                remove(entry)

    async def prepare(
        self,
        digest: str,
        size_bytes: int,
        url: Callable[[], str],
        progress: Callable[[int, int], None] | None = None,
        *,
        note: Callable[[str], None] | None = None,
        unpacked_bytes: int | None = None,
    ) -> Path:
        """The release's tree: at once if it is complete, else fetched, verified and unpacked.

        `url` is asked before each attempt; network trouble is retried until the caller cancels,
        with a sentence to `note` each time. `progress` gets (bytes so far, size_bytes).
        Raises ArtifactError, and then nothing of the release is left. A cancelled call leaves at
        most a download that the next one resumes.
        """
        name = hex_of(digest)
        if size_bytes <= 0:
            raise ArtifactError(f"an artifact of {size_bytes} bytes cannot be")
        lock = self._locks.setdefault(name, asyncio.Lock())
        async with lock:
            if (tree := self._complete(name)) is not None:
                return tree
            try:
                needed = room_needed(size_bytes, unpacked_bytes) - size_bytes
                with disk_errors("preparing the release", self._folder, size_bytes + needed):
                    await to_the_end(asyncio.to_thread(self._make_room, name, size_bytes, needed))
                    fetch = Fetch(self._part(name), name, size_bytes, self._patience)
                    await fetch.run(url, progress or ignore, note or ignore)
                    return await self._unpack_and_publish(name)
            except ArtifactError:
                with contextlib.suppress(OSError):
                    self._part(name).unlink()
                raise

    def _complete(self, name: str) -> Path | None:
        tree = self._folder / name
        return tree if self._marker(name).is_file() and tree.is_dir() else None

    def _marker(self, name: str) -> Path:
        return self._folder / f"{name}.ok"

    def _part(self, name: str) -> Path:
        return self._folder / f".{name}.part"

    def _make_room(self, name: str, size_bytes: int, unpacked_bytes: int) -> None:
        """Take away what an earlier attempt left, and look whether the disk can hold the rest."""
        self._folder.mkdir(parents=True, exist_ok=True)
        leftovers = [*self._folder.glob(f".{name}.*.tmp"), self._marker(name), self._folder / name]
        for leftover in leftovers:
            remove(leftover)
        with contextlib.suppress(FileNotFoundError):
            size_bytes = max(0, size_bytes - self._part(name).stat().st_size)
        free, needed = shutil.disk_usage(self._folder).free, size_bytes + unpacked_bytes
        if free < needed:
            raise ArtifactError(
                f"not enough disk for the release: {free} bytes free, about {needed} needed"
            )

    async def _unpack_and_publish(self, name: str) -> Path:
        temporary = self._folder / f".{name}.{secrets.token_hex(4)}.tmp"
        try:
            content = await self._unpack(self._part(name), temporary)
            await to_the_end(asyncio.to_thread(self._publish, name, temporary, content))
        finally:
            if temporary.exists():
                await to_the_end(asyncio.to_thread(remove, temporary))
        return self._folder / name

    def _publish(self, name: str, temporary: Path, content: str) -> None:
        """The child synced the tree, so each name here shows only what is durable already."""
        temporary.rename(self._folder / name)
        sync_folder(self._folder)
        marker = self._folder / f".{name}.ok.tmp"
        with marker.open("w") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        marker.rename(self._marker(name))
        sync_folder(self._folder)
        remove(self._part(name))

    async def _unpack(self, archive: Path, tree: Path) -> str:
        """Run the child. Its answer as JSON text: the number of files and of bytes."""
        limits = self._limits
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-c", START_UNPACK, PACKAGE_FOLDER, archive, tree),
            *("--max-bytes", str(limits.max_bytes), "--max-members", str(limits.max_members)),
            *("--max-path", str(limits.max_path), "--max-seconds", str(limits.max_seconds)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C at the agent's terminal is the agent's to answer
        )
        try:
            async with asyncio.timeout(limits.max_seconds + STOP_SECONDS):
                output, errors = await process.communicate()
        except TimeoutError:
            raise ArtifactError(
                f"unpacking and syncing took more than {limits.max_seconds + STOP_SECONDS:g} s"
            ) from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await to_the_end(process.wait())
        if process.returncode == 0:
            return output.decode()
        try:
            text = json.loads(output)["error"]
        except (ValueError, KeyError):
            text = f"the unpacking process failed: {ending(process.returncode or 0)}"
        raise ArtifactError(text, errors.decode(errors="replace")[-OUTPUT_TAIL:])


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


def ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"


def sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def remove(path: Path) -> None:
    """A file, link or whole folder, if it is there. What resists is logged and counts as gone."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("cannot remove %s: %s", path, error)


async def to_the_end(work: Awaitable[T]) -> T:
    """Let the work end although the caller is cancelled meanwhile, and only then pass that on.

    Otherwise a thread could still be renaming while the next `prepare` clears the same names.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        with contextlib.suppress(BaseException):  # read, so that asyncio does not report it
            task.result()
        raise cancelled
    return task.result()
