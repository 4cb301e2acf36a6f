"""Flags for the settings of the controller, made from their table. Used by `controller` and
`doctor`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from tidegate_controller.cli.completion import paths
from tidegate_protos.settings import Setting

F = TypeVar("F", bound=Callable[..., Any])

file_option = click.option(
    "--settings",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Read this file in place of those in /etc/tidegate and the user's own.",
)


def with_settings(settings: Sequence[Setting]) -> Callable[[F], F]:
    """A flag for each. They are not checked here: variables and files may say the rest."""

    def decorate(command: F) -> F:
        for setting in reversed(settings):
            default = f"  [default: {setting.default}]" if setting.default else ""
            command = click.option(
                setting.flag,
                setting.name,
                metavar=setting.metavar,
                multiple=setting.many,
                shell_complete=paths(setting.metavar),
                help=f"{setting.help}{default}",
            )(command)
        return command

    return decorate
