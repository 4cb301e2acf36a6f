"""The order of the tests for several workers: what takes long begins first.

Used by conftest.py. `--dist worksteal` gives each worker an equal part of the list, in its order;
whoever has nothing left takes from the end of another's part. In the order of the folders the long
tests would all be in the first part, one after the other, and all others wait for them at the end.
"""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Protocol, TypeVar

LONG = (  # each test of these files, longest first
    "test_crashes.py",
    "test_simulation.py",
    "test_strategies.py",
    "test_demo.py",
    "test_readme.py",
    "test_defects.py",
    "test_file_operations.py",
)
SHORT = "unit"  # the folder


class Collected(Protocol):
    """What pytest collects."""

    path: Path


T = TypeVar("T", bound=Collected)


def dealt(tests: Sequence[T], workers: int) -> list[T]:
    """Each worker's part begins with as many long tests as any other's; then come files of tests of
    middling length, and short tests as many as fill it."""
    long = [[test] for name in LONG for test in tests if test.path.name == name]
    files: dict[Path, list[T]] = {}
    for test in tests:
        if test.path.name not in LONG:
            files.setdefault(test.path, []).append(test)
    middling = [file for path, file in files.items() if SHORT not in path.parts]
    short = [test for path, file in files.items() if SHORT in path.parts for test in file]
    parts: list[list[T]] = [[] for _ in range(workers)]
    for number, some in enumerate([*long, *middling]):
        parts[number % workers] += some
    left = len(tests)
    for number, part in enumerate(parts):
        size = left // (workers - number)  # as worksteal counts
        fill = max(0, size - len(part))
        part.extend(short[:fill])
        del short[:fill]
        left -= size
    return [*chain(*parts), *short]
