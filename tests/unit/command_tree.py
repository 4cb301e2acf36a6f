"""All that can be typed after `tidegate`, for tests that go through it."""

from collections.abc import Iterator

import click

from tidegate_controller.cli.commands import tidegate


def commands(
    group: click.Group = tidegate, path: str = "tidegate"
) -> Iterator[tuple[str, click.Command]]:
    """Every command with all its words, groups too."""
    yield path, group
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def does_something(command: click.Command) -> bool:
    """Not a group that only holds others."""
    return not isinstance(command, click.Group) or command.invoke_without_command
