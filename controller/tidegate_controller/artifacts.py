"""The controller's artifacts: files named by digest, written once.

Filled by `operator_service`, served to agents by `artifact_server`.
"""

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from tidegate_controller.errors import TidegateError, UsageError
from tidegate_controller.threads import to_the_end
from tidegate_protos.rules import DIGEST

ARTIFACT_BYTES_MAX = 10 * 1024**3


def digest_of(path: Path) -> str:
    """sha256 of a file's content, as "sha256:<hex>"."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


class ArtifactStore:
    """A folder of files named by their digest. A file that is there is whole and true."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".*.part"):
            left.unlink()

    def path(self, digest: str) -> Path | None:
        """The file, or None. Raises `UsageError` for what is no digest."""
        if not DIGEST.fullmatch(digest):
            raise UsageError(f"{digest[:80]!r} is not a digest of the form sha256:<64 hex digits>")
        path = self._folder / digest.removeprefix("sha256:")
        return path if path.is_file() else None

    async def store(self, digest: str, chunks: AsyncIterator[bytes]) -> Path:
        """Write, hash, compare, then make it visible; durable on return."""
        known = self.path(digest)
        if known is not None:
            return known
        handle, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=self._folder)
        part = Path(name)
        target = self._folder / digest.removeprefix("sha256:")
        try:
            with os.fdopen(handle, "wb") as file:
                await self._receive(file.fileno(), digest, chunks)
            part.chmod(0o644)
            part.rename(target)
            await asyncio.to_thread(_sync_folder, self._folder)
        except OSError as error:
            raise TidegateError(
                f"the artifact could not be stored: {error.strerror}",
                f"look at the disk that holds {self._folder}",
            ) from error
        finally:
            part.unlink(missing_ok=True)
        return target

    async def _receive(self, file: int, digest: str, chunks: AsyncIterator[bytes]) -> None:
        hasher = hashlib.sha256()
        size = 0
        async for chunk in chunks:
            size += len(chunk)
            if size > ARTIFACT_BYTES_MAX:
                raise UsageError(f"the artifact is larger than {ARTIFACT_BYTES_MAX} bytes")
            await to_the_end(asyncio.to_thread(_write, file, chunk, hasher))
        await to_the_end(asyncio.to_thread(os.fsync, file))
        if f"sha256:{hasher.hexdigest()}" != digest:
            raise UsageError("the artifact changed while it was uploaded", "upload it again")


def _write(file: int, chunk: bytes, hasher: "hashlib._Hash") -> None:
    hasher.update(chunk)
    view = memoryview(chunk)
    while view:
        view = view[os.write(file, view) :]


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
