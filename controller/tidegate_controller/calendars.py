"""When the freezes of a configuration are: from weekdays and dates to Unix and to engine time.

Where a clock is set, as in spring and autumn, the longer of two readings counts: a time that comes
twice begins a freeze with the first and ends it with the second; one that is left out begins it an
hour earlier and ends it an hour later. Used by `config_freeze`, `engine`, `freeze_clock`
and `control_requests`.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from tidegate_controller.core import types as t
from tidegate_controller.core.freezes import Calendar, Window
from tidegate_controller.core.spec import Freeze
from tidegate_controller.errors import UsageError

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
WEEKLY = re.compile(r"(?P<day>Mon|Tue|Wed|Thu|Fri|Sat|Sun) (?P<hour>\d{2}):(?P<minute>\d{2})")
DATED = "%Y-%m-%d %H:%M"
FORM = 'a weekday and time such as "Fri 16:00", or a date and time such as "2026-12-20 00:00"'
WEEK = timedelta(days=7)


class Weekly(NamedTuple):
    """A moment of every week. `day`: 0 is Monday."""

    day: int
    hour: int
    minute: int


def moment(text: str) -> Weekly | datetime:
    """One edge of a window, by the clocks of its zone. Raises `ValueError` for another form."""
    if found := WEEKLY.fullmatch(text):
        hour, minute = int(found["hour"]), int(found["minute"])
        if hour > 23 or minute > 59:
            raise ValueError(text)
        return Weekly(DAYS.index(found["day"]), hour, minute)
    read = datetime.strptime(text, DATED)  # noqa: DTZ007 - its zone stands beside it
    if read.strftime(DATED) != text:  # "2026-1-2 3:4"
        raise ValueError(text)
    return read


def zone(name: str) -> tzinfo:
    """Raises `UsageError` for one that is not known, or where this machine knows none at all."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        if not available_timezones():
            raise UsageError(
                f"this machine has no time zones, so nobody knows when it is in {name[:80]}",
                "install them (apt-get install tzdata, or pip install tzdata); or write time_zone "
                '= "UTC", and times of UTC',
            ) from None
        raise UsageError(
            f"there is no time zone {name[:80]!r}", 'such as "Europe/Berlin", or "UTC"'
        ) from None


def edges(freeze: Freeze, now: float) -> tuple[float, float]:
    """Its beginning and end as Unix time: as it is at `now`, or comes next; of one that was once,
    as it was. Raises `UsageError`."""
    where = zone(freeze.time_zone)
    begin, until = moment(freeze.begin), moment(freeze.until)
    if isinstance(begin, datetime) and isinstance(until, datetime):
        return _unix(begin, where, first=True), _unix(until, where, first=False)
    assert isinstance(begin, Weekly)
    assert isinstance(until, Weekly)
    today = datetime.fromtimestamp(now, where).replace(tzinfo=None)
    for weeks in (-1, 0, 1):
        start = _in_week(begin, today + weeks * WEEK)
        end = _in_week(until, start)
        end += WEEK if end <= start else timedelta()
        found = _unix(start, where, first=True), _unix(end, where, first=False)
        if now < found[1]:
            return found
    raise AssertionError("a window of next week has not ended yet")


def _in_week(at: Weekly, day: datetime) -> datetime:
    """The moment in the week of this day."""
    monday = day.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=day.weekday())
    return monday + timedelta(days=at.day, hours=at.hour, minutes=at.minute)


def _unix(at: datetime, where: tzinfo, *, first: bool) -> float:
    readings = [at.replace(tzinfo=where, fold=fold).timestamp() for fold in (0, 1)]
    return min(readings) if first else max(readings)


def said(unix: float, time_zone: str = "UTC", *, to_the_second: bool = False) -> str:
    """A moment for people: "Mon 2026-11-30 08:00 Europe/Berlin"."""
    at = datetime.fromtimestamp(unix, zone(time_zone))
    time = f"{at:%H:%M:%S}" if to_the_second else f"{at:%H:%M}"
    return f"{DAYS[at.weekday()]} {at:%Y-%m-%d} {time} {time_zone}"


def calendar_of(
    freezes: Iterable[Freeze], by_hand: Window | None, now: float, engine_now: float
) -> Calendar:
    """In engine time. `now`: Unix time. What is over and does not come again is left out. Raises
    `UsageError`."""
    ahead, windows = now - engine_now, []
    for freeze in freezes:
        try:
            begins, ends = edges(freeze, now)
            until = said(ends, freeze.time_zone)
        except (ValueError, OverflowError) as error:  # a configuration of before this was refused
            raise UsageError(
                f"nobody can say when it is {freeze.until} in {freeze.time_zone}: {error}",
                "give the freeze another `from` or `until` in tidegate.toml, and deploy with it",
            ) from error
        if ends > now:
            windows.append(
                Window(begins=begins - ahead, ends=ends - ahead, until=until, reason=freeze.reason)
            )
    hand = by_hand.unix_until if by_hand else 0.0
    return Calendar(windows=tuple(windows), hand_until=hand, hand_ends=hand - ahead if hand else 0)


def calendar_in_force(state: t.State, now: float, engine_now: float) -> Calendar:
    """The freezes of the rollout's configuration, else of the last that has succeeded. Raises
    `UsageError` where a time zone is not known on this machine."""
    spec = state.rollout.spec if state.rollout else state.spec
    return calendar_of(spec.freeze if spec else (), state.freeze, now, engine_now)
