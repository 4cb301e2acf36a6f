"""Is the file a release at all? Looked at in full before anything is sent.

What is in it is judged on the nodes, by the agent's own rules.
"""

import gzip
import os
import tarfile
import zlib
from pathlib import Path

from tidegate_controller.errors import UsageError

PIECE_BYTES = 1 << 20


def checked_artifact(text: str) -> Path:
    """The artifact's path, if it is a whole .tar.gz with something in it; else `UsageError`."""
    path = Path(text)
    if not path.exists():
        raise UsageError(f"there is no artifact {path}", "build it first, or correct --artifact")
    if path.is_dir():
        raise UsageError(
            f"the artifact {path} is a folder",
            f"make an archive of it: tar czf release.tar.gz -C {path} .",
        )
    if not path.is_file():
        raise UsageError(
            f"the artifact {path} is not a regular file", "an artifact is a .tar.gz, given by path"
        )
    if not os.access(path, os.R_OK):
        raise UsageError(
            f"the artifact {path} may not be read by this user", f"see: ls -l {path.absolute()}"
        )
    if problem := _not_an_archive(path):
        raise UsageError(
            f"the artifact {path} {problem}",
            "an artifact is a .tar.gz: tar czf release.tar.gz -C FOLDER .",
        )
    return path


def _not_an_archive(path: Path) -> str:
    """What is wrong with the file, in words; empty for an archive with at least one member."""
    if path.stat().st_size == 0:
        return "is empty"
    with path.open("rb") as file:
        if file.read(2) != b"\x1f\x8b":
            return "is not compressed with gzip"
    members = 0
    try:
        with gzip.open(path) as content, tarfile.open(fileobj=content, mode="r|") as archive:
            while archive.next() is not None:
                members += 1
                archive.members.clear()  # type: ignore[attr-defined]  # else all are kept
            while content.read(PIECE_BYTES):
                continue  # to the checksum at the end
    except tarfile.TarError as error:
        if not members:
            return "is compressed with gzip, but it is no tar archive"
        return f"is damaged: {error}"
    except (EOFError, OSError, zlib.error) as error:
        return f"is damaged: {error}"
    return "" if members else "is an archive with nothing in it"
