"""The line on which each key of a TOML text stands, which `tomllib` does not tell.

Used by `config` for its messages, after `tomllib` has accepted the text: this walks along what is
known to be valid, and judges nothing.
"""

import re
import tomllib
from bisect import bisect_left
from collections import deque
from collections.abc import Mapping

KeyPath = tuple[str | int, ...]  # ("service", "command", 0)

_TOKEN = re.compile(
    r"""
      [\ \t\r\n]+ | \#[^\n]*
    | (?P<token>
          \"{3} (?: [^"\\] | \\. | "{1,2}(?!") )* "{3,5}  # may end in two quotes of its own
        | '{3} (?: [^'] | '{1,2}(?!') )* '{3,5}
        | " (?: [^"\\] | \\. )* "
        | ' [^']* '
        | [][{},=]
        | [^\s\[\]{},=\#"']+ (?: \ (?=[0-9]{2}:) [^\s\[\]{},=\#"']+ )?  # a date may hold a blank
      )
    """,
    re.VERBOSE | re.DOTALL,
)


def find_lines(text: str) -> dict[KeyPath, int]:
    """Path -> line (from 1) of every table, key and array item; `text` is valid TOML.

    The tables of an array (`[[x]]`) have their index.
    """
    walk = _Walk(text)
    walk.document()
    return walk.lines


def line_of(lines: Mapping[KeyPath, int], path: KeyPath) -> int:
    """The line of `path`, or of the nearest table around it."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


class _Walk:
    """One pass over the tokens. A string is one token with its quotes, so no mark hides in it."""

    def __init__(self, text: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._last: dict[KeyPath, int] = {}  # array of tables -> index of its last one
        self._text = text
        self._ends = [found.start() for found in re.finditer("\n", text)]
        self._tokens = deque(
            (found["token"], found.start()) for found in _TOKEN.finditer(text) if found["token"]
        )

    def document(self) -> None:
        table: KeyPath = ()
        while self._tokens:
            if self._take("["):
                table = self._head(of_array=self._take("["))
            else:
                self._value(self._key(table, "="))

    def _head(self, *, of_array: bool) -> KeyPath:
        """The table that a head names; of an array it is another one, or in the last one."""
        parts, line = self._written("]")
        if of_array:
            self._take("]")
        path: KeyPath = ()
        for number, part in enumerate(parts, 1):
            path = (*path, part)
            self.lines.setdefault(path, line)
            if number == len(parts) and of_array:
                self._last[path] = self._last.get(path, -1) + 1
            if path in self._last:
                path = (*path, self._last[path])
        self.lines[path] = line
        return path

    def _key(self, inside: KeyPath, end: str) -> KeyPath:
        """A key, dotted or not, up to and with the mark after it."""
        parts, line = self._written(end)
        path = inside
        for part in parts:
            path = (*path, part)
            self.lines.setdefault(path, line)
        self.lines[path] = line
        return path

    def _written(self, end: str) -> tuple[list[str], int]:
        """The parts of a key up to and with the mark after it, and its line."""
        start = self._tokens[0][1]
        while self._tokens[0][0] != end:
            self._tokens.popleft()
        written = self._text[start : self._tokens.popleft()[1]]
        return _parts(written), self._line(start)

    def _value(self, path: KeyPath) -> None:
        if self._take("["):
            index = 0
            while not self._take("]"):
                self.lines[*path, index] = self._line(self._tokens[0][1])
                self._value((*path, index))
                self._take(",")
                index += 1
        elif self._take("{"):
            while not self._take("}"):
                self._value(self._key(path, "="))
                self._take(",")
        else:
            self._tokens.popleft()

    def _take(self, mark: str) -> bool:
        if self._tokens and self._tokens[0][0] == mark:
            self._tokens.popleft()
            return True
        return False

    def _line(self, offset: int) -> int:
        return bisect_left(self._ends, offset) + 1


def _parts(written: str) -> list[str]:
    """`a."b.c"` -> ["a", "b.c"]; tomllib knows best how to read quotes and escapes."""
    parts: list[str] = []
    rest: object = tomllib.loads(f"{written} = 0")
    while isinstance(rest, dict):
        ((part, rest),) = rest.items()
        parts.append(part)
    return parts
