"""`tidegate release`: what was deployed and what is stored; bring an artifact without deploying."""

from pathlib import Path

import click

from tidegate_controller import config
from tidegate_controller.cli.client import Client
from tidegate_controller.cli.follow import requested_by
from tidegate_controller.cli.sending import artifact_option, digest_option, find, send
from tidegate_controller.cli.terminal import (
    announce,
    columns,
    config_file_option,
    json_option,
    local_time,
    print_json,
    say,
    table,
    terminal_width,
    with_controller,
    yes_no,
)
from tidegate_controller.cli.words import a_name, a_version
from tidegate_controller.documents import Document
from tidegate_protos.v1 import operator_pb2 as pb

DIGEST_CHARS = len("sha256:") + 10


class Pushed(Document, kw_only=True):
    """`--json` of `release push`: the artifact is on the controller."""

    digest: str
    size_bytes: int
    app: str | None
    version: str | None


@click.group()
def release() -> None:
    """Releases: list them, bring one to the controller."""


@release.command("list")
@click.argument("app", required=False, callback=a_name)
@json_option
@with_controller
def list_releases(client: Client, app: str | None, as_json: bool) -> None:
    """List releases.

    Of one app, or of all: where each is active, and whether it is still stored.

    \b
    Example:
      tidegate release list shop
    """
    found = client.releases(app or "")
    if as_json:
        print_json(found)
        return
    if not found.releases:
        say("no releases yet; the first one: tidegate deploy --help")
        return
    rows = [
        [
            each.version or "-",
            f"{each.app}@{each.environment}" if each.environment else each.app or "-",
            each.state,
            _short(each.active_on),
            local_time(each.at),
            yes_no(each.stored),
            each.digest,
        ]
        for each in found.releases
    ]
    header = ("RELEASE", "APP", "STATE", "ACTIVE ON", "DEPLOYED", "STORED", "DIGEST")
    width = terminal_width()
    if width is not None and max(map(len, table(header, rows))) > width:
        rows = [[*row[:-1], f"{row[-1][:DIGEST_CHARS]}..."] for row in rows]
    columns(header, rows)


def _short(places: list[str]) -> str:
    nodes = [place.partition("/")[0] for place in places]
    if len(nodes) <= 3:
        return ", ".join(nodes) or "-"
    return f"{len(nodes)} nodes"


@release.command()
@artifact_option
@digest_option
@click.option("--version", callback=a_version, help="What it is to be called in the list.")
@config_file_option("The app's configuration; tidegate.toml, if there is one.", default=None)
@json_option
@with_controller
def push(
    client: Client,
    artifact: str,
    digest: str | None,
    version: str | None,
    config_path: Path | None,
    as_json: bool,
) -> None:
    """Bring an artifact to the controller.

    It is deployed later, by its digest.

    A URL is fetched by the controller. Nothing is deployed.

    \b
    Example:
      tidegate release push --artifact build/shop-1.4.2.tar.gz --version 1.4.2
    """
    default = Path("tidegate.toml")
    if config_path is None and default.exists():
        config_path = default
    app = config.load(config_path).app if config_path else ""
    label = pb.ArtifactLabel(app=app, version=version or "", added_by=requested_by())
    found = find(client, artifact, digest, label, direct=False)
    send(client, found, label)
    if as_json:
        print_json(
            Pushed(
                digest=found.digest,
                size_bytes=found.size_bytes,
                app=app or None,
                version=version,
            )
        )
        return
    say(found.digest)
    called = version or "VERSION"
    announce(f"  next: tidegate deploy --artifact {found.digest} --version {called}")
