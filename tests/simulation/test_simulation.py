"""Whole fleets in virtual time, from seeds: a part of `make simulate`, in chunks that run beside
each other.
"""

import asyncio
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from simulate import play_seed
from virtual_time import Process, VirtualLoop

HERE = Path(__file__).parent
CHUNKS, SEEDS = 50, 20


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


def test_what_a_killed_process_would_begin_at_its_end_is_ended_as_well() -> None:
    loop = VirtualLoop()
    process = Process(loop, "a", lambda: (0.0, 0.0))

    async def tells_at_the_end() -> None:
        try:
            await asyncio.sleep(60.0)
        finally:
            process.keep(asyncio.create_task(asyncio.sleep(1.0)))

    process.spawn(tells_at_the_end())
    loop.run_until_complete(loop.create_task(asyncio.sleep(1.0)))
    process.kill()
    with warnings.catch_warnings(record=True, action="always") as warned:
        loop.bury()
    assert warned == []
