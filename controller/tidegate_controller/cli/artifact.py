"""Is the file a release at all? Looked at in full before anything is sent.

What is in it is judged on the nodes, by the agent's own rules. Used by `cli.sending`.
"""

import gzip
import os
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from tidegate_controller.errors import UsageError
from tidegate_protos import formats

PIECE_BYTES = 1 << 20
HINT = f"an artifact is {formats.ACCEPTED}: tar czf release.tar.gz -C FOLDER ."


class _Damaged(Exception):
    """What is wrong with an archive, in words that follow its name."""


def checked_artifact(text: str) -> Path:
    """The artifact's path, if it is a whole archive with something in it; else `UsageError`."""
    path = Path(text)
    if not path.exists():
        raise UsageError(f"there is no artifact {path}", "build it first, or correct --artifact")
    if path.is_dir():
        raise UsageError(
            f"the artifact {path} is a folder",
            f"make an archive of it: tar czf release.tar.gz -C {path} .",
        )
    if not path.is_file():
        raise UsageError(f"the artifact {path} is not a regular file", HINT)
    if not os.access(path, os.R_OK):
        raise UsageError(
            f"the artifact {path} may not be read by this user", f"see: ls -l {path.absolute()}"
        )
    try:
        _check(path)
    except _Damaged as problem:
        raise UsageError(f"the artifact {path} {problem}", HINT) from problem
    return path


def _check(path: Path) -> None:
    if path.stat().st_size == 0:
        raise _Damaged("is empty")
    with path.open("rb") as file:
        head = file.read(formats.HEAD_BYTES)
    form = formats.recognise(head)
    if not form:
        raise _Damaged(f"is {formats.describe(head)}")
    try:
        members = FORMATS[form](path)
    except (EOFError, OSError, zlib.error, zipfile.BadZipFile) as error:
        raise _Damaged(f"is damaged: {error}") from error
    if not members:
        raise _Damaged("is an archive with nothing in it")


# --- One function a format: how many members has it? Raises _Damaged or the library's error. ------


def _tar(path: Path) -> int:
    with path.open("rb") as content:
        return _members(content, "it is no whole tar archive")


def _tar_gz(path: Path) -> int:
    with gzip.open(path) as content:
        return _members(
            cast("IO[bytes]", content), "is compressed with gzip, but it is no tar archive"
        )


def _tar_zst(path: Path) -> int:
    with _unzstd(path) as content:
        return _members(content, "is compressed with zstd, but it is no tar archive")


def _zip(path: Path) -> int:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.flag_bits & 1:
                raise _Damaged(f"is encrypted: its member {member.filename!r} is")
        try:
            broken = archive.testzip()
        except NotImplementedError as error:
            raise _Damaged(f"is packed in a way that agents do not know: {error}") from error
        if broken is not None:
            raise _Damaged(f"is damaged: the checksum of its member {broken!r} is wrong")
        return len(archive.infolist())


def _members(content: IO[bytes], otherwise: str) -> int:
    """Reads to the checksum at the end, if there is one."""
    members = 0
    try:
        with tarfile.open(fileobj=content, mode="r|") as archive:
            while archive.next() is not None:
                members += 1
                archive.members.clear()  # type: ignore[attr-defined]  # else all are kept
    except tarfile.TarError as error:
        raise _Damaged(f"is damaged: {error}" if members else otherwise) from error
    while content.read(PIECE_BYTES):
        continue
    return members


@contextmanager
def _unzstd(path: Path) -> Iterator[IO[bytes]]:
    if sys.version_info >= (3, 14):
        from compression import zstd  # noqa: PLC0415 - most artifacts need none
    else:
        from backports import zstd  # noqa: PLC0415
    try:
        with zstd.open(path) as content:
            yield cast("IO[bytes]", content)
    except zstd.ZstdError as error:
        raise _Damaged(f"is damaged: {error}") from error


FORMATS: dict[str, Callable[[Path], int]] = {
    formats.TAR: _tar,
    formats.TAR_GZ: _tar_gz,
    formats.TAR_ZST: _tar_zst,
    formats.ZIP: _zip,
}
