"""Addresses as people write them. Used by the command line and by the controller's start."""

import errno
import ipaddress
import re
import socket

from tidegate_controller.errors import TidegateError, UsageError

LAST_PORT = 65535

_HOST_PORT = re.compile(
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9.-]*)):(?P<port>[0-9]{1,5})"
)
_HOST_NAME = re.compile(r"(?!-).*[A-Za-z].*")
_SHOWN_CHARS = 80


def split_address(text: str, name: str, example: str = "127.0.0.1:7420") -> tuple[str, int]:
    """ "HOST:PORT" -> host (of IPv6 without brackets; may be empty) and port. Else `UsageError`;
    `name` is what it is called where it was given, such as "--listen"."""
    found = _HOST_PORT.fullmatch(text)
    if found is None or not _is_host(found) or not 0 < int(found["port"]) <= LAST_PORT:
        raise UsageError(
            f"{name} {text[:_SHOWN_CHARS]!r} is not HOST:PORT", f"for example {example}"
        )
    return found["ipv6"] or found["host"], int(found["port"])


def split_loopback(text: str, name: str) -> tuple[str, int]:
    """Likewise, and the host is this machine: there is no mutual TLS yet."""
    host, port = split_address(text, name)
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise UsageError(
            f"{name} {text}: without mutual TLS only loopback addresses are accepted",
            f"use 127.0.0.1:{port}; between machines it takes a tunnel, such as ssh -L or -R, "
            "or a VPN's proxy",
        )
    return host, port


def refuse_taken(host: str, port: int, name: str) -> None:
    """Raise unless the port is free to listen on; gRPC's own error would not say why it is not."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            what = "is in use" if error.errno == errno.EADDRINUSE else "cannot be listened on"
            raise TidegateError(
                f"{host}:{port} {what} ({error.strerror})",
                f"stop what listens there, or choose another port with {name}",
            ) from error


def _is_host(found: re.Match[str]) -> bool:
    """A name, an IP address, or nothing."""
    try:
        if found["ipv6"]:
            return bool(ipaddress.IPv6Address(found["ipv6"]))
        host = found["host"]
        return bool(not host or _HOST_NAME.fullmatch(host) or ipaddress.IPv4Address(host))
    except ValueError:
        return False
