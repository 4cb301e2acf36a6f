"""What has to hold after a wave before the next one, or before the rollout has succeeded.

Every strategy asks `between` for the steps that come after a wave's places have taken traffic.
"""

from collections.abc import Sequence

from tidegate_controller.core import types as t
from tidegate_controller.core.changes import replace
from tidegate_controller.core.spec import Struct
from tidegate_controller.core.strategies.checks import check_steps
from tidegate_controller.core.strategies.parts import QUERY_SECONDS, works


class Wave(Struct, frozen=True, kw_only=True):
    """Places that are treated at once. `so_far`: those of the waves before as well,
    and those that had the release already without its having succeeded."""

    number: int
    places: tuple[t.Place, ...]
    so_far: tuple[t.Place, ...]


def between(goal: t.Goal, wave: Wave, *, last: bool) -> list[t.Step]:
    """Steps after the wave; none for a rollback. Where nothing is waited for, the checks alone."""
    if goal.kind == "rollback":
        return []
    if not goal.spec.pace.soak_seconds:
        return check_steps(goal)
    return [
        _soak(goal),
        _verify(goal, wave.so_far if last else wave.places),
        *check_steps(goal),
    ]


def _soak(goal: t.Goal) -> t.Step:
    """All that have passed stay healthy with traffic for a while."""
    pace, health = goal.spec.pace, goal.release.settings.health
    return t.Step(
        id="soak",
        name="Soak",
        hold_seconds=pace.soak_seconds,
        deadline_seconds=pace.soak_seconds + pace.away_seconds + health.deadline_seconds,
    )


def _verify(goal: t.Goal, places: Sequence[t.Place]) -> t.Step:
    """Every node has to say once more that it is well: one that has fallen silent, or an app that
    hangs, is no success."""
    health = goal.release.settings.health
    asking = health.failures * (health.every_seconds + health.timeout_seconds)
    return t.Step(
        id="verify",
        name="Verify",
        works=tuple(replace(work, prove=True) for work in works("query", places, goal.release)),
        deadline_seconds=QUERY_SECONDS + asking + goal.spec.pace.away_seconds,
    )
