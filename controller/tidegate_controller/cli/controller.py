"""`tidegate controller run`."""

import asyncio
import logging
import sys
from pathlib import Path

import click

from tidegate_controller.cli.client import default_socket
from tidegate_controller.cli.terminal import AsListed


@click.group(cls=AsListed)
def controller() -> None:
    """The controller itself: what decides and remembers."""


@controller.command("run")
@click.option(
    "--data",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the event log and the artifacts.",
)
@click.option("--listen", default="127.0.0.1:7420", show_default=True, metavar="HOST:PORT")
@click.option("--http", metavar="HOST:PORT", help="Where agents fetch artifacts.")
@click.option(
    "--socket", type=click.Path(path_type=Path), help="The local socket for the tidegate command."
)
@click.option("--verbose", is_flag=True, help="Also log each event.")
def run(data: Path, listen: str, http: str | None, socket: Path | None, verbose: bool) -> None:
    """Run the controller, until SIGTERM or Ctrl-C.

    At its next start it goes on where it was.

    \b
    Example:
      tidegate controller run --data /var/lib/tidegate/controller --listen 127.0.0.1:7420
    """
    from tidegate_controller import server  # noqa: PLC0415  (heavy, and only needed here)

    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        stream=sys.stderr,
    )
    if verbose:
        logging.getLogger("tidegate_controller").setLevel(logging.DEBUG)
    options = server.Options(
        data=data.absolute(), listen=listen, http=http, socket=socket or default_socket()
    )
    asyncio.run(server.run(options))
