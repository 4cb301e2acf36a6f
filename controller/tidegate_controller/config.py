"""Reads `tidegate.toml` into `core.spec`, and refuses what it does not understand.

Called by the command line. `TOP` below is the schema. All problems of a file are reported at once,
each with its line and, for an unknown key, the nearest one that would be right.
"""

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args, get_type_hints

import msgspec

from tidegate_controller.config_checks import (
    At,
    Key,
    choice,
    clip,
    command,
    directory,
    duration,
    integer,
    name,
    nodes,
    quoted,
    suggest,
    table,
    variables,
)
from tidegate_controller.config_health import EXAMPLE, health
from tidegate_controller.core.spec import (
    Health,
    Pace,
    Service,
    Settings,
    Spec,
    Struct,
    Traffic,
)
from tidegate_controller.errors import UsageError
from tidegate_controller.toml_lines import KeyPath, find_lines, line_of

FILE_BYTES = 1 << 20
PROBLEMS_SHOWN = 50
TWICE = ("Cannot overwrite", "Cannot declare", "Cannot mutate", "Duplicate inline")  # tomllib's
MEND = "mend the file and type the command again; nothing was sent"


@dataclass(frozen=True)
class Config:
    """A checked file: one `Spec` for each environment, in the order of the file."""

    path: Path
    app: str
    specs: Mapping[str, Spec]

    @property
    def environments(self) -> tuple[str, ...]:
        return tuple(self.specs)

    def environment(self, name: str | None = None) -> Spec:
        """The one of that name; without a name the only one. Else UsageError, listing them."""
        known = ", ".join(self.specs)
        if name is None:
            if len(self.specs) > 1:
                raise UsageError(
                    f"{self.path} has several environments: {known}", "name one with -e"
                )
            (only,) = self.specs.values()
            return only
        if name not in self.specs:
            raise UsageError(
                f"{self.path}: no environment {clip(quoted(name))}; {suggest(name, self.specs)}",
                f"name one with -e: {known}",
            )
        return self.specs[name]


def load(path: Path) -> Config:
    """Read and check the file. Raises one UsageError that lists all that is wrong with it."""
    document, lines = _parse(path, _read(path))
    top = At(document, (), [])
    found = table(TOP)(top)
    if top.problems:
        raise _all_at_once(path, lines, top)
    file = msgspec.convert(found, _File)
    place = (path.parent / file.traffic.directory).absolute()
    shared = {
        "app": file.app,
        "settings": Settings(service=file.service, health=file.health),
        "traffic": msgspec.structs.replace(file.traffic, directory=str(place)),
        "pace": file.pace,
    }
    specs = {
        environment: msgspec.convert({"environment": environment, **shared, **own}, Spec)
        for environment, own in file.environments.items()
    }
    return Config(path=path, app=file.app, specs=specs)


def render_digest(settings: Settings) -> str:
    """`sha256:…` of what a slot runs with; equal settings have equal digests."""
    as_decoded = msgspec.convert(msgspec.to_builtins(settings), Settings)  # 2 and 2.0 are one value
    canonical = msgspec.json.encode(as_decoded, order="deterministic")
    return f"sha256:{hashlib.sha256(canonical).hexdigest()}"


# --- The schema: each key, the field of core.spec it fills, and its check ------------------------


def _environments(at: At) -> object:
    if not isinstance(at.value, dict) or not at.value:
        at.expected("at least one table such as [environments.production]")
        return None
    for environment in at.value:
        name(At(environment, (*at.path, environment), at.problems))
    return {
        environment: table(ENVIRONMENT)(at.inner(environment, value))
        for environment, value in at.value.items()
    }


def _ports(at: At) -> object:
    found = table(PORTS)(at)
    if found.get("blue") is not None and found["blue"] == found.get("green"):
        at.wrong("blue and green must be two different ports: both run at once")
    return found


def _literals(struct: type[Struct], field: str) -> tuple[str, ...]:
    return get_args(get_type_hints(struct)[field])


ENVIRONMENT = {
    "nodes": Key("nodes", nodes, needed='nodes = { role = "web" }'),
    "strategy": Key("strategy", choice(_literals(Spec, "strategy"))),
}
PORTS = {
    "blue": Key("blue", integer(1, 65535), needed="blue = 8001"),
    "green": Key("green", integer(1, 65535), needed="green = 8002"),
}
SERVICE = {
    "manager": Key("manager", choice(_literals(Service, "manager"))),
    "command": Key("command", command, needed='command = ["./serve", "--port", "{port}"]'),
    "environment": Key("environment", variables),
    "ports": Key("ports", _ports),
    "strip_components": Key("strip_components", integer(0, 16)),
    "stop_grace": Key("stop_grace_seconds", duration("0s")),
}
ROLLOUT = {
    "prepare_deadline": Key("prepare_seconds", duration("100ms")),
    "soak": Key("soak_seconds", duration("0s")),
    "drain": Key("drain_seconds", duration("0s")),
    "keep_old_for": Key("keep_old_seconds", duration("0s")),
    "away_deadline": Key("away_seconds", duration("100ms")),
}
TRAFFIC = {
    "adapter": Key("adapter", choice(_literals(Traffic, "adapter")), needed='adapter = "caddy"'),
    "directory": Key("directory", directory, needed='directory = "/srv/caddy/upstreams"'),
    "lanes": Key("lanes", integer(1, 1000)),
}
TOP = {
    "app": Key("app", name, needed='app = "shop"'),
    "environments": Key(
        "environments", _environments, needed='[environments.production] nodes = { role = "web" }'
    ),
    "service": Key("service", table(SERVICE), needed=f"[service] {SERVICE['command'].needed}"),
    "health": Key("health", health, needed=f"[health] {EXAMPLE}"),
    "rollout": Key("pace", table(ROLLOUT)),
    "traffic": Key("traffic", table(TRAFFIC), needed=f"[traffic] {TRAFFIC['adapter'].needed}"),
}


class _File(Struct, frozen=True):
    """What `TOP` makes of a file without problems."""

    app: str
    environments: dict[str, dict[str, object]]
    service: Service
    health: Health
    traffic: Traffic
    pace: Pace = Pace()


# --- The file, and what is said about it ---------------------------------------------------------


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES + 1)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file", "name the file with -c PATH") from None
    except OSError as error:
        why = error.strerror or error
        raise UsageError(f"{path}: cannot be read: {why}", "name the file with -c PATH") from None
    if len(content) > FILE_BYTES:
        raise UsageError(f"{path}: is larger than {FILE_BYTES} bytes, so no tidegate.toml")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}:{line}: is not UTF-8 text, as TOML must be") from None


def _parse(path: Path, text: str) -> tuple[dict[str, object], Mapping[KeyPath, int]]:
    try:
        return tomllib.loads(text), find_lines(text)
    except RecursionError:
        raise UsageError(f"{path}: arrays or tables are nested too deeply") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(_syntax(path, text, str(error)), MEND) from None
    except ValueError:  # the only one that tomllib lets through
        raise UsageError(f"{path}: a number has thousands of digits", MEND) from None


def _syntax(path: Path, text: str, said: str) -> str:
    """tomllib ends its messages with "(at line 3, column 5)" or "(at end of document)"."""
    said, _, place = said.partition(" (at ")
    at = re.match(r"line (\d+), column (\d+)", place)
    line, where = (at[1], f" at column {at[2]}") if at else (len(text.splitlines()), " at its end")
    if said.startswith(TWICE):
        return f"{path}:{line}: a key or table that was already given above is given again ({said})"
    return f"{path}:{line}: not TOML{where if place else ''}: {said}"


def _all_at_once(path: Path, lines: Mapping[KeyPath, int], top: At) -> UsageError:
    placed = sorted(
        (
            (line_of(lines, where), f"{_label(where, top.value)}: {what}")
            for where, what in top.problems
        ),
        key=lambda problem: problem[0],
    )
    shown = [f"{path}:{line}: {problem}" for line, problem in placed[:PROBLEMS_SHOWN]]
    if len(placed) > PROBLEMS_SHOWN:
        shown.append(f"and {len(placed) - PROBLEMS_SHOWN} more")
    return UsageError("\n".join(shown), MEND)


def _label(path: KeyPath, document: object) -> str:
    """("service", "command", 0) -> `[service] command[0]`."""
    tables = 0
    if path[0] == "environments":
        tables = min(len(path), 2)
    elif path[0] in TOP:
        tables = int(path[0] != "app")
    elif isinstance(document, dict):
        tables = int(isinstance(document.get(path[0]), dict))
    head = f"[{_dotted(path[:tables])}]" if tables else ""
    return f"{head} {_dotted(path[tables:])}".strip()


def _dotted(path: KeyPath) -> str:
    written = ""
    for part in path:
        if isinstance(part, int):
            written += f"[{part}]"
        else:
            bare = re.fullmatch(r"[A-Za-z0-9_-]+", part)
            written += ("." if written else "") + clip(part if bare else quoted(part))
    return written
