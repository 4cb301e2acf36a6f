"""Whatever stands in a `tidegate.toml`: it is taken, or refused in words, line by line."""

import re
from pathlib import Path

from config_samples import SMALLEST
from hypothesis import given
from hypothesis import strategies as st

from tidegate_controller.config import read
from tidegate_controller.config_gates import CHECK
from tidegate_controller.config_health import HEALTH
from tidegate_controller.config_keys import (
    ARTIFACT,
    ENVIRONMENT,
    FAILURES,
    HOOKS,
    RETENTION,
    ROLLOUT,
    SECTIONS,
    TOP,
)
from tidegate_controller.config_service import SERVICE
from tidegate_controller.config_spelled import spelled, toml
from tidegate_controller.config_traffic import TRAFFIC
from tidegate_controller.errors import UsageError

TABLES = {
    "service": SERVICE,
    "health": HEALTH,
    "hooks": HOOKS,
    "rollout": ROLLOUT,
    "failures": FAILURES,
    "checks": CHECK,
    "retention": RETENTION,
    "artifact": ARTIFACT,
    "traffic": TRAFFIC,
}
WORDS = [
    "",
    "a",
    "5s",
    "90d",
    "caddy",
    "exec",
    "none",
    "systemd",
    "wait",
    "once",
    "pause",
    "25%",
    "/x",
    "a:{port}",
    "{app}",
]
WORDS += ["http://a:{port}/", "../../x", "a@{slot}.service", "5 parsecs", "\u202e", "web-1"]
SINGLE = st.one_of(
    st.sampled_from(WORDS),
    st.booleans(),
    st.sampled_from([0, 1, -1, 20, 8001, 10**30, 1.5, float("nan"), float("inf")]),
)
VALUES = st.one_of(
    SINGLE,
    st.lists(SINGLE, max_size=3),
    st.dictionaries(st.sampled_from(["blue", "green", "A", "a b", "Host"]), SINGLE, max_size=3),
)


def some_of(keys: list[str], values: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.dictionaries(st.sampled_from([*keys, "unknown"]), values, max_size=6)


SECTION = {name: st.one_of(some_of(list(keys), VALUES), VALUES) for name, keys in TABLES.items()}
OWN = st.fixed_dictionaries({}, optional={**SECTION, **dict.fromkeys(ENVIRONMENT, VALUES)})
DOCUMENTS = st.fixed_dictionaries(
    {
        "app": st.sampled_from(["shop", "shop", 1]),
        "environments": st.one_of(
            st.dictionaries(st.sampled_from(["production", "b", "", "A"]), OWN, max_size=3), VALUES
        ),
    },
    optional={**SECTION, "unknown": VALUES},
)
LINE = re.compile(r"tidegate\.toml:([0-9]+): (\[.+\]|app|unknown)( .+)?: .+|and [0-9]+ more")


def test_each_table_of_the_schema_is_tried() -> None:
    assert set(TABLES) == set(SECTIONS)
    assert {*TABLES, "app", "environments"} == set(TOP)


@given(DOCUMENTS)
def test_any_file_is_taken_or_refused_in_words(document: dict[str, object]) -> None:
    assert_taken_or_refused("".join(f"{key} = {toml(value)}\n" for key, value in document.items()))


@given(st.fixed_dictionaries({}, optional=SECTION))
def test_any_change_for_one_environment_is_taken_or_refused_in_words(
    own: dict[str, object],
) -> None:
    tables = "".join(f"{key} = {toml(value)}\n" for key, value in own.items())
    assert_taken_or_refused(f'{SMALLEST}[environments.b]\nnodes = ["a"]\n{tables}')


def assert_taken_or_refused(text: str) -> None:
    path = Path("tidegate.toml")
    try:
        found = read(path, text)
    except UsageError as error:
        said = error.message.splitlines()
        assert said
        assert [line for line in said if not LINE.fullmatch(line)] == []
        assert len(set(said)) == len(said)
        return
    assert read(path, spelled(found.app, found.specs)) == found
