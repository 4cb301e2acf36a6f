"""A web server for artifacts that answers as it is told, and mostly misbehaves."""

import hashlib
import random
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hostile_archives import FILE, archive, member, symlink

NOISE = random.Random(1).randbytes(600_000)
ARTIFACT = archive(FILE, symlink(b"l", b"app"), member(b"big", NOISE))
OTHER = ARTIFACT[:300_000] + bytes(len(ARTIFACT) - 300_000)


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


DIGEST = digest_of(ARTIFACT)
NAME = DIGEST.removeprefix("sha256:")
Answer = Callable[[BaseHTTPRequestHandler], None]


class Server(ThreadingHTTPServer):
    """Gives the answers in order, the last one for ever.

    `asked` has each request's Range, `paths` what it asked for: of a proxy that is a whole URL.
    """

    daemon_threads = True
    request_queue_size = 50

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[Answer] = [whole()]
        self.asked: list[str | None] = []
        self.paths: list[str] = []
        self.closing = threading.Event()

    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/{NAME}"

    def handle_error(self, request: object, address: object) -> None:
        """A client that goes away is what some of these tests are about."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.headers["Range"])
        self.server.paths.append(self.path)
        answers = self.server.answers
        (answers.pop(0) if len(answers) > 1 else answers[0])(self)

    def do_CONNECT(self) -> None:
        """Of a proxy for HTTPS: noted, and refused."""
        self.server.paths.append(f"CONNECT {self.path}")
        status(403)(self)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def whole(
    data: bytes = ARTIFACT,
    *,
    ranges: bool = True,
    total: int | None = None,
    length: bool = True,
    until: int | None = None,
    then: Callable[[BaseHTTPRequestHandler], None] = lambda _: None,
) -> Answer:
    """The artifact; `until` = the server stops after this byte of it and does `then`."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-", handler.headers["Range"] or "") if ranges else None
        start = int(asked[1]) if asked else 0
        handler.send_response(206 if asked else 200)
        if asked:
            size = total or len(data)
            handler.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{size}")
        if length:
            handler.send_header("Content-Length", str(len(data) - start))
        handler.end_headers()
        handler.wfile.write(data[start:until])
        handler.wfile.flush()
        then(handler)

    return answer


def status(code: int, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for key, value in headers.items():
            handler.send_header(key, value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def hang(handler: BaseHTTPRequestHandler) -> None:
    assert isinstance(handler.server, Server)
    handler.server.closing.wait(10)


@contextmanager
def running() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.closing.set()
        server.shutdown()


@pytest.fixture
def server() -> Iterator[Server]:
    with running() as server:
        yield server
