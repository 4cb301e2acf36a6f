"""`tidegate doctor`: what keeps Tidegate from its work, and how to mend it."""

from collections.abc import Iterator
from pathlib import Path

import click

from tidegate_controller import options
from tidegate_controller.cli.client import Client
from tidegate_controller.cli.settings import file_option, with_settings
from tidegate_controller.cli.target import default_socket
from tidegate_controller.cli.terminal import json_option, say_wrapped, with_controller
from tidegate_controller.doctor import fleet, workstation
from tidegate_protos import findings
from tidegate_protos.findings import Finding
from tidegate_protos.settings import SettingsError


@click.command()
@click.option(
    "-c",
    "--config",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="PATH",
    help="The tidegate.toml to check; else that in this folder.",
)
@with_settings(options.OWN)
@file_option
@json_option
@with_controller
def doctor(
    client: Client, path: Path | None, settings: Path | None, as_json: bool, **flags: str | None
) -> int:
    """Say what is well, what is not, and its mend.

    Of this machine and of the controller. On the controller's machine, with --data, also of its
    log and whatever else it needs. On a server: tidegate-agent doctor. Exit code 1 if anything has
    to be mended.

    \b
    Example:
      tidegate doctor
      tidegate doctor --data /var/lib/tidegate/controller
    """
    found = [*workstation.look(path), *_controller(client, flags, settings)]
    if as_json:
        click.echo(findings.as_json(found))
    else:
        for line in findings.as_text(found).splitlines():
            say_wrapped(line, indent=6)
    return findings.exit_code(found)


def _controller(
    client: Client, flags: dict[str, str | None], settings: Path | None
) -> Iterator[Finding]:
    """The controller that is asked, and its folder where that is known here."""
    try:
        chosen = options.find(flags, settings)
    except SettingsError as error:
        for problem in error.problems:
            yield Finding("fail", problem, options.MEND.format("controller run"))
        return
    if chosen is not None:
        from tidegate_controller.doctor import machine  # noqa: PLC0415  (loads the log's library)

        yield from machine.look(chosen, chosen.socket or default_socket())
        if machine.running(chosen.data) is None:
            return  # it has been said that there is none
    yield from fleet.look(client)
