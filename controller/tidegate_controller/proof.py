"""The proof that a place answers where the balancer would send to, before traffic moves there.

Called by `effects`; `checks` reads its answers in the same way. What the agent asks on its node is
asked again from here: for `http` and `grpc` the same question, sent to the node's address; for the
other kinds, which only the node can ask, the slot's port has to accept a connection.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import msgspec

from tidegate_controller.core import types as t
from tidegate_controller.core.facts import split_stream
from tidegate_controller.core.spec import GrpcProbe, HttpProbe, Probe
from tidegate_controller.errors import TrafficError
from tidegate_protos import grpc_health
from tidegate_protos.rules import join_host_port, render, split_host_port, status_range

PROOF_SECONDS = 20.0  # for a place, all tries together; below `effects.EFFECT_SECONDS`
PROBE_TRIES = 5
PROBE_PAUSE_SECONDS = 0.3
ANSWER_BYTES = 64 * 1024  # of an answer's body are read at most

T = TypeVar("T")


class Question(Protocol):
    """What a place is asked from here; `str()` of it is for messages."""

    async def ask(self, timeout_seconds: float) -> str | None:
        """None for the right answer, else in a few words what was wrong."""


async def prove(stream: str, release: t.Release, place: t.Place, address: str) -> None:
    """Raise TrafficError unless the place, whose slot is at "HOST:PORT", answers from here."""
    host, port = _split(address)
    words = _words(stream, release, place, port)
    question = _question(_filled(release.settings.health.probe, words), host, port)
    # No timeout around all: it could be lost in that of a try which ends at the same moment.
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PROOF_SECONDS
    seconds = min(release.settings.health.timeout_seconds, PROOF_SECONDS)
    problem = await question.ask(seconds)
    for _ in range(PROBE_TRIES - 1):
        left = round(deadline - loop.time() - PROBE_PAUSE_SECONDS, 1)
        if problem is None or left <= 0:
            break
        await asyncio.sleep(PROBE_PAUSE_SECONDS)
        problem = await question.ask(min(seconds, left))
    if problem is not None:
        raise TrafficError(
            f"{place} does not answer where the balancer would send to: {question}: {problem}"
        )


def check(release: t.Release) -> None:
    """Raise TrafficError where this machine lacks what the proof of any place will need.

    A file whose name has a placeholder in it is not looked for: that name is a place's own.
    """
    probe = release.settings.health.probe
    if isinstance(probe, HttpProbe | GrpcProbe) and probe.ca_file and "{" not in probe.ca_file:
        _trusting(probe.ca_file, _context)


# --- What is asked -------------------------------------------------------------------------------


def _question(probe: Probe, host: str, port: int) -> Question:
    if isinstance(probe, HttpProbe):
        return _Http(probe, host)
    if isinstance(probe, GrpcProbe):
        return _Grpc(probe, host)
    return _Tcp(host, port)


@dataclass(frozen=True)
class _Http:
    """The request that the agent makes, with its Host and with the name that it trusts."""

    probe: HttpProbe
    host: str

    def __str__(self) -> str:
        parts = urlsplit(self.probe.url)
        netloc = join_host_port(self.host, parts.port) if parts.port else self._bracketed()
        return urlunsplit(parts._replace(netloc=netloc, path=parts.path or "/"))

    def _bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host

    async def ask(self, timeout_seconds: float) -> str | None:
        probe, asked = self.probe, urlsplit(self.probe.url)
        headers = {"User-Agent": "tidegate-controller", "Host": asked.netloc}
        own = {name.lower() for name in probe.headers}
        headers = {name: value for name, value in headers.items() if name.lower() not in own}
        secure = asked.scheme == "https"
        try:
            async with (
                aiohttp.ClientSession(
                    timeout=aiohttp.ClientTimeout(total=timeout_seconds),
                    connector=aiohttp.TCPConnector(force_close=True),
                    skip_auto_headers=["Accept-Encoding"],  # `body` is looked for as it is written
                    auto_decompress=False,
                ) as client,
                client.get(
                    str(self),
                    headers={**headers, **probe.headers},
                    allow_redirects=False,
                    ssl=self._tls(),
                    server_hostname=asked.hostname if secure else None,
                ) as answer,
            ):
                return self._judged(answer.status, await beginning(answer))
        except TimeoutError:
            return f"no answer within {timeout_seconds:g} s"
        except (aiohttp.ClientError, OSError) as error:
            return _in_words(error)

    def _tls(self) -> ssl.SSLContext | bool:
        if self.probe.insecure:
            return False
        return _trusting(self.probe.ca_file, _context) if self.probe.ca_file else True

    def _judged(self, status: int, body: bytes) -> str | None:
        if not any(status in status_range(text) for text in self.probe.status):
            redirects = ", and redirects are not followed" if 300 <= status < 400 else ""
            return f"answered {status}{redirects}"
        if self.probe.body.encode() not in body:
            return f"the answer's body does not contain {self.probe.body!r}"
        return None


@dataclass(frozen=True)
class _Grpc:
    probe: GrpcProbe
    host: str

    def __str__(self) -> str:
        return f"gRPC health of {self.probe.service or 'the server'} at {self._address()}"

    def _address(self) -> str:
        return join_host_port(self.host, split_host_port(self.probe.address)[1])

    async def ask(self, timeout_seconds: float) -> str | None:
        probe, credentials = self.probe, None
        if probe.tls:
            credentials = _trusting(probe.ca_file, grpc_health.trusting)
        return await grpc_health.ask(
            self._address(), probe.service, timeout_seconds, credentials, authority=probe.address
        )


@dataclass(frozen=True)
class _Tcp:
    host: str
    port: int

    def __str__(self) -> str:
        return f"TCP {join_host_port(self.host, self.port)}"

    async def ask(self, timeout_seconds: float) -> str | None:
        try:
            async with asyncio.timeout(timeout_seconds):
                _, writer = await asyncio.open_connection(self.host, self.port)
        except TimeoutError:
            return f"no connection within {timeout_seconds:g} s"
        except OSError as error:
            return _in_words(error)
        writer.close()
        return None


# --- Parts ---------------------------------------------------------------------------------------


def _split(address: str) -> tuple[str, int]:
    """A node's address and a slot's port; the address of IPv6 may lack its brackets."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _words(stream: str, release: t.Release, place: t.Place, port: int) -> dict[str, str]:
    app, environment = split_stream(stream)
    return {
        "port": str(port),
        "slot": place.slot,
        "app": app,
        "environment": environment,
        "version": release.version,
        "node": place.node,
    }


def _filled(probe: Probe, words: Mapping[str, str]) -> Probe:
    """With the words in place of the placeholders in all texts."""

    def fill(value: Any) -> Any:
        if isinstance(value, str):
            return render(value, words)
        if isinstance(value, dict):
            return {key: fill(inner) for key, inner in value.items()}
        return [fill(inner) for inner in value] if isinstance(value, list | tuple) else value

    filled: Probe = msgspec.convert(fill(msgspec.to_builtins(probe)), Probe)
    return filled


def _trusting(ca_file: str, load: Callable[[str], T]) -> T:
    try:
        return load(ca_file)
    except OSError as error:
        found = "holds no certificate"
        if not isinstance(error, ssl.SSLError):
            found = f"cannot be read: {error.strerror}"
        raise TrafficError(
            f"ca_file {ca_file} {found} on the controller's machine",
            "put it there as well: slots are asked from there, too, before they get traffic",
        ) from error


def _context(ca_file: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file)


async def beginning(answer: aiohttp.ClientResponse) -> bytes:
    """The body, as far as it is looked at, in however many pieces it comes."""
    body = bytearray()
    while len(body) < ANSWER_BYTES and (
        chunk := await answer.content.read(ANSWER_BYTES - len(body))
    ):
        body += chunk
    return bytes(body)


def _in_words(error: aiohttp.ClientError | OSError) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"the certificate was not accepted: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return str(error) or type(error).__name__
