"""What is to be said of the machine itself: facts when the agent connects, figures ever after.

Used by host.py. No fact and no figure is needed for a deployment, so none may keep one from being.
"""

import os
import platform
import shutil
import socket
import time
import uuid
from pathlib import Path

import psutil

from tidegate_agent import procfs, users
from tidegate_agent.reports import clipped
from tidegate_protos.v1 import agent_pb2 as pb

FACT_CHARACTERS = 200


def boot_id() -> str:
    return procfs.boot_id()


def wall_seconds() -> float:
    """Unix time, as this machine's clock says."""
    return time.time()


def new_id() -> str:
    """Random, and nobody else's."""
    return uuid.uuid4().hex


def free_bytes(folder: Path) -> int:
    """Of the disk that holds the folder."""
    return shutil.disk_usage(folder).free


def facts(data: Path) -> dict[str, str]:
    """`disk_bytes` is the size of the disk that holds `data`."""
    sources = {
        "os": _os_name,
        "kernel": platform.release,
        "cpus": lambda: str(len(os.sched_getaffinity(0))),
        "memory_bytes": lambda: str(psutil.virtual_memory().total),
        "disk_bytes": lambda: str(shutil.disk_usage(data).total),
        "user": users.own_name,
        "python": platform.python_version,
        "hostname": socket.gethostname,
    }
    found = {}
    for name, source in sources.items():
        try:
            found[name] = clipped(source(), FACT_CHARACTERS)
        except (OSError, psutil.Error, ValueError) as error:
            found[name] = clipped(f"unknown: {error}", FACT_CHARACTERS)
    return found


def heartbeat(data: Path) -> pb.Heartbeat:
    """`disk_free_bytes` is of the disk that holds `data`."""
    memory = psutil.virtual_memory()
    return pb.Heartbeat(
        cpu_percent=psutil.cpu_percent(),
        memory_used_bytes=memory.total - memory.available,
        memory_total_bytes=memory.total,
        disk_free_bytes=free_bytes(data),
        load_1m=psutil.getloadavg()[0],
        uptime_seconds=time.clock_gettime(time.CLOCK_BOOTTIME),
    )


def _os_name() -> str:
    return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
