"""`tidegate release`: what was deployed and what is stored; bring one, keep one from coming."""

import uuid
from pathlib import Path

import click

from tidegate_controller import config
from tidegate_controller.cli.client import Client
from tidegate_controller.cli.completion import apps, versions
from tidegate_controller.cli.deploy import app_environment_option, message_option
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
from tidegate_controller.cli.words import a_name, a_release, a_version
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
    """Releases: list them, bring one, quarantine one."""


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
            each.state + (", quarantined" if each.quarantined else ""),
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


def _quarantine_command(name: str, summary: str, more: str, example: str) -> click.Command:
    """`tidegate release quarantine` and its opposite."""
    text = f"{summary}\n\n{more}\n\n\b\nExample:\n  {example}"

    @click.command(name, help=text)
    @click.argument("app", callback=a_name, shell_complete=apps)
    @click.argument("version", callback=a_release, shell_complete=versions)
    @app_environment_option
    @message_option
    @json_option
    @with_controller
    def command(
        client: Client, app: str, version: str, environment: str | None, message: str, as_json: bool
    ) -> None:
        view = client.quarantine(
            pb.QuarantineRequest(
                request_id=uuid.uuid4().hex,
                app=app,
                environment=environment or "",
                release=version,
                requested_by=requested_by(),
                reason=message,
                lift=name == "unquarantine",
            )
        )
        if as_json:
            print_json(view)
            return
        already = "" if view.changed else ", as before"
        how = "is quarantined" if view.quarantined else "is not quarantined"
        say(f"{version} {how} for {view.app} in {view.environment}{already}")
        if view.quarantined:
            say(f"  next: tidegate release unquarantine {app} {version} -e {view.environment}")

    return command


release.add_command(
    _quarantine_command(
        "quarantine",
        "Keep a release from being deployed.",
        "It is not deployed to the environment any more, nor gone back to. What runs is left as it "
        "is.",
        'tidegate release quarantine shop 1.4.2 -e production -m "loses orders"',
    )
)
release.add_command(
    _quarantine_command(
        "unquarantine",
        "Let a release be deployed again.",
        "Releases are quarantined by themselves when a deployment fails by their own fault, and "
        "when somebody rolls back from them.",
        "tidegate release unquarantine shop 1.4.2 -e production",
    )
)


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
