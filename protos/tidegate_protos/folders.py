"""What has to be on disk before a name in a folder may be relied on. Agent and controller alike."""

import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """The names in it are on disk then, and those that were removed are gone. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
