"""How tests are dealt to several workers."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from dealing import LONG, dealt

TESTS = Path("tests")


@dataclass(frozen=True)
class Fake:
    path: Path
    number: int


def collected(path: str, count: int) -> list[Fake]:
    return [Fake(TESTS / path, number) for number in range(count)]


LONGEST = collected(f"integration/{LONG[0]}", 9)
LONGER = collected(f"simulation/{LONG[1]}", 11)
FILES = [collected(f"acceptance/test_{name}.py", 5) for name in "abcdef"]
SHORT = collected("unit/core/test_many.py", 302)
ALL = [test for file in FILES for test in file] + LONGEST + LONGER + SHORT


def test_each_part_begins_with_its_share_of_what_takes_long() -> None:
    tests = dealt(ALL, 4)
    size = len(ALL) // 4
    parts = [tests[number * size : (number + 1) * size] for number in range(4)]
    for part in parts:
        assert [test in LONGEST for test in part[:2]] == [True, True]
        assert all(test in LONGEST + LONGER for test in part[:5])
        assert part[-1] in SHORT
    for file in FILES:
        assert sum(bool(set(file) & set(part)) for part in parts) == 1, "a file stays together"


def test_none_is_lost_and_none_doubled_whatever_is_run() -> None:
    for some in (ALL, LONGEST, SHORT, FILES[0], FILES[0] + LONGER, []):
        for workers in (2, 3, 4):
            assert Counter(dealt(some, workers)) == Counter(some)
