"""`tidegate lock` and `tidegate unlock`: keep others from deploying an app for a while."""

import uuid

import click

from tidegate_controller.cli.client import Client
from tidegate_controller.cli.completion import apps
from tidegate_controller.cli.deploy import app_environment_option
from tidegate_controller.cli.follow import requested_by
from tidegate_controller.cli.terminal import json_option, print_json, say, with_controller
from tidegate_controller.cli.words import a_name
from tidegate_controller.documents import LockView
from tidegate_protos.v1 import operator_pb2 as pb

app_argument = click.argument("app", callback=a_name, shell_complete=apps)
reason_option = click.option(
    "-m", "--message", default="", metavar="TEXT", help="Why; whoever is refused is told."
)


@click.command()
@app_argument
@app_environment_option
@reason_option
@json_option
@with_controller
def lock(client: Client, app: str, environment: str | None, message: str, as_json: bool) -> None:
    """Keep others from deploying an app.

    Until it is unlocked, deployments and rollbacks by anybody else are refused, with your name and
    reason. What is under way goes on: see `tidegate rollout pause`.

    \b
    Example:
      tidegate lock shop -e production -m "we look for the lost orders"
    """
    _show(client.lock(_request(app, environment, message)), as_json=as_json)


@click.command()
@app_argument
@app_environment_option
@reason_option
@click.option("--force", is_flag=True, help="Also if somebody else holds it.")
@json_option
@with_controller
def unlock(
    client: Client, app: str, environment: str | None, message: str, force: bool, as_json: bool
) -> None:
    """Let others deploy an app again.

    \b
    Example:
      tidegate unlock shop -e production
    """
    request = _request(app, environment, message)
    request.unlock, request.force = True, force
    _show(client.lock(request), as_json=as_json)


def _request(app: str, environment: str | None, message: str) -> pb.LockRequest:
    return pb.LockRequest(
        request_id=uuid.uuid4().hex,
        app=app,
        environment=environment or "",
        requested_by=requested_by(),
        reason=message,
    )


def _show(view: LockView, *, as_json: bool) -> None:
    if as_json:
        print_json(view)
        return
    for line in lock_lines(view):
        say(line)


def lock_lines(view: LockView) -> list[str]:
    """The document as people read it."""
    by = f" by {view.by}" if view.locked else ""
    how = "locked" if view.locked else "not locked"
    if view.changed and not view.locked:
        how = "unlocked"
    already = "" if view.changed else ", as before"
    lines = [f"{view.app} in {view.environment} is {how}{by}{already}"]
    if view.locked:
        lines.append(f"  next: tidegate unlock {view.app} -e {view.environment}")
    return lines
