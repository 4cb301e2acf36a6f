"""Durations as people write them ("250ms", "1h30m") and as the code has them (seconds).

Used by the configuration to read them, and by whoever shows one to a person.
"""

import re

_UNIT_MS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_DURATION = re.compile(
    r"(?=[0-9])"  # at least one part
    r"(?:([0-9]{1,18})d)?(?:([0-9]{1,18})h)?(?:([0-9]{1,18})m(?!s))?"
    r"(?:([0-9]{1,18})s)?(?:([0-9]{1,18})ms)?"
)

DURATION_FORM = (
    'a duration: whole numbers with units (d, h, m, s, ms), largest first, such as "250ms", "10s" '
    'or "1h30m"'
)


def parse_duration(text: str) -> float:
    """Seconds. Raises ValueError, with a text that gives the form, for anything else."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(f"must be {DURATION_FORM}")
    parts = zip(found.groups(), _UNIT_MS.values(), strict=True)
    return sum(int(number) * unit_ms for number, unit_ms in parts if number) / 1000


def spell_duration(seconds: float) -> str:
    """The shortest form that `parse_duration` reads back, to the millisecond."""
    rest_ms = round(seconds * 1000)
    parts: list[str] = []
    for unit, unit_ms in _UNIT_MS.items():
        number, rest_ms = divmod(rest_ms, unit_ms)
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts) or "0s"
