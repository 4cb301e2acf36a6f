"""docs/bad-inputs.md is true: its tests are there, its exit codes are known, its answers are worded
as in the code."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/bad-inputs.md"
EXIT_CODES = {"-", "0", "1", "2", "3", "4", "5", "130"}
CODE = ("agent", "controller", "protos", "tests")
SPAN = re.compile(r"`([^`]+)`")

Row = tuple[str, str, str, str, str]


def rows() -> list[Row]:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("|")]
    cells = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]
    heads = ("bad input", "the answer", "exit code", "left", "tests")
    assert all(len(row) == len(heads) for row in cells)
    return [row for row in cells if row != heads and not row[0].startswith("---")]  # type: ignore[misc]


def each_row() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", rows(), ids=lambda row: row[0][:40])


@cache
def trees() -> list[ast.Module]:
    files = (file for folder in CODE for file in sorted((ROOT / folder).rglob("*.py")))
    return [ast.parse(file.read_text()) for file in files if "_pb2" not in file.name]


@cache
def all_tests() -> set[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    found = (node for tree in trees() for node in ast.walk(tree) if isinstance(node, kinds))
    return {node.name for node in found if node.name.startswith("test_")}


@cache
def all_texts() -> str:
    """Every text of the code, and of the tests for what others say; not those of this file."""
    found = (node for tree in trees() for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return "\n".join(node.value for node in found if isinstance(node.value, str))


def test_the_page_has_what_it_is_for() -> None:
    assert len(rows()) > 40
    assert all(all(row) for row in rows())


@each_row()
def test_the_tests_that_a_line_names_are_there(row: Row) -> None:
    named = SPAN.findall(row[4])
    assert named
    assert [name for name in named if name not in all_tests()] == []


@each_row()
def test_an_answer_is_worded_as_in_the_code(row: Row) -> None:
    answers = SPAN.findall(row[1])
    assert [words for words in answers if words not in all_texts()] == []


@each_row()
def test_the_exit_code_of_a_line_is_one(row: Row) -> None:
    assert row[2] in EXIT_CODES
