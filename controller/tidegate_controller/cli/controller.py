"""`tidegate controller run`."""

import asyncio
import os
from pathlib import Path
from typing import Any

import click

from tidegate_controller import options
from tidegate_controller.cli.client import default_socket
from tidegate_controller.cli.settings import file_option, with_settings
from tidegate_controller.errors import TidegateError
from tidegate_protos import logs
from tidegate_protos.notify import Systemd


@click.group()
def controller() -> None:
    """The controller itself."""


@controller.command("run")
@with_settings(options.SETTINGS)
@file_option
def run(settings: Path | None, **flags: Any) -> None:
    """Run the controller until SIGTERM or Ctrl-C; it goes on where it was at its next start.

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
        logs.last_words("; ".join(filter(None, (error.message, error.hint))))
        raise


def _begin_logs(chosen: options.Options) -> None:
    try:
        logs.begin("tidegate-controller", chosen.logs)
    except OSError as error:
        raise TidegateError(
            f"cannot write the log file {chosen.logs.file}: {error.strerror}",
            "choose another --log-file PATH, one that this user may write",
        ) from error
