#!/usr/bin/env python3
"""A small web app to deploy: it says hello, and which release on which node said so.

    python3 serve.py --port 8001

    /         200 "hello from VERSION on NODE (SLOT)", with the header X-Version
    /slow     the same after a second: a request that is in flight while you deploy
    /health   200 while the app is fit to serve, else 500

Standard library only. `release.json` beside this file is what differs between releases:

    {"version": "1"}                                            a good one
    {"version": "3", "turns_unhealthy_after_requests": 200}     its health check fails under traffic
    {"version": "4", "exits_at_once": true}                     it does not even start

On SIGTERM it takes no new connections, finishes the requests in flight and exits with 0.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path

BACKLOG = 1024  # connections that may wait to be accepted
HEAD_BYTES = 16 * 1024  # the longest request head
BODY_BYTES = 1024 * 1024  # the longest request body; it is read and forgotten
SLOW_SECONDS = 1.0
LINGER_SECONDS = 0.5  # after SIGTERM, for requests that are already on their way
FINISH_SECONDS = 5.0  # after that, for those in flight; whoever is slower is cut off


class App:
    """What is served, and whether it is well."""

    def __init__(self, release: dict[str, object], node: str, slot: str) -> None:
        self.version = str(release.get("version", "unknown"))
        after = release.get("turns_unhealthy_after_requests")
        self.unhealthy_after = after if isinstance(after, int) else None
        self.requests = 0  # health checks not counted
        self.stopping = False
        self.connections: set[Connection] = set()
        hello = f"hello from {self.version} on {node} ({slot})\n"
        self.hello = self.answer("200 OK", hello)
        self.healthy = self.answer("200 OK", "ok\n")
        self.unhealthy = self.answer("500 Internal Server Error", "the worker pool is exhausted\n")
        self.not_found = self.answer("404 Not Found", "not found\n")

    def answer(self, status: str, text: str) -> bytes:
        body = text.encode()
        head = (
            f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\nX-Version: {self.version}\r\n\r\n"
        )
        return head.encode("latin-1", "replace") + body

    def respond(self, path: bytes) -> bytes:
        if path == b"/health":
            worn_out = self.unhealthy_after is not None and self.requests >= self.unhealthy_after
            return self.unhealthy if worn_out else self.healthy
        self.requests += 1
        return self.hello if path in (b"/", b"/slow") else self.not_found


class Connection(asyncio.Protocol):
    """One client. Requests are answered in order, also those sent without awaiting the answer."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.buffer = b""
        self.slow: asyncio.TimerHandle | None = None  # set while an answer is awaited
        self.paused = False  # the client does not read what it asked for

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.app.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.slow is not None:
            self.slow.cancel()
        self.app.connections.discard(self)

    def pause_writing(self) -> None:
        self.paused = True
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.paused = False
        if self.slow is None and not self.transport.is_closing():
            self.transport.resume_reading()
            self.serve()

    def data_received(self, data: bytes) -> None:
        self.buffer = self.buffer + data if self.buffer else data
        self.serve()

    def serve(self) -> None:
        """Answer every request that has wholly arrived."""
        while self.buffer and not (self.slow or self.paused or self.transport.is_closing()):
            request = self.next_request()
            if request is None:
                return
            path, last = request
            if path == b"/slow":
                self.transport.pause_reading()
                loop = asyncio.get_running_loop()
                self.slow = loop.call_later(SLOW_SECONDS, self.answer_late, path, last)
            else:
                self.write(self.app.respond(path), last)

    def next_request(self) -> tuple[bytes, bool] | None:
        """Path, and whether it is the connection's last; None if there is no whole request."""
        end = self.buffer.find(b"\r\n\r\n") + 4
        if end < 4:
            if len(self.buffer) > HEAD_BYTES:
                self.refuse("431 Request Header Fields Too Large")
            return None
        head = self.buffer[:end].lower()
        words = self.buffer[: head.index(b"\r\n")].split(b" ")
        length = body_length(head)
        if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
            self.refuse("400 Bad Request")
            return None
        if length is None or length > BODY_BYTES:
            self.refuse("413 Content Too Large")
            return None
        if len(self.buffer) < end + length:
            return None  # the rest of the body is still to come
        self.buffer = self.buffer[end + length :]
        last = b"\r\nconnection: close" in head or words[2] == b"HTTP/1.0"
        return words[1].partition(b"?")[0], last

    def answer_late(self, path: bytes, last: bool) -> None:
        self.slow = None
        self.write(self.app.respond(path), last)
        if not self.transport.is_closing() and not self.paused:
            self.transport.resume_reading()
            self.serve()

    def write(self, answer: bytes, last: bool) -> None:
        """While stopping, each answer says that it is the connection's last."""
        if last or self.app.stopping:
            self.transport.write(answer.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
            self.transport.close()  # once all is written
        else:
            self.transport.write(answer)

    def refuse(self, status: str) -> None:
        self.write(self.app.answer(status, status + "\n"), last=True)

    def busy(self) -> bool:
        return self.slow is not None or bool(self.buffer)


def body_length(head: bytes) -> int | None:
    """The request's Content-Length, from its lower-case head; None for what is not read here."""
    if b"\r\ntransfer-encoding:" in head:
        return None
    _, found, rest = head.partition(b"\r\ncontent-length:")
    value = rest[: rest.find(b"\r\n")].strip()
    if not found:
        return 0
    return int(value) if value.isdigit() else None


async def serve(app: App, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is in flight."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = await loop.create_server(lambda: Connection(app), host, port, backlog=BACKLOG)
    port = server.sockets[0].getsockname()[1]
    print(f"hello {app.version}: serving on {host}:{port}", file=sys.stderr, flush=True)
    await stop.wait()
    app.stopping = True
    server.close()
    print(
        f"hello {app.version}: stopping after {app.requests} requests", file=sys.stderr, flush=True
    )
    await asyncio.sleep(LINGER_SECONDS)
    give_up = loop.time() + FINISH_SECONDS
    while app.connections and loop.time() < give_up:
        for connection in list(app.connections):
            if not connection.busy():
                connection.transport.close()
        await asyncio.sleep(0.05)


def main() -> int:
    parser = argparse.ArgumentParser(description="A small web app to deploy.")
    parser.add_argument("--port", type=int, required=True, help="0 for any free one")
    parser.add_argument("--host", default="127.0.0.1")
    arguments = parser.parse_args()
    release = json.loads(Path(__file__).with_name("release.json").read_text())
    if release.get("exits_at_once"):
        print(
            f"hello {release['version']}: FATAL: cannot load the configuration: "
            "required setting DATABASE_URL is not set",
            file=sys.stderr,
        )
        return 3
    app = App(release, os.environ.get("NODE", "this machine"), os.environ.get("SLOT", "no slot"))
    asyncio.run(serve(app, arguments.host, arguments.port))
    return 0


if __name__ == "__main__":
    sys.exit(main())
