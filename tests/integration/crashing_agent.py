"""The real agent, but it kills itself right after so many entries of its journal as `kill-NODE`
(in its working folder) says, or after one of a kind in `kill/agent` or in `kill/NODE`
(crash_points.py).

It comes back at once, without the jitter that a large fleet needs: hundreds of restarts are waited
for."""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from crash_points import AGENT, pass_or_die

from tidegate_agent import link
from tidegate_agent.journal import Journal
from tidegate_agent.main import main
from tidegate_protos.v1 import agent_pb2 as pb

HERE = Path()
node = sys.argv[sys.argv.index("--node") + 1]
KILL_AFTER = Path(f"kill-{node}")
Statement = tuple[str, Sequence[object]]
write = Journal.write
written = 0


def write_then_die(journal: Journal, *statements: Statement) -> None:
    global written  # noqa: PLW0603
    what = entry(journal, statements)
    write(journal, *statements)
    pass_or_die(HERE, AGENT, node, what, what)
    if not KILL_AFTER.exists():
        written = 0
        return
    written += 1
    if written >= int(KILL_AFTER.read_text()):
        KILL_AFTER.rename(f"killed-{node}")
        os.kill(os.getpid(), signal.SIGKILL)


def entry(journal: Journal, statements: Sequence[Statement]) -> str:
    """What is about to be written, in words; empty for what is of no rollout."""
    for sql, parameters in statements:
        match sql.split()[:5]:
            case ["INSERT", "INTO", "commands", *_]:
                return f"accept {verb(parameters[2])}"
            case ["UPDATE", "commands", "SET", "result", *_]:
                outcome = pb.Outcome.Name(pb.Finished.FromString(parameters[0]).outcome)
                word = outcome.removeprefix("OUTCOME_").lower()
                return f"finish {stored(journal, parameters[1])} {word}"
            case ["DELETE", "FROM", "commands", "WHERE", "id"]:
                return f"forget {stored(journal, parameters[0])}"
            case ["INSERT", "OR", "REPLACE", "INTO", "slots"]:
                return f"slot {parameters[5]}"
    return ""


def stored(journal: Journal, command_id: object) -> str:
    sql = "SELECT command FROM commands WHERE id = ?"
    rows = journal._read(sql, (command_id,))
    return verb(rows[0][0]) if rows else "a question"


def verb(command: bytes) -> str:
    return pb.Command.FromString(command).WhichOneof("work") or "nothing"


link.RETRY_SECONDS_MIN = link.RETRY_SECONDS_MAX = 0.3
Journal.write = write_then_die  # type: ignore[method-assign]
main()
