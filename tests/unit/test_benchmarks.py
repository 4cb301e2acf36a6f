"""Benchmarks that need nothing but Tidegate run, as small as they get. What they measure is not
looked at."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"


def run(name: str, *words: str) -> str:
    line = [sys.executable, str(BENCH / name), *words]
    ended = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    if "cannot count processor time" in ended.stderr:
        pytest.skip("needs root and control groups, to count processor time")
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_the_benchmark_of_deployments_runs() -> None:
    assert "Tidegate" in run("deploy.py", "--quick", "--only", "bare", "tidegate")


def test_the_benchmark_of_the_footprint_runs() -> None:
    assert "agent, an app" in run("footprint.py", "--quick")


def test_the_benchmark_of_decisions_runs() -> None:
    assert "2 nodes" in run("decisions.py", "--nodes", "2")


def test_the_benchmark_of_the_event_log_runs() -> None:
    words = ("--rounds", "10", "--events", "3000", "--after", "100")
    assert "opened from a snapshot, median" in run("eventlog.py", *words)


def test_the_benchmark_of_swaps_runs() -> None:
    assert "after the move: 0" in run("swap.py", "--quick")
