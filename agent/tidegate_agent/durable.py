"""Names and small files that survive a power loss once the call has returned.

Used wherever the agent names something that it goes by later: app.py, links.py, preparation.py,
releases.py, retention.py, slot.py, trees.py. All of it raises OSError.
"""

import contextlib
import logging
import os
from pathlib import Path

from tidegate_protos.folders import sync_folder

log = logging.getLogger(__name__)


def make_folder(folder: Path) -> None:
    """Make it, and what is missing above it: a link that leads into a folder is worth no more than
    that folder's own name."""
    if folder.exists():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def write(path: Path, text: str, temporary: Path, *, mode: int = 0o666) -> None:
    """Replace the file in one step; `temporary` lies beside it, and is gone in any case.
    `mode`: of a new file, before the umask."""

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode)

    try:
        with open(temporary, "w", encoding="utf-8", newline="", opener=opener) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def settle(*folders: Path) -> None:
    """What an agent that was killed has named or removed last, it may not have synced any more: so
    the next one does, since it goes by these names. An error is logged and nothing more."""
    for folder in folders:
        try:
            if folder.is_dir():
                sync_folder(folder)
        except OSError as error:
            log.warning("cannot sync %s: %s", folder, error.strerror)
