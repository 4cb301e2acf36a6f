"""The moves of traffic of one rollout, from its events: where it goes by them, and where it may go
yet by one that comes late, so that nothing is stopped there. `Picture` has one.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from tidegate_controller.core.settling import REWRITE


class Move(NamedTuple):
    taking: frozenset[str]  # places that are to have traffic
    again: bool  # the target is written once more, since an earlier one may come late
    by_hand: bool  # a person does it, and nothing of it comes late


class Moves:
    """Of one rollout; times are seconds since 1970."""

    def __init__(self) -> None:
        self.serving: frozenset[str] | None = None  # None: whatever runs the release before
        self.late: frozenset[str] = frozenset()  # places that a move may still send to, late
        self.settled: frozenset[str] = frozenset()  # that were such,
        self.settled_at = 0.0  # until the target was written once more
        self._open: dict[str, Move] = {}  # by action
        self._begun_anew: set[str] = set()  # actions that an earlier controller had begun as well
        self._failed_again = False  # such a rewrite, which may come late as well

    def issued(self, action: Mapping[str, Any]) -> None:
        work = action["work"]
        if work["verb"] == "route":
            self._open[action["id"]] = Move(
                gets_traffic(work), action["step"] == REWRITE, work.get("on_unknown") == "ask"
            )

    def controller_started(self) -> None:
        self._begun_anew |= set(self._open)

    def ended(self, action: str, outcome: str, at: float) -> None:
        """Where it may be a move."""
        move = self._open.pop(action, None)
        if move is None:
            return
        if outcome == "ok":
            self.serving = move.taking
        if move.by_hand:
            return
        failed = outcome != "ok" or action in self._begun_anew
        failed_before, self._failed_again = self._failed_again, failed and move.again
        if failed:
            self.late |= move.taking
        elif move.again and self.late and not failed_before:
            self.late, self.settled, self.settled_at = frozenset(), self.late, at


def gets_traffic(work: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(place for place, share in (work["weights"] or {}).items() if share)
