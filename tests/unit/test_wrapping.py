"""Sentences at a terminal: wrapped between words, names in one piece, set in."""

import pytest

from tidegate_controller.cli import terminal


def test_lines_are_broken_between_words_and_never_in_a_name() -> None:
    text = "all traffic goes back to web-server-1/blue and to web-server-2/blue, as before"
    assert terminal.wrap(text, 40) == [
        "all traffic goes back to",
        "  web-server-1/blue and to",
        "  web-server-2/blue, as before",
    ]


def test_what_is_set_in_stays_so_and_what_follows_is_set_in_more(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(terminal, "on_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    terminal.say_wrapped("    one two three four five six seven eight", indent=6)
    assert capsys.readouterr().out == "    one two three four five six seven\n      eight\n"


def test_without_a_terminal_a_sentence_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.say_wrapped("word " * 100)
    assert capsys.readouterr().out.count("\n") == 1


def test_a_table_that_is_too_wide_loses_no_column() -> None:
    lines = terminal.folded(("NAME", "WHAT", "WHY"), [("web-1", "x" * 12, "it is so")], 20)
    assert lines == [
        "NAME   WHAT",
        "    WHY",
        "web-1  xxxxxxxxxxxx",
        "    it is so",
    ]
