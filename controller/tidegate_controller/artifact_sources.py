"""Artifacts that lie elsewhere: how large is it, and fetch it, by HTTP and HTTPS alone.

Used by `artifact_requests`. Redirects are followed one by one, so that each is looked at like the
first. Proxies are those of the environment (http_proxy, https_proxy, no_proxy), but this machine
itself is never asked through one, just as agents do it.
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from tidegate_controller.errors import TidegateError, UsageError
from tidegate_protos.rules import is_loopback, url_problem, without_query

SIZE_SECONDS = 30.0
CONNECT_SECONDS = 10.0
PIECE_SECONDS = 60.0  # between two pieces of an answer
REDIRECTS_MAX = 10
CHUNK_BYTES = 512 * 1024
REDIRECTS = (301, 302, 303, 307, 308)
CONTENT_RANGE = re.compile(r"bytes \d+-\d+/(\d+)")
HEADERS = {"Accept-Encoding": "identity", "User-Agent": "tidegate-controller"}
ASK_ANOTHER_WAY = (
    "leave out --digest: then the controller fetches it once and serves it to the agents"
)


def public(url: str) -> str:
    """The URL as messages and notes may have it. Raises UsageError."""
    if problem := url_problem(url):
        raise UsageError(f"the artifact's address {problem}", "correct --artifact")
    return without_query(url)


async def size_of(url: str) -> int:
    """How many bytes there are, without fetching them. Raises `TidegateError`."""
    where = public(url)
    try:
        async with asyncio.timeout(SIZE_SECONDS), _session() as session:
            async with _answer(session, "HEAD", url) as head:
                if head.status == 200 and head.content_length:
                    return head.content_length
            # Some servers allow no HEAD, such as those of signed URLs.
            async with _answer(session, "GET", url, {"Range": "bytes=0-0"}) as first:
                if first.status not in (200, 206):
                    raise _refused(where, first)
                found = CONTENT_RANGE.fullmatch(first.headers.get("Content-Range", ""))
                size = int(found[1]) if found else first.content_length
                if not size or (first.status == 206 and not found):
                    raise UsageError(f"{where} does not say how large it is", ASK_ANOTHER_WAY)
                return size
    except TimeoutError as error:
        raise _trouble(where, error) from error


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[tuple[int, AsyncIterator[bytes]]]:
    """Its size, 0 where the server does not say, and its bytes. Raises `TidegateError`."""
    where = public(url)
    async with _session() as session, _answer(session, "GET", url) as answer:
        if answer.status != 200:
            raise _refused(where, answer)
        yield answer.content_length or 0, _pieces(where, answer)


async def _pieces(where: str, answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for piece in answer.content.iter_chunked(CHUNK_BYTES):
            yield piece
    except (aiohttp.ClientError, TimeoutError) as error:
        raise _trouble(where, error) from error


def _session() -> aiohttp.ClientSession:
    timeout = aiohttp.ClientTimeout(
        total=None, sock_connect=CONNECT_SECONDS, sock_read=PIECE_SECONDS
    )
    return aiohttp.ClientSession(timeout=timeout, headers=HEADERS, auto_decompress=False)


@asynccontextmanager
async def _answer(
    session: aiohttp.ClientSession, method: str, url: str, headers: dict[str, str] | None = None
) -> AsyncIterator[aiohttp.ClientResponse]:
    """The first answer that is no redirect."""
    where = public(url)
    for _ in range(REDIRECTS_MAX + 1):
        public(url)
        try:
            answer = await session.request(
                method,
                URL(url, encoded=True),  # as it was given: a signature covers its very characters
                headers=headers,
                allow_redirects=False,
                proxy=_proxy(url),
            )
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise _trouble(where, error) from error
        async with answer:
            if answer.status not in REDIRECTS:
                yield answer
                return
            url = urljoin(url, answer.headers.get("Location", ""))
    raise UsageError(f"{where} redirects more than {REDIRECTS_MAX} times", "correct --artifact")


def _proxy(url: str) -> str | None:
    parts = urlsplit(url)
    proxy = getproxies().get(parts.scheme)
    if proxy is None or is_loopback(url) or proxy_bypass(parts.hostname or ""):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _refused(where: str, answer: aiohttp.ClientResponse) -> UsageError:
    return UsageError(
        f"the artifact cannot be fetched: {where} answered {answer.status}",
        "correct --artifact, or look at what serves it; nothing was changed",
    )


def _in_words(error: Exception) -> str:
    """aiohttp's own words tell programmers what it was about to do."""
    match error:
        case TimeoutError():
            return "no answer in time"
        case aiohttp.ClientConnectorCertificateError():
            return f"its certificate is not trusted: {error.certificate_error}"
        case aiohttp.ClientSSLError():
            return f"no TLS with {error.host}:{error.port}: {error.os_error}"
        case aiohttp.ClientConnectorDNSError():
            return f"no address is known for the host {error.host}"
        case aiohttp.ClientConnectorError() if error.os_error.errno:
            why = os.strerror(error.os_error.errno)
            return f"nobody answers at {error.host}:{error.port} ({why})"
    return str(error) or type(error).__name__


def _trouble(where: str, error: Exception) -> TidegateError:
    reason = _in_words(error)[:200]
    return TidegateError(
        f"cannot fetch {where}: {reason if reason.isprintable() else repr(reason)}",
        "the controller fetches it, so it is its network that counts; type the command again",
    )
