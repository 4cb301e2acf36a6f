"""Symbolic links that name what is used now, replaced in one step.

Used by app.py, slot.py and trees.py.
"""

import os
import re
import secrets
from pathlib import Path

from tidegate_agent.releases import remove
from tidegate_protos.folders import sync_folder

UNFINISHED = re.compile(r"\.[a-z]+\.[0-9a-f]{8}")


def replace(link: Path, target: str) -> None:
    """Let a symlink name another target, atomically and durably. Raises OSError.

    One that names it already may do so by a call that failed to sync it.
    """
    if not names(link, target):
        fresh = link.with_name(f".{link.name}.{secrets.token_hex(4)}")
        try:
            fresh.symlink_to(target)
            fresh.rename(link)
        except OSError:
            remove(fresh)
            raise
    sync_folder(link.parent)


def names(link: Path, target: str) -> bool:
    """Whether it is a symlink with just this target."""
    return link.is_symlink() and os.readlink(link) == target


def leads_nowhere(link: Path) -> str:
    """The target of a symlink that names nothing; empty for all others."""
    return os.readlink(link) if link.is_symlink() and not link.exists() else ""


def sweep(folder: Path) -> None:
    """Remove what a crash in the middle of `replace` has left."""
    for entry in folder.iterdir():
        if UNFINISHED.fullmatch(entry.name) and entry.is_symlink():
            entry.unlink()
