"""Durations, sizes, ages and lists as people read them, for whatever the command line says."""

import re
from collections.abc import Iterable
from datetime import datetime

_UNITS = ("B", "kB", "MB", "GB", "TB")


def seconds_of(at: str) -> float:
    """An RFC 3339 time as seconds since 1970."""
    return datetime.fromisoformat(at).timestamp()


def seconds_between(start: str, end: str) -> float:
    return seconds_of(end) - seconds_of(start)


def span(seconds: float) -> str:
    """How long, to the second where that matters: "12 s", "4 min 50 s", "2 h 5 min", "3 days"."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    if whole < 86_400:
        return f"{whole // 3600} h" + (f" {whole % 3600 // 60} min" if whole % 3600 >= 60 else "")
    return f"{whole // 86_400} day{'s' if whole >= 172_800 else ''}"


def age(seconds: float) -> str:
    """How long ago, in its largest unit: "50 s ago", "5 min ago"."""
    number, unit = span(seconds).split(" ")[:2]
    return f"{number} {unit} ago"


def size(count: int) -> str:
    """Bytes, in decimal units: "3.3 kB", "112 MB"."""
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.0f} B" if not unit else f"{value:.3g} {_UNITS[unit]}"


def amount(count: int, what: str) -> str:
    """ "1 node", "3 nodes"."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def listed(names: Iterable[str], most: int = 3) -> str:
    """ "web-1, web-2, web-3 and 4 more"."""
    found = list(names)
    rest = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(found[:most]) + rest


def natural(name: str) -> list[tuple[int, str]]:
    """What to sort names by, so that web-2 comes before web-10."""
    return [
        (int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"([0-9]+)", name)
    ]


def tail(text: str, most: int) -> tuple[list[str], int]:
    """The last lines of an output, and how many came before them."""
    lines = text.splitlines()
    return lines[-most:], max(0, len(lines) - most)
