"""`tidegate controller run` and `init`; the rest of the group has files of its own."""

import asyncio
import os
from pathlib import Path
from typing import Any

import click

from tidegate_controller import options
from tidegate_controller.addresses import split_loopback
from tidegate_controller.cli.backup import backup, restore
from tidegate_controller.cli.reconcile import reconcile
from tidegate_controller.cli.settings import file_option, with_settings
from tidegate_controller.cli.target import default_socket
from tidegate_controller.cli.terminal import AsListed, json_option, print_json, say
from tidegate_controller.documents import Document
from tidegate_controller.errors import TidegateError
from tidegate_protos import logs
from tidegate_protos.notify import Systemd


@click.group(cls=AsListed)
def controller() -> None:
    """The controller itself: what decides and remembers."""


@controller.command("run")
@with_settings(options.SETTINGS)
@file_option
def run(settings: Path | None, **flags: Any) -> None:
    """Run the controller, until SIGTERM or Ctrl-C.

    At its next start it goes on where it was.

    Each option can be set by a variable or in a file too: --log-level is
    TIDEGATE_CONTROLLER_LOG_LEVEL, and log_level in /etc/tidegate/controller.toml.

    \b
    Example:
      tidegate controller run --data /var/lib/tidegate/controller --listen 127.0.0.1:7420
    """
    from tidegate_controller import server  # noqa: PLC0415  (heavy, and only needed here)

    chosen = options.read(flags, settings)
    systemd = Systemd(os.environ)
    _begin_logs(chosen)
    try:
        asyncio.run(server.run(chosen, chosen.socket or default_socket(), systemd))
    except TidegateError as error:
        logs.last_words(error.in_a_line)
        raise


class InitView(Document, kw_only=True):
    """A folder that a controller can be started on, and what to type next."""

    data: str
    log_id: str
    events: int
    is_new: bool
    next: list[str]


@controller.command("init")
@with_settings((options.DATA, options.LISTEN, options.HTTP))
@file_option
@click.option("--user", metavar="NAME", help="Whom the folder is for; only root can say another.")
@json_option
def init(settings: Path | None, user: str | None, as_json: bool, **flags: Any) -> None:
    """Prepare the folder of a controller.

    Its log and its artifacts, closed to all others. May be typed again: what is there already
    stays as it is.

    \b
    Example:
      tidegate controller init --data /var/lib/tidegate/controller
    """
    from tidegate_controller import data_folder  # noqa: PLC0415  (loads the log's library)

    chosen = options.read(flags, settings, "controller init")
    split_loopback(chosen.listen, options.LISTEN.flag)
    found = data_folder.prepare(chosen.data, user)
    view = InitView(
        data=str(chosen.data),
        log_id=found.log_id,
        events=found.events,
        is_new=found.is_new,
        next=_next_steps(chosen),
    )
    if as_json:
        print_json(view)
        return
    what = "is ready" if found.is_new else f"was ready before, with {found.events:,} events"
    say(f"{chosen.data} {what}: log {found.log_id}")
    for step in view.next:
        say(f"  next: {step}")


for _command in (backup, restore, reconcile):
    controller.add_command(_command)


def _next_steps(chosen: options.Options) -> list[str]:
    run = f"tidegate controller run --data {chosen.data} --listen {chosen.listen}"
    http = f" --http {chosen.http}" if chosen.http else ""
    agent = (
        "tidegate-agent run --node NAME --data /var/lib/tidegate/agent --controller "
        f"{chosen.listen} --label role=web"
    )
    return [
        f"start it: {run}{http}; or leave that to systemd: its unit is "
        "systemd/tidegate-controller.service, how to install it stands beside it",
        f"on each server: {agent}; from another machine through a tunnel to that port",
        f"look whether all is well: tidegate doctor --data {chosen.data}",
    ]


def _begin_logs(chosen: options.Options) -> None:
    try:
        logs.begin("tidegate-controller", chosen.logs)
    except OSError as error:
        raise TidegateError(
            f"cannot write the log file {chosen.logs.file}: {error.strerror}",
            "choose another --log-file PATH, one that this user may write",
        ) from error
