"""`tidegate deploy` and `tidegate rollback`: ask for a rollout and follow it to its end."""

import getpass
import gzip
import os
import socket
import tarfile
import uuid
import zlib
from pathlib import Path

import click
import msgspec

from tidegate_controller import config
from tidegate_controller.artifacts import digest_of
from tidegate_controller.cli.client import Client
from tidegate_controller.cli.narrate import Narrator
from tidegate_controller.cli.terminal import (
    announce,
    clock_time,
    json_option,
    print_json,
    say,
    with_controller,
)
from tidegate_controller.documents import Document
from tidegate_controller.errors import UsageError
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
@click.option("--artifact", required=True, metavar="PATH", help="The release, a .tar.gz.")
@click.option("--version", required=True, help="The release's name, such as 1.4.2.")
@detach_option
@json_option
@with_controller
def deploy(
    client: Client,
    config_path: Path,
    environment: str | None,
    artifact: str,
    version: str,
    detach: bool,
    as_json: bool,
) -> int:
    """Bring an environment to a release, and undo it if it turns out bad.

    Follows the rollout to its end; Ctrl-C stops following, not the rollout.

    \b
    Example:
      tidegate deploy --artifact build/shop-1.4.2.tar.gz --version 1.4.2 -e production
    """
    spec = config.load(config_path).environment(environment)
    path = checked_artifact(artifact)
    digest = digest_of(path)
    if not client.has_artifact(digest):
        announce(f"uploading {path.name}, {path.stat().st_size:,} bytes")
        client.upload(path, digest)
    request = pb.DeployRequest(
        request_id=uuid.uuid4().hex,
        version=version,
        digest=digest,
        spec=msgspec.json.encode(spec),
        requested_by=requested_by(),
    )
    return _follow(client, client.deploy(request), detach=detach, as_json=as_json)


@click.command()
@click.argument("app")
@click.option("-e", "--environment", default="", help="Which environment; not needed if one.")
@detach_option
@json_option
@with_controller
def rollback(client: Client, app: str, environment: str, detach: bool, as_json: bool) -> int:
    """Go back to the release before; at once while its slot still runs.

    \b
    Example:
      tidegate rollback shop -e production
    """
    request = pb.RollbackRequest(
        request_id=uuid.uuid4().hex,
        app=app,
        environment=environment,
        requested_by=requested_by(),
    )
    return _follow(client, client.rollback(request), detach=detach, as_json=as_json)


def checked_artifact(text: str) -> Path:
    """The artifact's path, if it is a .tar.gz with something in it; `UsageError` otherwise."""
    path = Path(text)
    if not path.exists():
        raise UsageError(f"there is no artifact {path}", "build it first, or correct --artifact")
    if path.is_dir():
        raise UsageError(
            f"the artifact {path} is a folder",
            f"make an archive of it: tar czf release.tar.gz -C {path} .",
        )
    if not path.is_file():
        raise UsageError(f"the artifact {path} is not a regular file")
    if not os.access(path, os.R_OK):
        raise UsageError(f"the artifact {path} may not be read by this user")
    if problem := _not_an_archive(path):
        raise UsageError(
            f"the artifact {path} {problem}",
            "an artifact is a .tar.gz: tar czf release.tar.gz -C FOLDER .",
        )
    return path


def _not_an_archive(path: Path) -> str:
    """What is wrong with the file, in words; empty for an archive with at least one member."""
    if path.stat().st_size == 0:
        return "is empty"
    with path.open("rb") as file:
        if file.read(2) != b"\x1f\x8b":
            return "is not compressed with gzip"
    try:
        with gzip.open(path) as content, tarfile.open(fileobj=content, mode="r|") as archive:
            return "" if archive.next() is not None else "is an archive with nothing in it"
    except tarfile.ReadError:
        return "is compressed with gzip, but it is no tar archive"
    except (EOFError, OSError, zlib.error) as error:
        return f"is damaged: {error}"


def requested_by() -> str:
    """Who asks, for the history: user@host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


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
    except KeyboardInterrupt:
        announce(
            f"\nstopped following; rollout {reply.rollout} goes on\n"
            f"  next: tidegate rollout show {reply.rollout}"
        )
        return 130
    view = client.rollout(reply.rollout)
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
