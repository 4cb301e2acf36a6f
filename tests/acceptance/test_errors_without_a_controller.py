"""Nobody answers: every command that asks a controller says so, and how to start one."""

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from desk import Answer, Desk

from tidegate_controller.cli.commands import tidegate

NOBODY = "127.0.0.1:9"
WORDS = {  # what to type after the name of each command that asks a controller
    "deploy": ["--version", "1", "--artifact"],
    "rollback": ["shop"],
    "status": [],
    "rollout list": [],
    "rollout show": ["r1"],
    "rollout continue": ["r1"],
    "rollout retry": ["r1"],
    "rollout abort": ["r1"],
    "explain": ["r1"],
    "release list": [],
    "release push": ["--artifact"],
    "node list": [],
    "node show": ["web-1"],
    "node remove": ["web-1"],
    "cleanup": ["shop"],
    "log": ["--follow", "--rollout", "r1"],
}


def commands(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def test_every_command_that_asks_a_controller_is_tried_here() -> None:
    asking = {
        name
        for name, command in commands(tidegate)
        if any("--controller" in parameter.opts for parameter in command.params)
    }
    asking.remove("doctor")  # for which it is a finding: test_doctor.py
    assert asking == set(WORDS)


def assert_unreachable(answer: Answer, target: str) -> None:
    assert (answer.code, answer.out) == (3, "")
    assert answer.err == (
        f"error: no controller answers at {target}\n"
        "  next: start one: tidegate controller run --data DIR --listen 127.0.0.1:7420; or name "
        "the one that runs: --controller HOST:PORT, or TIDEGATE_CONTROLLER\n"
    )


@pytest.mark.parametrize("name", WORDS)
def test_where_no_controller_answers_each_command_says_how_to_start_one(
    tmp_path: Path, name: str
) -> None:
    app = Desk(tmp_path).app("shop")
    more = [str(app.build("1"))] if name in ("deploy", "release push") else []
    words = [*name.split(), *WORDS[name], *more, "--json"]
    answer = app.desk.type(*words, cwd=app.folder, TIDEGATE_CONTROLLER=NOBODY)
    assert_unreachable(answer, NOBODY)
    assert app.traces() == []


def test_without_any_address_the_local_socket_is_asked_and_named(tmp_path: Path) -> None:
    socket = str(tmp_path / "nobody.sock")
    answer = Desk(tmp_path).type("status", TIDEGATE_CONTROLLER="", TIDEGATE_SOCKET=socket)
    assert_unreachable(answer, f"unix:{socket}")
