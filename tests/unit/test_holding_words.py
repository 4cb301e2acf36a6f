"""What `lock`, `unlock` and `freeze` say came of them: done now, or as it was before."""

import pytest

from tidegate_controller.calendars import said
from tidegate_controller.cli import freeze, locks
from tidegate_controller.documents import FreezeView, LockView


def of_lock(*, locked: bool, changed: bool) -> LockView:
    by = "ann" if locked else None
    return LockView(
        app="shop", environment="prod", locked=locked, by=by, reason=None, changed=changed
    )


@pytest.mark.parametrize(
    ("locked", "changed", "told"),
    [
        (True, True, "shop in prod is locked by ann"),
        (True, False, "shop in prod is locked by ann, as before"),
        (False, True, "shop in prod is unlocked"),
        (False, False, "shop in prod is not locked, as before"),
    ],
)
def test_of_a_lock_it_is_told_whether_anything_was_done(
    locked: bool, changed: bool, told: str
) -> None:
    assert locks.lock_lines(of_lock(locked=locked, changed=changed))[0] == told


@pytest.mark.parametrize(
    ("frozen", "changed", "told"),
    [
        (True, True, "shop in prod is frozen until Monday, by ann"),
        (False, True, "shop in prod is not frozen any more"),
        (False, False, "shop in prod is not frozen, as before"),
    ],
)
def test_of_a_freeze_as_well(frozen: bool, changed: bool, told: str) -> None:
    view = FreezeView(
        app="shop",
        environment="prod",
        frozen=frozen,
        until="Monday" if frozen else None,
        by="ann" if frozen else None,
        reason=None,
        changed=changed,
    )
    assert freeze.freeze_lines(view)[0] == told


def test_a_moment_that_is_near_is_told_to_the_second() -> None:
    assert said(1_800_000_005.0) == "Fri 2027-01-15 08:00 UTC"
    assert said(1_800_000_005.0, to_the_second=True) == "Fri 2027-01-15 08:00:05 UTC"
