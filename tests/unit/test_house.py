"""The style of the house, where a machine can see it: sizes, purity, imports, words, dependencies.

ruff, mypy and import-linter see the rest; what stands here they cannot say.
"""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FUNCTION_LINES = 60
FILE_LINES = 350

# What the core may import: values and arithmetic. No clock, no randomness, no way out.
PURE = {"abc", "bisect", "collections", "copy", "dataclasses", "enum", "functools", "heapq"}
PURE |= {
    "hashlib",
    "itertools",
    "math",
    "operator",
    "re",
    "statistics",
    "string",
    "types",
    "typing",
}
PURE |= {"msgspec", "tidegate_controller.core", "tidegate_controller.errors"}
# Builtins that reach outside, or that give another answer in another process.
IMPURE_CALLS = {"open", "print", "input", "eval", "exec", "compile", "__import__", "breakpoint"}
IMPURE_CALLS |= {"hash", "id"}

AGENT_NEEDS = {"grpc", "google.protobuf", "psutil", "tidegate_protos", "tidegate_agent"}
AGENT_NEEDS |= {"backports.zstd", "compression.zstd"}  # the second is of Python 3.14

SHELLS = {"asyncio.create_subprocess_shell", "os.popen", "os.system"}
SHELLS |= {"subprocess.getoutput", "subprocess.getstatusoutput"}
EMPTY_NAMES = re.compile(r"_*(utils?|help" r"ers?|commons?|misc|stuff)_*")
LEFT_OVER = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b")
TEXT = {".py", ".proto", ".toml", ".md", ".sh", ".service", ".html", ".css", ".js", ""}
PROTOC = "-I . --python_out={0} --pyi_out={0} --grpc_python_out={0} --mypy_grpc_out={0}"


def python_files(*folders: str) -> list[Path]:
    found = [file for folder in folders for file in sorted((ROOT / folder).rglob("*.py"))]
    return [file for file in found if "_pb2" not in file.name]


OURS = python_files("agent", "controller", "protos")
CORE = python_files("controller/tidegate_controller/core")
AGENT = python_files("agent", "protos")  # the agent and what it is installed with
TESTS = python_files("tests")


def each(files: list[Path]) -> Callable[[Callable[[Path], None]], Callable[[], None]]:
    """One test that looks at each file and names those that fail; thousands of tests would cost
    every worker more than the looking does."""

    def decorate(look: Callable[[Path], None]) -> Callable[[], None]:
        def test() -> None:
            failed = []
            for file in files:
                try:
                    look(file)
                except AssertionError as error:
                    failed.append(f"{file.relative_to(ROOT)}: {error}")
            assert not failed, "\n".join(failed)

        test.__name__, test.__doc__ = look.__name__, look.__doc__
        return test

    return decorate


@cache
def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text(), str(file))


def places(file: Path, *kinds: type[ast.AST]) -> Iterator[tuple[str, ast.AST]]:
    """Every node of these kinds, with "file:line" as an editor takes it."""
    for node in ast.walk(tree_of(file)):
        if isinstance(node, kinds):
            yield f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}", node


def imports(file: Path) -> Iterator[tuple[str, str]]:
    """Place and full dotted name of what is imported; `from a import b` is "a.b"."""
    for place, node in places(file, ast.Import, ast.ImportFrom):
        if isinstance(node, ast.Import):
            yield from ((place, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = ".".join(file.relative_to(ROOT).parts[1 : -node.level]) if node.level else ""
            module = ".".join(part for part in (package, node.module) if part)
            yield from ((place, f"{module}.{alias.name}") for alias in node.names)


def is_within(name: str, allowed: set[str]) -> bool:
    parts = name.split(".")
    return any(".".join(parts[:count]) in allowed for count in range(1, len(parts) + 1))


def dotted(node: ast.AST) -> str:
    """`a.b.c` as it is written; "" for anything that is not names alone."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


# --- Sizes and names -----------------------------------------------------------------------------


def test_there_is_something_to_look_at() -> None:
    assert len(OURS) > 10
    assert len(CORE) > 2
    assert len(AGENT) > 2


@each(OURS)
def test_a_file_has_a_few_hundred_lines(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= FILE_LINES


@each(OURS)
def test_a_function_fits_a_screen(file: Path) -> None:
    def lines(node: ast.AST) -> int:
        return (getattr(node, "end_lineno", 0) or 0) - getattr(node, "lineno", 0) + 1

    functions = places(file, ast.FunctionDef, ast.AsyncFunctionDef)
    assert [place for place, node in functions if lines(node) > FUNCTION_LINES] == []


@each(OURS)
def test_a_module_begins_by_saying_what_it_is_for(file: Path) -> None:
    tree = tree_of(file)
    assert ast.get_docstring(tree) or not tree.body


@each(OURS + TESTS)
def test_a_name_of_a_file_says_what_is_in_it(file: Path) -> None:
    parts = [*file.relative_to(ROOT).parent.parts, file.stem]
    assert [part for part in parts if EMPTY_NAMES.fullmatch(part)] == []


def test_no_two_files_of_tests_have_one_name() -> None:
    """pytest imports them by that name alone, and a run of only one folder would not notice."""
    names = Counter(file.name for file in TESTS if file.name != "conftest.py")
    assert [name for name, count in names.items() if count > 1] == []


def test_nothing_is_left_for_later() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    ).stdout.decode()
    names = listed.split("\0") if listed else [str(file) for file in OURS + TESTS]
    files = [ROOT / name for name in names if Path(name).suffix in TEXT]
    assert [
        f"{file.relative_to(ROOT)}:{number}"
        for file in files
        if file.is_file()
        for number, line in enumerate(file.read_text(errors="replace").splitlines(), 1)
        if LEFT_OVER.search(line)
    ] == []


# --- What code must not do -----------------------------------------------------------------------


@each(CORE)
def test_the_core_imports_nothing_that_has_a_clock_or_luck_or_a_way_out(file: Path) -> None:
    assert [(place, name) for place, name in imports(file) if not is_within(name, PURE)] == []


@each(CORE)
def test_the_core_calls_nothing_that_reaches_outside(file: Path) -> None:
    names = (
        (place, node.func.id)
        for place, node in places(file, ast.Call)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    )
    assert [(place, name) for place, name in names if name in IMPURE_CALLS] == []


@each(CORE)
def test_the_core_waits_for_nothing(file: Path) -> None:
    kinds = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    assert [place for place, _ in places(file, *kinds)] == []


@each(AGENT)
def test_the_agent_needs_the_standard_library_and_little_more(file: Path) -> None:
    allowed = AGENT_NEEDS | sys.stdlib_module_names
    assert [(place, name) for place, name in imports(file) if not is_within(name, allowed)] == []


@each(OURS + TESTS)
def test_commands_are_lists_of_arguments_and_never_a_shell(file: Path) -> None:
    def is_shell(node: ast.AST) -> bool:
        if isinstance(node, ast.keyword):
            off = isinstance(node.value, ast.Constant) and node.value.value is False
            return node.arg == "shell" and not off
        return isinstance(node, ast.Call) and dotted(node.func) in SHELLS

    found = places(file, ast.Call, ast.keyword)
    assert [place for place, node in found if is_shell(node)] == []


@each(OURS)
def test_no_error_is_caught_and_forgotten(file: Path) -> None:
    """`contextlib.suppress` says what may be forgotten; a handler does something about it."""

    def does_nothing(line: ast.stmt) -> bool:
        is_constant = isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)
        return is_constant or isinstance(line, ast.Pass)

    handlers = places(file, ast.ExceptHandler)
    empty = [place for place, node in handlers if all(map(does_nothing, getattr(node, "body", [])))]
    assert empty == []


# --- What must agree -----------------------------------------------------------------------------


def test_the_generated_code_is_that_of_the_schema(tmp_path: Path) -> None:
    protos = ROOT / "protos"
    sources = sorted(str(file.relative_to(protos)) for file in protos.rglob("*.proto"))
    plugins = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    arguments = PROTOC.format(tmp_path).split()
    made = subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", *arguments, *sources],
        cwd=protos,
        env={**os.environ, "PATH": plugins},
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr

    def generated(folder: Path) -> dict[str, bytes]:
        found = (file for file in folder.rglob("*_pb2*") if file.suffix in {".py", ".pyi"})
        return {str(file.relative_to(folder)): file.read_bytes() for file in found}

    now, fresh = generated(protos), generated(tmp_path)
    stale = [name for name in now.keys() | fresh.keys() if now.get(name) != fresh.get(name)]
    assert sorted(stale) == [], "type `make protos`"
    assert PROTOC.format(".") in (ROOT / "Makefile").read_text()


def test_every_dependency_is_accounted_for_and_nothing_else() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["project"]["optional-dependencies"].values()
    wanted = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
    wanted += [requirement for group in groups for requirement in group]
    names = {re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower() for requirement in wanted}
    page = (ROOT / "docs/decisions/dependencies.md").read_text()
    rows = [line.split("|")[1:-1] for line in page.splitlines() if line.startswith("| `")]
    accounted = {row[0].strip(" `") for row in rows}
    assert accounted == names - {"tidegate"}
    assert [row[0] for row in rows if len(row) != 5 or not all(map(str.strip, row))] == []


def test_the_entry_points_of_a_clone_can_be_run() -> None:
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert "make test" in (ROOT / ".ci/run").read_text()


@pytest.mark.parametrize("target", ["screens", "sweep"])
def test_what_a_target_runs_finds_what_it_imports(target: str, tmp_path: Path) -> None:
    recipe = (ROOT / "Makefile").read_text().partition(f"\n{target}:")[2]
    found = re.search(r"^\tPYTHONPATH=(\S+) \$\(BIN\)/python (\S+)", recipe, re.MULTILINE)
    assert found is not None
    path, script = found.groups()
    loading = f"import runpy; runpy.run_path({str(ROOT / script)!r}, run_name='looked at')"
    places = [str(ROOT / path), str((ROOT / script).parent)]  # the second as for any script
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    subprocess.run([sys.executable, "-c", loading], cwd=tmp_path, env=environment, check=True)
