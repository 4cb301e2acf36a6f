"""What `tidegate controller` can be told: its settings, by flag, variable or file.

Used by `cli/controller` to run one, and by `doctor`, which looks at the same settings.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from tidegate_controller.errors import UsageError
from tidegate_protos import logs
from tidegate_protos.settings import Setting, SettingsError, Words, a_file, a_folder, gather

PROGRAM = "controller"

DATA = Setting("data", "DIR", "The folder for event log and artifacts.", a_folder, needed=True)
LISTEN = Setting(
    "listen",
    "HOST:PORT",
    "Where agents and the tidegate command connect.",
    default="127.0.0.1:7420",
)
HTTP = Setting(
    "http",
    "HOST:PORT",
    "Where agents fetch artifacts; else a free port, the same one at each start.",
)
SOCKET = Setting(
    "socket",
    "PATH",
    "The local socket for the tidegate command.",
    a_file,
    variable="TIDEGATE_SOCKET",
)
OWN = (DATA, LISTEN, HTTP, SOCKET)
SETTINGS = (*OWN, *logs.SETTINGS)
MEND = "correct it; what can be set, and how: tidegate {} --help"


@dataclass(frozen=True)
class Options:
    """What the controller was told. `http` None: a port of its own choice; `socket` None: where
    the tidegate command looks for it."""

    data: Path
    listen: str
    http: str | None
    socket: Path | None
    logs: logs.Choices


def read(
    flags: Mapping[str, Words | None], file: Path | None, command: str = "controller run"
) -> Options:
    """`file`: settings from this one alone. `command`: whose help says more. Raises `UsageError`
    with everything that is wrong."""
    try:
        return _options(gather(PROGRAM, SETTINGS, flags, os.environ, file))
    except SettingsError as error:
        count = len(error.problems)
        head = [f"{count} settings are wrong:"] if count > 1 else []
        raise UsageError("\n  ".join([*head, *error.problems]), MEND.format(command)) from error


def find(flags: Mapping[str, Words | None], file: Path | None) -> Options | None:
    """The same for whoever only looks; None where nothing says which folder a controller has.
    Raises `SettingsError`."""
    settings = [replace(each, needed=False) for each in SETTINGS]
    values = gather(PROGRAM, settings, flags, os.environ, file)
    return _options(values) if "data" in values else None


def _options(values: Mapping[str, object]) -> Options:
    return Options(
        data=cast("Path", values["data"]),
        listen=str(values["listen"]),
        http=cast("str | None", values.get("http")),
        socket=cast("Path | None", values.get("socket")),
        logs=logs.Choices.of(values),
    )
