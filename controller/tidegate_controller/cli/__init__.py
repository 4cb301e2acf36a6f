"""The `tidegate` command: what the entry point of an installation calls.

The base install is the agent's, and `tidegate` is there all the same. So nothing is imported here
that comes with the extra `controller`; the commands themselves are in `commands`.
"""

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

WAITING = 5  # exit code: a rollout waits for a person
INTERRUPTED = 130  # by Ctrl-C, as a shell counts it
TERMINATED = 143  # by SIGTERM


def main() -> None:
    """Run the command line, or say in one line what has to be installed for that."""
    # gRPC writes onto stderr what it meets, for its own developers. It reads this as it is loaded.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        from tidegate_controller.cli import commands  # noqa: PLC0415  (may be what is missing)

        commands.main()
    except KeyboardInterrupt:
        end_interrupted()
    except ModuleNotFoundError as error:
        missing = error.name or str(error)
        if missing.startswith("tidegate"):
            raise
        sys.exit(
            f"error: the tidegate command needs {missing}, which the base install (the agent) does "
            "not bring: pip install 'tidegate[controller]'"
        )


def end_interrupted() -> NoReturn:
    """End with 130. Whoever presses Ctrl-C again would meet an interpreter that is ending, which
    prints a traceback or dies of the signal."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(INTERRUPTED)


def end_terminated(_: int, __: FrameType | None) -> NoReturn:
    """For SIGTERM, where something is put in order as the stack unwinds."""
    sys.exit(TERMINATED)
