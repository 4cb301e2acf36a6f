"""What an agent's folder has to look like after anything whatever, and once all has ended well.

Used by file_operations.py. A folder's content is a dict: path -> what is there, in words.
"""

import hashlib
import json
import os
import re
from pathlib import Path

from agent_lives import APP

from tidegate_agent.releases import Releases

HOME = f"apps/{APP}"
RANDOM = re.compile(r"(?<=[.-])[0-9a-f]{8}(?=[./]|$)")
PASSING = re.compile(r"journal\.db-\w+|.*\.log\.\d")  # of a journal not closed; of a second start
UNIT = re.compile(rf"({HOME}/(?:releases/[0-9a-f]{{64}}|slots/\w+/tree-[0-9a-f]{{64}}-\*))(/.*)?")

Content = dict[str, str]


def content(data: Path) -> Content:
    """Without what differs each time: random names, the journal's bytes, the port of a tree."""
    found: Content = {}
    for path in sorted(data.rglob("*")):
        name = shown(str(path.relative_to(data)))
        while name in found:
            name += " again"
        found[name] = _what(path)
    return found


def shown(text: str) -> str:
    """Without what is random in a name."""
    return RANDOM.sub("*", text)


def _what(path: Path) -> str:
    if path.is_symlink():
        return f"-> {shown(os.readlink(path))}"
    if path.is_dir():
        return "folder"
    if path.name.startswith("journal.db") or ".log" in path.suffixes:
        return "file"
    data = path.read_bytes()
    if path.name.startswith("tree-") and path.suffix == ".json":
        data = json.dumps([json.loads(data)[key] for key in ("digest", "config", "told")]).encode()
    return hashlib.sha256(data).hexdigest()[:12]


def units(of: Content) -> dict[str, Content]:
    """The releases and trees, each with all that is in it."""
    found: dict[str, Content] = {}
    for path, what in of.items():
        if match := UNIT.fullmatch(path):
            found.setdefault(match[1], {})[match[2] or ""] = what
    return found


def lies(data: Path, before: Content, after: Content) -> list[str]:
    """Which names show what is not complete, or is not what served before."""
    now, problems = content(data), []
    whole = units(before) | units(after)
    there = units(now)

    def is_whole(unit: str) -> bool:
        return unit in whole and there.get(unit) == whole[unit]

    for path, what in now.items():
        target = os.path.normpath(os.path.join(os.path.dirname(path), what.removeprefix("-> ")))
        if path.endswith(".ok") and not is_whole(path.removesuffix(".ok")):
            problems.append(f"{path} is there, but its release is not complete")
        elif path.endswith(("/next", "/release")):
            if not is_whole(target) or not {f"{target}.ok", f"{target}.json"} & now.keys():
                problems.append(f"{path} leads to {target}, which is not complete")
        elif path == f"{HOME}/current" and f"{target}/release" not in now:
            problems.append(f"{path} leads to {target}, which has no release")
    for unit in there:
        digest = unit.rpartition("/")[2]
        if "/releases/" not in unit or f"{unit}.ok" in now:
            continue
        if Releases(data / HOME).path(f"sha256:{digest}") is not None:
            problems.append(f"{unit} has no marker, but counts as complete")
    if f"{HOME}/current" in before:
        problems += _served(before, now)
    return problems


def _served(before: Content, now: Content) -> list[str]:
    """What the former `current` led to, all the way down."""
    if f"{HOME}/current" not in now:
        return ["current is gone"]
    slot = f"{HOME}/{before[f'{HOME}/current'].removeprefix('-> ')}"
    release = os.path.normpath(f"{slot}/{before[f'{slot}/release'].removeprefix('-> ')}")
    mine = re.compile(rf"({slot}|{release}|{release}\.ok)(/.*)?")
    changed = [path for path in before if mine.fullmatch(path) and before[path] != now.get(path)]
    return [f"{path} served, and is not what it was" for path in changed]


def leftovers(data: Path, before: Content, after: Content) -> list[str]:
    """What is not there before such work, nor after it; releases and trees that nothing names, but
    for what was whole before: it stays where its name is perhaps not durably gone."""
    now = content(data)
    there, former = units(now), units(before)
    links = {path: now[path] for path in now if path.endswith(("/next", "/release"))}
    named = {
        os.path.normpath(f"{os.path.dirname(path)}/{what.removeprefix('-> ')}")
        for path, what in links.items()
    }
    known = before.keys() | after.keys()
    found = [path for path in now if path not in known and not PASSING.fullmatch(path)]
    unnamed = [unit for unit in there if unit not in named and f"{unit}.ok" not in now]
    found += [unit for unit in unnamed if there[unit] != former.get(unit)]
    return [f"{path} is left over" for path in found]


def differences(data: Path, after: Content) -> list[str]:
    """From what is there once all has ended well."""
    now = {path: what for path, what in content(data).items() if not re.search(r"\.log\.\d$", path)}
    return [
        f"{path}: {now.get(path, 'nothing')} instead of {after.get(path, 'nothing')}"
        for path in sorted(now.keys() | after.keys())
        if now.get(path) != after.get(path)
    ]
