"""Artifacts that lie elsewhere, on real servers that redirect, end early or never answer."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tidegate_controller import artifact_sources
from tidegate_controller.artifact_sources import opened, size_of
from tidegate_controller.errors import TidegateError, UsageError

DATA = b"an artifact" * 10_000


class Web(ThreadingHTTPServer):
    """`asked` has "METHOD PATH" of each request; `answer` does the rest."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.answer: Callable[[Handler], None] = whole
        self.closing = threading.Event()

    def url(self, path: str = "/app.tar.gz") -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"

    def handle_error(self, request: object, address: object) -> None:
        """A client that goes away is what some of these tests are about."""


class Handler(BaseHTTPRequestHandler):
    server: Web

    def do_GET(self) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        self.server.answer(self)

    do_HEAD = do_GET

    def reply(self, code: int, data: bytes = b"", **headers: str) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def whole(handler: Handler) -> None:
    handler.reply(200, DATA, Content_Length=str(len(DATA)))


def of_length_unknown(handler: Handler) -> None:
    handler.reply(200, DATA)


def no_head(handler: Handler) -> None:
    """As a signed URL: for GET alone, and with Range."""
    if handler.command == "HEAD":
        handler.reply(403, Content_Length="0")
    elif handler.headers["Range"] == "bytes=0-0":
        handler.reply(206, DATA[:1], Content_Range=f"bytes 0-0/{len(DATA)}", Content_Length="1")
    else:
        whole(handler)


def no_head_no_range(handler: Handler) -> None:
    whole(handler) if handler.command == "GET" else handler.reply(405, Content_Length="0")


def nothing_known(handler: Handler) -> None:
    if handler.command == "HEAD":
        handler.reply(200)
    else:
        handler.reply(206, DATA[:1], Content_Length="1")


def ends_early(handler: Handler) -> None:
    handler.reply(200, DATA[:1000], Content_Length=str(len(DATA)))


def never(handler: Handler) -> None:
    handler.server.closing.wait(5)


@contextmanager
def serving() -> Iterator[Web]:
    with Web() as web:
        threading.Thread(target=web.serve_forever, args=(0.02,), daemon=True).start()
        yield web
        web.closing.set()
        web.shutdown()


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serving() as web:
        yield web


async def fetched(url: str) -> tuple[int, bytes]:
    async with opened(url) as (size, pieces):
        return size, b"".join([piece async for piece in pieces])


# --- How large -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "asked"),
    [(whole, ["HEAD"]), (no_head, ["HEAD", "GET"]), (no_head_no_range, ["HEAD", "GET"])],
)
async def test_the_size_is_asked_for_without_fetching(
    web: Web, answer: Callable[[Handler], None], asked: list[str]
) -> None:
    web.answer = answer
    assert await size_of(web.url()) == len(DATA)
    assert web.asked == [f"{method} /app.tar.gz" for method in asked]


@pytest.mark.parametrize("answer", [of_length_unknown, nothing_known])
async def test_a_server_that_does_not_say_how_much_it_has_is_named_with_a_way_out(
    web: Web, answer: Callable[[Handler], None]
) -> None:
    web.answer = answer
    with pytest.raises(UsageError, match="does not say how large it is") as error:
        await size_of(web.url())
    assert error.value.hint.startswith("leave out --digest")


async def test_a_size_that_never_comes_is_given_up(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifact_sources, "SIZE_SECONDS", 0.2)
    web.answer = never
    with pytest.raises(TidegateError, match=r"cannot fetch .*: no answer in time"):
        await size_of(web.url())


# --- Fetched -------------------------------------------------------------------------------------


async def test_it_is_fetched_with_its_size(web: Web) -> None:
    assert await fetched(web.url()) == (len(DATA), DATA)
    web.answer = of_length_unknown
    assert await fetched(web.url()) == (0, DATA)


async def test_what_comes_compressed_is_left_as_it_is(web: Web) -> None:
    """A server may call a .tar.gz a compressed .tar; the digest is of what it sends."""
    web.answer = lambda handler: handler.reply(200, DATA, Content_Encoding="gzip")
    assert (await fetched(web.url()))[1] == DATA


async def test_redirects_are_followed(web: Web) -> None:
    hops = {"/a": "/b", "/b": web.url("/c?x=1"), "/c?x=1": ""}

    def answer(handler: Handler) -> None:
        to = hops[handler.path]
        handler.reply(302, Location=to, Content_Length="0") if to else whole(handler)

    web.answer = answer
    assert await fetched(web.url("/a")) == (len(DATA), DATA)
    assert web.asked == ["GET /a", "GET /b", "GET /c?x=1"]
    assert await size_of(web.url("/a")) == len(DATA)


@pytest.mark.parametrize("to", ["/app.tar.gz", ""])
async def test_redirects_in_a_circle_end(web: Web, to: str) -> None:
    web.answer = lambda handler: handler.reply(307, Location=to, Content_Length="0")
    with pytest.raises(UsageError, match="redirects more than 10 times"):
        await fetched(web.url())
    assert len(web.asked) == 11


@pytest.mark.parametrize(
    "to", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://u:p@127.0.0.1/", "gopher://x"]
)
async def test_a_redirect_to_anything_but_http_is_refused(web: Web, to: str) -> None:
    web.answer = lambda handler: handler.reply(302, Location=to, Content_Length="0")
    with pytest.raises(UsageError, match="the artifact's address"):
        await fetched(web.url())
    assert len(web.asked) == 1


@pytest.mark.parametrize("code", [404, 403, 500, 206, 304])
async def test_any_other_answer_is_said(web: Web, code: int) -> None:
    web.answer = lambda handler: handler.reply(code, Content_Length="0")
    with pytest.raises(UsageError, match=f"app.tar.gz answered {code}"):
        await fetched(web.url())


async def test_a_server_that_ends_early_is_trouble(web: Web) -> None:
    web.answer = ends_early
    with pytest.raises(TidegateError, match="cannot fetch"):
        await fetched(web.url())


async def test_a_server_that_falls_silent_is_trouble(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifact_sources, "PIECE_SECONDS", 0.2)
    web.answer = never
    with pytest.raises(TidegateError, match="no answer in time|Timeout"):
        await fetched(web.url())


async def test_nobody_there_is_trouble_of_the_controllers_network() -> None:
    with pytest.raises(TidegateError, match=r"cannot fetch http://127.0.0.1:1/x: ") as error:
        await fetched("http://127.0.0.1:1/x?token=hidden")
    assert "hidden" not in error.value.message
    assert "the controller fetches it" in error.value.hint


async def test_a_cancelled_fetch_closes_its_connection(web: Web) -> None:
    web.answer = never
    task = asyncio.create_task(fetched(web.url()))
    give_up = time.monotonic() + 5
    while not web.asked:
        assert time.monotonic() < give_up
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


@pytest.mark.parametrize(
    "url",
    [
        *("file:///etc/passwd", "ftp://x/y", "https://", "http://a b/", "http://[", "x"),
        *("https://u:p@example.org/x", "http://x:0/", "http://x/\n", "https://é.example/"),
        "https://example.org/" + "x" * 2000,
    ],
)
async def test_only_an_address_of_http_is_asked(url: str) -> None:
    for asked in (size_of(url), fetched(url)):
        with pytest.raises(UsageError, match="the artifact's address"):
            await asked


async def test_a_query_reaches_the_server_as_it_was_written(web: Web) -> None:
    """A signature is of its very characters."""
    query = "/a%2Fb/c?sig=%2B%2f%3D+a&x=%7Ey"
    await fetched(web.url(query))
    assert web.asked == [f"GET {query}"]


# --- Proxies -------------------------------------------------------------------------------------


async def test_others_are_asked_through_the_proxy_and_this_machine_is_not(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as proxy:
        monkeypatch.setenv("http_proxy", f"127.0.0.1:{proxy.server_port}")
        assert (await fetched("http://artifacts.example/x"))[1] == DATA
        assert await size_of("http://artifacts.example/x") == len(DATA)
        await fetched(web.url())
        asked = ["GET http://artifacts.example/x", "HEAD http://artifacts.example/x"]
        assert proxy.asked == asked
        assert web.asked == ["GET /app.tar.gz"]
        monkeypatch.setenv("no_proxy", "artifacts.invalid")
        with pytest.raises(TidegateError, match="cannot fetch"):
            await fetched("http://artifacts.invalid/x")
        assert proxy.asked == asked
