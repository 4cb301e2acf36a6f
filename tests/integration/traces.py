"""What strace has written of the file operations of an agent, and the order that it must have.

Used by file_operations.py. A trace has a line a call, with paths instead of numbers (`strace -y`).
"""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from counted_calls import MARK

KINDS = {
    "rename": ("rename", "renameat", "renameat2"),
    "link": ("link", "linkat"),
    "symlink": ("symlink", "symlinkat"),
    "unlink": ("unlink", "unlinkat", "rmdir"),
    "fsync": ("fsync", "fdatasync", "syncfs"),
}
POINTS = tuple(name for names in KINDS.values() for name in names)
WRITES = ("write", "pwrite64", "copy_file_range", "sendfile", "ftruncate")
CREATES = ("openat", "mkdir", "mkdirat")
ALL = (*POINTS, *WRITES, *CREATES)
ALL = (*POINTS, *WRITES, *CREATES)

LINE = re.compile(r"(?P<thread>\d+) +(?:(?P<name>\w+)\((?P<rest>.*)|<\.\.\. (?P<resumed>\w+) .*)")
TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"')
OPEN = re.compile(r"(?:-?\d+|AT_FDCWD)<((?:[^<>\\]|\\.)*)>")


@dataclass(frozen=True)
class Call:
    """One call that has succeeded. `paths`: absolute, of names and of descriptors, as they come;
    `text` is the first string as it was given. `role` and `number`: of this name in its thread."""

    role: str
    name: str
    number: int
    paths: tuple[str, ...]
    text: str = ""
    creates: bool = False

    def is_beneath(self, folder: Path) -> bool:
        return any(path.startswith(f"{folder}/") for path in self.paths)


def calls(names: Iterable[str]) -> str:
    """The names for strace, which passes over those that this machine does not have."""
    return ",".join(f"?{name}" for name in names)


def read(trace: str) -> list[Call]:
    """The calls in the order in which they took effect: a sync when it was done, all others when
    they began. Those of threads that never said who they are have the role ""."""
    roles: dict[str, str] = {}
    counts: dict[tuple[str, str], int] = {}
    open_syncs: dict[str, Call] = {}
    found_calls: list[Call] = []
    for line in trace.splitlines():
        if (found := LINE.match(line)) is None:
            continue
        thread, name, rest = found["thread"], found["name"], found["rest"]
        if name is None:
            sync = open_syncs.pop(thread, None)
            if sync is not None and line.endswith("= 0"):
                found_calls.append(sync)
            continue
        number = counts[thread, name] = counts.get((thread, name), 0) + 1
        if mark := re.search(f'"{MARK}(\\w+)"', rest):
            roles[thread] = mark[1]
            continue
        unfinished = rest.endswith("<unfinished ...>")
        if not unfinished and re.search(r"= (?:-1 E\w+ |\?$)", rest):
            continue
        call = _call(roles.get(thread, ""), name, number, rest)
        if unfinished and name in KINDS["fsync"]:
            open_syncs[thread] = call
        else:
            found_calls.append(call)
    return found_calls


def _call(role: str, name: str, number: int, rest: str) -> Call:
    texts = TEXT.findall(rest)
    if name in ("write", "pwrite64", "sendfile", "ftruncate", *KINDS["fsync"]):
        paths = OPEN.findall(rest)[:1]
    elif name == "copy_file_range":
        paths = OPEN.findall(rest)[1:2]
    elif name in KINDS["symlink"]:
        paths = list(_named(rest))[1:] if name == "symlink" else list(_named(rest))[-1:]
    else:
        paths = list(_named(rest))
    creates = "O_CREAT" in rest or name.startswith("mkdir")
    return Call(role, name, number, tuple(paths), texts[0] if texts else "", creates)


def _named(rest: str) -> Iterator[str]:
    """Each string, beneath the directory that is given before it, if one is."""
    for found in re.finditer(rf"(?:{OPEN.pattern}, )?{TEXT.pattern}", rest):
        yield os.path.join(found[1] or "/", found[2])


# --- The order -----------------------------------------------------------------------------------


NAMES = re.compile(r"/(?:[0-9a-f]{64}\.ok|next|release|current)$")  # that something goes by
OTHERS = re.compile(r"/journal\.db[^/]*$|/logs/")  # SQLite sees to its own; logs may be lost


class Disk:
    """What a power loss could take away, call by call. `problems`: where a name shows such a thing,
    or another one is changed before the change of one that counts is durable.

    `data` is the agent's folder.
    """

    def __init__(self, data: Path) -> None:
        self.problems: list[str] = []
        self._top = str(data)
        self._data: set[str] = set()  # files with bytes that are perhaps not on disk
        self._names: dict[str, set[str]] = {}  # by folder: names in it that are perhaps not
        self._changed: dict[str, str] = {}  # by folder: what happened to a name that counts
        self._targets: dict[str, str] = {}  # of symbolic links
        self._counted: set[str] = set()  # names that count and are there

    def take(self, call: Call) -> None:
        paths = [path for path in call.paths if path.startswith(f"{self._top}/")]
        if call.name == "syncfs":
            self._data.clear()
            self._names.clear()
            self._changed.clear()
        elif call.name in KINDS["fsync"]:
            for path in call.paths:
                self._data.discard(path)
                self._names.pop(path, None)
                self._changed.pop(path, None)
        elif not paths or OTHERS.search(paths[-1]):
            return
        elif call.name in WRITES:
            self._data.add(paths[0])
        elif call.name in KINDS["rename"]:
            self._renamed(*paths)
        elif call.name in KINDS["unlink"]:
            self._unlinked(paths[0])
        elif call.name in KINDS["symlink"]:
            target = os.path.join(os.path.dirname(paths[0]), call.text)
            self._targets[paths[0]] = os.path.normpath(target)
            self._note(paths[0])
        elif call.creates or call.name in KINDS["link"]:
            self._note(paths[-1])
            if call.name == "openat":
                self._data.add(paths[-1])

    def end(self) -> None:
        """All is done, and told to the controller: every name that counts is durable now."""
        self._settled("the end")
        for path in sorted(self._counted):
            lost = self._lost_above(path)
            if path in self._targets:
                lost += self._lost_above(self._targets[path]) + self._lost(self._targets[path])
            problems = [f"{what} was never synced" for what in lost]
            self.problems += [one for one in problems if one not in self.problems]

    def _renamed(self, source: str, target: str) -> None:
        what = f"rename to {self._short(target)}"
        self._settled(what)
        lost = self._lost(source)
        if source in self._targets:
            shown = self._targets[target] = self._targets.pop(source)
            lost = self._lost(shown) + self._lost_above(shown)
        self.problems += [f"{what} before {name} was synced" for name in lost]
        for moved in [path for path in self._data if path.startswith(source)]:
            self._data.discard(moved)
            self._data.add(target + moved.removeprefix(source))
        self._note(source)
        self._note(target)
        self._changed[os.path.dirname(target)] = what
        if NAMES.search(target):
            self._counted.add(target)

    def _unlinked(self, path: str) -> None:
        what = f"removal of {self._short(path)}"
        self._settled(what)
        self._note(path)
        self._data.discard(path)
        self._names.pop(path, None)
        self._targets.pop(path, None)
        if NAMES.search(path):
            self._changed[os.path.dirname(path)] = what
            self._counted.discard(path)

    def _note(self, path: str) -> None:
        self._names.setdefault(os.path.dirname(path), set()).add(os.path.basename(path))

    def _lost(self, shown: str) -> list[str]:
        """What could be lost of a file, or of all beneath a folder."""
        lost = sorted(self._data) + [f"{folder}/" for folder in sorted(self._names)]
        return [self._short(path) for path in lost if f"{path}/".startswith(f"{shown}/")]

    def _lost_above(self, path: str) -> list[str]:
        """Its own name and those of the folders that it lies in, as far as they could be lost."""
        lost = []
        while path != self._top:
            if os.path.basename(path) in self._names.get(os.path.dirname(path), ()):
                lost.append(f"the name {self._short(path)}")
            path = os.path.dirname(path)
        return lost

    def _settled(self, before: str) -> None:
        for change in self._changed.values():
            self.problems.append(f"{before} before the {change} was synced")
        self._changed.clear()

    def _short(self, path: str) -> str:
        return path.removeprefix(f"{self._top}/")


def problems_of_order(found: Iterable[Call], data: Path) -> list[str]:
    """What is wrong with the order of the calls of one agent, from an empty folder or from one in
    which all is durable."""
    disk = Disk(data)
    for call in found:
        disk.take(call)
    disk.end()
    return disk.problems


def never_synced(found: Iterable[Call], data: Path) -> list[str]:
    """What the calls of an agent that was killed and of the next one have left to a power loss,
    together."""
    disk = Disk(data)
    for call in found:
        disk.take(call)
    disk.problems.clear()  # the killed one was within its order; the next one cannot be as well
    disk.end()
    return disk.problems
