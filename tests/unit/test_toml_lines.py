"""The line of each key: exact where TOML is at its most awkward."""

import tomllib

from hypothesis import example, given
from hypothesis import strategies as st

from tidegate_controller.toml_lines import KeyPath, find_lines, line_of

CORNERS = r'''
# [not] = "a table"
"quoted.key" = 1      # = not a key
a.b . "c" = [ 1, [ 2,
  { d = "}]#", 'e"' = """
    "quotes"" at the end""""" }
  ], # ] here
  3 ]
when = 2026-11-24 10:00:00
empty = ""
[t."u v".w]
x = """
[no] = 'table'\""""
"\u0061\"" = "\\"
[[list]]
y = 1
[list.of]
u = 1
[[list]]
v = 2
[ t ]
z = {}
'''.lstrip()


def test_the_line_of_every_key_is_found() -> None:
    assert tomllib.loads(CORNERS)
    lines = find_lines(CORNERS)
    expected: dict[KeyPath, int] = {
        ("quoted.key",): 2,
        ("a", "b", "c"): 3,
        ("a", "b", "c", 1, 0): 3,
        ("a", "b", "c", 1, 1): 4,
        ("a", "b", "c", 1, 1, "d"): 4,
        ("a", "b", "c", 1, 1, 'e"'): 4,
        ("a", "b", "c", 2): 7,
        ("when",): 8,
        ("empty",): 9,
        ("t", "u v"): 10,
        ("t", "u v", "w", "x"): 11,
        ("t", "u v", "w", 'a"'): 13,
        ("list", 0, "y"): 15,
        ("list", 0, "of", "u"): 17,
        ("list", 1): 18,
        ("list", 1, "v"): 19,
        ("t",): 20,
        ("t", "z"): 21,
    }
    assert {path: lines.get(path) for path in expected} == expected
    assert not {path for path in lines if "no" in path or "not" in path}


def test_what_has_no_line_of_its_own_has_that_of_its_table() -> None:
    lines = find_lines(CORNERS)
    assert line_of(lines, ("t", "u v", "w", "missing", 0)) == 10
    assert line_of(lines, ("missing",)) == 1
    assert line_of({}, ()) == 1


def paths(value: object, path: KeyPath = ()) -> set[KeyPath]:
    inner: dict[str | int, object] = {}
    if isinstance(value, dict):
        inner = value
    elif isinstance(value, list):
        inner = dict(enumerate(value))
    return {path} | {deeper for key, item in inner.items() for deeper in paths(item, (*path, key))}


KEYS = st.sampled_from(["a", "b.c", 'd."e f"', "'g'", '""', '"\\u0068"', "1.2"])
SCALARS = ["1", "-1e3", "true", '"]{"', "'\"'", '""', "''", '"\\""', '"""x\ny"""', '"""""""', "inf"]
SCALARS += ["'''\n'y'''''", "2026-11-24 10:00:00", "2026-11-24", "10:00:00"]
VALUES = st.recursive(
    st.sampled_from(SCALARS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[ " + ", # ]\n".join(items) + "\n]"),
        st.lists(st.tuples(KEYS, inner), max_size=3).map(
            lambda items: f"{{ {', '.join(f'{key}={item}' for key, item in items)} }}"
        ),
    ),
    max_leaves=6,
)
STATEMENTS = st.one_of(
    st.tuples(KEYS, VALUES).map(lambda pair: f"{pair[0]} = {pair[1]}\n"),
    KEYS.map(lambda key: f"[ {key} ] # [x]\r\n"),
    st.just("\n"),
)


@given(st.lists(STATEMENTS, max_size=6).map("".join))
@example("a = [ [ ], { } ]\nb.c = '''\n'y'''''\n\"d e\".a = 2026-11-24 10:00:00")
@example('a = """x\n""""" # z\n[b]\n"" = 1')
def test_lines_are_found_for_all_that_tomllib_reads_and_for_no_more(text: str) -> None:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    lines = find_lines(text)
    assert set(lines) | {()} == paths(document)
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())
