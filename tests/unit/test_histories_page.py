"""docs/histories.md is true: its tests are there, and none of the two files is left out."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/histories.md").read_text()
TOLD = re.compile(r"^\|[^|]*\| `(test_\w+)`(?: in `([\w/.]+)`)? \|", re.MULTILINE)


def named_in(file: str) -> set[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    top = ast.parse((ROOT / file).read_text()).body
    return {node.name for node in top if isinstance(node, kinds) and node.name[:5] == "test_"}


@pytest.mark.parametrize("kind", ["Histories", "Scenarios"])
def test_all_histories_and_scenarios_are_told(kind: str) -> None:
    _, section = re.split(rf"^## {kind}.*$", PAGE, flags=re.MULTILINE)
    rows = TOLD.findall(section.partition("\n## ")[0])
    own = f"tests/simulation/test_{kind.lower()}.py"
    assert {name for name, elsewhere in rows if not elsewhere} == named_in(own)
    assert all(name in named_in(elsewhere) for name, elsewhere in rows if elsewhere)
