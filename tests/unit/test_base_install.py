"""The base install is the agent alone: `tidegate` is there too, and says what it would need."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRA = {
    re.split(r"[^A-Za-z0-9._-]", requirement)[0].replace("-", "_")
    for requirement in PROJECT["optional-dependencies"]["controller"]
}

WITHOUT = """
import importlib, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
sys.argv = {words!r}
module, _, function = {entry!r}.partition(":")
getattr(importlib.import_module(module), function)()
"""


def run_without(missing: set[str], *words: str) -> subprocess.CompletedProcess[str]:
    """A command as an installation runs it that lacks these packages."""
    program = WITHOUT.format(
        missing=sorted(missing), words=list(words), entry=PROJECT["scripts"][words[0]]
    )
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        (EXTRA, ["tidegate"]),
        (EXTRA, ["tidegate", "status"]),
        ({"msgspec"}, ["tidegate", "--help"]),
        ({"aiohttp"}, ["tidegate", "controller", "run", "--data", "nowhere"]),
    ],
)
def test_tidegate_without_its_extra_says_in_one_line_what_to_install(
    missing: set[str], words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = run_without(missing, *words)
    assert (answer.returncode, answer.stdout) == (1, ""), answer
    (line,) = answer.stderr.splitlines()
    assert line.startswith("error: the tidegate command needs ")
    assert line.endswith("pip install 'tidegate[controller]'")
    assert any(name in line for name in missing)
    assert list(tmp_path.iterdir()) == []


def test_a_module_of_ours_that_is_missing_is_a_bug_and_shown_as_one() -> None:
    answer = run_without({"tidegate_protos"}, "tidegate", "status")
    assert answer.returncode == 1
    assert "Traceback" in answer.stderr
    assert "pip install" not in answer.stderr


def test_the_agent_needs_none_of_the_extra() -> None:
    answer = run_without(EXTRA | {"yaml"}, "tidegate-agent", "--version")
    assert (answer.returncode, answer.stderr) == (0, ""), answer


def test_the_command_line_starts_without_what_only_the_controller_needs() -> None:
    """They would double the time that every command takes."""
    program = "import sys; from tidegate_controller.cli import commands; print(*sys.modules)"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert not {"aiohttp", "sqlite_utils", "rich"} & set(answer.stdout.split()), answer
