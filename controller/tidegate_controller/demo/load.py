"""A steady HTTP load client that counts every request, as `wrk` does but slowly: no retries.

Used by `tidegate demo` to show that a rollout loses nothing, and by the integration tests. It is
written on asyncio streams rather than on a client library, because those retry behind one's back.
"""

import asyncio
import re
import time
from collections import Counter
from dataclasses import dataclass
from urllib.parse import urlsplit

from tidegate_controller.errors import UsageError

FAILURES_KEPT = 20
PIECE_BYTES = 1 << 16
SLEEP_SECONDS = 0.25  # at most in one go, so that `stop` is noticed

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: (.*))?")
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;.*)?\r\n")


class Load:
    """`requests_per_second` GETs of `url` (http://host:port/path) over `connections` kept-open
    connections. The counters may be read, and `stop` called, at any time and from any thread.

    `served`: complete answers with a 2xx status; `versions` counts them by their X-Version header.
    `failed`: all else (another status, refused, reset, closed early, not HTTP, `timeout_seconds`
    gone by); the first are in `failures`, in words. `closed_idle`: connections that the server
    closed between two requests; no request was lost, the next one opened a new connection.
    """

    def __init__(
        self,
        url: str,
        requests_per_second: float,
        connections: int,
        *,
        timeout_seconds: float = 10.0,
    ) -> None:
        if not requests_per_second > 0 or connections < 1:
            raise UsageError("a load needs more than 0 requests per second and a connection")
        self._host, self._port, self._request = _request(url)
        self._rate = requests_per_second
        self._connections = connections
        self._timeout_seconds = timeout_seconds
        self._started: float | None = None
        self._ended: float | None = None
        self._taken = 0
        self.sent = 0
        self.served = 0
        self.failed = 0
        self.closed_idle = 0
        self.failures: list[str] = []
        self.versions: Counter[str] = Counter()

    @property
    def due(self) -> int:
        """How many requests the schedule has called for until now, or until the end."""
        if self._started is None or self._elapsed() < 0:
            return 0
        return int(self._elapsed() * self._rate) + 1

    @property
    def behind(self) -> int:
        """How many of those have not been sent yet: above 0 for long, answers come too slowly for
        the connections there are. What is late is sent as soon as a connection is free."""
        return max(0, self.due - self.sent)

    async def run(self) -> None:
        """Send until `stop`, then wait for the answers that are open; nothing is sent if it was
        stopped before. If cancelled instead, what is open is cut off and counts as nothing. Once
        only."""
        if self._started is not None:
            raise RuntimeError("a Load runs once")
        self._started = time.monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._connections):
                    group.create_task(self._work(self._started))
        finally:
            self.stop()

    def stop(self) -> None:
        """Send nothing more; `run` returns when the open answers are in."""
        if self._ended is None:
            self._ended = time.monotonic()

    def _elapsed(self) -> float:
        """Seconds from the start until now, or until the end."""
        end = time.monotonic() if self._ended is None else self._ended
        return end - (end if self._started is None else self._started)

    async def _work(self, started: float) -> None:
        """One connection: take the next place in the schedule, wait for it, send, and again."""
        connection: _Connection | None = None
        try:
            while self._ended is None:
                due_at = started + self._taken / self._rate
                self._taken += 1
                if not await self._reached(due_at):
                    return
                if connection is not None and connection.closed():
                    self.closed_idle += 1
                    connection.close()
                    connection = None
                self.sent += 1
                connection = await self._send(connection)
        finally:
            if connection is not None:
                connection.close()

    async def _reached(self, due_at: float) -> bool:
        """Sleep until then; False if `stop` came first."""
        while (wait := due_at - time.monotonic()) > 0:
            await asyncio.sleep(min(wait, SLEEP_SECONDS))
            if self._ended is not None:
                return False
        return True

    async def _send(self, connection: "_Connection | None") -> "_Connection | None":
        """One request and its whole answer, counted; the connection if it can be used again."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                if connection is None:
                    connection = await _Connection.open(self._host, self._port)
                answer = await connection.get(self._request)
        except TimeoutError:
            trouble = f"no complete answer within {self._timeout_seconds:g} s"
        except _BadAnswer as error:
            trouble = str(error)
        except OSError as error:
            what = "could not connect" if connection is None else "the connection broke"
            trouble = f"{what}: {error.strerror or error}"
        except BaseException:
            if connection is not None:
                connection.close()
            raise
        else:
            if 200 <= answer.status < 300:
                self.served += 1
                self.versions[answer.version] += 1
            else:
                self._fail(f"answered {answer.status} {answer.reason}".rstrip())
            if answer.keep:
                return connection
            connection.close()
            return None
        self._fail(trouble)
        if connection is not None:
            connection.close()
        return None

    def _fail(self, trouble: str) -> None:
        self.failed += 1
        if len(self.failures) < FAILURES_KEPT:
            self.failures.append(f"after {self._elapsed():.2f} s: {trouble}")


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    reason: str
    version: str  # "" without the header
    keep: bool  # whether the connection may be used again


class _BadAnswer(Exception):
    """The answer ended early or is not HTTP; the text says which."""


class _Connection:
    """One HTTP/1.1 connection, one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, host: str, port: int) -> "_Connection":
        return cls(*await asyncio.open_connection(host, port, limit=PIECE_BYTES))

    def close(self) -> None:
        self._writer.transport.abort()  # no answer is awaited here, so nothing can be lost

    def closed(self) -> bool:
        """Whether the other side closed it while nothing was asked."""
        return self._reader.at_eof() or self._reader.exception() is not None

    async def get(self, request: bytes) -> _Answer:
        """Send and read one whole answer. Errors: `_BadAnswer`, `OSError`."""
        self._writer.write(request)
        status = 0
        try:
            while status < 200:  # below are interim answers: the real one follows
                head = (await self._reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
                minor, status, reason = _status_line(head[0])
            headers = _headers(head[1:])
            keep = await self._skip_body(status, headers)
        except asyncio.IncompleteReadError as error:
            where = "in mid-answer" if status or error.partial else "without an answer"
            raise _BadAnswer(f"the connection was closed {where}") from None
        except asyncio.LimitOverrunError:
            raise _BadAnswer(f"not HTTP: a head or line above {PIECE_BYTES} bytes") from None
        tokens = headers.get(b"connection", b"").lower()
        said = b"close" not in tokens if minor == 1 else b"keep-alive" in tokens
        return _Answer(
            status=status,
            reason=reason,
            version=headers.get(b"x-version", b"").decode("latin-1"),
            keep=keep and said,
        )

    async def _skip_body(self, status: int, headers: dict[bytes, bytes]) -> bool:
        """Read the body to its end; whether the connection is still of use after it."""
        if status in (204, 304):
            return True
        coding = headers.get(b"transfer-encoding")
        if coding is not None:
            if coding.lower() != b"chunked":
                raise _BadAnswer(f"not HTTP: a transfer encoding {coding[:60]!r}")
            await self._skip_chunks()
            return True
        length = headers.get(b"content-length")
        if length is not None:
            if not (length.isdigit() and len(length) < 16):
                raise _BadAnswer(f"not HTTP: a content length of {length[:60]!r}")
            await self._skip(int(length))
            return True
        while await self._reader.read(PIECE_BYTES):  # it ends where the connection ends
            pass
        return False

    async def _skip_chunks(self) -> None:
        while True:
            line = await self._reader.readuntil(b"\r\n")
            size = _CHUNK_LINE.fullmatch(line)
            if size is None:
                raise _BadAnswer(f"not HTTP: a chunk that starts {line[:60]!r}")
            if int(size[1], 16) == 0:
                break
            await self._skip(int(size[1], 16))
            if await self._reader.readexactly(2) != b"\r\n":
                raise _BadAnswer("not HTTP: a chunk longer than it says")
        while await self._reader.readuntil(b"\r\n") != b"\r\n":
            pass  # trailers

    async def _skip(self, length: int) -> None:
        """Read `length` bytes and keep none."""
        while length > 0:
            piece = await self._reader.read(min(length, PIECE_BYTES))
            if not piece:
                raise _BadAnswer("the connection was closed in mid-answer")
            length -= len(piece)


def _status_line(line: bytes) -> tuple[int, int, str]:
    """Minor version of HTTP/1, status and reason."""
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise _BadAnswer(f"not HTTP: {line[:60]!r}")
    return int(match[1]), int(match[2]), (match[3] or b"").decode("latin-1")


def _headers(lines: list[bytes]) -> dict[bytes, bytes]:
    """Lower-case name -> value; of a name that comes twice, the values joined by a comma."""
    headers: dict[bytes, bytes] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if colon:
            name, value = name.lower(), value.strip()
            headers[name] = headers[name] + b", " + value if name in headers else value
        elif line:
            raise _BadAnswer(f"not HTTP: a header line {line[:60]!r}")
    return headers


def _request(url: str) -> tuple[str, int, bytes]:
    """Host, port and the bytes of the request. Errors: `UsageError`."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname or re.search(r"[^!-~]", url):
        raise UsageError(f"the load client needs a plain http:// address, not {url!r}")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    request = f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nUser-Agent: tidegate-load\r\n\r\n"
    return parts.hostname, parts.port or 80, request.encode("ascii")
