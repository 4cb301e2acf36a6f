"""NAME=value lines: what systemd's EnvironmentFile= makes of them, and errors without values."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_agent.environment_file import FILE_BYTES, parse, read, spelled, write
from tidegate_agent.errors import NodeError, ServiceError


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        ("\n\n   \n", {}),
        ("A=1\nB=two\n", {"A": "1", "B": "two"}),
        ("A=1", {"A": "1"}),
        ("A=", {"A": ""}),
        ("# a comment\n; another\n  # and A=0\nA=1\n", {"A": "1"}),
        ("# a comment that goes on \\\nA=0\nA=1\n", {"A": "1"}),
        ("  A = 1 2  3 \t\n", {"A": "1 2  3"}),
        ("A=1 # no comment\n", {"A": "1 # no comment"}),
        ("A='a \\n $b \"c\" #'\n", {"A": 'a \\n $b "c" #'}),
        ('A="a \\" \\\\ \\$b \\n \'c\' #"\n', {"A": "a \" \\ $b \\n 'c' #"}),
        ("A=\"two\nlines\"\nB='and\ntwo'\n", {"A": "two\nlines", "B": "and\ntwo"}),
        ("A=\"a\"'b' c\n", {"A": "abc"}),
        ("A=it's\n", {"A": "it's"}),
        ("A=a\\ b\\\\c\\\nd\n", {"A": "a b\\cd"}),
        ("A=a\\ \n", {"A": "a "}),
        ("A=1\nA=2\n", {"A": "2"}),
        ("A=b=c\n", {"A": "b=c"}),
        ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("A=${B}\n", {"A": "${B}"}),
        ("A=grün ☕\n", {"A": "grün ☕"}),
    ],
)
def test_a_file_is_read_as_systemd_does(text: str, found: dict[str, str]) -> None:
    assert dict(parse(text)) == found


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("A=1\nhunter2\n", "line 2: not NAME=value"),
        ("export A=hunter2\n", "line 1: not NAME=value"),
        ("\n\n1A=hunter2\n", "line 3: not NAME=value"),
        ("=hunter2\n", "line 1: not NAME=value"),
        ("A=1\nB='hunter2\nC=3\n", "line 2: a quote that does not end"),
        ('A="hunter2\\"', "line 1: a quote that does not end"),
        ("A=hunter2\0\n", "line 1: a NUL in the value of A"),
    ],
)
def test_what_is_wrong_is_said_by_its_line_and_without_a_value(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=f"^{problem}$") as raised:
        dict(parse(text))
    assert "hunter2" not in str(raised.value)


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    file = tmp_path / "shop.env"
    for content, problem in (
        (None, r"^cannot read environment_file /.+/shop.env: No such file"),
        (b"A=\xff", "is not UTF-8 text$"),
        (b"#" * (FILE_BYTES + 1), "has more than 1,048,576 bytes$"),
    ):
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(NodeError, match=problem):
            read(str(file))


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_nobody_waits_for_what_is_no_file(tmp_path: Path, make: Callable[[Path], None]) -> None:
    place = tmp_path / "shop.env"
    make(place)
    with pytest.raises(NodeError, match="shop.env is not a regular file$|Is a directory$"):
        read(str(place))


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*", fullmatch=True), TEXTS))
def test_what_is_written_for_a_unit_is_read_as_it_was(variables: dict[str, str]) -> None:
    assert dict(parse(spelled(variables))) == variables


def test_what_is_written_is_for_the_agent_alone_and_replaces_what_was_there(tmp_path: Path) -> None:
    file = tmp_path / "environment"
    for text in ("1", 'two\r\n"lines"\n'):
        write(file, {"A": text})
    assert read(str(file)) == {"A": text}
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("variables", [{"A": "hunter2\0"}, {"A B": "hunter2"}, {"": "hunter2"}])
def test_what_cannot_stand_in_a_file_is_not_written(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    with pytest.raises(ServiceError, match="^the variable '.*' cannot stand in an") as raised:
        write(tmp_path / "environment", variables)
    assert "hunter2" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_whatever_fails_a_write_leaves_no_temporary_file(tmp_path: Path) -> None:
    with pytest.raises(UnicodeEncodeError):
        write(tmp_path / "environment", {"A": "half of a letter: \ud800"})
    assert list(tmp_path.iterdir()) == []
