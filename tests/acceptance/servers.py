"""Controllers and agents beside those of the desk, for what no other test could bear."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from desk import AGENT, TIDEGATE, Answer, Desk, answer_of, read_until, rest_of

from tidegate_controller.demo.local_fleet import free_port

# Before FOLDER SIZE COMMAND: runs it where FOLDER is a disk of that size.
SMALL_DISK = [
    *("unshare", "--map-root-user", "--mount", "sh", "-c"),
    'mount -t tmpfs -o size="$2" none "$1" && shift 2 && exec "$@"',
    "sh",
]
needs_namespaces = pytest.mark.skipif(
    not shutil.which("unshare")
    or subprocess.run([*SMALL_DISK, "/mnt", "64k", "true"], check=False).returncode != 0,
    reason="needs user and mount namespaces",
)


def start_controller(desk: Desk, data: Path, listen: str, *options: str) -> "subprocess.Popen[str]":
    words = ("controller", "run", "--data", str(data), "--listen", listen, *options)
    return desk.start(TIDEGATE, *words, TIDEGATE_SOCKET=str(desk.folder / "another.sock"))


def controller(desk: Desk, data: Path, listen: str, *options: str) -> Answer:
    """`tidegate controller run`, which is expected to end by itself."""
    return answer_of(start_controller(desk, data, listen, *options))


def agent(desk: Desk, data: Path, *options: str, node: str = "web-1") -> Answer:
    """`tidegate-agent run`, which is expected to end by itself."""
    words = ("--node", node, "--data", str(data), "--controller", desk.fleet.address)
    return answer_of(desk.start(AGENT, "run", *words, *options))


@contextmanager
def own_controller(desk: Desk, data: Path) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """Another controller, for what no other test could bear; its address."""
    address = f"127.0.0.1:{free_port()}"
    process = start_controller(desk, data, address)
    try:
        read_until(process.stderr, "controller ready")
        yield address, process
        process.terminate()
        assert rest_of(process).code in (0, 1)
    finally:
        process.kill()
