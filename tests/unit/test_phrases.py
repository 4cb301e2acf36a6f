"""Durations, sizes, ages and lists as people read them."""

import pytest

from tidegate_controller.cli import phrases


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-3.0, "0 s"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (290.0, "4 min 50 s"),
        (3600.0, "1 h"),
        (7500.0, "2 h 5 min"),
        (90_000.0, "1 day"),
        (260_000.0, "3 days"),
    ],
)
def test_a_span_is_told_in_its_largest_units(seconds: float, words: str) -> None:
    assert phrases.span(seconds) == words


def test_an_age_is_told_in_one_unit() -> None:
    assert [phrases.age(seconds) for seconds in (5, 299, 7500, 260_000)] == [
        "5 s ago",
        "4 min ago",
        "2 h ago",
        "3 days ago",
    ]


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 B"), (999, "999 B"), (3350, "3.35 kB"), (999_900, "1 MB"), (112_000_000, "112 MB")],
)
def test_a_size_has_three_digits_and_a_decimal_unit(count: int, words: str) -> None:
    assert phrases.size(count) == words


def test_a_long_list_names_a_few_and_counts_the_rest() -> None:
    assert phrases.listed(["a"]) == "a"
    assert phrases.listed(["a", "b", "c"]) == "a, b, c"
    assert phrases.listed(["a", "b", "c", "d", "e"], most=3) == "a, b, c and 2 more"


def test_numbers_in_names_are_sorted_as_numbers() -> None:
    names = ["web-10", "web-2", "db-1", "7", "web-2b"]
    assert sorted(names, key=phrases.natural) == ["7", "db-1", "web-2", "web-2b", "web-10"]


def test_of_an_output_the_last_lines_are_kept_and_the_others_counted() -> None:
    assert phrases.tail("a\nb\nc\n", 2) == (["b", "c"], 1)
    assert phrases.tail("a\n", 2) == (["a"], 0)
    assert phrases.tail("", 2) == ([], 0)
