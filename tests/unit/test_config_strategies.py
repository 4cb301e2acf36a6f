"""The keys of strategies: what they make of the spec, and what is refused with which words."""

from pathlib import Path

import pytest
from config_samples import assert_said, changed, problems, read

from tidegate_controller import config_spelled
from tidegate_controller.core.spec import Waves

NODES = '{ role = "web" }'


def with_strategy(keys: str) -> str:
    """The smallest file, with these lines beneath `nodes`."""
    return changed(NODES, f"{NODES}\n{keys}")


def waves_of(tmp_path: Path, keys: str) -> Waves:
    return read(tmp_path, with_strategy(keys)).environment().waves


def test_a_canary_has_waves_that_grow_to_all(tmp_path: Path) -> None:
    assert waves_of(tmp_path, 'strategy = "canary"') == Waves(sizes=("1", "10%", "50%", "100%"))


def test_sizes_may_be_numbers_or_shares(tmp_path: Path) -> None:
    found = waves_of(tmp_path, 'strategy = "canary"\nwaves = [1, "3", "50%", "100%"]')
    assert found.sizes == ("1", "3", "50%", "100%")


def test_the_first_wave_may_be_given_by_labels(tmp_path: Path) -> None:
    found = waves_of(tmp_path, 'strategy = "canary"\ncanary = { role = "canary" }')
    assert found.canary == {"role": "canary"}


WRONG = [
    ("waves = []", 'waves: must be an array such as ["1", "10%", "50%", "100%"], not empty; …'),
    ('waves = ["1", "50%"]', 'waves: must end with "100%": else the release never comes to all; …'),
    (
        'waves = ["10%", "5%", "100%"]',
        "waves[1]: each wave counts those before it, so it must be …",
    ),
    ('waves = ["10%", "5", "100%"]', "waves[1]: must be a share such as 50%, as 10% is before it"),
    ('waves = ["0", "100%"]', 'waves[0]: must be at least 1 and at most "100%"; found …'),
    ('waves = ["101%"]', 'waves[0]: must be at least 1 and at most "100%"; found …'),
    ('waves = ["a few", "100%"]', "waves[0]: must be a number of nodes or a share of them such …"),
    ("waves = [1.5]", "waves[0]: must be a number of nodes or a share of them such as 3 or …"),
    ("waves = [true]", "waves[0]: must be a number of nodes or a share of them such as 3 or …"),
    ("canary = {}", 'canary: must be labels such as { canary = "yes" }, not empty; found …'),
    ('canary = ["a"]', 'canary: must be labels such as { canary = "yes" }, not empty; found …'),
    ('promote = "later"', 'promote: must be "auto" or "manual"; found the string "later"'),
    ('wave = ["100%"]', 'wave: unknown key; did you mean "waves"?'),
]


@pytest.mark.parametrize(("key", "expected"), WRONG)
def test_a_wrong_key_of_a_canary_is_refused(tmp_path: Path, key: str, expected: str) -> None:
    (said,) = problems(tmp_path, with_strategy(f'strategy = "canary"\n{key}'))
    assert_said(said, f"6: [environments.production] {expected}")


def test_groups_of_servers_are_given_by_their_labels(tmp_path: Path) -> None:
    text = with_strategy('slots = { blue = { group = "blue" }, green = { group = "green" } }')
    slots = read(tmp_path, text).environment().slots
    assert slots == {"blue": {"group": "blue"}, "green": {"group": "green"}}


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ('{ blue = { group = "blue" } }', "slots: must be the labels of both groups, such as …"),
        ('["a", "b"]', "slots: must be the labels of both groups, such as …"),
        ('{ blue = { g = "1" }, green = {} }', "slots.green: must be labels such as …"),
        (
            '{ blue = { g = "1" }, green = { g = "1" } }',
            "slots: a node may be of one group only, …",
        ),
        (
            '{ blue = { g = "1" }, green = { g = "1", h = "2" } }',
            "slots: a node may be of one group only, and by these labels it can be of both",
        ),
    ],
)
def test_wrong_groups_are_refused(tmp_path: Path, groups: str, expected: str) -> None:
    (said,) = problems(tmp_path, with_strategy(f"slots = {groups}"))
    assert_said(said, f"5: [environments.production] {expected}")


def test_keys_of_another_strategy_are_refused(tmp_path: Path) -> None:
    (said,) = problems(tmp_path, with_strategy('waves = ["1", "100%"]'))
    assert_said(
        said,
        "5: [environments.production] waves: belongs to canary; this strategy is blue-green",
    )


@pytest.mark.parametrize(
    "keys",
    [
        "",
        'strategy = "canary"\nwaves = [1, "100%"]\ncanary = { a = "b" }',
        'strategy = "rolling"\nmin_in_service = "50%"',
        'strategy = "rolling"\nmax_parallel = 2\nzone = "rack"\nrehearse = true',
        'slots = { blue = { a = "b" }, green = { a = "g" } }',
    ],
)
def test_what_counts_is_spelled_so_that_it_reads_the_same(tmp_path: Path, keys: str) -> None:
    found = read(tmp_path, with_strategy(keys))
    again = read(tmp_path, config_spelled.spelled(found.app, found.specs))
    assert again.specs == found.specs


def test_rolling_takes_one_node_at_a_time_where_nothing_is_said(tmp_path: Path) -> None:
    found = waves_of(tmp_path, 'strategy = "rolling"')
    assert (found.max_parallel, found.min_in_service, found.zone) == ("1", None, "zone")


ROLLING = [
    ('max_parallel = "0"', 'max_parallel: must be at least 1 and at most "100%"; found …'),
    ('min_in_service = "100%"', 'min_in_service: must be at least 0 and at most "99%"; found …'),
    ('zone = "a b"', 'zone: must be the name of a label such as "zone"; found the string "a b"'),
    ('waves = ["100%"]', "waves: belongs to canary; this strategy is rolling"),
]


@pytest.mark.parametrize(("key", "expected"), ROLLING)
def test_a_wrong_key_of_rolling_is_refused(tmp_path: Path, key: str, expected: str) -> None:
    (said,) = problems(tmp_path, with_strategy(f'strategy = "rolling"\n{key}'))
    assert_said(said, f"6: [environments.production] {expected}")


def test_a_floor_that_max_parallel_cannot_keep_is_refused(tmp_path: Path) -> None:
    keys = 'strategy = "rolling"\nmax_parallel = "50%"\nmin_in_service = "75%"'
    (said,) = problems(tmp_path, with_strategy(keys))
    assert_said(
        said,
        "7: [environments.production] min_in_service: 75% cannot be kept while 50% are treated at "
        "once (max_parallel): together they must be 100% at most",
    )
