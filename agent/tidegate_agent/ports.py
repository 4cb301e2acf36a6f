"""TCP ports of slots: which one is free, and who has the one that is not.

Called by slot.py before a start and when a start is prepared, by app.py when somebody asks.
What is free now may be taken a moment later; the app's own bind has the last word.
"""

import errno
import socket
import zlib
from collections.abc import Collection
from pathlib import Path

import psutil

from tidegate_agent.errors import NodeError, ServiceError

FIRST_PORT, LAST_PORT = 20000, 29999
_EPHEMERAL_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_EPHEMERAL_DEFAULT = (32768, 60999)


def choose(key: str, taken: Collection[int]) -> int:
    """A free port, not in `taken`; for the same key the same one, as long as it is free.

    Between 20000 and 29999, without those that the kernel gives to outgoing connections (which
    could have it while the app restarts), unless that leaves none. Raises ServiceError if none is
    free.
    """
    low, high = _ephemeral()
    ports = [port for port in range(FIRST_PORT, LAST_PORT + 1) if not low <= port <= high]
    if not ports:
        ports = list(range(FIRST_PORT, LAST_PORT + 1))
    first = zlib.crc32(key.encode()) % len(ports)
    for port in ports[first:] + ports[:first]:
        if port not in taken and _refusal(port) is None:
            return port
    raise ServiceError(f"no port is free between {ports[0]} and {ports[-1]}")


def pick(key: str, asked: int, last: int, taken: Collection[int]) -> int:
    """The port that was asked for (0: any), else the slot's last one (0: none), else another that
    is free. Raises NodeError where the one asked for is in use."""
    wanted = asked or last
    if not wanted:
        return choose(key, taken)
    used_by = holder(wanted)
    if used_by is None:
        return wanted
    if not asked:
        return choose(key, {*taken, wanted})
    raise NodeError(f"port {wanted} is in use by {used_by}")


def holder(port: int) -> str | None:
    """None if an app could listen there; else who does, in words: "pid 123 (nginx)".

    Raises ServiceError for what is no port.
    """
    if not 1 <= port <= 65535:
        raise ServiceError(f"port {port} is not between 1 and 65535")
    refusal = _refusal(port)
    if refusal is None:
        return None
    if refusal == errno.EACCES:
        return "root alone, as ports this low are"
    try:
        # Who listens, rather than who uses it for a connection of its own; of workers the first.
        _, pid = min(
            (one.status != psutil.CONN_LISTEN, one.pid)
            for one in psutil.net_connections("tcp")
            if one.pid and one.laddr and one.laddr.port == port
        )
        name = "".join(filter(str.isprintable, psutil.Process(pid).name()))
        return f"pid {pid} ({name})"
    except (psutil.Error, OSError, ValueError):  # not ours to see, or gone meanwhile
        return "another process"


def _ephemeral() -> tuple[int, int]:
    try:
        low, high = _EPHEMERAL_FILE.read_text("ascii").split()
        return int(low), int(high)
    except (OSError, ValueError):
        return _EPHEMERAL_DEFAULT


def _refusal(port: int) -> int | None:
    """The errno with which the kernel refuses an app that binds there, or None.

    With SO_REUSEADDR, as servers do: connections of the former app that linger in TIME_WAIT do
    not count, listeners do, on whatever address. Nothing listens here, so nothing can connect.
    """
    addresses = [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "0.0.0.0")]  # noqa: S104
    if socket.has_ipv6:
        addresses.append((socket.AF_INET6, "::"))
    for family, address in addresses:
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((address, port))
        except OSError as error:
            if error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                continue  # a machine without IPv6
            return error.errno
    return None
