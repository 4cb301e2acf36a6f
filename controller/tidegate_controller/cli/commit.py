"""The git commit of a folder, for the history of what was deployed from it."""

import os
import re
import subprocess
from pathlib import Path

GIT_SECONDS = 5.0
_COMMIT = re.compile(r"[0-9a-f]{40,64}(-dirty)?")


def commit_of(folder: Path) -> str:
    """Its hash, with "-dirty" where files differ from it; "" where there is none, or no git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=64", "--exclude=*"]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = done.stdout.decode(errors="replace").strip()
    return found if _COMMIT.fullmatch(found) else ""


def short(commit: str) -> str:
    """As people name it."""
    digits, dash, dirty = commit.partition("-")
    return f"{digits[:10]}{dash}{dirty}"
