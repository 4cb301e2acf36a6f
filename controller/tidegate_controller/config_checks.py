"""Checks of single values in `tidegate.toml`; `config` says which key is checked by which.

A check gets a value with its place and returns what `core.spec` wants. Where the value is wrong it
says so with `At.wrong` and returns anything: nothing is made of a file that has a problem.
"""

import difflib
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from tidegate_controller.toml_lines import KeyPath
from tidegate_controller.units import parse_duration
from tidegate_protos.rules import LABEL, NAME, PLACEHOLDERS

LONGEST = "30d"  # of a duration, where nothing else is said
NAME_FORM = "1 to 63 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit"
VERSION_FORM = "1 to 63 of A-Z, a-z, 0-9, '.', '_', '+' and '-', beginning with a letter or digit"

_LABEL_FORM = (
    "a label such as role = \"web\", both sides 1 to 63 of A-Z, a-z, 0-9, '.', '_', '/' and '-', "
    "beginning with a letter or digit"
)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
BRACES = re.compile(r"\{\{|\}\}|\{(?P<name>[^{}]*)\}|[{}]")  # {{, }}, {name}, one alone
_SHOWN_CHARS = 60


class Problem(NamedTuple):
    """`clash`: not by itself, but with what stands beside it, or because that is missing."""

    path: KeyPath
    said: str
    clash: bool = False


@dataclass(frozen=True)
class At:
    """A value of the file, where it stands, and the list that all problems go to."""

    value: object
    path: KeyPath
    problems: list[Problem]

    def inner(self, key: str | int, value: object = None) -> "At":
        return At(value, (*self.path, key), self.problems)

    def wrong(self, said: str) -> None:
        self.problems.append(Problem(self.path, said))

    def clashes(self, said: str) -> None:
        self.problems.append(Problem(self.path, said, clash=True))

    def expected(self, what: str) -> None:
        self.wrong(f"must be {what}; found {describe(self.value)}")


@dataclass(frozen=True)
class Check:
    """What a value has to be: `form` for whoever reads the reference, `run` for a value."""

    form: str
    run: Callable[[At], object]

    def __call__(self, at: At) -> object:
        return self.run(at)


class Key(NamedTuple):
    """What a table may hold under one name."""

    field: str  # the name in core.spec
    check: Check
    meaning: str
    needed: str = ""  # an example, for a key that must be there
    absent: str = ""  # what it means to leave it out, where its default does not say that


Keys = Mapping[str, Key]


def table(at: At, keys: Keys, beside: Iterable[str] = ()) -> dict[str, object]:
    """A table with these keys and no others -> a dict by field. What it holds `beside` them is
    looked at elsewhere."""
    names = (*keys, *beside)
    if not isinstance(at.value, dict):
        at.expected(f"a table with the keys {', '.join(names)}")
        return {}
    for name in at.value:
        if name not in names:
            at.inner(name).wrong(f"unknown key; {suggest(name, names)}")
    for name, key in keys.items():
        if key.needed and name not in at.value:
            at.inner(name).clashes(f"missing; for example {key.needed}")
    return {
        keys[name].field: keys[name].check(at.inner(name, value))
        for name, value in at.value.items()
        if name in keys
    }


def string(at: At, what: str) -> str | None:
    """A string that is not empty and that no terminal or process can trip over."""
    if not isinstance(at.value, str) or not at.value:
        at.expected(what)
        return None
    for character in at.value:
        if unicodedata.category(character) == "Cc":
            at.wrong(f"must not hold control characters; found U+{ord(character):04X}")
            return None
    return at.value


def a_name(at: At) -> str | None:
    text = string(at, f"a name ({NAME_FORM})")
    if text is not None and not NAME.fullmatch(text):
        at.expected(f"a name ({NAME_FORM})")
    return text


def known_yet(known: Sequence[str]) -> Check:
    """One of the words that this version knows, of those that there may be one day."""
    words = ", ".join(known)

    def check(at: At) -> object:
        if at.value not in known:
            near = nearest(at.value, known) if isinstance(at.value, str) else ""
            meant = f'; did you mean "{near}"?' if near else ""
            at.wrong(f"not yet: this version knows: {words}; found {describe(at.value)}{meant}")
        return at.value

    return Check(_either(known), check)


def choice(known: Sequence[str]) -> Check:
    """One of a few words."""
    form = _either(known)

    def check(at: At) -> object:
        if at.value not in known:
            at.expected(form)
        return at.value

    return Check(form, check)


def _either(words: Sequence[str]) -> str:
    *others, last = map(quoted, words)
    return f"{', '.join(others)} or {last}" if others else last


def integer(least: int, most: int) -> Check:
    form = f"a whole number from {least} to {most}"
    example = max(least, min(3, most))

    def check(at: At) -> int | None:
        if type(at.value) is not int or not least <= at.value <= most:
            at.expected(f"{form}, such as {example}")
            return None
        return at.value

    return Check(form, check)


def _share(at: At) -> str | None:
    """A number of nodes, as TOML has numbers, or so many of a hundred -> a string."""
    if type(at.value) is int and 0 <= at.value <= SHARE_MAX:
        return str(at.value)
    if isinstance(at.value, str) and re.fullmatch(r"(100|[0-9]{1,2})%", at.value):
        return at.value
    at.expected(f'{SHARE_FORM}, such as 2 or "25%"')
    return None


SHARE_MAX = 9999
SHARE_FORM = f'a number of nodes up to {SHARE_MAX}, or a part of them from "0%" to "100%"'
share = Check(SHARE_FORM, _share)


def _boolean(at: At) -> object:
    if not isinstance(at.value, bool):
        at.expected("true or false")
    return at.value


boolean = Check("true or false", _boolean)


def duration(least: str, most: str = LONGEST) -> Check:
    """A string with units, from `least` to `most` -> seconds."""
    least_seconds, most_seconds = parse_duration(least), parse_duration(most)

    def check(at: At) -> float | None:
        try:
            seconds = parse_duration(at.value if isinstance(at.value, str) else "")
        except ValueError as error:
            at.wrong(f"{error}; found {describe(at.value)}")
            return None
        if not least_seconds <= seconds <= most_seconds:
            at.expected(f"from {least} to {most}")
        return seconds

    return Check(f"a duration from {least} to {most}", check)


def template(
    at: At,
    what: str = 'a string such as "{port}"',
    *,
    words: Sequence[str] = PLACEHOLDERS,
    may_be_empty: bool = False,
) -> str:
    """A string in which {port} and its like stand for what the slot gets; {{ and }} are braces."""
    if may_be_empty and at.value == "":
        return ""
    text = string(at, what) or ""
    known = " ".join(f"{{{word}}}" for word in words)
    for found in BRACES.finditer(text):
        if found["name"] is None and len(found[0]) == 1:
            at.wrong(
                f"unbalanced {found[0]}; write {found[0] * 2} for the character, or use {known}"
            )
        elif found["name"] is not None and found["name"] not in words:
            written = found[0] if found[0].isprintable() else quoted(found[0])
            at.wrong(
                f"unknown placeholder {clip(written)}; known: {known}; "
                "write {{ and }} for the characters"
            )
    return text


def a_text(what: str) -> Check:
    """A string in which placeholders stand for what the slot gets."""
    return Check("a string", partial(template, what=what))


def command(example: str, words: Sequence[str] = PLACEHOLDERS) -> Check:
    """An argument list, with placeholders."""

    def check(at: At) -> object:
        if not isinstance(at.value, list) or not at.value:
            at.expected(f"an array of strings such as {example}, not empty")
            return None
        # An empty argument is an argument; an empty program is none.
        return [
            template(at.inner(index, item), words=words, may_be_empty=index > 0)
            for index, item in enumerate(at.value)
        ]

    return Check("an array of strings", check)


def variables(at: At) -> object:
    if not isinstance(at.value, dict):
        at.expected('a table of strings such as { LOG_LEVEL = "info" }')
        return None
    for variable in at.value:
        if not _VARIABLE.fullmatch(variable):
            at.inner(variable).wrong(
                "must be a variable's name: letters, digits, '_', no digit first"
            )
        elif variable.startswith("TIDEGATE_"):
            at.inner(variable).wrong("names that begin with TIDEGATE_ are set by Tidegate itself")
    return {
        variable: template(at.inner(variable, value), 'a string such as "info"', may_be_empty=True)
        for variable, value in at.value.items()
    }


def nodes(at: At) -> object:
    """Labels that must all match, or names."""
    if isinstance(at.value, dict) and at.value:
        for label, value in at.value.items():
            for word in (label, value):
                text = string(At(word, (*at.path, label), at.problems), _LABEL_FORM)
                if text is not None and not LABEL.fullmatch(text):
                    At(word, (*at.path, label), at.problems).expected(_LABEL_FORM)
    elif isinstance(at.value, list) and at.value:
        seen = set()
        for index, item in enumerate(at.value):
            node = a_name(at.inner(index, item))
            if node is not None and node in seen:
                at.inner(index).wrong(f"{quoted(node)} is listed twice")
            seen.add(node)
    else:
        at.expected(
            'labels such as { role = "web" } or node names such as ["web-1", "web-2"], not empty'
        )
    return at.value


def full_path(at: At, what: str) -> str | None:
    """A path on the nodes, where nothing could be relative to."""
    text = string(at, what)
    if text is not None and not text.startswith("/"):
        at.expected(what)
    return text


def suggest(word: str, known: Iterable[str]) -> str:
    """The nearest word that would have been right, or all of them."""
    words = list(known)
    near = nearest(word, words)
    return f'did you mean "{near}"?' if near else f"known here: {', '.join(words)}"


def nearest(word: str, known: Iterable[str]) -> str:
    """The word that was meant, by the looks of it; empty for none."""
    words = list(known)
    begun = word[:_SHOWN_CHARS].lower()
    near = [known_word for known_word in words if begun and known_word.startswith(begun)]
    return (near or difflib.get_close_matches(begun, words, n=1) or [""])[0]


def describe(value: object) -> str:
    """What was found, in TOML's words, short and safe to print."""
    empty = "" if value else "empty "
    match value:
        case bool():
            found = str(value).lower()
        case str():
            found = f"the string {clip(quoted(value))}" if value else "an empty string"
        case int() if abs(value) > 10**_SHOWN_CHARS:  # 0xfff…: too long for str()
            found = "a huge number"
        case int() | float():
            found = f"the number {value}"
        case list():
            found = f"an {empty}array"
        case dict():
            found = f"{'a ' if value else 'an '}{empty}table"
        case _:
            found = f"the date or time {value}"  # the one kind that is left in TOML
    return found


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=not text.isprintable())


def clip(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"
