"""Health checks against real servers that answer, stutter, lie or say nothing."""

import asyncio
import contextlib
import dataclasses
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from tidegate_agent import health
from tidegate_agent.errors import ServiceError
from tidegate_agent.health import Check, Monitor, probe, wait_healthy

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BROKEN = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"


class Server:
    """Sends `data` after the request's headers, then closes or, if `hold`, keeps it open."""

    def __init__(self, data: bytes = OK, hold: bool = False) -> None:
        self.data = data
        self.hold = hold
        self.requests: list[bytes] = []
        self.url = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(self.data)
            await writer.drain()
            if self.hold:
                await reader.read()
        writer.close()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Server"]:
        server = await asyncio.start_server(self.answer, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/health"
        try:
            yield self
        finally:
            server.close()


def check(url: str, **changes: Any) -> Check:
    usual = Check(
        url,
        every_seconds=0.02,
        timeout_seconds=20,
        failures=3,
        healthy_after_seconds=0,
        deadline_seconds=30,
    )
    return dataclasses.replace(usual, **changes)


async def probed(data: bytes, hold: bool = False, **changes: Any) -> str | None:
    async with Server(data, hold).running() as server:
        problem = await probe(check(server.url, **changes))
        return problem.replace(server.url, "URL") if problem else None


def free_port() -> int:
    with socket.socket() as probe_socket:
        probe_socket.bind(("127.0.0.1", 0))
        port: int = probe_socket.getsockname()[1]
        return port


# --- One probe -------------------------------------------------------------------------------


@pytest.mark.parametrize("hold", [False, True], ids=["closes", "keeps it open"])
@pytest.mark.parametrize(
    "data",
    [
        OK,
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200\r\ncontent-length:0\r\n\r\n",
        b"HTTP/1.0 299 Fine\nContent-Length: 0\n\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + b"x" * health.ANSWER_BYTES,
    ],
    ids=["200", "204", "no reason", "1.0, bare newlines", "chunked", "more than we read"],
)
async def test_a_2xx_answer_is_healthy_whether_or_not_the_server_closes(
    data: bytes, hold: bool
) -> None:
    assert await probed(data, hold) is None


async def test_an_answer_without_length_ends_when_the_server_closes() -> None:
    assert await probed(b"HTTP/1.1 200 OK\r\n\r\nall is well") is None


async def test_the_request_is_a_plain_get_that_asks_to_close() -> None:
    async with Server().running() as server:
        assert await probe(check(server.url + "?deep=1")) is None
    head = server.requests[0].decode().split("\r\n")
    assert head[0] == "GET /health?deep=1 HTTP/1.1"
    assert f"Host: {server.url.split('/')[2]}" in head
    assert "Connection: close" in head


@pytest.mark.parametrize("code", [400, 404, 500, 503, 101])
async def test_any_other_answer_is_named(code: int) -> None:
    data = f"HTTP/1.1 {code} Whatever\r\nContent-Length: 0\r\n\r\n".encode()
    assert await probed(data) == f"GET URL answered {code}"


async def test_a_bad_status_is_named_even_if_the_body_never_comes() -> None:
    data = b"HTTP/1.1 503 Busy\r\nContent-Length: 10\r\n\r\n"
    assert await probed(data, hold=True, timeout_seconds=0.5) == "GET URL answered 503"


async def test_a_redirect_is_not_followed_and_said_so() -> None:
    data = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    assert await probed(data) == "GET URL answered 302, and redirects are not followed"


@pytest.mark.parametrize(
    ("data", "beginning"),
    [
        (b"SSH-2.0-OpenSSH_9.9\r\n", b"SSH-2.0-OpenSSH_9.9\r\n"),
        (b"\x1b[31mred{{7*7}}<script>", b"\x1b[31mred{{7*7}}<script>"),
        (b"HTTP/2 200\r\n\r\n", b"HTTP/2 200\r\n\r\n"),
        (b"HTTP/1.1 20 OK\r\n\r\n", b"HTTP/1.1 20 OK\r\n\r\n"),
        (b"HTTP/1.1 999999 OK\r\n\r\n", b"HTTP/1.1 999999 OK\r\n\r\n"),
        (b"\x00" * 100_000, b"\x00" * 40),
    ],
)
async def test_what_is_not_http_is_told_at_once_and_without_raw_bytes(
    data: bytes, beginning: bytes
) -> None:
    problem = await probed(data, hold=True)
    assert problem == f"GET URL: the answer is not HTTP/1.1, it begins with {beginning!r}"
    assert problem.isprintable()


async def test_a_server_that_never_answers_is_given_up_after_the_timeout() -> None:
    assert await probed(b"", hold=True, timeout_seconds=0.2) == "GET URL: no answer within 0.2 s"


async def test_the_timeout_is_for_the_whole_answer_and_not_for_each_read() -> None:
    async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not writer.is_closing():
                writer.write(b"z")
                await writer.drain()
                await asyncio.sleep(0.02)
        writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with server:
        problem = await asyncio.wait_for(probe(check(url, timeout_seconds=0.5)), 10)
    assert problem == f"GET {url}: no complete answer within 0.5 s"


async def test_endless_headers_are_not_read_for_ever() -> None:
    data = b"HTTP/1.1 200 OK\r\n" + b"X-Long: 1\r\n" * 20_000
    assert await probed(data, hold=True) == "GET URL: the answer broke off"


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "the connection was closed unanswered"),
        (b"HTTP/1.1 20", "the answer broke off"),
        (b"HTTP/1.1 200 OK\r\nContent-", "the answer broke off"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok", "the answer broke off"),
    ],
)
async def test_an_answer_that_breaks_off_is_not_healthy(data: bytes, what: str) -> None:
    assert await probed(data) == f"GET URL: {what}"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_port_where_nobody_listens_is_connection_refused(host: str) -> None:
    url = f"http://{host}:{free_port()}/"
    assert await probe(check(url)) == f"GET {url}: connection refused"


async def test_a_server_that_speaks_no_tls_is_told_for_https() -> None:
    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail ready\r\n")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with server:
        problem = await probe(check(url))
    assert problem is not None
    assert problem.startswith(f"GET {url}: no TLS connection: ")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/",
        "127.0.0.1:80",
        "http://",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:0/",
        "http://127.0.0.1/a b",
        "http://127.0.0.1/\r\nX-Evil: 1",
        "http://user:secret@127.0.0.1/",
        "http://[::1/",
        "",
    ],
)
def test_an_address_that_cannot_be_asked_is_refused_when_the_check_is_made(url: str) -> None:
    with pytest.raises(ServiceError, match="health check: ") as refusal:
        check(url)
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    "change",
    [
        {"every_seconds": 0},
        {"timeout_seconds": float("nan")},
        {"deadline_seconds": float("inf")},
        {"failures": 0},
        {"healthy_after_seconds": -1},
    ],
)
def test_a_check_with_senseless_numbers_is_refused_by_name(change: dict[str, float]) -> None:
    with pytest.raises(ServiceError, match=next(iter(change))):
        check("http://127.0.0.1/", **change)


# --- The wait after a start ------------------------------------------------------------------


async def never() -> int | None:
    await asyncio.Event().wait()
    return None


async def test_an_app_that_is_slow_to_listen_becomes_healthy() -> None:
    port = free_port()
    waiting = asyncio.create_task(wait_healthy(check(f"http://127.0.0.1:{port}/"), never()))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    server = await asyncio.start_server(Server().answer, "127.0.0.1", port)
    async with server:
        await waiting


async def test_it_must_stay_healthy_for_as_long_as_asked() -> None:
    loop = asyncio.get_running_loop()
    async with Server().running() as server:
        started = loop.time()
        await wait_healthy(check(server.url, healthy_after_seconds=0.3), never())
        assert loop.time() - started >= 0.3
    assert len(server.requests) >= 2


async def test_a_failure_in_between_starts_the_healthy_time_anew() -> None:
    class FailsOnce(Server):
        async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.data = BROKEN if len(self.requests) == 1 else OK
            times.append(loop.time())
            await super().answer(reader, writer)

    loop = asyncio.get_running_loop()
    times: list[float] = []
    async with FailsOnce().running() as server:
        await wait_healthy(check(server.url, healthy_after_seconds=0.3), never())
    assert loop.time() - times[2] >= 0.3


async def test_a_long_interval_delays_neither_the_first_success_nor_the_last() -> None:
    async with Server().running() as server:
        asked = check(server.url, every_seconds=3600, healthy_after_seconds=0.1)
        waiting = wait_healthy(asked, never())
        await asyncio.wait_for(waiting, 10)


async def test_an_app_that_never_gets_healthy_fails_at_the_deadline_with_the_last_reason() -> None:
    async with Server(BROKEN).running() as server:
        with pytest.raises(ServiceError) as failure:
            await wait_healthy(check(server.url, deadline_seconds=1), never())
    text = str(failure.value)
    assert text == f"not healthy within 1 s: last: GET {server.url} answered 500"


async def test_healthy_but_not_long_enough_is_said_at_the_deadline() -> None:
    async with Server().running() as server:
        asked = check(server.url, deadline_seconds=1, healthy_after_seconds=60)
        with pytest.raises(ServiceError, match=r"healthy, but for \d\.\d s of 60 s only"):
            await wait_healthy(asked, never())


async def test_a_first_probe_that_hangs_past_the_deadline_is_said() -> None:
    async with Server(b"", hold=True).running() as server:
        with pytest.raises(ServiceError, match="last: no check has ended yet"):
            await wait_healthy(check(server.url, deadline_seconds=0.3), never())


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (3, r"^exited with code 3 after \d+\.\d s$"),
        (0, r"^exited with code 0 after"),
        (-9, r"^was killed by SIGKILL after"),
        (-40, r"^was killed by signal 40 after"),
        (None, r"^exited after \d+\.\d s, with an unknown code$"),
    ],
)
async def test_an_app_that_exits_fails_at_once_and_with_its_code(
    code: int | None, text: str
) -> None:
    async def exits() -> int | None:
        await asyncio.sleep(0.1)
        return code

    async with Server(b"", hold=True).running() as server:
        with pytest.raises(ServiceError, match=text):
            await asyncio.wait_for(wait_healthy(check(server.url), exits()), 10)


async def test_a_task_given_as_exited_is_left_running_and_a_coroutine_is_not() -> None:
    cancelled = asyncio.Event()

    async def watch() -> int | None:
        try:
            return await never()
        finally:
            cancelled.set()

    async with Server().running() as server:
        given = asyncio.create_task(watch())
        await wait_healthy(check(server.url), given)
        assert not cancelled.is_set()
        given.cancel()
        await asyncio.wait({given})
        cancelled.clear()
        await wait_healthy(check(server.url, healthy_after_seconds=0.1), watch())
        assert cancelled.is_set()


async def test_a_cancelled_wait_leaves_no_task_behind() -> None:
    before = asyncio.all_tasks()
    url = f"http://127.0.0.1:{free_port()}/"
    waiting = asyncio.create_task(wait_healthy(check(url), never()))
    await asyncio.sleep(0.1)
    waiting.cancel()
    await asyncio.wait({waiting})
    assert waiting.cancelled()
    assert asyncio.all_tasks() == before


# --- The watch ever after --------------------------------------------------------------------


def noted(healthy: bool = True) -> tuple[Monitor, list[tuple[bool, str]]]:
    flips: list[tuple[bool, str]] = []
    asked = check("http://127.0.0.1/")
    return Monitor(asked, lambda now, detail: flips.append((now, detail)), healthy), flips


def test_only_as_many_failures_in_a_row_as_asked_make_it_unhealthy() -> None:
    monitor, flips = noted()
    for problem in ("a", "b", None, "c", "d"):
        monitor.note(problem)
    assert (monitor.healthy, flips) == (True, [])
    monitor.note("e")
    monitor.note("f")
    assert (monitor.healthy, flips) == (False, [(False, "e")])


def test_two_successes_in_a_row_make_it_healthy_again() -> None:
    monitor, flips = noted(healthy=False)
    for problem in (None, "a", None):
        monitor.note(problem)
    assert flips == []
    monitor.note(None)
    monitor.note(None)
    assert (monitor.healthy, flips) == (True, [(True, "healthy again")])


async def test_the_monitor_reports_both_flips_of_a_real_server() -> None:
    flips: asyncio.Queue[tuple[bool, str]] = asyncio.Queue()
    async with Server(BROKEN).running() as server:
        monitor = Monitor(check(server.url), lambda *flip: flips.put_nowait(flip))
        running = asyncio.create_task(monitor.run())
        assert await asyncio.wait_for(flips.get(), 10) == (
            False,
            f"GET {server.url} answered 500",
        )
        server.data = OK
        assert await asyncio.wait_for(flips.get(), 10) == (True, "healthy again")
        running.cancel()
        await asyncio.wait({running})
    assert running.cancelled()
    assert flips.empty()


async def test_errors_of_probe_and_callback_do_not_end_the_monitor(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    flips: asyncio.Queue[tuple[bool, str]] = asyncio.Queue()
    outcomes: list[Exception | None] = [RuntimeError("bug"), RuntimeError("bug")]

    async def fake(_check: Check) -> str | None:
        if outcomes and (outcome := outcomes.pop(0)) is not None:
            raise outcome
        return None

    def report(now: bool, detail: str) -> None:
        flips.put_nowait((now, detail))
        raise RuntimeError("nobody listens")

    monkeypatch.setattr(health, "probe", fake)
    monitor = Monitor(check("http://127.0.0.1/", failures=2), report)
    running = asyncio.create_task(monitor.run())
    first = await asyncio.wait_for(flips.get(), 10)
    assert first == (False, "the check itself failed: RuntimeError('bug')")
    assert await asyncio.wait_for(flips.get(), 10) == (True, "healthy again")
    assert not running.done()
    running.cancel()
    await asyncio.wait({running})
    assert "failed by itself" in caplog.text
