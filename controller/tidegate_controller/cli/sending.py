"""Brings an artifact to where agents can fetch it: `--artifact PATH|URL|DIGEST`.

Used by `deploy` and `release push`.
"""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import click

from tidegate_controller.artifacts import digest_of
from tidegate_controller.cli.artifact import checked_artifact
from tidegate_controller.cli.client import Client
from tidegate_controller.cli.completion import artifacts
from tidegate_controller.cli.terminal import announce
from tidegate_controller.errors import UsageError
from tidegate_protos.rules import DIGEST, url_problem, without_query
from tidegate_protos.v1 import operator_pb2 as pb

# As people copy it from a list: at least 8 digits, whatever was written for those left out.
SHORTENED = re.compile(r"(?:sha256:)?(?P<digits>[0-9a-f]{8,63})(\.\.\.|…)?")
BAR_BYTES = 16 * 1024 * 1024  # from this size on, an upload is watched

artifact_option = click.option(
    "--artifact",
    required=True,
    metavar="PATH|URL|DIGEST",
    help="The release: a .tar.gz, .tar.zst, .tar or .zip, its URL, or what was pushed.",
    shell_complete=artifacts,
)


def _a_digest(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value is not None and not DIGEST.fullmatch(value):
        raise click.BadParameter(f"{value[:80]!r} is not sha256: and 64 digits 0-9a-f")
    return value


digest_option = click.option(
    "--digest",
    metavar="sha256:…",
    callback=_a_digest,
    help="What the artifact must be.",
)


@dataclass(frozen=True)
class Artifact:
    """`url`: where agents fetch it; empty: from the controller. `file`: what `send` has to bring
    there, if the controller lacks it."""

    digest: str
    size_bytes: int = 0  # 0: nobody has asked yet
    url: str = ""
    file: Path | None = None


def find(
    client: Client, text: str, digest: str | None, label: pb.ArtifactLabel, *, direct: bool
) -> Artifact:
    """Look at the file in full, let the controller fetch the URL, or see that it has the digest.

    A file stays here. `direct`: a URL whose digest is given is left to the agents. Raises
    `TidegateError`.
    """
    if "://" in text:
        return _from_url(client, text, digest, label, direct=direct)
    if DIGEST.fullmatch(text):
        if digest not in (None, text):
            raise UsageError(
                f"the artifact {text} is not {digest}",
                "--artifact and --digest name two: correct one, or leave out --digest",
            )
        reply = client.artifact(text)
        if not reply.present:
            raise UsageError(
                f"the controller has no artifact {text}", "what it has: tidegate release list"
            )
        return Artifact(text, reply.size_bytes)
    if (begun := SHORTENED.fullmatch(text)) and not Path(text).exists():
        return find(client, _whole(client, begun["digits"]), digest, label, direct=direct)
    path = checked_artifact(text)
    found = digest_of(path)
    if digest not in (None, found):
        raise UsageError(
            f"the artifact {path} has the digest {found}, not {digest}",
            "build or fetch it again, or correct --digest; nothing was sent",
        )
    return Artifact(found, path.stat().st_size, file=path)


def _whole(client: Client, digits: str) -> str:
    """The one digest that begins like this, of all that the controller has."""
    stored = {each.digest for each in client.releases("").releases if each.stored}
    meant = sorted(each for each in stored if each.startswith(f"sha256:{digits}"))
    if len(meant) == 1:
        return meant[0]
    what = "several artifacts" if meant else "no artifact"
    raise UsageError(
        f"the controller has {what} whose digest begins with {digits}",
        "whole digests: tidegate release list --json",
    )


def send(client: Client, artifact: Artifact, label: pb.ArtifactLabel) -> None:
    """Upload what was found here, unless the controller has it. Raises `TidegateError`."""
    if (path := artifact.file) is None:
        return
    label.name = path.name
    present = client.artifact(artifact.digest).present
    if not present:
        announce(f"uploading {path.name}, {artifact.size_bytes:,} bytes")
    if not present or label.version:  # of one that is there only the label is taken
        with _watched(artifact.size_bytes) as sent:
            client.upload(path, artifact.digest, label, sent)


def _from_url(
    client: Client, url: str, digest: str | None, label: pb.ArtifactLabel, *, direct: bool
) -> Artifact:
    if problem := url_problem(url):
        raise UsageError(f"the artifact's address {problem}", "correct --artifact")
    if direct and digest:
        return Artifact(digest, url=url)
    label.name = Path(urlsplit(url).path).name
    announce(f"the controller fetches {without_query(url)}")
    reply = client.fetch_artifact(pb.FetchRequest(url=url, digest=digest or "", label=label))
    announce(f"it is {reply.digest}, {reply.size_bytes:,} bytes")
    return Artifact(reply.digest, reply.size_bytes)


@contextmanager
def _watched(size_bytes: int) -> Iterator[Callable[[int], None]]:
    """A bar on stderr for what takes a while, where somebody looks; it is told bytes sent."""
    if size_bytes < BAR_BYTES or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415 - only for who looks: it takes its time
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        Progress,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=size_bytes)
        yield lambda count: progress.advance(task, count)
