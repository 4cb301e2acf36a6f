"""The simulation notices what is wrong: a few of `make simulate-defects`, those that show soon."""

import pytest
from defects import DEFECTS, Defect, seeds_until_caught

SEEDS_MAX = 10
SOON = (
    "two_rollouts",
    "low_fences",
    "sent_before_logged",
    "thorough_cleanup",
    "unproven",
    "careless_stops",
    "nothing_retired",
    "two_truths",
    "both_slots",
    "deaf_to_pause",
)


@pytest.mark.parametrize(
    "defect", [d for d in DEFECTS if d.plant.__name__ in SOON], ids=lambda d: d.plant.__name__
)
def test_a_planted_defect_is_noticed(defect: Defect) -> None:
    seeds, by = seeds_until_caught(defect, SEEDS_MAX)
    assert seeds > 0, by


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda d: d.plant.__name__)
def test_a_defect_can_be_planted(defect: Defect, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it changes is still where it was."""
    defect.plant(monkeypatch)
