"""Is the app in a slot healthy? One HTTP request, the wait after a start, the watch ever after.

Called by the agent's executor (`wait_healthy`) and by its watch over running slots (`Monitor`).
"""

import asyncio
import errno
import functools
import logging
import math
import re
import signal
import socket
import ssl
import urllib.parse
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tidegate_agent.errors import ServiceError

ANSWER_BYTES = 64 * 1024  # of an answer, headers and body, are read at most
FIRST_PROBE_SECONDS = 0.05
FAST_PROBE_SECONDS = 0.25  # between probes until the first that succeeds
SUCCESSES_TO_RECOVER = 2

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: [^\r\n]*)?\r?\n")
_HEADERS_END = re.compile(rb"\r?\n\r?\n")
_LENGTH = re.compile(rb"\ncontent-length:[ \t]*([0-9]{1,18})[ \t]*\r?\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\ntransfer-encoding:[^\r\n]*\bchunked\b", re.IGNORECASE)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Check:
    """How to ask: `http` answers 2xx when healthy. `failures` in a row make it unhealthy.

    Raises ServiceError where a value makes no sense.
    """

    http: str
    every_seconds: float
    timeout_seconds: float
    failures: int
    healthy_after_seconds: float
    deadline_seconds: float

    def __post_init__(self) -> None:
        _Target.of(self.http)
        for name in ("every_seconds", "timeout_seconds", "deadline_seconds", "failures"):
            value: float = getattr(self, name)
            if not (value > 0 and math.isfinite(value)):
                raise ServiceError(f"health check: {name} must be above 0, not {value}")
        if not (self.healthy_after_seconds >= 0 and math.isfinite(self.healthy_after_seconds)):
            raise ServiceError(
                "health check: healthy_after_seconds must be 0 or more, "
                f"not {self.healthy_after_seconds}"
            )


async def probe(check: Check) -> str | None:
    """Ask once: None if healthy, else one sentence that says what was wrong.

    Follows no redirects. Takes `timeout_seconds` at most, connecting included.
    """
    answer = bytearray()
    broken: str | None = None
    try:
        async with asyncio.timeout(check.timeout_seconds):
            await _get(_Target.of(check.http), answer)
    except TimeoutError:
        kind = "complete answer" if answer else "answer"
        broken = f"no {kind} within {check.timeout_seconds:g} s"
    except (OSError, ssl.CertificateError) as error:
        broken = _in_words(error)
    else:
        if not _is_enough(answer):
            broken = "the answer broke off" if answer else "the connection was closed unanswered"
    problem = _bad_status(answer) or (broken and f": {broken}")
    return f"GET {check.http}{problem}" if problem else None


async def wait_healthy(check: Check, exited: Awaitable[int | None]) -> None:
    """Return once it has been healthy for `healthy_after_seconds` without a failure.

    Raises ServiceError as soon as `exited` ends (with the exit code, if known), and at the
    deadline. A future or task that is given as `exited` is left running.
    """
    loop = asyncio.get_running_loop()
    started = loop.time()
    given = isinstance(exited, asyncio.Future)
    ending = asyncio.ensure_future(exited)
    wait = _Wait(check)
    polling = loop.create_task(wait.run())
    try:
        await asyncio.wait(
            {polling, ending},
            timeout=check.deadline_seconds,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if ending.done():
            raise ServiceError(_exit_in_words(ending.result(), loop.time() - started))
        if not polling.done():
            raise ServiceError(
                f"not healthy within {check.deadline_seconds:g} s: last: {wait.last()}"
            )
        polling.result()
    finally:
        mine = {polling} if given else {polling, ending}
        for task in mine:
            task.cancel()
        await asyncio.gather(*mine, return_exceptions=True)


class Monitor:
    """Goes on checking a slot that was healthy, and tells when that changes.

    `on_change(healthy, detail)` is called on a flip only: to unhealthy after `check.failures`
    failures in a row, back after two successes in a row.
    """

    def __init__(
        self, check: Check, on_change: Callable[[bool, str], None], healthy: bool = True
    ) -> None:
        self.check = check
        self.on_change = on_change
        self.healthy = healthy
        self._against = 0  # results in a row that contradict `healthy`

    async def run(self) -> None:
        """Check every `every_seconds` until cancelled; nothing that fails in here ends it."""
        while True:
            await asyncio.sleep(self.check.every_seconds)
            try:
                problem = await probe(self.check)
            except Exception as error:
                _log.exception("health check of %s failed by itself", self.check.http)
                problem = f"the check itself failed: {error!r}"
            try:
                self.note(problem)
            except Exception:
                _log.exception("health of %s could not be reported", self.check.http)

    def note(self, problem: str | None) -> None:
        """Take one result into account (None: healthy)."""
        if (problem is None) == self.healthy:
            self._against = 0
            return
        self._against += 1
        if self._against < (self.check.failures if self.healthy else SUCCESSES_TO_RECOVER):
            return
        self.healthy = not self.healthy
        self._against = 0
        self.on_change(self.healthy, problem or "healthy again")


class _Wait:
    """The polling of a slot that was just started."""

    def __init__(self, check: Check) -> None:
        self.check = check
        self.problem: str | None = "no check has ended yet"
        self.healthy_since: float | None = None
        self.probed_at = 0.0

    async def run(self) -> None:
        check, loop = self.check, asyncio.get_running_loop()
        pause = min(FIRST_PROBE_SECONDS, check.every_seconds)
        usual = min(FAST_PROBE_SECONDS, check.every_seconds)
        while True:
            await asyncio.sleep(pause)
            self.problem = await probe(check)
            self.probed_at = now = loop.time()
            pause = usual
            if self.problem is not None:
                self.healthy_since = None
                continue
            if self.healthy_since is None:
                self.healthy_since = now
            left = self.healthy_since + check.healthy_after_seconds - now
            if left <= 0:
                return
            usual = check.every_seconds
            pause = min(usual, left)

    def last(self) -> str:
        if self.problem is not None or self.healthy_since is None:
            return str(self.problem)
        seconds = self.probed_at - self.healthy_since
        return f"healthy, but for {seconds:.1f} s of {self.check.healthy_after_seconds:g} s only"


# --- HTTP ------------------------------------------------------------------------------------


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


async def _get(target: _Target, answer: bytearray) -> None:
    """Send the request; add to `answer` until it is complete, closed, hopeless or at its bound."""
    reader, writer = await asyncio.open_connection(
        target.host, target.port, ssl=_tls() if target.secure else None
    )
    try:
        writer.write(
            f"GET {target.path} HTTP/1.1\r\nHost: {target.authority}\r\n"
            "User-Agent: tidegate-agent\r\nAccept: */*\r\nConnection: close\r\n\r\n".encode("ascii")
        )
        while len(answer) < ANSWER_BYTES and not _is_complete(answer):
            data = await reader.read(ANSWER_BYTES - len(answer))
            if not data:
                return
            answer += data
    finally:
        writer.transport.abort()  # a close could wait for the other side


@functools.cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


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
        return body == b"0\r\n\r\n" or body.endswith(b"\r\n0\r\n\r\n")
    length = _LENGTH.search(headers)
    return length is not None and len(body) >= int(length[1])


def _is_enough(answer: bytes | bytearray) -> bool:
    """Whether an answer that was closed, or reached the bound, may count as a whole one."""
    if _is_complete(answer):
        return True
    end = _HEADERS_END.search(answer)
    if end is None:
        return False
    # Without a length it is the closing that ends it.
    return len(answer) >= ANSWER_BYTES or _LENGTH.search(answer, 0, end.end()) is None


def _bad_status(answer: bytes | bytearray) -> str | None:
    """The rest of the sentence "GET URL…", for what is not 2xx however it goes on; or None."""
    status = _STATUS_LINE.match(answer)
    if status is not None:
        code = int(status[1])
        if 300 <= code < 400:
            return f" answered {code}, and redirects are not followed"
        return None if 200 <= code < 300 else f" answered {code}"
    if b"\n" in answer or not answer.startswith(b"HTTP/"[: len(answer)]):
        return f": the answer is not HTTP/1.1, it begins with {bytes(answer[:40])!r}"
    return None


# --- Words -----------------------------------------------------------------------------------


def _in_words(error: OSError | ssl.CertificateError) -> str:
    # With several addresses for a name asyncio joins the errors into one text.
    if isinstance(error, ConnectionRefusedError) or f"[Errno {errno.ECONNREFUSED}]" in str(error):
        return "connection refused"
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return "the connection was reset"
    if isinstance(error, socket.gaierror):
        return f"the name is not known: {error.strerror}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate was not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"no TLS connection: {error.reason}"
    return error.strerror or str(error) or type(error).__name__


def _exit_in_words(code: int | None, seconds: float) -> str:
    after = f"after {seconds:.1f} s"
    if code is None:
        return f"exited {after}, with an unknown code"
    if code >= 0:
        return f"exited with code {code} {after}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was killed by {name} {after}"
