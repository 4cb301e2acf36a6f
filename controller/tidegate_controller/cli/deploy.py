"""`tidegate deploy` and `tidegate rollback`: ask for a rollout and follow it to its end."""

import uuid
from pathlib import Path

import click
import msgspec

from tidegate_controller import config
from tidegate_controller.cli.client import Client
from tidegate_controller.cli.follow import asked, follow, requested_by
from tidegate_controller.cli.sending import artifact_option, bring, digest_option
from tidegate_controller.cli.terminal import json_option, with_controller
from tidegate_controller.cli.words import a_name, a_version
from tidegate_protos.v1 import operator_pb2 as pb

config_option = click.option(
    "-c",
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    default="tidegate.toml",
    show_default=True,
    help="The app's configuration.",
)
environment_option = click.option(
    "-e", "--environment", help="Which environment; not needed if there is one."
)
detach_option = click.option("--detach", is_flag=True, help="Print the rollout's id and return.")


@click.command()
@config_option
@environment_option
@artifact_option
@digest_option
@click.option(
    "--version", required=True, callback=a_version, help="The release's name, such as 1.4.2."
)
@click.option("--force", is_flag=True, help="Also if this is active already: start it anew.")
@detach_option
@json_option
@with_controller
def deploy(
    client: Client,
    config_path: Path,
    environment: str | None,
    artifact: str,
    digest: str | None,
    version: str,
    force: bool,
    detach: bool,
    as_json: bool,
) -> int:
    """Bring an environment to a release, and undo it if it turns out bad.

    A file is uploaded. A URL whose digest is given is fetched by the agents, without one by the
    controller, once. What was pushed before is named by its digest.

    Follows the rollout to its end; Ctrl-C stops following, not the rollout.

    \b
    Example:
      tidegate deploy --artifact build/shop-1.4.2.tar.gz --version 1.4.2 -e production
    """
    spec = config.load(config_path).environment(environment)
    label = pb.ArtifactLabel(app=spec.app, added_by=requested_by())
    brought = bring(client, artifact, digest, label, direct=True)
    request = pb.DeployRequest(
        request_id=uuid.uuid4().hex,
        version=version,
        digest=brought.digest,
        url=brought.url,
        spec=msgspec.json.encode(spec),
        requested_by=requested_by(),
        again=force,
    )
    reply = asked(lambda: client.deploy(request))
    return follow(client, reply, detach=detach, as_json=as_json)


@click.command()
@click.argument("app", callback=a_name)
@click.option(
    "-e", "--environment", callback=a_name, help="Which environment; not needed if there is one."
)
@click.option(
    "--without-absent",
    is_flag=True,
    help="Also if nodes that take traffic are away: they lose it.",
)
@detach_option
@json_option
@with_controller
def rollback(
    client: Client,
    app: str,
    environment: str | None,
    without_absent: bool,
    detach: bool,
    as_json: bool,
) -> int:
    """Go back to the release before; at once while its slot still runs.

    \b
    Example:
      tidegate rollback shop -e production
    """
    request = pb.RollbackRequest(
        request_id=uuid.uuid4().hex,
        app=app,
        environment=environment or "",
        requested_by=requested_by(),
        without_absent=without_absent,
    )
    reply = asked(lambda: client.rollback(request))
    return follow(client, reply, detach=detach, as_json=as_json)
