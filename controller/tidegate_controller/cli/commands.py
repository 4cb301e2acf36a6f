"""All that can be typed after `tidegate`, and which module of this folder each command is in.

A module is imported when its command is typed: all of them together take longer than most
commands do.
"""

import errno
import importlib
import os
import sys
from types import MappingProxyType
from typing import Any, NoReturn

import click

from tidegate_controller.cli import INTERRUPTED, end_interrupted
from tidegate_controller.cli.terminal import Choices, announce
from tidegate_controller.errors import TidegateError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)  # for what is printed
UNHEARD = 141  # exit code: whoever read what is printed has gone, as a shell counts SIGPIPE

# In the order of help, which is that in which people think of them.
COMMANDS = MappingProxyType(
    {
        "demo": "demo",
        "init": "init",
        "deploy": "deploy",
        "rollback": "deploy",
        "status": "status",
        "rollout": "rollouts",
        "lock": "locks",
        "unlock": "locks",
        "freeze": "freeze",
        "explain": "events",
        "release": "releases",
        "node": "nodes",
        "log": "events",
        "cleanup": "cleaning",
        "config": "config",
        "traffic": "traffic",
        "doctor": "doctor",
        "controller": "controller",
        "completion": "completion",
    }
)


class Unheard(Exception):
    """Whoever read what is printed has gone. Click would end with 1, as if something had failed."""


class Commands(click.Group):
    """In its module, a command has the name under which it is typed."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise Unheard from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"tidegate_controller.cli.{COMMANDS[cmd_name]}")
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:  # which was not told what there is
            raise click.NoSuchCommand(
                error.command_name, possibilities=COMMANDS, ctx=ctx
            ) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tidegate", message="tidegate %(version)s")
@click.option("--controller", "address", metavar="HOST:PORT", help="The controller to talk to.")
@click.pass_context
def tidegate(context: click.Context, address: str | None) -> None:
    """Deploy software onto fleets of Linux servers, and undo it when it is bad.

    First steps: `tidegate demo` shows it all on this machine, `tidegate init` begins with an app.

    The controller is found by --controller or TIDEGATE_CONTROLLER, else by the local socket.
    Exit codes: 0 done, 1 failed or undone, 2 wrong usage, 3 no controller, 4 refused, 5 waiting.

    \b
    Example:
      tidegate demo                     all of it on this machine, for real
      tidegate deploy --artifact build/shop-1.4.2.tar.gz --version 1.4.2
      tidegate status --watch
      tidegate rollback shop
    """
    context.obj = Choices(address=address)


def main() -> None:
    """Run the command line; turns errors into a message, a next step and an exit code."""
    _stand_in_for_closed()
    try:
        code = tidegate.main(standalone_mode=False)
    except TidegateError as error:
        announce(f"error: {error.message}")
        if error.hint:
            announce(f"  next: {error.hint}")
        sys.exit(error.exit_code)
    except click.ClickException as error:
        _show(error)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        end_interrupted()
    except Unheard:
        _end_unheard(UNHEARD)
    except OSError as error:
        if error.errno not in NO_ROOM or error.filename is not None:
            raise
        announce(f"error: what was to be printed cannot be written: {error.strerror}")
        _end_unheard(1)
    if code == INTERRUPTED:
        end_interrupted()
    sys.exit(code if isinstance(code, int) else 0)


def _show(error: click.ClickException) -> None:
    """In the form of all other errors."""
    context = getattr(error, "ctx", None)
    if context is not None:
        announce(context.get_usage())
    announce(f"error: {error.format_message()}")
    if context is not None:
        announce(f"  next: {context.command_path} --help")


def _stand_in_for_closed() -> None:
    """Whoever has started this may have closed its standard streams; then there are none. Without
    stdout it ends here: nobody would see what was done."""
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - it is open to the end
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: SIM115
    if sys.stdout is None:
        announce("error: stdout is closed, so nothing was done\n  next: send it to /dev/null")
        sys.exit(1)


def _end_unheard(code: int) -> NoReturn:
    """What is left to be printed would fail once more as the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(code)
