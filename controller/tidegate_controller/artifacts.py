"""The controller's artifacts: files named by digest, written once.

    HEX            the artifact, whole and true; its time is when it was last asked for
    HEX.json       beside it: where it came from, what it is called, since when it is here
    .*.part        one that is being received; what a crash leaves of it is removed at the start

Filled by `artifact_requests`, served to agents by `artifact_server`.
"""

import asyncio
import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from tidegate_controller.errors import Refused, TidegateError, UsageError
from tidegate_protos.folders import sync_folder
from tidegate_protos.rules import DIGEST
from tidegate_protos.threads import to_the_end

ARTIFACT_BYTES_MAX = 10 * 1024**3
RESERVE_BYTES = 256 * 1024**2  # stay free on the disk, which the event log may share
PRESSURE_BYTES = 4 * RESERVE_BYTES  # with less free than this, nothing is kept that need not be
RECEIVED_AT_ONCE = 4
RECEIVE_SECONDS = 3600.0  # for one artifact
UNUSED_SECONDS = 7 * 86400.0  # so long an artifact stays that no release refers to
YOUNG_SECONDS = 3600.0  # and so long in any case: somebody may be about to deploy it


class Note(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of an artifact beside its content. `url`: where it was fetched from, without
    its query; `added_at`: RFC 3339 in UTC."""

    size_bytes: int = 0
    added_at: str = ""
    name: str = ""
    url: str = ""
    app: str = ""
    version: str = ""
    added_by: str = ""


def digest_of(path: Path) -> str:
    """sha256 of a file's content, as "sha256:<hex>"."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


class ArtifactStore:
    """A folder of files named by their digest. A file that is there is whole and true.

    `make_room`: asked for before anybody is refused for want of room; whoever knows what is needed
    has it call `prune`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.make_room: Callable[[], Awaitable[None]] = _make_no_room
        self._places = asyncio.Semaphore(RECEIVED_AT_ONCE)
        self._coming_bytes = 0  # announced by what is being received, and not yet on the disk
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".*.part"):
            left.unlink()
        for note in folder.glob("*.json"):
            if not note.with_suffix("").exists():
                note.unlink()

    def path(self, digest: str) -> Path | None:
        """The file, or None. Raises `UsageError` for what is no digest."""
        if not DIGEST.fullmatch(digest):
            raise UsageError(f"{digest[:80]!r} is not a digest of the form sha256:<64 hex digits>")
        path = self._folder / digest.removeprefix("sha256:")
        return path if path.is_file() else None

    def note(self, digest: str) -> Note | None:
        """What is known of the artifact; None if it is not here."""
        if (path := self.path(digest)) is None:
            return None
        try:
            return msgspec.json.decode(path.with_suffix(".json").read_bytes(), type=Note)
        except (OSError, msgspec.DecodeError):  # of an older controller, or damaged: no great loss
            status = path.stat()
            return Note(size_bytes=status.st_size, added_at=_rfc3339(status.st_mtime))

    def notes(self) -> dict[str, Note]:
        """Of every artifact that is here, by digest."""
        return {digest: note for digest in self._digests() if (note := self.note(digest))}

    def renew(self, digest: str) -> None:
        """Somebody has asked for the artifact: it is not removed in the next hour."""
        if (path := self.path(digest)) is not None:
            os.utime(path)

    async def receive(
        self, chunks: AsyncIterator[bytes], note: Note, *, digest: str = "", size_bytes: int = 0
    ) -> str:
        """Write, hash, compare, then make it visible; durable on return. Answers the digest.

        `digest` empty, `size_bytes` 0: not known before. Raises `UsageError` for what is not as
        announced, `Refused` where the disk has no room.
        """
        if size_bytes > ARTIFACT_BYTES_MAX:
            raise _too_large()
        async with self._places, self._part() as part:
            found, size = await self._write_chunks(part, chunks, size_bytes)
            if digest not in ("", found):
                raise UsageError(
                    f"the artifact has the digest {found}, not {digest}",
                    "send it again; if it comes from elsewhere, correct its digest",
                )
            whole = msgspec.structs.replace(note, size_bytes=size, added_at=_rfc3339(time.time()))
            await to_the_end(asyncio.to_thread(self._publish, part, found, whole))
        return found

    def relabel(self, digest: str, note: Note) -> None:
        """An artifact that is here already was brought again, perhaps under a name."""
        self.renew(digest)
        known = self.note(digest)
        given = {name: word for name, word in msgspec.structs.asdict(note).items() if word}
        if known is not None and given:
            with self._disk_errors():
                self._write_note(digest, msgspec.structs.replace(known, **given))

    def prune(self, referenced: Collection[str]) -> list[str]:
        """Remove what no release needs; answers the digests removed. Blocks, so call it in a
        thread; nothing of it is missed if it fails.

        Artifacts of `referenced` stay. Others stay a week after they were last asked for, or where
        the disk is nearly full, or will be with what is being received, an hour, the oldest going
        first.
        """
        removed = []
        times = {digest: self._file(digest).stat().st_mtime for digest in self._digests()}
        for digest in sorted(times.keys() - set(referenced), key=times.__getitem__):
            age = time.time() - self._file(digest).stat().st_mtime  # asked for meanwhile, perhaps
            is_tight = self._free_bytes() < PRESSURE_BYTES
            if age > (YOUNG_SECONDS if is_tight else UNUSED_SECONDS):
                self._file(digest).unlink(missing_ok=True)
                self._file(digest).with_suffix(".json").unlink(missing_ok=True)
                removed.append(digest)
        return removed

    # --- On disk ------------------------------------------------------------------------------

    def _digests(self) -> list[str]:
        names = (f"sha256:{entry.name}" for entry in self._folder.iterdir())
        return [name for name in names if DIGEST.fullmatch(name)]

    def _file(self, digest: str) -> Path:
        return self._folder / digest.removeprefix("sha256:")

    @contextlib.asynccontextmanager
    async def _part(self) -> AsyncIterator[Path]:
        with self._disk_errors():
            handle, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=self._folder)
            os.close(handle)
            try:
                yield Path(name)
            finally:
                Path(name).unlink(missing_ok=True)

    async def _write_chunks(
        self, part: Path, chunks: AsyncIterator[bytes], size_bytes: int
    ) -> tuple[str, int]:
        """Digest and size of what came; it is durable under the name of `part`."""
        hasher, size = hashlib.sha256(), 0
        self._coming_bytes += size_bytes  # so that several at once do not fill the disk together
        try:
            await self._find_room(size_bytes)
            with part.open("wb") as file:
                async with asyncio.timeout(RECEIVE_SECONDS):
                    async for chunk in chunks:
                        if size + len(chunk) > (size_bytes or ARTIFACT_BYTES_MAX):
                            raise _longer_than_announced(size_bytes) if size_bytes else _too_large()
                        if not size_bytes:
                            await self._find_room(len(chunk))
                        await to_the_end(asyncio.to_thread(_write, file.fileno(), chunk, hasher))
                        size += len(chunk)
                        self._coming_bytes -= len(chunk) if size_bytes else 0
                await to_the_end(asyncio.to_thread(os.fsync, file.fileno()))
        except TimeoutError as error:
            raise TidegateError(
                f"the artifact did not arrive within {RECEIVE_SECONDS:.0f} s", "send it again"
            ) from error
        finally:
            self._coming_bytes -= max(0, size_bytes - size)
        if size < size_bytes or not size:
            raise UsageError(
                f"the artifact ended early: {size:,} of {size_bytes:,} bytes came", "send it again"
            )
        return f"sha256:{hasher.hexdigest()}", size

    def _free_bytes(self) -> int:
        """Once all is there that is being received."""
        return shutil.disk_usage(self._folder).free - self._coming_bytes

    async def _find_room(self, size_bytes: int) -> None:
        if self._free_bytes() < RESERVE_BYTES:
            await self.make_room()
        if self._free_bytes() < RESERVE_BYTES:
            free = shutil.disk_usage(self._folder).free
            raise Refused(
                f"the controller's disk has no room for the artifact: {free:,} bytes are free in "
                f"{self._folder}, {size_bytes:,} are needed and {RESERVE_BYTES:,} stay free",
                "make room on that disk; what it holds: tidegate release list",
            )

    def _publish(self, part: Path, digest: str, note: Note) -> None:
        """The note first: what is there under its digest has one."""
        self._write_note(digest, note)
        part.chmod(0o644)
        part.rename(self._file(digest))
        sync_folder(self._folder)

    def _write_note(self, digest: str, note: Note) -> None:
        """Several may write one at once, who bring the same: the last one's counts."""
        target = self._file(digest).with_suffix(".json")
        handle, part = tempfile.mkstemp(prefix=".", suffix=".part", dir=self._folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(msgspec.json.encode(note))
            Path(part).chmod(0o644)
            Path(part).rename(target)
        finally:
            Path(part).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError:
            raise
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            free = f" ({shutil.disk_usage(self._folder).free:,} bytes free)" if full else ""
            raise TidegateError(
                f"the artifact could not be stored: {error.strerror}{free}",
                f"look at the disk that holds {self._folder}",
            ) from error


async def _make_no_room() -> None:
    return


def _too_large() -> UsageError:
    return UsageError(f"the artifact is larger than {ARTIFACT_BYTES_MAX:,} bytes")


def _longer_than_announced(size_bytes: int) -> UsageError:
    return UsageError(
        f"the artifact has more than the {size_bytes:,} bytes that were announced",
        "it changed meanwhile: send it again",
    )


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _write(file: int, chunk: bytes, hasher: "hashlib._Hash") -> None:
    hasher.update(chunk)
    view = memoryview(chunk)
    while view:
        view = view[os.write(file, view) :]
