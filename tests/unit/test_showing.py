"""What stands on the screen of whoever follows a rollout, and what does not."""

import os

import pytest

from tidegate_controller import cli
from tidegate_controller.cli import commands
from tidegate_controller.cli.picture import Picture
from tidegate_controller.cli.showing import Lines


def test_that_the_controller_is_away_is_told_once_and_so_is_that_it_is_back(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = Lines(Picture(), 0)
    for lost in (False, True, True, False, False, True):
        lines.tick(0.0, lost=lost)
    told = [line.split("  ", 1)[1] for line in capsys.readouterr().out.splitlines()]
    away = "the controller does not answer; waiting for it"
    assert told == [away, "the controller answers again", away]


@pytest.mark.parametrize(("wished", "so"), [(None, "NONE"), ("DEBUG", "DEBUG")])
def test_what_grpc_logs_for_itself_is_shown_to_those_alone_who_ask_for_it(
    monkeypatch: pytest.MonkeyPatch, wished: str | None, so: str
) -> None:
    monkeypatch.setenv("GRPC_VERBOSITY", wished or "")
    if wished is None:
        monkeypatch.delenv("GRPC_VERBOSITY")
    monkeypatch.setattr(commands, "main", lambda: None)
    cli.main()
    assert os.environ["GRPC_VERBOSITY"] == so
