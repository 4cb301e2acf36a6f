"""Where a process may be killed, by kind: what became durable last, in which part of a rollout.

Used by crashing_controller.py and crashing_agent.py, in whose working folder these files are; and
by crashes.py, which writes and reads them. Where `kill/SIDE/KIND` is there, the first process of
this side that comes to a point of this kind takes the file away and kills itself.
"""

import os
import signal
from pathlib import Path

PHASE = "phase"  # holds what is under way: "deploy", "deploy undo", "converge", …
SIDES = ("controller", "agent")


def kill_file(folder: Path, side: str, kind: str) -> Path:
    return folder / "kill" / side / kind


def points_file(folder: Path, side: str) -> Path:
    """A line for each point that was come to: its kind."""
    return folder / f"points-{side}"


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


def pass_or_die(folder: Path, side: str, what: str, durable: str) -> None:
    """`what`: became durable last; `durable`: all that did in the same transaction."""
    kind = f"{phase(folder)}: {what}"
    _add_line(points_file(folder, side), kind)
    try:
        kill_file(folder, side, kind).unlink()
    except FileNotFoundError:
        return
    _add_line(killed_file(folder, side), f"{kind}\t{durable}")
    os.kill(os.getpid(), signal.SIGKILL)


def _add_line(path: Path, line: str) -> None:
    with path.open("a") as lines:
        lines.write(f"{line}\n")
