"""Freezes: times in which nothing is to change for those who use an app.

The windows are made by the shell, which has calendar and clock, and reach the core as intervals of
engine time (`Calendar`). Here is what follows from them; called by `decide`, `deploying`, `debts`.
"""

from collections.abc import Iterable

from tidegate_controller.core.spec import Struct

DRIFT_SECONDS = 1.0  # between engine and wall time, that a calendar may be off by


class Window(Struct, frozen=True, kw_only=True):
    """From `begins` until `ends`, engine seconds. `until`: its end for people, with its time zone.
    `by`: who has asked for it; empty: the configuration. `unix_until`: its end as Unix time, where
    nothing else says so: from this `ends` is reckoned anew when the clocks have gone apart."""

    begins: float
    ends: float
    until: str
    reason: str = ""
    by: str = ""
    unix_until: float = 0.0

    @property
    def named(self) -> str:
        """For people, after "the"."""
        by = f", by {self.by}" if self.by else ""
        return f"freeze until {self.until}{by}" + (f": {self.reason}" if self.reason else "")


class Calendar(Struct, frozen=True, kw_only=True):
    """Of each window in the configuration: as it is now, or comes next. `hand_until`, `hand_ends`:
    where the freeze by hand with that `unix_until` ends; 0.0 where there is none."""

    windows: tuple[Window, ...] = ()
    hand_until: float = 0.0
    hand_ends: float = 0.0


def covering(windows: Iterable[Window | None], now: float) -> Window | None:
    """The window that lasts longest of those that cover the moment."""
    found = [each for each in windows if each is not None and each.begins <= now < each.ends]
    return max(found, key=lambda each: each.ends, default=None)


def is_alike(one: Window | None, other: Window | None) -> bool:
    """Whether they say the same, but for what clocks drift apart."""
    if one is None or other is None:
        return one is other
    edges = abs(one.begins - other.begins), abs(one.ends - other.ends)
    said = (one.until, one.reason, one.by) == (other.until, other.reason, other.by)
    return said and max(edges) <= DRIFT_SECONDS


def are_alike(ones: tuple[Window, ...], others: tuple[Window, ...]) -> bool:
    """The same of all of them."""
    return len(ones) == len(others) and all(map(is_alike, ones, others))
