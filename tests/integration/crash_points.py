"""Where a process may be killed, by kind: what became durable last, at which step of which wave, in
which part of a rollout.

Used by crashing_controller.py and crashing_agent.py, in whose working folder these files are; and
by crashes.py, which writes and reads them. Where `kill/WHO/KIND` is there, the first of whom it
names that comes to a point of this kind takes the file away and kills itself.
"""

import os
import signal
from pathlib import Path

PHASE = "phase"  # holds what is under way: "deploy", "deploy undo", "converge", …
CONTROLLER, AGENT = SIDES = ("controller", "agent")


def kill_file(folder: Path, who: str, kind: str) -> Path:
    """`who`: a side, or one node."""
    return folder / "kill" / who / kind


def points_file(folder: Path) -> Path:
    """A line for each point that was come to: side, tab, name of the node or again the side, tab,
    its kind; which is empty where it is of no rollout."""
    return folder / "points"


def killed_file(folder: Path, side: str) -> Path:
    """A line for each point at which a process has died: kind, tab, all that became durable."""
    return folder / f"killed-{side}"


def phase(folder: Path) -> str:
    try:
        return (folder / PHASE).read_text()
    except FileNotFoundError:
        return ""


def enter_phase(folder: Path, name: str) -> None:
    """Whole or not at all, whoever reads it meanwhile."""
    fresh = folder / f"{PHASE}-next"
    fresh.write_text(name)
    fresh.rename(folder / PHASE)


def pass_or_die(folder: Path, side: str, name: str, what: str, durable: str) -> None:
    """`name`: of the node, or the side's; `what`: became durable last, empty where it is of no
    rollout; `durable`: all that did in the same transaction."""
    kind = f"{phase(folder)}: {what}" if what else ""
    _add_line(points_file(folder), f"{side}\t{name}\t{kind}")
    if kind and any(_taken_away(kill_file(folder, who, kind)) for who in {side, name}):
        _add_line(killed_file(folder, side), f"{kind}\t{durable}")
        os.kill(os.getpid(), signal.SIGKILL)


def _taken_away(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def _add_line(path: Path, line: str) -> None:
    with path.open("a") as lines:
        lines.write(f"{line}\n")
