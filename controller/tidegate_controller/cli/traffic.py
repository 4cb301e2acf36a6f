"""`tidegate traffic`: what a load balancer needs to know of Tidegate."""

from pathlib import Path

import click

from tidegate_controller import config
from tidegate_controller.addresses import split_address
from tidegate_controller.cli.deploy import config_option, environment_option
from tidegate_controller.cli.terminal import AsListed, json_option, print_json, say
from tidegate_controller.config_traffic import LISTEN
from tidegate_controller.documents import Document
from tidegate_controller.errors import UsageError
from tidegate_controller.traffic.caddy import made_directory
from tidegate_controller.traffic.caddyfile import caddyfile


class CaddyfileView(Document, kw_only=True):
    caddyfile: str


@click.group(cls=AsListed)
def traffic() -> None:
    """Traffic: what the load balancer needs to know."""


@traffic.command("caddyfile")
@config_option
@environment_option
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help="Where Caddy takes requests; :PORT for every interface. Else `listen` of [traffic], or "
    f"{LISTEN}.",
)
@json_option
def traffic_caddyfile(
    config_path: Path, environment: str | None, listen: str | None, as_json: bool
) -> None:
    """Print a Caddyfile for the app.

    Start Caddy with it once; it never needs a reload.

    \b
    Example:
      tidegate traffic caddyfile --listen 127.0.0.1:8080 > Caddyfile
      caddy run --config Caddyfile
    """
    if listen is not None:
        split_address(listen, "--listen", LISTEN)
    spec = config.load(config_path).environment(environment)
    if spec.traffic.adapter != "caddy":
        raise UsageError(
            f"the traffic of {spec.environment} is moved by the adapter {spec.traffic.adapter}, "
            "which has no Caddyfile",
            'write adapter = "caddy" and a directory under [traffic]',
        )
    directory = Path(spec.traffic.directory)
    text = caddyfile(
        listen or spec.traffic.listen or LISTEN, spec.traffic, directory / "caddy-data"
    )
    made_directory(directory, parents=True)
    if as_json:
        print_json(CaddyfileView(caddyfile=text))
    else:
        say(text.rstrip())
