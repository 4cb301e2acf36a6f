"""The simulation notices what is wrong: a few of `make simulate-defects`, those that show soon; and
no invariant is without a mistake that it has noticed."""

import ast
import re
from pathlib import Path

import invariants
import pytest
from defects import DEFECTS, PAGE, SEEDS_MAX, Defect, row, seeds_until_caught

ROOT = Path(__file__).parents[2]
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
# Invariants that are no function of `invariants.py`, with where they are looked at.
ELSEWHERE = {
    "a_good_release_gets_everywhere": "scenario.py, which deploys it",
    "a_seed_gives_the_same_log": "simulate.py, which plays it twice",
    "no_unforeseen_error_is_logged": "world.py, which hears of each",
}
SEEDS_TOLD = re.compile(r"\| (\d+) \|$")


def functions_of(module: str) -> set[str]:
    """Of `invariants.py`: each is an invariant, unless it only helps another."""
    top = ast.parse(Path(module).read_text()).body
    names = {node.name for node in top if isinstance(node, ast.FunctionDef)}
    return {name for name in names if not name.startswith("_")}


@pytest.mark.parametrize("defect", [d for d in DEFECTS if d.name in SOON], ids=lambda d: d.name)
def test_a_planted_defect_is_noticed(defect: Defect) -> None:
    seeds, instead = seeds_until_caught(defect, SEEDS)
    assert seeds > 0, instead


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda d: d.name)
def test_a_defect_can_be_planted(defect: Defect, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it changes is still where it was."""
    defect.plant(monkeypatch)


def test_every_invariant_has_a_defect_that_it_has_to_notice() -> None:
    known = functions_of(invariants.__file__) | set(ELSEWHERE)
    assert {defect.caught_by for defect in DEFECTS} == known


def test_the_page_tells_of_every_defect_and_after_how_many_seeds_it_was_noticed() -> None:
    page = (ROOT / "docs/planted-defects.md").read_text()
    assert page.startswith(PAGE), "make simulate-defects"
    rows = page.removeprefix(PAGE).splitlines()
    told = [SEEDS_TOLD.search(line) for line in rows]
    seeds = [int(found[1]) if found else 0 for found in told]
    assert len(rows) == len(DEFECTS), "make simulate-defects"
    assert rows == [row(defect, count) for defect, count in zip(DEFECTS, seeds, strict=True)]
    assert all(1 <= count <= SEEDS_MAX for count in seeds)
