"""Whole fleets in virtual time, from seeds: a part of `make simulate`, in chunks that run beside
each other.
"""

import pytest
from simulate import play_seed

CHUNKS, SEEDS = 8, 10


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_nothing_breaks_whatever_goes_wrong(chunk: int) -> None:
    first = 1 + chunk * SEEDS
    outcomes = [play_seed(seed) for seed in range(first, first + SEEDS)]
    broken = [f"make simulate SEED={o.seed}: {o.detail}" for o in outcomes if o.violation]
    assert broken == []
