"""Events about an app in an environment, whatever rollout there is: what is kept out of it, when
nothing changes there, what waits for its turn. A part of `core.events`, which has all of them.
"""

from typing import Literal

from tidegate_controller.core import types as t
from tidegate_controller.core.event import Event
from tidegate_controller.core.freezes import Calendar, Window


class Quarantined(Event, frozen=True, kw_only=True):
    """A release is not to be brought here again. `by`: who said so; empty: the engine itself."""

    quarantine: t.Quarantine
    by: str = ""
    rollout: str = ""
    request_id: str = ""


class QuarantineLifted(Event, frozen=True, kw_only=True):
    """A person lets it be brought here again."""

    digest: str
    version: str
    by: str
    reason: str
    request_id: str = ""


class Locked(Event, frozen=True, kw_only=True):
    """Nobody else begins a rollout until it is unlocked."""

    by: str
    reason: str
    request_id: str


class Unlocked(Event, frozen=True, kw_only=True):
    """Anybody may begin one again."""

    by: str
    reason: str
    request_id: str


class CalendarRead(Event, frozen=True, kw_only=True):
    """When the freezes of the configuration are, and where the one by hand ends, as the wall clock
    is now. One by hand that is over is forgotten."""

    calendar: Calendar


class FreezeSet(Event, frozen=True, kw_only=True):
    """Somebody has asked for a freeze, in place of the one by hand before, if there was one."""

    window: Window
    request_id: str


class FreezeLifted(Event, frozen=True, kw_only=True):
    """The freeze by hand is over, as somebody says. Those of the configuration stay."""

    by: str
    reason: str
    request_id: str


class Frozen(Event, frozen=True, kw_only=True):
    """The rollout waits for the end of a freeze. Comes again where that is another."""

    rollout: str
    window: Window


class Thawed(Event, frozen=True, kw_only=True):
    """The rollout goes on. `by`: who has said so, in spite of this freeze and of any that follows;
    empty: the freeze is over."""

    rollout: str
    by: str = ""
    reason: str = ""
    request_id: str = ""


class Queued(Event, frozen=True, kw_only=True):
    """A deployment waits for its turn."""

    rollout: str
    deployment: t.Queued


class Unqueued(Event, frozen=True, kw_only=True):
    """It does not wait any more, and nothing was begun. `by`: who has given it up; empty: it could
    not be begun when its turn came, or there was nothing left to do."""

    rollout: str
    state: Literal["succeeded", "failed", "aborted"]
    reason: str
    by: str = ""
    request_id: str = ""
