"""What an app's folder says about how it is run: guesses that `tidegate init` offers.

Each comes with the file that it was read from. Nothing here runs anything, and what cannot be read
says nothing.
"""

import json
import os
import re
import shlex
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

FILE_BYTES = 256 * 1024
FILES_MAX = 300  # that are looked through for a health check
PATHS = ("/healthz", "/health", "/readyz", "/ready", "/livez", "/ping")

_SOURCES = {".cs", ".ex", ".go", ".java", ".js", ".kt", ".mjs", ".php", ".py", ".rb", ".rs", ".ts"}
_FOREIGN = {"build", "dist", "node_modules", "target", "tests", "vendor", "venv", "__pycache__"}
_PYTHON = ("main.py", "app.py", "server.py", "serve.py")
_PORT = re.compile(r"\$\{PORT\}|\$PORT\b")


class Hint(NamedTuple):
    """A guess, as a person would type it, and the file that says so."""

    text: str
    source: str


def app_name(folder: Path) -> str:
    """The folder's name, as far as it can be one of an app."""
    name = re.sub(r"[^a-z0-9._-]+", "-", folder.resolve().name.lower()).strip("-._")
    return name[:63] or "app"


def command(folder: Path) -> Hint | None:
    """How the app is started, if a file of the folder says so."""
    for file, look in _COMMANDS:
        if (text := _text(folder / file)) and (found := look(text)):
            return Hint(found, file)
    for file in _PYTHON:
        if text := _text(folder / file):
            port = " --port {port}" if re.search(r"""["']--port["']""", text) else ""
            return Hint(f"python3 {file}{port}", file)
    return None


def health(folder: Path) -> Hint | None:
    """A path that the app seems to answer for whoever asks whether it is healthy."""
    texts = {file: _text(file) for file in _sources(folder)}
    for path in PATHS:
        for file, text in texts.items():
            if re.search(rf"""["'`]{path}["'`/?]""", text):
                return Hint(path, str(file.relative_to(folder)))
    return None


# --- Commands in files of others -----------------------------------------------------------------


def _procfile(text: str) -> str:
    found = re.search(r"^web:\s*(.+?)\s*$", text, re.MULTILINE)
    return _PORT.sub("{port}", found[1]) if found else ""


def _package_json(text: str) -> str:
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        start = json.loads(text)["scripts"]["start"].strip()
        return _PORT.sub("{port}", start) if start.startswith("node ") else "npm start"
    return ""


def _dockerfile(text: str) -> str:
    """The last CMD, or ENTRYPOINT; of both together no guess is made."""
    lines = re.findall(r"^\s*(CMD|ENTRYPOINT)\s+(.+?)\s*$", text, re.MULTILINE | re.IGNORECASE)
    if len({kind.upper() for kind, _ in lines}) != 1:
        return ""
    last = lines[-1][1]
    if last.startswith("["):
        with suppress(ValueError, TypeError):
            return shlex.join(json.loads(last))
        return ""
    return _PORT.sub("{port}", last)


def _pyproject(text: str) -> str:
    with suppress(ValueError, KeyError, TypeError, StopIteration):
        return str(next(iter(tomllib.loads(text)["project"]["scripts"])))
    return ""


def _cargo(text: str) -> str:
    with suppress(ValueError, KeyError, TypeError):
        return f"./{tomllib.loads(text)['package']['name']}"
    return ""


def _go_mod(text: str) -> str:
    found = re.search(r"^module\s+\S*?([A-Za-z0-9_.-]+)\s*$", text, re.MULTILINE)
    return f"./{found[1]}" if found else ""


_COMMANDS = (
    ("Procfile", _procfile),
    ("package.json", _package_json),
    ("Dockerfile", _dockerfile),
    ("Cargo.toml", _cargo),
    ("go.mod", _go_mod),
    ("pyproject.toml", _pyproject),
)


# --- Files ---------------------------------------------------------------------------------------


def _sources(folder: Path) -> Iterator[Path]:
    """The first files of source code, nearest first."""
    seen = 0
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(
            name for name in folders if name not in _FOREIGN and not name.startswith(".")
        )
        for name in sorted(files):
            if Path(name).suffix in _SOURCES:
                seen += 1
                yield Path(place, name)
            if seen == FILES_MAX:
                return


def _text(file: Path) -> str:
    """Its beginning; empty for what is no file that can be read as text."""
    with suppress(OSError, ValueError):
        if file.is_file():
            with file.open("rb") as stream:
                return stream.read(FILE_BYTES).decode()
    return ""
