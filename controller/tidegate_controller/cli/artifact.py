"""Would the agents take the file? Looked at in full before anything is sent, by the same rules.

Used by `cli.sending`.
"""

import os
from pathlib import Path

from tidegate_controller.errors import UsageError
from tidegate_protos import formats
from tidegate_protos.archives.contents import Limits, look_through
from tidegate_protos.archives.reading import Refused

LIMITS = Limits()  # those of an agent
HINT = f"an artifact is {formats.ACCEPTED}: tar czf release.tar.gz -C FOLDER ."


def checked_artifact(text: str) -> Path:
    """The artifact's path, if it is an archive that the agents would unpack; else `UsageError`."""
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
    with path.open("rb") as file:
        head = file.read(formats.HEAD_BYTES)
        if not (form := formats.recognise(head)):
            what = formats.describe(head) if head else "empty"
            raise UsageError(f"the artifact {path} is {what}", HINT)
        try:
            look_through(file.fileno(), form, LIMITS)
        except Refused as problem:
            raise UsageError(
                f"the artifact {path} cannot be unpacked: {problem}", HINT
            ) from problem
    return path
