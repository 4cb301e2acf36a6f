"""`tidegate deploy` and `tidegate rollback`: ask for a rollout and follow it to its end."""

import getpass
import os
import socket
import uuid
from collections.abc import Callable
from pathlib import Path

import click
import msgspec

from tidegate_controller import config
from tidegate_controller.cli import INTERRUPTED
from tidegate_controller.cli.client import Client
from tidegate_controller.cli.narrate import Narrator
from tidegate_controller.cli.sending import artifact_option, bring, digest_option
from tidegate_controller.cli.terminal import (
    announce,
    clock_time,
    json_option,
    print_json,
    say,
    with_controller,
)
from tidegate_controller.cli.words import a_name, a_version
from tidegate_controller.documents import Document
from tidegate_protos.v1 import operator_pb2 as pb


class Nothing(Document, kw_only=True):
    """`--json` of a request that left nothing to do."""

    rollout: None = None
    state: str = "succeeded"
    reason: str


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
    )
    reply = _asked(lambda: client.deploy(request))
    return _follow(client, reply, detach=detach, as_json=as_json)


@click.command()
@click.argument("app", callback=a_name)
@click.option(
    "-e", "--environment", callback=a_name, help="Which environment; not needed if there is one."
)
@detach_option
@json_option
@with_controller
def rollback(client: Client, app: str, environment: str | None, detach: bool, as_json: bool) -> int:
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
    )
    reply = _asked(lambda: client.rollback(request))
    return _follow(client, reply, detach=detach, as_json=as_json)


def requested_by() -> str:
    """Who asks, for the history: user@host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _asked(ask: Callable[[], pb.RolloutReply]) -> pb.RolloutReply:
    """The controller's answer. Who does not wait for it cannot know whether a rollout began."""
    try:
        return ask()
    except KeyboardInterrupt:
        announce("\nnot waited for the controller's answer; a rollout may have begun")
        announce("  next: tidegate rollout list")
        raise


def _follow(client: Client, reply: pb.RolloutReply, *, detach: bool, as_json: bool) -> int:
    """Tell the rollout's story as it happens; the exit code says how it ended."""
    if not reply.rollout:
        if as_json:
            print_json(Nothing(reason=reply.message))
        else:
            say(reply.message)
        return 0
    if detach:
        if as_json:
            print_json(client.rollout(reply.rollout))
        else:
            say(reply.rollout)
        return 0
    try:
        tell(client, reply.rollout, reply.seq, quiet=as_json)
        view = client.rollout(reply.rollout)
    except KeyboardInterrupt:
        announce(
            f"\nstopped following; rollout {reply.rollout} goes on\n"
            f"  next: tidegate log --follow --rollout {reply.rollout}; "
            f"tidegate rollout show {reply.rollout}"
        )
        return INTERRUPTED
    if as_json:
        print_json(view)
    elif view.state != "succeeded":
        say(f"  next: tidegate rollout show {view.rollout}; tidegate status {view.app}")
    return 0 if view.state == "succeeded" else 1


def tell(client: Client, rollout: str, after_seq: int, *, quiet: bool = False) -> None:
    """Print time-stamped lines until the rollout has ended."""
    narrator = Narrator()
    for event in client.events(after_seq, rollout, follow=True):
        for line in narrator.lines(event):
            if not quiet:
                say(f"{clock_time(event.at)}  {line}")
