"""Symbolic links that name what is used now, replaced in one step. Used by app.py and slot.py."""

import os
import secrets
from pathlib import Path

from tidegate_agent.releases import sync_folder


def replace(link: Path, target: str) -> None:
    """Let a symlink name another target, atomically and durably."""
    if link.is_symlink() and os.readlink(link) == target:
        return
    fresh = link.with_name(f".{link.name}.{secrets.token_hex(4)}")
    fresh.symlink_to(target)
    fresh.rename(link)
    sync_folder(link.parent)
