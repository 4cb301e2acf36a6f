"""The real controller, but it kills itself right after the event with the sequence number in
`kill-at` (in its working folder) is in the log, or after a decision of a kind in `kill/controller`
(crash_points.py): after the intention, before anything is sent."""

import os
import signal
from pathlib import Path

from crash_points import CONTROLLER, enter_phase, pass_or_die, phase

from tidegate_controller.cli import main
from tidegate_controller.core import events as ev
from tidegate_controller.log import Batch, EventLog, Record, read_stream

HERE = Path()
KILL_AT = Path("kill-at")
OF_NO_ROLLOUT = (ev.ControllerStarted, ev.Observed, ev.NodeLeft, ev.NodeReturned, ev.DebtsPaid)
append = EventLog.append


def append_then_die(log: EventLog, batches: list[Batch]) -> list[list[Record]]:
    records = append(log, batches)
    for decision in records:
        pass_point(log, decision)
    if KILL_AT.exists() and log.last_seq >= int(KILL_AT.read_text()):
        Path("killed-at").write_text(str(log.last_seq))
        KILL_AT.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return records


def pass_point(log: EventLog, decision: list[Record]) -> None:
    for record in decision:
        if isinstance(event := record.event, ev.Started):
            enter_phase(HERE, event.kind)
        elif isinstance(event, ev.Replanned) and not phase(HERE).endswith(" undo"):
            enter_phase(HERE, f"{phase(HERE)} undo")
    last, what = decision[-1], ""
    if "@" in last.stream and not isinstance(last.event, OF_NO_ROLLOUT):
        what = f"{last.kind} {step_of(log, last)}".rstrip()
    durable = " ".join(record.kind for record in decision)
    pass_or_die(HERE, CONTROLLER, CONTROLLER, what, durable)


def step_of(log: EventLog, record: Record) -> str:
    """Empty where the event is of none."""
    event = record.event
    if isinstance(event, ev.ActionEnded):  # an action is named by the version of its event
        version = int(event.action.rpartition("-")[2])
        (issued,) = read_stream(log.path, record.stream, version - 1, 1)
        event = issued.event
    step = event.action.step if isinstance(event, ev.ActionIssued) else getattr(event, "step", "")
    return "of a chore" if "/" in step else step


EventLog.append = append_then_die  # type: ignore[method-assign,assignment]
main()
