"""`tidegate freeze`: nothing is deployed for a while."""

import uuid
from datetime import datetime

import click

from tidegate_controller.cli.client import Client
from tidegate_controller.cli.deploy import app_environment_option
from tidegate_controller.cli.follow import requested_by
from tidegate_controller.cli.locks import app_argument, reason_option
from tidegate_controller.cli.terminal import json_option, print_json, say, with_controller
from tidegate_controller.documents import FreezeView
from tidegate_controller.errors import UsageError
from tidegate_controller.units import parse_duration
from tidegate_protos.v1 import operator_pb2 as pb

FORM = "%Y-%m-%d %H:%M"


def _seconds(_: click.Context, __: click.Parameter, value: str | None) -> float:
    try:
        return parse_duration(value) if value else 0.0
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _unix(_: click.Context, __: click.Parameter, value: str | None) -> float:
    try:
        return datetime.strptime(value, FORM).astimezone().timestamp() if value else 0.0
    except ValueError as error:
        raise click.BadParameter(f'{value!r} is not of the form "2026-12-20 08:00"') from error


@click.command()
@app_argument
@app_environment_option
@click.option("--for", "seconds", callback=_seconds, metavar="4h", help="From now on.")
@click.option(
    "--until",
    "unix_until",
    callback=_unix,
    metavar='"2026-12-20 08:00"',
    help="By the clock of this machine.",
)
@click.option("--lift", is_flag=True, help="It is over.")
@reason_option
@json_option
@with_controller
def freeze(
    client: Client,
    app: str,
    environment: str | None,
    seconds: float,
    unix_until: float,
    lift: bool,
    message: str,
    as_json: bool,
) -> None:
    """Have nothing deployed for a while.

    Deployments are refused, and a rollout that is under way waits before it moves traffic or starts
    anything. To go back is always allowed. Freezes that come again stand in tidegate.toml.

    \b
    Example:
      tidegate freeze shop -e production --for 4h -m "the sale"
      tidegate freeze shop -e production --lift
    """
    if [bool(seconds), bool(unix_until), lift].count(True) != 1:
        raise UsageError("say one of --for, --until and --lift", "such as --for 4h")
    if not lift and not message:
        raise UsageError("a freeze needs a reason", "say why: -m REASON")
    view = client.freeze(
        pb.FreezeRequest(
            request_id=uuid.uuid4().hex,
            app=app,
            environment=environment or "",
            requested_by=requested_by(),
            reason=message,
            seconds=seconds,
            unix_until=unix_until,
            lift=lift,
        )
    )
    if as_json:
        print_json(view)
        return
    for line in freeze_lines(view):
        say(line)


def freeze_lines(view: FreezeView) -> list[str]:
    """The document as people read it."""
    by = f", by {view.by}" if view.by else ""
    how = f"frozen until {view.until}{by}" if view.frozen else "not frozen"
    if view.changed and not view.frozen:
        how = "not frozen any more"
    lines = [f"{view.app} in {view.environment} is {how}" + ("" if view.changed else ", as before")]
    if view.frozen:
        lines.append(f"  next: tidegate freeze {view.app} -e {view.environment} --lift")
    return lines
