"""`tidegate cleanup`: room on the nodes' disks."""

import uuid

import click

from tidegate_controller.cli.client import Client
from tidegate_controller.cli.completion import apps
from tidegate_controller.cli.deploy import app_environment_option
from tidegate_controller.cli.follow import requested_by
from tidegate_controller.cli.terminal import json_option, say_done, with_controller
from tidegate_controller.cli.words import a_name
from tidegate_protos.v1 import operator_pb2 as pb


@click.command()
@click.argument("app", callback=a_name, shell_complete=apps)
@app_environment_option
@json_option
@with_controller
def cleanup(client: Client, app: str, environment: str | None, as_json: bool) -> None:
    """Remove from the nodes what need not be kept.

    That is done after each rollout anyway. What serves, and the release to go back to, always stay.

    \b
    Example:
      tidegate cleanup shop -e production
    """
    request = pb.CleanUpRequest(
        request_id=uuid.uuid4().hex,
        app=app,
        environment=environment or "",
        requested_by=requested_by(),
    )
    say_done(client.clean_up(request), as_json=as_json)
