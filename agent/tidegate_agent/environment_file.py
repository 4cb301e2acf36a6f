"""NAME=value lines in a file on the node: what an app must know and no log may.

The plain part of what systemd takes for `EnvironmentFile=`, with the same meaning. Read by
launching.py at each start; written by managers/systemd.py, for units. No message ever shows a
value, or a line that could hold one.
"""

import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from tidegate_agent import durable
from tidegate_agent.errors import NodeError, ServiceError
from tidegate_protos.folders import sync_folder

HEAD = "# Written by tidegate-agent before each start; what is changed here is lost.\n"

FILE_BYTES = 1 << 20

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BLANKS = re.compile(r"[ \t\r]*")
_SKIPPED = re.compile(r"[ \t\r]*(?:[#;](?:\\\n|[^\n])*)?(?:\n|\Z)")  # empty, or a comment
# After "=": quoted pieces, blanks between them, then perhaps plain text up to the line's end, in
# which quotes are letters. A backslash before a line's end continues the line.
_SINGLE = re.compile(r"'([^']*)'")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\[\s\S])*)"')
_PLAIN = re.compile(r"(?:[^\\\n]|\\[\s\S])*")
_ESCAPED_IN_QUOTES = re.compile(r'\\(["\\`$])|\\\n')
_QUOTED = re.compile(r'["\\`$]')
_ESCAPED = re.compile(r"\\\n|\\([\s\S])")


def read(path: str) -> dict[str, str]:
    """The variables. Raises NodeError, with the number of the line that is to blame."""
    if not path.startswith("/"):
        raise NodeError(f"environment_file {path[:200]!r} is not an absolute path")
    try:
        data = _bytes(path)
        text = data.decode()
    except OSError as error:
        raise NodeError(f"cannot read environment_file {path}: {error.strerror}") from error
    except ValueError as error:
        raise NodeError(f"environment_file {path} is not UTF-8 text") from error
    if len(data) > FILE_BYTES:
        raise NodeError(f"environment_file {path} has more than {FILE_BYTES:,} bytes")
    try:
        return dict(parse(text))
    except ValueError as error:
        raise NodeError(f"environment_file {path}, {error}") from None


def write(path: Path, variables: Mapping[str, str]) -> None:
    """In one step, and durably; for its owner alone. Raises as `spelled` does, and OSError.

    A file that says just this is left alone: what is started again gets the same, and a disk that
    is full is no reason not to.
    """
    text = spelled(variables)
    if path.is_file() and path.read_bytes() == text.encode():
        sync_folder(path.parent)  # which the call that wrote it may have failed to do
    else:
        durable.write(path, text, path.with_name(f".{path.name}.new"), mode=0o600)


def spelled(variables: Mapping[str, str]) -> str:
    """What `parse` reads as these variables. Raises ServiceError for what no file can hold."""
    for name, value in variables.items():
        if not _NAME.fullmatch(name) or "\0" in value:
            raise ServiceError(f"the variable {name[:80]!r} cannot stand in an environment file")
    lines = [f'{name}="{_QUOTED.sub(_escaped, variables[name])}"\n' for name in sorted(variables)]
    return HEAD + "".join(lines)


def _escaped(found: re.Match[str]) -> str:
    return f"\\{found.group()}"


def _bytes(path: str) -> bytes:
    """So many at most. Whatever lies there, nobody waits for it: a fifo, for one, is refused."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise NodeError(f"environment_file {path} is not a regular file")
        return file.read(FILE_BYTES + 1)


def parse(text: str) -> Iterator[tuple[str, str]]:
    """Names and values in order; of two with the same name the last counts.

    Raises ValueError, "line N: ...".
    """
    at = 0
    while at < len(text):
        if skipped := _SKIPPED.match(text, at):
            at = skipped.end()
            continue
        at = _after(_BLANKS, text, at)
        name = _NAME.match(text, at)
        equals = _after(_BLANKS, text, name.end()) if name else at
        if name is None or text[equals : equals + 1] != "=":
            raise ValueError(f"line {_line(text, at)}: not NAME=value")
        value, end = _value(text, equals + 1)
        if "\0" in value:
            raise ValueError(f"line {_line(text, at)}: a NUL in the value of {name.group()}")
        yield name.group(), value
        at = end + 1


def _value(text: str, at: int) -> tuple[str, int]:
    """The value that begins here, and where its line ends."""
    pieces: list[str] = []
    while True:
        at = _after(_BLANKS, text, at)
        if found := _SINGLE.match(text, at):
            pieces.append(found[1])
        elif found := _DOUBLE.match(text, at):
            pieces.append(_ESCAPED_IN_QUOTES.sub(lambda one: one[1] or "", found[1]))
        elif text[at : at + 1] in ("'", '"'):
            raise ValueError(f"line {_line(text, at)}: a quote that does not end")
        else:
            found = _PLAIN.match(text, at)
            assert found is not None
            plain = found.group()
            kept = plain.rstrip(" \t\r")
            if (len(kept) - len(kept.rstrip("\\"))) % 2:  # the blank after it is escaped
                kept = plain[: len(kept) + 1]
            pieces.append(_ESCAPED.sub(lambda one: one[1] or "", kept))
            return "".join(pieces), found.end()
        at = found.end()


def _after(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    assert found is not None
    return found.end()


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1
