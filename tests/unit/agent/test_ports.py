"""Which port a slot gets, and who has the one it wanted."""

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tidegate_agent import ports
from tidegate_agent.errors import ServiceError

LISTEN = """
import socket, sys
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def _usual_ephemeral_range(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    set_ephemeral_range(monkeypatch, tmp_path, "32768\t60999\n")


def set_ephemeral_range(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
    file = tmp_path / "ip_local_port_range"
    file.write_text(text)
    monkeypatch.setattr(ports, "_EPHEMERAL_FILE", file)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.mark.usefixtures("_usual_ephemeral_range")
def test_the_same_key_gets_the_same_port() -> None:
    first = ports.choose("shop@production/blue", ())
    assert first == ports.choose("shop@production/blue", ())
    assert 20000 <= first <= 29999


@pytest.mark.usefixtures("_usual_ephemeral_range")
def test_taken_ports_are_passed_over() -> None:
    taken: set[int] = set()
    for _ in range(5):
        port = ports.choose("shop", taken)
        assert port not in taken
        taken.add(port)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])  # noqa: S104
@pytest.mark.usefixtures("_usual_ephemeral_range")
def test_a_port_somebody_listens_on_is_passed_over(address: str) -> None:
    key = f"shop {address} {os.getpid()}"  # tests may run beside each other
    port = ports.choose(key, ())
    with socket.create_server((address, port)):
        assert ports.choose(key, ()) != port
    assert ports.choose(key, ()) == port


@pytest.mark.usefixtures("_usual_ephemeral_range")
def test_connections_of_the_former_app_that_linger_do_not_count() -> None:
    key = f"linger {os.getpid()}"
    port = ports.choose(key, ())
    with socket.create_server(("127.0.0.1", port)) as server:
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = server.accept()
    accepted.close()  # first, so that this end is the one in TIME_WAIT
    client.close()
    assert ports.choose(key, ()) == port
    assert ports.holder(port) is None


def test_ports_of_outgoing_connections_are_avoided(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    set_ephemeral_range(monkeypatch, tmp_path, "20100 65535")
    for key in ("a", "b", "c", "d"):
        assert 20000 <= ports.choose(key, ()) < 20100


@pytest.mark.parametrize("text", ["1024 65535", "nonsense", ""])
def test_a_range_that_leaves_nothing_or_cannot_be_read_still_gives_a_port(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    set_ephemeral_range(monkeypatch, tmp_path, text)
    assert 20000 <= ports.choose("shop", ()) <= 29999


def test_no_free_port_is_an_error_that_says_where(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    set_ephemeral_range(monkeypatch, tmp_path, "20002 65535")
    with pytest.raises(ServiceError, match="no port is free between 20000 and 20001"):
        ports.choose("shop", {20000, 20001})


def test_a_free_port_has_no_holder(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    assert ports.holder(port) is not None
    listener.close()
    assert ports.holder(port) is None


def test_the_holder_is_named_with_pid_and_program() -> None:
    command = [sys.executable, "-c", LISTEN]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        port = int(child.stdout.readline())
        name = psutil.Process(child.pid).name()
        assert ports.holder(port) == f"pid {child.pid} ({name})"


def test_a_holder_that_may_not_be_seen_is_another_process(
    monkeypatch: pytest.MonkeyPatch, listener: socket.socket
) -> None:
    def denied(_kind: str) -> list[object]:
        raise psutil.AccessDenied

    port = listener.getsockname()[1]
    monkeypatch.setattr(psutil, "net_connections", denied)
    assert ports.holder(port) == "another process"
    monkeypatch.setattr(psutil, "net_connections", lambda _kind: [])
    assert ports.holder(port) == "another process"


def test_a_port_that_may_not_be_used_is_for_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_refusal", lambda _port: errno.EACCES)
    assert ports.holder(80) == "root alone, as ports this low are"


@pytest.mark.parametrize("port", [0, -1, 65536, 4294967295])
def test_what_is_no_port_is_refused(port: int) -> None:
    with pytest.raises(ServiceError, match=f"port {port} is not"):
        ports.holder(port)
