"""What holds the controller together: its connections, and what runs beside its engine."""

import asyncio
import os
import socket
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from small_servers import free_port

from tidegate_controller import options, server
from tidegate_controller.errors import TidegateError
from tidegate_protos.notify import Systemd

# HTTP/2, as RFC 9113 has it; gRPC's own client sends no more than one ping a second.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS, PING, GOAWAY = 4, 6, 7
ACK = 1
HEADER_BYTES = 9
PINGS = 20  # gRPC cuts the connection at the third too many


def test_nobody_is_cut_off_for_the_pings_that_keep_a_quiet_connection() -> None:
    serving = grpc.server(futures.ThreadPoolExecutor(1), options=server.OPTIONS)
    port = serving.add_insecure_port("127.0.0.1:0")
    serving.start()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(PREFACE + frame(SETTINGS))
            for _ in range(PINGS):
                connection.sendall(frame(PING, b"quiet..."))
                assert answer(connection) == PING
    finally:
        serving.stop(None).wait()


async def test_a_part_that_fails_is_logged_and_ends_the_controller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without it deployments would wait for their turn for ever."""

    async def fail(_: object) -> None:
        raise KeyError("of nobody's making")

    monkeypatch.setattr(server.Turns, "run", fail)
    flags = {"data": str(tmp_path / "data"), "listen": f"127.0.0.1:{free_port()}"}
    told = options.read(flags, Path(os.devnull))
    async with asyncio.timeout(30):
        with pytest.raises(TidegateError, match="beginning what is queued has failed: KeyError"):
            await server.run(told, tmp_path / "socket", Systemd({}))
    (line,) = [record for record in caplog.records if record.exc_info]
    assert line.getMessage() == "beginning what is queued has failed"


def frame(kind: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, 0]) + bytes(4) + payload


def answer(connection: socket.socket) -> int:
    """The kind of the next frame that answers a ping, or says goodbye."""
    while True:
        header = connection.recv(HEADER_BYTES, socket.MSG_WAITALL)
        kind, flags = header[3], header[4]
        connection.recv(int.from_bytes(header[:3], "big"), socket.MSG_WAITALL)
        if kind == GOAWAY or (kind == PING and flags & ACK):
            return kind
