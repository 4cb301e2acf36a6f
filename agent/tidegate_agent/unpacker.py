"""Starts the child process that unpacks an archive (unpack.py), and reads its answer.

Used by releases.py.
"""

import contextlib
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tidegate_agent import isolated
from tidegate_agent.errors import ArtifactError
from tidegate_protos.archives.contents import Limits
from tidegate_protos.formats import HEAD_BYTES, TAR_ZST, recognise

STOP_SECONDS = 30.0  # how much longer than its own deadline the child may take, to sync the disk
OUTPUT_TAIL = 2000
START_UNPACK = isolated.start_of("tidegate_agent.unpack")


@dataclass(frozen=True)
class Unpacked:
    """What the child has written. `folders`: names of those around everything, outermost first."""

    files: int
    bytes: int
    folders: tuple[str, ...]


async def unpack(archive: Path, tree: Path, limits: Limits) -> Unpacked:
    """Unpack into `tree`, which must not exist; durable on return.

    Raises ArtifactError, and then there is no tree. A cancelled call may leave one.
    """
    arguments: list[str | Path] = [
        *(archive, tree, "--max-bytes", str(limits.max_bytes)),
        *("--max-members", str(limits.max_members), "--max-path", str(limits.max_path)),
        *("--max-seconds", str(limits.max_seconds)),
    ]
    seconds = limits.max_seconds + STOP_SECONDS
    try:
        said = await isolated.run(START_UNPACK, arguments, seconds, _library_folder(archive))
    except TimeoutError:
        raise ArtifactError(f"unpacking and syncing took more than {seconds:g} s") from None
    answer = said.answer or {}
    try:
        if said.code == 0:
            return Unpacked(answer["files"], answer["bytes"], tuple(answer["folders"]))
        text = answer["error"]
    except KeyError:
        text = f"the unpacking process failed: {said.ending}"
    raise ArtifactError(text, said.errors[-OUTPUT_TAIL:])


def _library_folder(archive: Path) -> list[str]:
    """Where the child finds what it needs beside our own code: something for .tar.zst alone."""
    with archive.open("rb") as file:
        form = recognise(file.read(HEAD_BYTES))
    if form != TAR_ZST or sys.version_info >= (3, 14):
        return []
    found = None
    with contextlib.suppress(ModuleNotFoundError):  # of the package around it
        found = find_spec("backports.zstd")
    if found is None or found.origin is None:
        raise ArtifactError(
            "the artifact is a .tar.zst, and this agent lacks the package backports.zstd for it: "
            "install the agent anew, or send a .tar.gz"
        )
    return [str(Path(found.origin).parents[2])]
