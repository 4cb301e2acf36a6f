"""Whole fleets in virtual time, from seeds: a part of `make simulate`, in chunks that run beside
each other.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from simulate import play_seed

HERE = Path(__file__).parent
CHUNKS, SEEDS = 32, 20


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_nothing_breaks_whatever_goes_wrong(chunk: int) -> None:
    first = 1 + chunk * SEEDS
    outcomes = [play_seed(seed) for seed in range(first, first + SEEDS)]
    broken = [f"make simulate SEED={o.seed}: {o.detail}" for o in outcomes if o.violation]
    assert broken == []


def test_a_seed_gives_the_same_log_in_any_process() -> None:
    """Seed 7 has two apps: in which order they heard of a node hung on the order of a set."""
    program = "import simulate; print(simulate.play_seed(7).log_hash)"
    paths = os.pathsep.join([str(HERE), *sys.path])
    logs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(logs) == 1
