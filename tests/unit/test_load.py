"""The load client against real servers in this process, each with one habit, good or bad."""

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tidegate_controller.demo.load import FAILURES_KEPT, Load
from tidegate_controller.errors import UsageError

HELLO = b"HTTP/1.1 200 OK\r\nX-Version: 7\r\nContent-Length: 5\r\n\r\nhello"

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(handler: Handler) -> AsyncIterator[str]:
    """The address of a server that runs `handler` for each connection."""
    running: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client went away, or the test is over
        finally:
            running.discard(task)
            writer.close()

    listening = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
    finally:
        listening.close()
        for task in running:
            task.cancel()


def answering(*answers: bytes, close: bool = False) -> Handler:
    """Answers with these in turn, over and over; then closes, if told to."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            for answer in answers:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(answer)
                await writer.drain()
                if close:
                    return

    return handler


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


async def run(load: Load, enough: Callable[[], bool]) -> None:
    """Run the load until this holds, then stop it."""
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(load.run())
        await until(enough)
        load.stop()


async def failures_of(handler: Handler, **options: float) -> list[str]:
    """What the client says of this server, without the times."""
    async with server(handler) as url:
        load = Load(url, 200, 1, **options)
        await run(load, lambda: load.failed >= 2)
    assert load.served == 0
    return [failure.partition(": ")[2] for failure in load.failures]


# -- what counts as served ----------------------------------------------------------------------


async def test_every_request_is_served_over_connections_that_stay_open():
    connections = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await answering(HELLO)(reader, writer)

    async with server(handler) as url:
        load = Load(url, 500, 4)
        await run(load, lambda: load.served >= 60)
    assert load.failures == []
    assert (load.failed, load.closed_idle, connections) == (0, 0, 4)
    assert load.versions == {"7": load.served}
    assert load.served == load.sent


async def test_versions_are_counted_by_who_answered():
    async with server(answering(HELLO, HELLO.replace(b": 7", b": 8"))) as url:
        load = Load(url, 500, 1)
        await run(load, lambda: load.served >= 20)
    assert abs(load.versions["7"] - load.versions["8"]) <= 1
    assert load.versions.total() == load.served


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\nA;name=value\r\n0123456789\r\n"
        b"1\r\n.\r\n00\r\nTrailer: yes\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + HELLO,
        b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n493E0\r\n"
        + b"x" * 300_000
        + b"\r\n0\r\n\r\n",
    ],
    ids=lambda answer: repr(answer[9:60]),
)
async def test_a_whole_answer_of_any_form_leaves_the_connection_usable(answer):
    async with server(answering(answer)) as url:
        load = Load(url, 500, 1)
        await run(load, lambda: load.served >= 5 or load.failed > 0)
    assert load.failures == []
    assert load.closed_idle == 0


@pytest.mark.parametrize(
    "answer",
    [
        HELLO.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
        HELLO.replace(b"\r\n\r\n", b"\r\nconnection: Close, x\r\n\r\n"),
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n\r\nas long as the connection",
    ],
)
async def test_an_announced_close_is_no_failure_and_the_next_request_reconnects(answer):
    async with server(answering(answer, close=True)) as url:
        load = Load(url, 500, 1)
        await run(load, lambda: load.served >= 5 or load.failed > 0)
    assert load.failures == []
    assert load.closed_idle == 0


async def test_a_connection_closed_between_requests_is_counted_apart_since_nothing_was_lost():
    async with server(answering(HELLO, close=True)) as url:
        load = Load(url, 10, 1)  # so seldom that each close is seen before the next request
        await run(load, lambda: load.closed_idle >= 3 or load.failed > 0)
    assert load.failures == []
    assert load.served == load.sent


# -- what counts as failed ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (b"502 Bad Gateway", "answered 502 Bad Gateway"),
        (b"302 Found", "answered 302 Found"),
        (b"404", "answered 404"),
    ],
)
async def test_a_status_other_than_2xx_is_a_failure(status, words):
    answer = b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n"
    assert set(await failures_of(answering(answer))) == {words}


async def test_a_refused_connection_is_a_failure():
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))  # bound, not listening: nobody else can have the port
        load = Load(f"http://127.0.0.1:{unheard.getsockname()[1]}/", 200, 1)
        await run(load, lambda: load.failed >= 2)
    assert load.served == 0
    assert "could not connect: " in load.failures[0]


async def test_a_reset_connection_is_a_failure():
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    assert set(await failures_of(handler)) == {"the connection broke: Connection reset by peer"}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "the connection was closed without an answer"),
        (b"HTTP/1.1 200 OK\r\nConte", "the connection was closed in mid-answer"),
        (HELLO[:-1], "the connection was closed in mid-answer"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "the connection was closed in mid-answer",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
            "the connection was closed in mid-answer",
        ),
    ],
)
async def test_an_early_close_is_a_failure(answer, words):
    assert set(await failures_of(answering(answer, close=True))) == {words}


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabXX0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",
    ],
    ids=lambda answer: repr(answer[:70]),
)
async def test_what_is_not_http_is_a_failure(answer):
    failures = await failures_of(answering(answer, close=True))
    assert all(failure.startswith("not HTTP: ") for failure in failures)


async def test_no_answer_in_time_is_a_failure_and_the_connection_is_given_up():
    connections = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.write(HELLO[:-1])
        await asyncio.sleep(30)

    words = await failures_of(handler, timeout_seconds=0.05)
    assert set(words) == {"no complete answer within 0.05 s"}
    assert connections >= 2


async def test_a_failed_request_is_not_tried_again():
    asked = Counter()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked["requests"] += 1

    async with server(handler) as url:
        load = Load(url, 200, 2)
        await run(load, lambda: load.failed >= 10)
    assert asked["requests"] == load.failed == load.sent


async def test_only_the_first_failures_are_kept_in_words():
    async with server(answering(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")) as url:
        load = Load(url, 2000, 2)
        await run(load, lambda: load.failed > FAILURES_KEPT + 5)
    assert len(load.failures) == FAILURES_KEPT


# -- the schedule -------------------------------------------------------------------------------


async def test_requests_are_sent_as_they_fall_due_and_none_before():
    early = []

    async with server(answering(HELLO)) as url:
        load = Load(url, 100, 8)

        def enough() -> bool:
            early.append(load.sent > load.due)
            return load.served >= 30

        await run(load, enough)
    assert not any(early)
    assert load.sent <= load.due


async def test_what_a_stuck_server_holds_up_is_counted_as_due_and_sent_later():
    free = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await free.wait()
        await answering(HELLO)(reader, writer)

    async with server(handler) as url:
        load = Load(url, 200, 2)
        running = asyncio.create_task(load.run())
        await until(lambda: load.behind >= 20)
        assert load.sent == 2
        free.set()
        await until(lambda: load.behind == 0)
        load.stop()
        await running
    assert load.failures == []
    assert load.served == load.sent >= 22


async def test_stop_waits_for_the_answers_that_are_open():
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.2)
        writer.write(HELLO)

    async with server(handler) as url:
        load = Load(url, 100, 3)
        await run(load, lambda: load.sent == 3)
    assert (load.served, load.failed) == (3, 0)


async def test_stop_is_noticed_while_the_next_request_is_far_off():
    async with server(answering(HELLO)) as url:
        load = Load(url, 0.001, 2)
        await run(load, lambda: load.served == 1)
    assert load.due == 1


async def test_a_cancelled_load_counts_what_it_cut_off_as_nothing():
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    async with server(handler) as url:
        load = Load(url, 100, 3)
        running = asyncio.create_task(load.run())
        await until(lambda: load.sent == 3)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        due = load.due
        await asyncio.sleep(0.05)
    assert (load.served, load.failed, load.due) == (0, 0, due)


async def test_a_load_that_is_stopped_before_it_begins_sends_nothing():
    load = Load("http://127.0.0.1:1/", 100, 1)
    assert (load.due, load.behind) == (0, 0)
    load.stop()
    await load.run()
    assert (load.due, load.sent, load.failed) == (0, 0, 0)


async def test_a_load_in_another_thread_can_be_watched_and_stopped_from_here():
    async with server(answering(HELLO)) as url:
        load = Load(url, 200, 2)
        elsewhere = asyncio.create_task(asyncio.to_thread(asyncio.run, load.run()))
        await until(lambda: load.served >= 10 and load.due >= 10)
        load.stop()
        await elsewhere
    assert load.failures == []
    assert load.served == load.sent


@pytest.mark.parametrize(
    "url",
    ["https://example.org/", "example.org", "http://", "ftp://h/", "http://h/a b", "http://h/ä"],
)
def test_an_address_that_is_not_plain_http_is_refused(url):
    with pytest.raises(UsageError, match="plain http"):
        Load(url, 10, 1)


@pytest.mark.parametrize(("rate", "connections"), [(0, 1), (-1, 1), (float("nan"), 1), (1, 0)])
def test_a_load_of_nothing_is_refused(rate, connections):
    with pytest.raises(UsageError, match="more than 0"):
        Load("http://127.0.0.1:1/", rate, connections)
