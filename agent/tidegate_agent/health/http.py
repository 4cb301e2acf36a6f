"""The health check `http`: one GET request, answered as was asked for."""

import asyncio
import functools
import re
import ssl
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate_agent.errors import ServiceError
from tidegate_agent.health.kind import Context, Fill, in_words, unreadable
from tidegate_protos.rules import HEADER_NAME, HEADER_VALUE, status_range
from tidegate_protos.v1 import agent_pb2 as pb

ANSWER_BYTES = 64 * 1024  # of an answer, headers and body, are read at most
SHOWN_BYTES = 40  # of an answer that is not what was asked for
USUAL_STATUS = ("200-299",)

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: [^\r\n]*)?\r?\n")
_HEADERS_END = re.compile(rb"\r?\n\r?\n")
_LENGTH = re.compile(rb"\ncontent-length:[ \t]*([0-9]{1,18})[ \t]*\r?\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\ntransfer-encoding:[^\r\n]*\bchunked\b", re.IGNORECASE)
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[^\r\n]*\r?\n")
_CHUNKS_END = re.compile(rb"(?:[^\r\n]+\r?\n)*\r?\n")  # trailers, an empty line


@dataclass(frozen=True)
class Http:
    """An answer with one of `status` ("200", "200-299") that contains `body` is healthy.

    `headers` are sent, in place of those that are sent in any case. For https the certificate must
    be for the host, vouched for by `ca_file`, or by the system where that is empty; `insecure`
    accepts any. Raises ServiceError where a value makes no sense.
    """

    url: str
    status: tuple[str, ...] = USUAL_STATUS
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    insecure: bool = False
    ca_file: str = ""

    def __post_init__(self) -> None:
        _Target.of(self.url)
        try:
            for text in self.status:
                status_range(text)
        except ValueError as error:
            raise ServiceError(f"health check: {error}") from error
        for name, value in self.headers.items():
            if not (HEADER_NAME.fullmatch(name) and HEADER_VALUE.fullmatch(value)):
                raise ServiceError(f"health check: the header {name!r} cannot be sent")

    def __str__(self) -> str:
        return f"GET {self.url}"

    async def ask(self, timeout_seconds: float) -> str | None:
        """Follows no redirects. Connecting is a part of the time."""
        target = _Target.of(self.url)
        try:
            tls = _tls(self.insecure, self.ca_file) if target.secure else None
        except OSError as error:
            return f"{self}: {unreadable(self.ca_file, error)}"
        answer = bytearray()
        broken: str | None = None
        try:
            async with asyncio.timeout(timeout_seconds):
                await _exchange(target, tls, _request(target, self.headers), answer)
        except TimeoutError:
            kind = "complete answer" if answer else "answer"
            broken = f"no {kind} within {timeout_seconds:g} s"
        except (OSError, ssl.CertificateError) as error:
            broken = in_words(error)
        else:
            if not _is_enough(answer):
                broken = (
                    "the answer broke off" if answer else "the connection was closed unanswered"
                )
        problem = self._bad_status(answer) or (broken and f": {broken}") or self._bad_body(answer)
        return f"{self}{problem}" if problem else None

    def _bad_status(self, answer: bytes | bytearray) -> str | None:
        """The rest of the sentence "GET URL…", for a wrong one however it goes on; or None."""
        status = _STATUS_LINE.match(answer)
        if status is not None:
            code = int(status[1])
            if any(code in status_range(text) for text in self.status):
                return None
            redirects = ", and redirects are not followed" if 300 <= code < 400 else ""
            return f" answered {code}{redirects}"
        if b"\n" in answer or not answer.startswith(b"HTTP/"[: len(answer)]):
            return f": the answer is not HTTP/1.1, it begins with {_beginning(answer)}"
        return None

    def _bad_body(self, answer: bytes | bytearray) -> str | None:
        """Likewise for a whole answer whose status is right."""
        body = _body(answer)
        if self.body.encode() in body:
            return None
        found = f"begins with {_beginning(body)}" if body else "is empty"
        return f": the answer's body does not contain {self.body!r}, it {found}"


def of(health: pb.HealthCheck, fill: Fill, _context: Context) -> Http:
    http = health.http
    return Http(
        url=fill(http.url),
        status=tuple(http.status) or USUAL_STATUS,
        body=fill(http.body),
        headers={name: fill(value) for name, value in http.headers.items()},
        insecure=http.insecure,
        ca_file=fill(http.ca_file),
    )


# --- Asking ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Target:
    """An address taken apart. `authority` is what goes into the Host header."""

    host: str
    port: int
    authority: str
    path: str
    secure: bool

    @staticmethod
    def of(url: str) -> "_Target":
        """Raises ServiceError for what is not an http:// or https:// address."""
        wrong = ServiceError(f"health check: {url!r} is not an http:// or https:// address")
        try:
            parts = urllib.parse.urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise wrong from error
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or port == 0
            or re.search(r"[^!-~]", url)  # spaces, line ends, what is not ASCII
        ):
            raise wrong
        if "@" in parts.netloc:
            raise ServiceError("health check: an address with a user name is not supported")
        secure = parts.scheme == "https"
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return _Target(parts.hostname, port or (443 if secure else 80), parts.netloc, path, secure)


def _request(target: _Target, own: Mapping[str, str]) -> bytes:
    headers = {"Host": target.authority, "User-Agent": "tidegate-agent", "Accept": "*/*"}
    replaced = {name.lower() for name in own}
    headers = {name: value for name, value in headers.items() if name.lower() not in replaced}
    lines = [f"{name}: {value}\r\n" for name, value in {**headers, **own}.items()]
    start = f"GET {target.path} HTTP/1.1\r\n"
    return f"{start}{''.join(lines)}Connection: close\r\n\r\n".encode("ascii")


async def _exchange(
    target: _Target, tls: ssl.SSLContext | None, request: bytes, answer: bytearray
) -> None:
    """Send the request; add to `answer` until it is complete, closed, hopeless or at its bound."""
    reader, writer = await asyncio.open_connection(target.host, target.port, ssl=tls)
    try:
        writer.write(request)
        while len(answer) < ANSWER_BYTES and not _is_complete(answer):
            data = await reader.read(ANSWER_BYTES - len(answer))
            if not data:
                return
            answer += data
    finally:
        writer.transport.abort()  # a close could wait for the other side


def _tls(insecure: bool, ca_file: str) -> ssl.SSLContext:
    """Raises OSError (ssl.SSLError among them) where the file cannot be read or holds none."""
    if ca_file and not insecure:  # read each time: the file may be renewed
        return ssl.create_default_context(cafile=ca_file)
    return _usual_tls(insecure)


@functools.cache
def _usual_tls(insecure: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


# --- The answer ------------------------------------------------------------------------------


def _is_complete(answer: bytes | bytearray) -> bool:
    """Whether nothing more needs to be read: the end, or something that is not HTTP at all."""
    if b"\n" not in answer:
        return not answer.startswith(b"HTTP/"[: len(answer)])
    status = _STATUS_LINE.match(answer)
    if status is None:
        return True
    end = _HEADERS_END.search(answer)
    if end is None:
        return False
    if status[1][:1] == b"1" or status[1] in (b"204", b"304"):
        return True
    headers, body = answer[: end.end()], answer[end.end() :]
    if _CHUNKED.search(headers):
        return _joined(body)[1]
    length = _LENGTH.search(headers)
    return length is not None and len(body) >= int(length[1])


def _is_enough(answer: bytes | bytearray) -> bool:
    """Whether an answer that was closed, or reached the bound, may count as a whole one."""
    if _is_complete(answer):
        return True
    end = _HEADERS_END.search(answer)
    if end is None:
        return False
    if len(answer) >= ANSWER_BYTES:
        return True
    # Without a length and without chunks it is the closing that ends it.
    return not any(mark.search(answer, 0, end.end()) for mark in (_LENGTH, _CHUNKED))


def _body(answer: bytes | bytearray) -> bytes:
    """As much of the body as was read, without what stands between chunks."""
    end = _HEADERS_END.search(answer)
    if end is None:
        return b""
    body = answer[end.end() :]
    if _CHUNKED.search(answer, 0, end.end()):
        return _joined(body)[0]
    length = _LENGTH.search(answer, 0, end.end())
    return bytes(body[: int(length[1])] if length else body)


def _joined(body: bytes | bytearray) -> tuple[bytes, bool]:
    """What the chunks hold together, and whether the last one is there with its end."""
    whole, at = bytearray(), 0
    while (chunk := _CHUNK.match(body, at)) is not None:
        size = int(chunk[1], 16)
        if size == 0:
            return bytes(whole), _CHUNKS_END.match(body, chunk.end()) is not None
        whole += body[chunk.end() : chunk.end() + size]
        at = chunk.end() + size + 2  # a line end follows
    return bytes(whole), False


def _beginning(data: bytes | bytearray) -> str:
    return repr(bytes(data[:SHOWN_BYTES]))
