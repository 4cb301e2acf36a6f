"""All that can be typed after `tidegate`: each module here adds its commands to `COMMANDS`."""

import sys

import click

from tidegate_controller.cli import INTERRUPTED, end_interrupted
from tidegate_controller.cli.cleaning import cleanup
from tidegate_controller.cli.completion import completion
from tidegate_controller.cli.config import config
from tidegate_controller.cli.controller import controller
from tidegate_controller.cli.demo import demo
from tidegate_controller.cli.deploy import deploy, rollback
from tidegate_controller.cli.doctor import doctor
from tidegate_controller.cli.events import explain, log
from tidegate_controller.cli.init import init
from tidegate_controller.cli.nodes import node
from tidegate_controller.cli.releases import release
from tidegate_controller.cli.rollouts import rollout
from tidegate_controller.cli.status import status
from tidegate_controller.cli.terminal import AsListed, Choices, announce
from tidegate_controller.cli.traffic import traffic
from tidegate_controller.errors import TidegateError


@click.group(cls=AsListed, context_settings={"help_option_names": ["-h", "--help"]})
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


COMMANDS = (
    demo,
    init,
    deploy,
    rollback,
    status,
    rollout,
    explain,
    release,
    node,
    log,
    cleanup,
    config,
    traffic,
    doctor,
    controller,
    completion,
)
for _command in COMMANDS:
    tidegate.add_command(_command)


def main() -> None:
    """Run the command line; turns errors into a message, a next step and an exit code."""
    try:
        code = tidegate.main(standalone_mode=False)
    except TidegateError as error:
        announce(f"error: {error.message}")
        if error.hint:
            announce(f"  next: {error.hint}")
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        end_interrupted()
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    if code == INTERRUPTED:
        end_interrupted()
    sys.exit(code if isinstance(code, int) else 0)
