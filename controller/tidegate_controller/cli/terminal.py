"""What all commands share: options, columns, text that is safe to print."""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import click
import msgspec

from tidegate_controller.cli.client import Client
from tidegate_protos.rules import CONTROLS

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Choices:
    """What was given before the command's name."""

    address: str | None


def with_controller(command: F) -> F:
    """Adds --controller and hands the command a `client`."""

    @click.option("--controller", "address", metavar="HOST:PORT", help="The controller to ask.")
    @click.pass_obj
    def wrapped(choices: Choices, /, address: str | None, **arguments: Any) -> Any:
        with Client(address or choices.address) as client:
            return command(client=client, **arguments)

    wrapped.__name__ = command.__name__
    wrapped.__doc__ = command.__doc__
    wrapped.__click_params__ = [  # type: ignore[attr-defined]
        *getattr(command, "__click_params__", []),
        *getattr(wrapped, "__click_params__", []),
    ]
    return wrapped  # type: ignore[return-value]


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, alone on stdout.")


def on_terminal() -> bool:
    """Whether somebody looks at stdout, on something that can be drawn on."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def print_json(document: msgspec.Struct) -> None:
    click.echo(msgspec.json.encode(document))


def clean(text: str) -> str:
    """The text without control characters; newlines and tabs stay."""
    return CONTROLS.sub("", text)


def say(text: str) -> None:
    click.echo(clean(text))


def announce(text: str) -> None:
    """Say it on stderr, beside whatever stdout is used for."""
    click.echo(clean(text), err=True)


def columns(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print aligned columns, two spaces apart."""
    table = [header, *[[clean(str(cell)) for cell in row] for row in rows]]
    widths = [max(len(row[index]) for row in table) for index in range(len(header))]
    for row in table:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        click.echo("  ".join(cells).rstrip())


def local_time(at: str | None) -> str:
    """An RFC 3339 time as local "YYYY-MM-DD HH:MM:SS"; "-" for None."""
    if at is None:
        return "-"
    return datetime.fromisoformat(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def clock_time(at: str) -> str:
    """An RFC 3339 time as local "HH:MM:SS"."""
    return local_time(at)[11:]


def yes_no(value: bool | None) -> str:
    return {True: "yes", False: "no", None: "unknown"}[value]
