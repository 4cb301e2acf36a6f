"""What the daemons log, and where to: written in the same way by both.

A record goes to all outputs that are on: the terminal (standard error), systemd's journal, a
rotated file with one JSON object a line. `begin` is called once, by `tidegate-agent run` and
`tidegate controller run`. Whoever makes records says what they are about, by `with about(…)` around
the work or by `extra={…}` at the call, with the names in `Fields`. The values of an app's
environment variables are never among what is logged: they may be secrets.
"""

import contextlib
import json
import logging
import logging.handlers
import os
import socket
import struct
import sys
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TypedDict, Unpack, cast

from tidegate_protos.rules import CONTROLS
from tidegate_protos.settings import Setting, a_choice, a_file, a_number

OUTPUTS = ("terminal", "journal", "file")
LIBRARIES = ("grpc", "aiohttp", "asyncio")  # whose debug records are for whoever names them
LOGGERS = ("tidegate_agent", "tidegate_controller", *LIBRARIES)  # and what is beneath
OFF = 100  # above every level
LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "off": OFF,
}
JOURNAL_SOCKET = "/run/systemd/journal/socket"
JOURNAL_SECONDS = 1.0  # a journal that takes nothing for so long is given up for this record
FIELD_BYTES = 60_000  # of one field in the journal, whose datagrams have a bound
PRIORITIES = ((logging.ERROR, "3"), (logging.WARNING, "4"), (logging.INFO, "6"))  # debug: 7


class Fields(TypedDict, total=False):
    """What a record is about. `action`: what it was done for, or began with."""

    app: str
    environment: str
    rollout: str
    node: str
    slot: str
    action: str


_NAMES = tuple(Fields.__annotations__)
_about: ContextVar[Mapping[str, object]] = ContextVar("about", default=MappingProxyType({}))


@contextlib.contextmanager
def about(**fields: Unpack[Fields]) -> Iterator[None]:
    """Every record made within, also by tasks that begin within, is about this too."""
    token = _about.set({**_about.get(), **{name: word for name, word in fields.items() if word}})
    try:
        yield
    finally:
        _about.reset(token)


# --- Settings ------------------------------------------------------------------------------------


def _level(word: str) -> tuple[str, int]:
    """ "LEVEL" or "NAME=LEVEL" -> the name, empty for all outputs, and the level's number."""
    name, _, level = word.rpartition("=")
    a_choice(*LEVELS)(level)
    if level == "off" and name not in OUTPUTS:
        raise ValueError("only an output can be off, such as terminal=off; a logger can be error")
    if name and name not in OUTPUTS and name.partition(".")[0] not in LOGGERS:
        raise ValueError(
            f"{name[:80]!r} is neither an output ({', '.join(OUTPUTS)}) nor a logger such as "
            f"{LOGGERS[0]} or {LOGGERS[0]}.link"
        )
    return name, LEVELS[level]


SETTINGS = (
    Setting(
        "log_level",
        "[NAME=]LEVEL",
        "debug, info, warning or error. Of one output alone with its name: terminal, journal or "
        "file, which can be off too; of a part of Tidegate, in all outputs, with the name of its "
        "logger, such as tidegate_agent.link. May be repeated.",
        _level,
        many=True,
        default="info",
    ),
    Setting(
        "log_format",
        "text|json",
        "How records look on the terminal.",
        a_choice("text", "json"),
        default="text",
    ),
    Setting("log_file", "PATH", "Also write to this file, one JSON object a line.", a_file),
    Setting(
        "log_file_mib",
        "MIB",
        "The file is begun anew when it has this size in MiB.",
        a_number(1, 100_000),
        default="10",
    ),
    Setting(
        "log_file_keep",
        "COUNT",
        "So many earlier files are kept, as PATH.1, PATH.2 and so on.",
        a_number(0, 1000),
        default="5",
    ),
)


@dataclass(frozen=True)
class Choices:
    """How to log. `levels`: by name of an output or a logger; under "" those of all outputs."""

    levels: Mapping[str, int]
    format: str
    file: Path | None
    file_mib: int
    file_keep: int

    @classmethod
    def of(cls, values: Mapping[str, object]) -> "Choices":
        """From what `settings.gather` has found for `SETTINGS`."""
        levels = cast("tuple[tuple[str, int], ...]", values["log_level"])
        return cls(
            levels={"": logging.INFO, **dict(levels)},
            format=str(values["log_format"]),
            file=cast("Path | None", values.get("log_file")),
            file_mib=cast("int", values["log_file_mib"]),
            file_keep=cast("int", values["log_file_keep"]),
        )

    def level(self, output: str) -> int:
        """From which level on the output gets records. A level of its own turns one on: without,
        the journal is on where standard error leads there, and the terminal where it does not."""
        if output in self.levels:
            return self.levels[output]
        is_on = {
            "terminal": not leads_to_journal(),
            "journal": leads_to_journal(),
            "file": True,
        }
        return self.levels[""] if is_on[output] else OFF

    @property
    def loggers(self) -> dict[str, int]:
        return {name: level for name, level in self.levels.items() if name not in ("", *OUTPUTS)}


def leads_to_journal() -> bool:
    """Whether systemd has connected standard error to its journal."""
    try:
        status = os.fstat(2)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


# --- Outputs -------------------------------------------------------------------------------------


def begin(program: str, choices: Choices, **own: Unpack[Fields]) -> None:
    """From here on records go where they were chosen to go, each about `own` too. Raises OSError
    where the file cannot be written."""
    handlers: list[logging.Handler] = []
    if (level := choices.level("terminal")) < OFF:
        text = AsText() if choices.format == "text" else AsJson(own)
        handlers.append(_to(logging.StreamHandler(sys.stderr), text, level, choices))
    if (level := choices.level("journal")) < OFF:
        handlers.append(_to(Journal(program, own), AsText(), level, choices))
    if choices.file is not None and (level := choices.level("file")) < OFF:
        choices.file.parent.mkdir(parents=True, exist_ok=True)
        file = RotatedFile(choices.file, choices.file_mib * 1024**2, choices.file_keep)
        handlers.append(_to(file, AsJson(own), level, choices))
    root = logging.getLogger()
    for old in tuple(root.handlers):
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        root.addHandler(handler)
    levels = [choices.level(output) for output in OUTPUTS]
    root.setLevel(min(levels))
    quiet = dict.fromkeys(LIBRARIES, max(root.level, logging.INFO))
    for name, level in {**quiet, **choices.loggers}.items():
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(True)


def last_words(text: str) -> None:
    """Why the program ends, for the file: whoever reads standard error is told there."""
    record = logging.makeLogRecord(
        {"name": __name__, "levelno": logging.ERROR, "levelname": "ERROR", "msg": text}
    )
    for handler in logging.getLogger().handlers:
        if isinstance(handler, RotatedFile):
            handler.handle(record)


def _to(
    handler: logging.Handler, formatter: logging.Formatter, level: int, choices: Choices
) -> logging.Handler:
    loggers = tuple(choices.loggers)

    def passes(record: logging.LogRecord) -> bool:
        """A logger with a level of its own has let the record through for all outputs."""
        if record.levelno >= level:
            return True
        return any(record.name == name or record.name.startswith(f"{name}.") for name in loggers)

    handler.setFormatter(formatter)
    handler.addFilter(passes)
    return handler


def _fields(record: logging.LogRecord, own: Mapping[str, object]) -> dict[str, object]:
    given = {name: word for name in _NAMES if (word := getattr(record, name, ""))}
    return {**own, **_about.get(), **given}


class AsText(logging.Formatter):
    """For people. What comes from elsewhere can neither steer a terminal nor pass for a record of
    its own: every line after the first is indented."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return CONTROLS.sub("", super().format(record)).replace("\n", "\n  ")


class AsJson(logging.Formatter):
    """One object a line: time (RFC 3339, UTC), level, logger, message, what it is about, and with
    an error its traceback."""

    def __init__(self, own: Mapping[str, object]) -> None:
        super().__init__()
        self._own = own

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        document = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record, self._own),
        }
        if traceback := _traceback(self, record):
            document["traceback"] = traceback
        return json.dumps(document)


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    return formatter.formatException(record.exc_info) if record.exc_info else ""


class RotatedFile(logging.handlers.RotatingFileHandler):
    """A file that cannot be written (its disk is full, perhaps) is said once, and tried again with
    every record: logging never stops the program."""

    def __init__(self, path: Path, size_bytes: int, keep: int) -> None:
        super().__init__(path, maxBytes=size_bytes, backupCount=keep, encoding="utf-8")
        self._is_failing = False

    def emit(self, record: logging.LogRecord) -> None:
        self._failed = False
        super().emit(record)
        if self._failed and not self._is_failing:
            sys.stderr.write(f"the log file {self.baseFilename} cannot be written\n")
        self._is_failing = self._failed

    def handleError(self, record: logging.LogRecord) -> None:
        self._failed = True


class Journal(logging.Handler):
    """systemd's journal by its native protocol, so that `journalctl TIDEGATE_APP=shop` finds what
    is about an app. What it does not take goes to standard error."""

    def __init__(self, program: str, own: Mapping[str, object], path: str = JOURNAL_SOCKET) -> None:
        super().__init__()
        self._program = program
        self._own = own
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(JOURNAL_SECONDS)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._socket.sendto(self._datagram(record), self._path)
        except OSError:
            sys.stderr.write(f"{self.format(record)}\n")
        except Exception:
            self.handleError(record)  # of the one who made the record, as every handler does

    def close(self) -> None:
        self._socket.close()
        super().close()

    def _datagram(self, record: logging.LogRecord) -> bytes:
        priority = next((mark for low, mark in PRIORITIES if record.levelno >= low), "7")
        about = _fields(record, self._own)
        fields = {
            "MESSAGE": CONTROLS.sub("", record.getMessage()),
            "PRIORITY": priority,
            "SYSLOG_IDENTIFIER": self._program,
            "LOGGER": record.name,
            **{f"TIDEGATE_{name.upper()}": str(word) for name, word in about.items()},
        }
        if record.exc_info:
            fields["TRACEBACK"] = _traceback(logging.Formatter(), record)
        return b"".join(_journal_field(name, text) for name, text in fields.items())


def _journal_field(name: str, text: str) -> bytes:
    """NAME=text, or for a text of several lines the name, the length and the text."""
    data = text.encode(errors="replace")[:FIELD_BYTES]
    if b"\n" not in data:
        return name.encode() + b"=" + data + b"\n"
    return name.encode() + b"\n" + struct.pack("<Q", len(data)) + data + b"\n"
