"""What events have told of freezes, of deployments that wait and of places, for `judge.py`: kept
apart from what the engine believes, and compared with what it does then.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.changes import replace
from tidegate_controller.core.freezes import Calendar, Window, covering


@dataclass
class Freezes:
    """Of one stream, as the controller knows them."""

    calendar: Calendar = field(default_factory=Calendar)
    by_hand: Window | None = None
    overridden: bool = False  # a person has said that the rollout goes on in spite of any

    def take(self, event: ev.Event, clock: float) -> None:
        if isinstance(event, ev.FreezeSet):
            self.by_hand = event.window
        elif isinstance(event, ev.FreezeLifted):
            self.by_hand = None
        elif isinstance(event, ev.Thawed):
            self.overridden |= bool(event.by)
        elif isinstance(event, ev.ControllerStarted | ev.Started | ev.CalendarRead):
            if event.calendar is not None:
                self._read(event.calendar)
            if isinstance(event, ev.Started):
                self.overridden = event.override_freeze
            over = self.by_hand is not None and self.by_hand.ends <= clock
            if over and isinstance(event, ev.CalendarRead):
                self.by_hand = None

    def _read(self, calendar: Calendar) -> None:
        self.calendar, by_hand = calendar, self.by_hand
        if by_hand is not None and by_hand.unix_until == calendar.hand_until:
            self.by_hand = replace(by_hand, ends=calendar.hand_ends)

    def at(self, clock: float, calendar: Calendar | None = None) -> Window | None:
        """The one that counts. `calendar`: of a configuration that is not in force yet."""
        windows = (self.calendar if calendar is None else calendar).windows
        return covering((*windows, self.by_hand), clock)


@dataclass
class Line:
    """Deployments of one stream that wait for their turn, the next one first."""

    waiting: list[str] = field(default_factory=list)
    left: set[str] = field(default_factory=set)  # those that do not wait any more

    def take(self, event: ev.Event) -> None:
        if isinstance(event, ev.Queued):
            self.waiting.append(event.rollout)
        elif isinstance(event, ev.Started | ev.Unqueued) and event.rollout in self.waiting:
            self.waiting.remove(event.rollout)
            self.left.add(event.rollout)


@dataclass
class Lost:
    """Nodes that a person is asked about since they are lost. Nobody need answer once one of them
    is back, or the controller has begun anew and waits for all of them."""

    nodes: set[str] = field(default_factory=set)

    def is_withdrawn(self, event: ev.Event) -> bool:
        """Whether the question is, by this event."""
        if isinstance(event, ev.Waiting):
            self.nodes = set(event.nodes) if event.kind == "lost" else set()
        back = isinstance(event, ev.NodeReturned) and event.node in self.nodes
        withdrawn = bool(self.nodes) and (back or isinstance(event, ev.ControllerStarted))
        if withdrawn:
            self.nodes = set()
        return withdrawn


def unwell_in(places: Mapping[t.Place, t.Known]) -> set[t.Place]:
    """Those that were down or failed their check when their agent spoke of them last."""
    return {p for p, known in places.items() if known.healthy is False or known.running is False}
