"""Which releases of an app stay on this node, and taking away the others. Used by app.py, and
by trees.py for what is left of slots.

releases/HEX/, releases/HEX.ok    a release and its marker: since when it is complete
releases/.HEX.part                a download that was never completed
"""

import re
from collections.abc import Collection
from pathlib import Path

from tidegate_agent.releases import remove
from tidegate_protos.folders import sync_folder

MARKER = re.compile(r"([0-9a-f]{64})\.ok")
PART = re.compile(r"\.([0-9a-f]{64})\.part")


def prune(
    folder: Path, keep: Collection[str], newest: int, age_seconds: float, now: float
) -> list[str]:
    """Remove the releases in `folder` whose hex digits are not in `keep`, but for the `newest` of
    them that are no older than `age_seconds` (0: of any age) at `now` (Unix time).

    What cannot be removed keeps nothing else from being: one sentence for each is returned.
    """
    if not folder.is_dir():
        return []
    others = [path for path in folder.iterdir() if _is_other(path, MARKER, keep)]
    completed = {path: path.stat().st_mtime for path in others}
    others.sort(key=lambda path: completed[path], reverse=True)
    stays = [
        path for path in others[:newest] if not age_seconds or now - completed[path] <= age_seconds
    ]
    problems = [_remove_release(path) for path in others if path not in stays]
    problems += [removed(path) for path in folder.iterdir() if _is_other(path, PART, keep)]
    return [problem for problem in problems if problem]


def _is_other(path: Path, name: re.Pattern[str], keep: Collection[str]) -> bool:
    found = name.fullmatch(path.name)
    return found is not None and found[1] not in keep


def _remove_release(marker: Path) -> str:
    """Its marker first: what is left of it by a crash counts for nothing from then on."""
    try:
        marker.unlink()
        sync_folder(marker.parent)
    except OSError as error:
        return f"cannot remove {marker}: {error.strerror}"
    return removed(marker.with_suffix(""))


def removed(path: Path) -> str:
    """Remove a file or a whole folder; a sentence where that is not wholly possible, or nothing."""
    remove(path)
    return f"cannot remove all of {path}" if path.exists() else ""
