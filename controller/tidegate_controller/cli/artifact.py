"""Would the agents take the file? Looked at in full before anything is sent, by the same rules.

Used by `cli.sending`.
"""

import os
import shlex
from pathlib import Path

from tidegate_controller.artifact_form import HINT, form_of
from tidegate_controller.errors import UsageError
from tidegate_protos import formats
from tidegate_protos.archives.contents import Limits, look_through
from tidegate_protos.archives.reading import Refused

LIMITS = Limits()  # those of an agent
ARCHIVE = "release.tar.gz"


def checked_artifact(text: str) -> Path:
    """The artifact's path, if it is an archive that the agents would unpack; else `UsageError`."""
    path = Path(text)
    if not path.exists():
        raise UsageError(f"there is no artifact {path}", "build it first, or correct --artifact")
    if path.is_dir():
        raise UsageError(
            f"the artifact {path} is a folder",
            f"make an archive of it: tar czf {_outside(path)} -C {shlex.quote(text)} .",
        )
    if not path.is_file():
        raise UsageError(f"the artifact {path} is not a regular file", HINT)
    if not os.access(path, os.R_OK):
        raise UsageError(
            f"the artifact {path} may not be read by this user", f"see: ls -l {path.absolute()}"
        )
    with path.open("rb") as file:
        form = form_of(file.read(formats.HEAD_BYTES), str(path))
        try:
            look_through(file.fileno(), form, LIMITS)
        except Refused as problem:
            raise UsageError(
                f"the artifact {path} cannot be unpacked: {problem}",
                f"build it again, or copy it again where it was whole; {HINT}",
            ) from problem
    return path


def _outside(folder: Path) -> str:
    """Where the archive of a folder can be written without being packed itself."""
    if not Path.cwd().is_relative_to(folder.resolve()):
        return ARCHIVE
    return shlex.quote(os.path.normpath(folder / ".." / ARCHIVE))
