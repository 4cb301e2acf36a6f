"""What all commands share: options, columns, text that is safe to print."""

import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from tidegate_controller.cli.client import Client
from tidegate_controller.documents import Document
from tidegate_protos.rules import CONTROLS

BETWEEN = "  "  # two columns
FOLDED = "    "  # before the columns of a row that stand on lines of their own
WIDTH_MIN = 20  # of what is wrapped: on narrower terminals it is done by these

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Choices:
    """What was given before the command's name."""

    address: str | None


class DoneView(Document, kw_only=True):
    """`--json` of a request that begins no rollout."""

    message: str


class AsListed(click.Group):
    """Help shows the commands in the order in which they are added, as people think of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


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


def config_file_option(meaning: str, default: str | None = "tidegate.toml") -> Callable[[F], F]:
    """-c: the path of a tidegate.toml."""
    return click.option(
        "-c",
        "--config",
        "config_path",
        type=click.Path(path_type=Path),
        default=default,
        show_default=True,
        help=meaning,
    )


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


def say_wrapped(line: str, indent: int = 4) -> None:
    """Say it; on a terminal it is wrapped between words, with what follows set in so far."""
    if not on_terminal():
        say(line)
        return
    text = clean(line)
    first = " " * (len(text) - len(text.lstrip()))
    click.echo("\n".join(wrap(text.strip(), shutil.get_terminal_size().columns, first, indent)))


def sentence(line: str, width: int | None, indent: int = 4) -> list[str]:
    """The line, wrapped between words where there is a width, with what follows set in so far."""
    return [line] if width is None else wrap(line, width, indent=indent)


def terminal_width() -> int | None:
    """How many columns there are; None where nobody looks, so that nothing has to fit."""
    return shutil.get_terminal_size().columns if on_terminal() else None


def wrap(text: str, width: int, first: str = "", indent: int = 2) -> list[str]:
    """Lines of words; names are not broken at their hyphens. What follows is set in so far."""
    return textwrap.wrap(
        text,
        max(WIDTH_MIN, width),
        initial_indent=first,
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
    )


def say_done(message: str, *, as_json: bool) -> None:
    """What came of a request that begins no rollout."""
    if as_json:
        print_json(DoneView(message=message))
    else:
        say(message)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Lines with aligned columns, two spaces apart."""
    cells = [header, *[[clean(str(cell)) for cell in row] for row in rows]]
    widths = [max(len(row[index]) for row in cells) for index in range(len(header))]
    return [
        BETWEEN.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def columns(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print them. On a terminal that is too narrow each row has several lines, so that no column
    is lost."""
    lines, width = table(header, rows), terminal_width()
    if width is not None and max(map(len, lines)) > width:
        lines = folded(header, rows, width)
    for line in to_width(lines):
        click.echo(line)


def folded(header: Sequence[str], rows: Sequence[Sequence[object]], width: int) -> list[str]:
    """As `table`, but of each row as many columns a line as fit; what follows is set in, where
    there is any."""
    cells = [list(header), *[[clean(str(cell)) for cell in row] for row in rows]]
    widths = [max(len(row[index]) for row in cells) for index in range(len(header))]
    parts: list[list[int]] = [[]]  # the columns of each line of a row
    for index in range(len(header)):
        indent = len(FOLDED) if len(parts) > 1 else 0
        taken = indent + sum(widths[other] + len(BETWEEN) for other in parts[-1])
        if parts[-1] and taken + widths[index] > width:
            parts.append([])
        parts[-1].append(index)
    return [
        (FOLDED if number else "")
        + BETWEEN.join(row[index].ljust(widths[index]) for index in part).rstrip()
        for row in cells
        for number, part in enumerate(parts)
        if number == 0 or any(row[index] for index in part)
    ]


def to_width(lines: Sequence[str]) -> list[str]:
    """The lines, cut where somebody looks at them on a terminal that is narrower."""
    if not on_terminal():
        return list(lines)
    width = shutil.get_terminal_size().columns
    return [line if len(line) <= width else f"{line[: width - 3]}..." for line in lines]


def local_time(at: str | None) -> str:
    """An RFC 3339 time as local "YYYY-MM-DD HH:MM:SS"; "-" for None."""
    if at is None:
        return "-"
    return datetime.fromisoformat(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def local_now() -> str:
    """The present as `local_time` writes it."""
    return datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S")


def clock_time(at: str) -> str:
    """An RFC 3339 time as local "HH:MM:SS"."""
    return local_time(at)[11:]


def yes_no(value: bool | None) -> str:
    return {True: "yes", False: "no", None: "unknown"}[value]
