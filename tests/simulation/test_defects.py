"""The simulation notices what is wrong: a few of `make simulate-defects`, those that show soon; and
no invariant is without a mistake that it has noticed."""

import ast
import re
from pathlib import Path

import invariants
import pytest
from defects import DEFECTS, PAGE, SEEDS_MAX, Defect, row, seeds_until_caught

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SEEDS = 10
SOON = (
    "two_rollouts",
    "low_fences",
    "sent_before_logged",
    "thorough_cleanup",
    "restless",
    "careless_stops",
    "nothing_retired",
    "two_truths",
    "both_slots",
    "deaf_to_pause",
    "open_gates",
)
# Invariants that are no function of `invariants.py` are named where they are looked at.
BY_WORDS = re.compile(r'(?:\.fail\(|\.violation = )"(\w+)"')
SEEDS_TOLD = re.compile(r"\| (\d+) \|$")


def invariants_known() -> set[str]:
    """Each function of `invariants.py`, unless it only helps another; and those beside it."""
    top = ast.parse(Path(invariants.__file__).read_text()).body
    names = {node.name for node in top if isinstance(node, ast.FunctionDef)}
    beside = {name for file in HERE.glob("*.py") for name in BY_WORDS.findall(file.read_text())}
    return {name for name in names if not name.startswith("_")} | beside


@pytest.mark.parametrize("defect", [d for d in DEFECTS if d.name in SOON], ids=lambda d: d.name)
def test_a_planted_defect_is_noticed(defect: Defect) -> None:
    seeds, instead = seeds_until_caught(defect, SEEDS)
    assert seeds > 0, instead


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda d: d.name)
def test_a_defect_can_be_planted(defect: Defect, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it changes is still where it was."""
    defect.plant(monkeypatch)


def test_every_invariant_has_a_defect_that_it_has_to_notice() -> None:
    assert {defect.caught_by for defect in DEFECTS} == invariants_known()


def test_the_page_tells_of_every_defect_and_after_how_many_seeds_it_was_noticed() -> None:
    page = (ROOT / "docs/planted-defects.md").read_text()
    assert page.startswith(PAGE), "make simulate-defects"
    rows = page.removeprefix(PAGE).splitlines()
    told = [SEEDS_TOLD.search(line) for line in rows]
    seeds = [int(found[1]) if found else 0 for found in told]
    assert len(rows) == len(DEFECTS), "make simulate-defects"
    assert rows == [row(defect, count) for defect, count in zip(DEFECTS, seeds, strict=True)]
    assert all(1 <= count <= SEEDS_MAX for count in seeds)
