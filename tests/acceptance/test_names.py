"""Tests that share a desk share its names."""

from pathlib import Path

import pytest
from names import Names


def test_a_name_that_another_test_has_taken_is_refused_on_any_desk(tmp_path: Path) -> None:
    one, other = Names(tmp_path / "names"), Names(tmp_path / "names")
    one.claim("app-shop", "the first test")
    other.claim("app-shop", "the first test")
    with pytest.raises(AssertionError, match="app-shop is a name of the first test; choose"):
        other.claim("app-shop")
    other.claim("app-cart")
