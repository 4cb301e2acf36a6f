"""`--help` of every command: summaries in full, an example each, no configuration needed."""

import click
import pytest
from click.testing import CliRunner
from command_tree import commands, does_something

from tidegate_controller.cli.commands import COMMANDS, tidegate

WIDTH = 80  # of the narrowest terminal that counts
FOR_MACHINES = ("run", "completion")  # what they print is not for people, so there is no --json
Named = tuple[str, click.Command]


GROUPS = [(path, command) for path, command in commands() if isinstance(command, click.Group)]
LEAVES = [(path, command) for path, command in commands() if does_something(command)]


def each(found: list[Named]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("path", "command"), found, ids=[path for path, _ in found])


def help_of(path: str) -> str:
    words = [*path.split()[1:], "--help"]
    done = CliRunner().invoke(tidegate, words, terminal_width=WIDTH)
    assert done.exit_code == 0, done.output
    return done.output


@each(LEAVES)
def test_every_command_has_an_example_of_itself(path: str, command: click.Command) -> None:
    _, _, examples = help_of(path).partition("Example:\n")
    assert path in examples


@each(GROUPS)
def test_every_summary_is_shown_in_full(path: str, command: click.Command) -> None:
    assert "..." not in help_of(path).partition("Commands:")[2]


@each(LEAVES)
def test_every_command_takes_json_but_those_that_print_for_machines(
    path: str, command: click.Command
) -> None:
    options = {option for parameter in command.params for option in parameter.opts}
    assert "--json" in options or command.name in FOR_MACHINES


def test_help_shows_commands_in_the_order_in_which_people_think_of_them() -> None:
    lines = help_of("tidegate").partition("Commands:\n")[2].splitlines()
    listed = [line.split()[0] for line in lines]
    assert listed == list(COMMANDS)
    asked = ["demo", "deploy", "rollback", "status", "controller"]
    assert [name for name in listed if name in asked] == asked
