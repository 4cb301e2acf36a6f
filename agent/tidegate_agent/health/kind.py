"""What a kind of health check gets and has to answer, and the words that several of them share."""

import errno
import signal
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tidegate_agent.errors import ServiceError
from tidegate_protos.rules import split_host_port


class Kind(Protocol):
    """One way to ask. `str()` of it says shortly what is asked, for messages and logs."""

    async def ask(self, timeout_seconds: float) -> str | None:
        """None if healthy, else one sentence that says what was wrong; in that time at most."""


@dataclass(frozen=True)
class Context:
    """What the kinds that ask no address need to know of the slot."""

    directory: Path  # the slot's unpacked release
    environment: Callable[[], Mapping[str, str]]  # all variables of the app; nothing is added
    user: str  # whom the app runs as; empty: the agent's own user
    problem: Callable[[], Awaitable[str]]  # why, to its manager, it does not serve; empty: it may


Fill = Callable[[str], str]  # replaces {port} and its like


def address_of(text: str) -> tuple[str, int]:
    """ "HOST:PORT" -> host and port. Raises ServiceError."""
    try:
        return split_host_port(text)
    except ValueError as error:
        raise ServiceError(f"health check: {error}, such as 127.0.0.1:8001") from error


def in_words(error: OSError | ssl.CertificateError) -> str:
    """Why a connection failed."""
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


def unreadable(ca_file: str, error: OSError) -> str:
    """Why a file of certificates is of no use."""
    if isinstance(error, ssl.SSLError):
        return f"ca_file {ca_file} on this node holds no certificate"
    return f"ca_file {ca_file} on this node cannot be read: {error.strerror}"


def exit_in_words(code: int) -> str:
    """A negative code is the signal that killed it."""
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
