"""Starts the child process that unpacks an archive (unpack.py), and reads its answer.

Used by releases.py. The child is isolated and without site-packages, which saves half of Python's
start; so what it imports is found by folder, be it a source tree or an installed wheel, after the
standard library.
"""

import asyncio
import contextlib
import json
import signal
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import tidegate_protos
from tidegate_agent.errors import ArtifactError
from tidegate_protos.archives.contents import Limits
from tidegate_protos.formats import HEAD_BYTES, TAR_ZST, recognise
from tidegate_protos.threads import to_the_end

STOP_SECONDS = 30.0  # how much longer than its own deadline the child may take, to sync the disk
OUTPUT_TAIL = 2000
START_UNPACK = (
    "import sys; sys.path += sys.argv.pop(1).split(':'); "
    "from tidegate_agent.unpack import main; sys.exit(main())"
)
OWN_FOLDERS = [
    str(Path(package).resolve().parents[1]) for package in (__file__, tidegate_protos.__file__)
]


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
    path = ":".join(dict.fromkeys([*OWN_FOLDERS, *_library_folder(archive)]))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", "-c", START_UNPACK, path, archive, tree),
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
    try:
        answer = json.loads(output)
        if process.returncode == 0:
            return Unpacked(answer["files"], answer["bytes"], tuple(answer["folders"]))
        text = answer["error"]
    except (ValueError, KeyError):
        text = f"the unpacking process failed: {ending(process.returncode or 0)}"
    raise ArtifactError(text, errors.decode(errors="replace")[-OUTPUT_TAIL:])


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


def ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
