"""Reads `tidegate.toml` into `core.spec`, and refuses what it does not understand.

Called by the command line. `config_keys` is the schema. All problems of a file are reported at
once, each with its line and, for an unknown key, the nearest one that would be right.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tidegate_controller.config_checks import At, Problem, clip, nearest, quoted, suggest, table
from tidegate_controller.config_keys import FRAME, SECTIONS, TOP
from tidegate_controller.config_merge import Merged, merged
from tidegate_controller.config_traffic import resolved
from tidegate_controller.config_waves import grouped
from tidegate_controller.core.spec import Spec
from tidegate_controller.errors import UsageError
from tidegate_controller.toml_lines import KeyPath, find_lines, line_of

FILE_BYTES = 1 << 20
PROBLEMS_SHOWN = 50
TWICE = ("Cannot overwrite", "Cannot declare", "Cannot mutate", "Duplicate inline")  # tomllib's
OTHER_FILE = "save it as UTF-8 text; or is it another file that is meant: -c PATH"
MEND = "mend the file and type the command again; nothing was done"


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
    return read(path, _read(path))


def read(path: Path, text: str) -> Config:
    """The same, of a file that holds this text."""
    document, lines = _parse(path, text)
    frame = At(document, (), [])
    found = table(frame, FRAME, SECTIONS)
    environments = _environments(document)
    shared, own = _checked(merged(document)), {}
    for environment in environments:
        own[environment] = _checked(merged(document, environment))
    problems = [*frame.problems, *_misspelt(document), *_told_apart(shared, own)]
    if problems:
        raise _all_at_once(path, lines, document, problems)
    app, tables = found["app"], found["environments"]
    assert isinstance(app, str)
    assert isinstance(tables, dict)
    specs = {
        environment: _spec(app, environment, tables[environment], own[environment], path.parent)
        for environment in environments
    }
    return Config(path=path, app=app, specs=specs)


# --- One environment -----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Checked:
    """The sections by field of core.spec, and what is wrong with them, at its place in the file."""

    fields: dict[str, object]
    problems: list[Problem]


def _checked(sections: Merged) -> _Checked:
    at = At(sections.sections, (), [])
    fields = table(at, SECTIONS)
    placed = [problem._replace(path=sections.origin(problem.path)) for problem in at.problems]
    return _Checked(fields, placed)


def _misspelt(document: Mapping[str, object]) -> list[Problem]:
    """What is wrong inside of tables whose names are: each looked at as the nearest one that is
    not there, so that nobody has to mend the file twice."""
    at = At(document, (), [])
    for name, value in document.items():
        meant = "" if name in TOP or not isinstance(value, dict) else nearest(name, TOP)
        if meant in SECTIONS and meant not in document:
            SECTIONS[meant].check(at.inner(name, value))
    return at.problems


def _environments(document: Mapping[str, object]) -> list[str]:
    """Names of those that are tables."""
    given = document.get("environments")
    return (
        [name for name in given if isinstance(given[name], dict)] if isinstance(given, dict) else []
    )


def _told_apart(shared: _Checked, own: Mapping[str, _Checked]) -> list[Problem]:
    """Each problem once. What is wrong for some environments only names them; what would be wrong
    in the tables for all, but is so in no environment, is not wrong."""
    if not own:
        return shared.problems
    found: dict[Problem, list[str]] = {
        problem: [] for problem in shared.problems if not problem.clash
    }
    for environment, checked in own.items():
        for problem in checked.problems:
            found.setdefault(problem, []).append(environment)
    return [
        problem
        if not problem.clash
        or problem.path[0] == "environments"
        or (problem in shared.problems and len(where) == len(own))
        else problem._replace(said=f"in {', '.join(map(clip, where))}: {problem.said}")
        for problem, where in found.items()
    ]


def _spec(
    app: str, environment: str, table: dict[str, object], own: _Checked, folder: Path
) -> Spec:
    fields = dict(own.fields)
    artifact = fields.pop("artifact", {})
    settings = {name: fields.pop(name, {}) for name in ("service", "health", "hooks")}
    assert isinstance(artifact, dict)
    found = msgspec.convert(
        {
            "app": app,
            "environment": environment,
            "settings": {**settings, **artifact},
            **grouped(table),
            **fields,
        },
        Spec,
    )
    traffic = resolved(found.traffic, app, environment, folder)
    return msgspec.structs.replace(found, traffic=traffic)


# --- The file, and what is said about it ---------------------------------------------------------


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES + 1)
    except FileNotFoundError:
        raise UsageError(
            f"{path}: no such file", "make one: tidegate init; or name another with -c PATH"
        ) from None
    except OSError as error:
        why = error.strerror or error
        raise UsageError(f"{path}: cannot be read: {why}", "name the file with -c PATH") from None
    if len(content) > FILE_BYTES:
        raise UsageError(
            f"{path}: is larger than {FILE_BYTES} bytes, so no tidegate.toml",
            "name the file with -c PATH",
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}:{line}: is not UTF-8 text, as TOML must be", OTHER_FILE) from None


def _parse(path: Path, text: str) -> tuple[dict[str, object], Mapping[KeyPath, int]]:
    try:
        return tomllib.loads(text), find_lines(text)
    except RecursionError:
        raise UsageError(f"{path}: arrays or tables are nested too deeply", MEND) from None
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


def _all_at_once(
    path: Path, lines: Mapping[KeyPath, int], document: object, problems: list[Problem]
) -> UsageError:
    placed = sorted(
        (
            (line_of(lines, problem.path), f"{_label(problem.path, document)}: {problem.said}")
            for problem in problems
        ),
        key=lambda problem: problem[0],
    )
    shown = [f"{path}:{line}: {problem}" for line, problem in placed[:PROBLEMS_SHOWN]]
    if len(placed) > PROBLEMS_SHOWN:
        shown.append(f"and {len(placed) - PROBLEMS_SHOWN} more")
    return UsageError("\n".join(shown), MEND)


def _label(path: KeyPath, document: object) -> str:
    """("service", "command", 0) -> `[service] command[0]`."""
    if path[0] == "environments":
        tables = min(len(path), 3 if path[2:] and path[2] in SECTIONS else 2)
    elif path[0] in TOP:
        tables = int(path[0] != "app")
    else:
        tables = int(isinstance(document, dict) and isinstance(document.get(path[0]), dict))
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
