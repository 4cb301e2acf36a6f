"""Backups of what slots held: how they are called, made, and taken away again. Used by app.py and
cleaning.py.

    BACKUPS/APP/VERSION@ENVIRONMENT@NODE-SLOT-HEX-TIME.tar.gz
                                    HEX: the digest's first 12 digits; TIME: when something else
                                    took its place, UTC
    BACKUPS/APP/.….tar.gz.tmp       one in the making

The folder may hold other files, such as an older script's, or those of other nodes: they are left
alone. One without a node is of an agent from before names had it, and counts as this node's. A
backup is made by a child process (pack.py), so that the agent goes on meanwhile.
"""

import contextlib
import logging
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tidegate_agent import isolated
from tidegate_agent.errors import AgentError, NodeError
from tidegate_agent.former import Former
from tidegate_agent.releases import hex_of, remove
from tidegate_agent.users import own_name
from tidegate_protos.rules import NAME as RULE
from tidegate_protos.rules import VERSION

log = logging.getLogger(__name__)

PACK_SECONDS = 3600.0
TEMPORARY = ".tmp"
TIME_FORM = "%Y%m%dT%H%M%SZ"
NAME = re.compile(
    rf"(?:{VERSION.pattern})@(?P<environment>{RULE.pattern})(?:@(?P<node>{RULE.pattern}))?"
    r"-(?:blue|green)-[0-9a-f]{12}-(?P<time>[0-9]{8}T[0-9]{6}Z)\.tar\.gz"
)
START_PACK = isolated.start_of("tidegate_agent.pack")


@dataclass(frozen=True)
class Backup:
    path: Path
    bytes: int


class Backups:
    """`folder` is the app's, which comes to be with the first backup. Agents of other nodes may
    have the same: of what lies there, only what is of `node` is looked at."""

    def __init__(self, folder: Path, node: str) -> None:
        self.folder = folder
        self._node = node

    async def make(self, former: Former, slot: str, source: Path) -> Backup | None:
        """Of what the slot held, now in `source`; None where it was made before.

        Raises AgentError; nothing is left of it then, nor of a call that is cancelled.
        """
        target = self.folder / _name(former, self._node, slot)
        if target.exists():
            return None
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise self._not_ours(error.strerror or str(error)) from error
        if not os.access(self.folder, os.W_OK | os.X_OK):
            raise self._not_ours("it is not the agent's")
        temporary = target.with_name(f".{target.name}{TEMPORARY}")
        top = f"{self.folder.name}-{_version(former)}"
        try:
            return Backup(target, await _pack(source, target, temporary, top))
        except BaseException:
            remove(temporary)
            raise

    def beyond(self, environment: str, newest: int, age_seconds: float, now: float) -> list[Backup]:
        """Those of the environment that need not stay: all but the `newest` that are no older than
        `age_seconds` (0: of any age) at `now` (Unix time). Raises OSError."""
        found = sorted(self._of(environment), reverse=True)
        return [
            Backup(path, path.stat().st_size)
            for number, (made, path) in enumerate(found)
            if number >= newest or (age_seconds and now - made > age_seconds)
        ]

    def kept(self, environment: str) -> list[Backup]:
        """All of the environment that are there. Raises OSError."""
        return [Backup(path, path.stat().st_size) for _, path in self._of(environment)]

    def _not_ours(self, why: str) -> NodeError:
        return NodeError(
            f"cannot write to the folder {self.folder}: {why}; as root: "
            f"install -d -m 700 -o {own_name()} {self.folder}"
        )

    def sweep(self) -> None:
        """Remove what a crash left in the making."""
        with contextlib.suppress(OSError):  # no folder, or none that may be looked into
            for path in self.folder.glob(f".*{TEMPORARY}"):
                if self._own(path.name[1 : -len(TEMPORARY)]) is not None:
                    remove(path)

    def _of(self, environment: str) -> list[tuple[float, Path]]:
        """With the Unix time in its name, each."""
        if not self.folder.is_dir():
            return []
        named = [(self._own(path.name), path) for path in self.folder.iterdir()]
        return [
            (_time(found["time"]), path)
            for found, path in named
            if found is not None and found["environment"] == environment
        ]

    def _own(self, name: str) -> re.Match[str] | None:
        found = NAME.fullmatch(name)
        return found if found is not None and found["node"] in (None, self._node) else None


def _version(former: Former) -> str:
    return former.version if VERSION.fullmatch(former.version) else "unknown"


def _name(former: Former, node: str, slot: str) -> str:
    time = datetime.fromtimestamp(former.at, UTC).strftime(TIME_FORM)
    hexed = hex_of(former.digest)[:12]
    return f"{_version(former)}@{former.environment}@{node}-{slot}-{hexed}-{time}.tar.gz"


def _time(text: str) -> float:
    """0, which is very old, for one that no calendar has."""
    try:
        return datetime.strptime(text, TIME_FORM).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0


async def _pack(source: Path, target: Path, temporary: Path, top: str) -> int:
    try:
        said = await isolated.run(
            START_PACK, [source, target, temporary, "--top", top], PACK_SECONDS
        )
    except TimeoutError:
        raise AgentError(f"it took more than {PACK_SECONDS:g} s") from None
    answer = said.answer or {}
    try:
        if said.code == 0:
            return int(answer["bytes"])
        raise NodeError(answer["error"])
    except (ValueError, KeyError):
        log.warning("a backup failed: %s", said.errors[-2000:])
        raise AgentError(f"its process failed: {said.ending}") from None
