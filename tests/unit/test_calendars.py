"""Weekdays and dates, time zones, and the nights in which clocks are set."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from config_samples import SMALLEST

from tidegate_controller import calendars, config
from tidegate_controller.core.spec import Freeze
from tidegate_controller.errors import UsageError

WEEKEND = Freeze(begin="Fri 16:00", until="Mon 08:00", time_zone="Europe/Berlin", reason="weekend")


def unix(text: str) -> float:
    """A moment of UTC."""
    return datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("now", "begins", "ends"),
    [
        ("2026-11-25 12:00", "2026-11-27 15:00", "2026-11-30 07:00"),  # a Wednesday: the next
        ("2026-11-27 15:00", "2026-11-27 15:00", "2026-11-30 07:00"),
        ("2026-11-29 23:30", "2026-11-27 15:00", "2026-11-30 07:00"),
        ("2026-11-30 06:59", "2026-11-27 15:00", "2026-11-30 07:00"),
        ("2026-11-30 07:00", "2026-12-04 15:00", "2026-12-07 07:00"),
        ("2026-07-01 12:00", "2026-07-03 14:00", "2026-07-06 06:00"),  # summer time
    ],
)
def test_a_weekly_window_is_the_present_or_the_next(now: str, begins: str, ends: str) -> None:
    assert calendars.edges(WEEKEND, unix(now)) == (unix(begins), unix(ends))


def test_a_window_from_a_day_to_an_earlier_one_goes_over_the_end_of_the_week() -> None:
    night = Freeze(begin="Mon 20:00", until="Mon 06:00")
    found = calendars.edges(night, unix("2026-11-25 12:00"))
    assert found == (unix("2026-11-23 20:00"), unix("2026-11-30 06:00"))


def test_where_the_clock_is_set_the_longer_reading_counts() -> None:
    autumn = Freeze(begin="2026-10-25 02:30", until="2026-10-25 02:45", time_zone="Europe/Berlin")
    assert calendars.edges(autumn, 0.0) == (unix("2026-10-25 00:30"), unix("2026-10-25 01:45"))
    spring = Freeze(begin="2026-03-29 02:30", until="2026-03-29 02:45", time_zone="Europe/Berlin")
    assert calendars.edges(spring, 0.0) == (unix("2026-03-29 00:30"), unix("2026-03-29 01:45"))


def test_windows_reach_the_core_in_engine_time_and_what_is_over_does_not() -> None:
    past = Freeze(begin="2026-01-01 00:00", until="2026-01-02 00:00")
    now = unix("2026-11-29 12:00")
    calendar = calendars.calendar_of((WEEKEND, past), None, now, 500.0)
    (window,) = calendar.windows
    assert window.ends == 500.0 + unix("2026-11-30 07:00") - now
    assert window.named == "freeze until Mon 2026-11-30 08:00 Europe/Berlin: weekend"


def test_an_end_that_no_clock_can_show_is_said_and_is_no_fault_of_the_controller() -> None:
    """As configurations have it that were deployed before such years were refused."""
    west = Freeze(begin="2026-01-01 00:00", until="9999-12-31 23:59", time_zone="America/New_York")
    with pytest.raises(UsageError, match="when it is 9999-12-31 23:59 in America/New_York"):
        calendars.calendar_of((west,), None, unix("2026-11-29 12:00"), 500.0)


def test_where_a_machine_has_no_time_zones_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise calendars.ZoneInfoNotFoundError(name)

    monkeypatch.setattr(calendars, "ZoneInfo", missing)
    monkeypatch.setattr(calendars, "available_timezones", set)
    with pytest.raises(UsageError, match="this machine has no time zones") as error:
        calendars.zone("Europe/Berlin")
    assert "tzdata" in error.value.hint
    assert calendars.zone("UTC") is UTC


def read(table: str) -> tuple[Freeze, ...]:
    (name,) = config.read(Path("tidegate.toml"), SMALLEST).specs
    text = f"{SMALLEST}\n[[environments.{name}.freeze]]\n{table}\n"
    return config.read(Path("tidegate.toml"), text).specs[name].freeze


def test_windows_stand_in_tables_of_their_own() -> None:
    said = 'from = "Fri 16:00"\nuntil = "Mon 08:00"\ntime_zone = "Europe/Berlin"'
    assert read(f'{said}\nreason = "weekend"') == (WEEKEND,)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ('from = "Fri 16:00"', "missing"),
        ('from = "Fri"\nuntil = "Mon 08:00"', "a weekday and time such as"),
        ('from = "Fri 25:00"\nuntil = "Mon 08:00"', "a weekday and time such as"),
        ('from = "2026-1-2 3:4"\nuntil = "2026-02-01 00:00"', "a weekday and time such as"),
        ('from = "Fri 16:00"\nuntil = "2026-02-01 00:00"', "both be weekdays, or both be dates"),
        ('from = "Fri 16:00"\nuntil = "Fri 16:00"', "is empty: it ends as it begins"),
        ('from = "2026-02-02 00:00"\nuntil = "2026-02-01 00:00"', "it ends before it begins"),
        ('from = "2026-02-02 00:00"\nuntil = "9999-12-31 23:59"', "of the years 1970 to 9998"),
        ('from = "1969-12-31 00:00"\nuntil = "2026-02-01 00:00"', "of the years 1970 to 9998"),
        (
            'from = "Fri 16:00"\nuntil = "Mon 08:00"\ntime_zone = "Berlin"',
            "there is no time zone 'Berlin'",
        ),
    ],
)
def test_what_is_wrong_with_one_is_said(table: str, words: str) -> None:
    with pytest.raises(UsageError) as error:
        read(table)
    assert words in error.value.message
