"""Durations: what they may look like, and that what is spelled is read back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_controller.units import parse_duration, spell_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("10s", 10),
        ("5m", 300),
        ("1h", 3600),
        ("1h30m", 5400),
        ("2d", 172_800),
        ("0s", 0),
        ("90s", 90),
        ("1m5ms", 60.005),
        ("1d2h3m4s5ms", 93_784.005),
    ],
)
def test_durations_have_units(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


BAD = "|5|0|NaN|inf|1e999|-5s|+5s|5 parsecs|5 s| 5s|5s |5s\n|1.5s|5S|5min|30m1h|5s5s|1ms1m|s|ms"


@pytest.mark.parametrize(
    "bad", [*BAD.split("|"), "1_0s", "5m5", "\u0665s", "9" * 400 + "s"], ids=repr
)
def test_what_is_no_duration_is_told_the_form(bad: str) -> None:
    with pytest.raises(
        ValueError, match=r'must be a duration: .* such as "250ms", "10s" or "1h30m"'
    ):
        parse_duration(bad)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (0.25, "250ms"), (5400, "1h30m"), (86_400.5, "1d500ms")]
)
def test_durations_are_spelled_shortly(seconds: float, text: str) -> None:
    assert spell_duration(seconds) == text


@given(st.integers(0, 10**12))
def test_a_duration_that_is_spelled_is_read_back(milliseconds: int) -> None:
    assert parse_duration(spell_duration(milliseconds / 1000)) == milliseconds / 1000


@given(st.text(st.sampled_from("0159dhms. -e"), max_size=12))
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except ValueError:
        return
    assert seconds >= 0
    assert text[0].isdigit()
    assert text[-1] in "dhms"
