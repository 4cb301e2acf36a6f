"""What systemd hears of a daemon: ready, alive, stopping; and that no child can say so for it."""

import asyncio
import os
import socket
from pathlib import Path

import pytest

from tidegate_protos.notify import Systemd


@pytest.fixture
def heard(tmp_path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(tmp_path / "notify"))
    listener.setblocking(False)
    return listener


def test_it_says_when_it_is_ready_and_when_it_stops(heard: socket.socket, tmp_path: Path) -> None:
    systemd = Systemd({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    systemd.ready()
    systemd.stopping()
    assert [heard.recv(100), heard.recv(100)] == [b"READY=1", b"STOPPING=1"]


def test_the_managers_socket_may_be_an_abstract_one() -> None:
    name = f"tidegate-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}")
        Systemd({"NOTIFY_SOCKET": f"@{name}"}).ready()
        assert listener.recv(100) == b"READY=1"


async def test_signs_of_life_come_as_often_as_they_are_wanted_and_for_as_long(
    heard: socket.socket, tmp_path: Path
) -> None:
    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "30000"}
    systemd = Systemd(environ)
    assert systemd.watchdog_seconds == 0.03
    beating = asyncio.create_task(systemd.stay_alive())
    loop = asyncio.get_running_loop()
    for _ in range(3):
        assert await loop.sock_recv(heard, 100) == b"WATCHDOG=1"
    beating.cancel()
    await asyncio.wait({beating})


def test_what_is_meant_for_this_process_reaches_none_of_its_children(tmp_path: Path) -> None:
    environ = {
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
        "WATCHDOG_USEC": "30000000",
        "WATCHDOG_PID": str(os.getpid()),
        "PATH": "/bin",
    }
    assert Systemd(environ).watchdog_seconds == 30.0
    assert environ == {"PATH": "/bin"}


async def test_without_systemd_nothing_is_said_and_nothing_fails() -> None:
    systemd = Systemd({})
    systemd.ready()
    await systemd.stay_alive()
    systemd.stopping()
    Systemd({"NOTIFY_SOCKET": "/nowhere/at/all"}).ready()
    assert Systemd({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}).watchdog_seconds == 0.0
