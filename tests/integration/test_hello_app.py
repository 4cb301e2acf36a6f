"""The example app as its README describes it, spoken to over plain sockets."""

import asyncio
import json
import os
import shutil
import signal
import sys
import tomllib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "hello"
DEADLINE_SECONDS = 30

Start = Callable[..., AbstractAsyncContextManager["Hello"]]


class Hello:
    def __init__(self, process: asyncio.subprocess.Process, address: str) -> None:
        self.process = process
        self.host, _, port = address.rpartition(":")
        self.port = int(port)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self.host, self.port)

    async def get(self, path: str) -> tuple[int, str]:
        """Status and body, over a connection of its own."""
        reader, writer = await self.connect()
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = (await asyncio.wait_for(reader.read(), DEADLINE_SECONDS)).decode()
        writer.close()
        return int(answer.split(" ")[1]), answer.partition("\r\n\r\n")[2]

    async def ended(self) -> int:
        return await asyncio.wait_for(self.process.wait(), DEADLINE_SECONDS)


async def start(
    directory: Path, release: Mapping[str, object], **variables: str
) -> asyncio.subprocess.Process:
    shutil.copy(EXAMPLE / "serve.py", directory)
    (directory / "release.json").write_text(json.dumps(release))
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "serve.py", "--port", "0"),
        cwd=directory,
        env={**os.environ, **variables},
        stderr=asyncio.subprocess.PIPE,
    )


@pytest.fixture
def app(tmp_path: Path) -> Start:
    @asynccontextmanager
    async def run(release: Mapping[str, object], **variables: str) -> AsyncIterator[Hello]:
        process = await start(tmp_path, release, **variables)
        assert process.stderr is not None
        try:
            line = await asyncio.wait_for(process.stderr.readline(), DEADLINE_SECONDS)
            yield Hello(process, line.decode().split(" ")[-1].strip())
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    return run


async def test_it_says_which_release_answered_on_which_node(app):
    async with app({"version": "1"}, NODE="web1", SLOT="blue") as hello:
        assert await hello.get("/") == (200, "hello from 1 on web1 (blue)\n")
        assert await hello.get("/?a=b") == (200, "hello from 1 on web1 (blue)\n")
        assert await hello.get("/health") == (200, "ok\n")
        assert (await hello.get("/favicon.ico"))[0] == 404


async def test_answers_to_requests_sent_in_one_go_come_in_order_on_one_connection(app):
    async with app({"version": "1"}) as hello:
        reader, writer = await hello.connect()
        ask = b"GET %b HTTP/1.1\r\nHost: x\r\n%b\r\n"
        post = b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabcde"
        writer.write(ask % (b"/slow", b"") + ask % (b"/health", b"") + post)
        writer.write(ask % (b"/none", b"Connection: close\r\n"))
        answers = (await asyncio.wait_for(reader.read(), DEADLINE_SECONDS)).decode()
        writer.close()
    statuses = [part[:3] for part in answers.split("HTTP/1.1 ")[1:]]
    assert statuses == ["200", "200", "200", "404"]
    assert answers.index("hello from") < answers.index("ok\n") < answers.rindex("hello from")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000, 431),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 413),
    ],
)
async def test_what_it_does_not_read_is_refused_and_the_connection_closed(
    app, request_bytes, status
):
    async with app({"version": "1"}) as hello:
        reader, writer = await hello.connect()
        writer.write(request_bytes)
        answer = await asyncio.wait_for(reader.read(), DEADLINE_SECONDS)
        writer.close()
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"Connection: close" in answer


async def test_version_3_turns_unhealthy_under_traffic_but_goes_on_serving(app):
    async with app({"version": "3", "turns_unhealthy_after_requests": 5}) as hello:
        for _ in range(10):
            assert (await hello.get("/health"))[0] == 200
        for _ in range(5):
            assert (await hello.get("/"))[0] == 200
        assert (await hello.get("/health"))[0] == 500
        assert (await hello.get("/"))[0] == 200


async def test_version_4_prints_an_error_and_exits_with_3(tmp_path):
    process = await start(tmp_path, {"version": "4", "exits_at_once": True})
    _, errors = await asyncio.wait_for(process.communicate(), DEADLINE_SECONDS)
    assert process.returncode == 3
    assert b"FATAL" in errors


async def test_on_sigterm_it_finishes_what_is_in_flight_closes_politely_and_exits_with_0(app):
    async with app({"version": "1"}) as hello:
        slow, slow_writer = await hello.connect()
        idle, idle_writer = await hello.connect()
        slow_writer.write(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        await hello.get("/health")  # by now the slow request is in flight
        hello.process.send_signal(signal.SIGTERM)
        assert hello.process.stderr is not None
        await asyncio.wait_for(hello.process.stderr.readline(), DEADLINE_SECONDS)
        with pytest.raises(ConnectionRefusedError):
            await hello.connect()
        idle_writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        for reader in (idle, slow):
            answer = await asyncio.wait_for(reader.read(), DEADLINE_SECONDS)
            assert answer.startswith(b"HTTP/1.1 200 OK")
            assert b"Connection: close" in answer
        assert await hello.ended() == 0
        idle_writer.close()
        slow_writer.close()


async def test_on_sigterm_a_client_that_never_finishes_its_request_does_not_keep_it(app):
    async with app({"version": "1"}) as hello:
        _, writer = await hello.connect()
        writer.write(b"GET / HTTP/1.1\r\nHost:")
        await hello.get("/health")
        hello.process.send_signal(signal.SIGTERM)
        assert await hello.ended() == 0
        writer.close()


def test_the_configuration_names_the_service_as_the_app_reads_it():
    config = tomllib.loads((EXAMPLE / "tidegate.toml").read_text())
    assert config["service"]["command"] == ["python3", "serve.py", "--port", "{port}"]
    assert config["service"]["environment"] == {"NODE": "{node}", "SLOT": "{slot}"}
    assert json.loads((EXAMPLE / "release.json").read_text()) == {"version": "1"}
