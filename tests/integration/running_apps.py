"""Which apps run on a node of this machine, by what the machine says and nobody else."""

from pathlib import Path

import psutil


def running_beneath(folder: Path) -> list[int]:
    """Pids of the processes that work in a folder somewhere beneath this one."""
    return list(slots_beneath(folder))


def slots_beneath(folder: Path) -> dict[int, str]:
    """And the slot that each was started in; "" for what no agent has started."""
    home = folder.resolve()
    found = {}
    for process in psutil.process_iter():
        try:
            if home in Path(process.cwd()).parents:
                found[process.pid] = process.environ().get("TIDEGATE_SLOT", "")
        except (psutil.Error, OSError):
            continue  # ended meanwhile, or another user's
    return found
