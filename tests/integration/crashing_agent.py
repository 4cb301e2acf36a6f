"""The real agent, but it kills itself right after so many entries of its journal as `kill-NODE`
(in its working folder) says.

It comes back at once, without the jitter that a large fleet needs: hundreds of restarts are waited
for."""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from tidegate_agent import link
from tidegate_agent.journal import Journal
from tidegate_agent.main import main

node = sys.argv[sys.argv.index("--node") + 1]
KILL_AFTER = Path(f"kill-{node}")
write = Journal.write
written = 0


def write_then_die(journal: Journal, *statements: tuple[str, Sequence[object]]) -> None:
    global written  # noqa: PLW0603
    write(journal, *statements)
    if not KILL_AFTER.exists():
        written = 0
        return
    written += 1
    if written >= int(KILL_AFTER.read_text()):
        KILL_AFTER.rename(f"killed-{node}")
        os.kill(os.getpid(), signal.SIGKILL)


link.RETRY_SECONDS_MIN = link.RETRY_SECONDS_MAX = 0.1
Journal.write = write_then_die  # type: ignore[method-assign]
main()
