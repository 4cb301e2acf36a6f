"""Which apps run on a node of this machine, by what the machine says and nobody else."""

from pathlib import Path

import psutil


def running_beneath(folder: Path) -> list[int]:
    """Pids of the processes that work in a folder somewhere beneath this one."""
    home = folder.resolve()
    found = []
    for process in psutil.process_iter():
        try:
            if home in Path(process.cwd()).parents:
                found.append(process.pid)
        except (psutil.Error, OSError):
            continue  # ended meanwhile, or another user's
    return found
