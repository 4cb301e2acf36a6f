"""How fetch.py asks a web server: by HTTP and HTTPS alone, directly or through a proxy.

The proxies are those of the environment (http_proxy, https_proxy, no_proxy), as for any other
program of the node. But loopback is never asked through one: there the controller's own artifacts
are, at the end of a tunnel where the controller is elsewhere, and a proxy would look for them on
its own machine.
"""

import http.client
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from functools import partial
from typing import Any

from tidegate_agent.errors import ArtifactError
from tidegate_protos.rules import is_loopback, url_problem, without_query

Connected = Callable[[socket.socket], None]


def opener(connected: Connected) -> urllib.request.OpenerDirector:
    """HTTP and HTTPS only: no file:, ftp: or data:, wherever a redirect points.

    `connected` is told each socket as soon as there is one, from the thread that opens it.
    """
    director = urllib.request.OpenerDirector()
    for handler in (
        _Proxies(),
        _Handler(connected),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        director.add_handler(handler)
    return director


def public(url: str) -> str:
    """The URL as messages may show it. Raises ArtifactError."""
    if problem := url_problem(url):
        raise ArtifactError(f"the artifact's address {problem}")
    return without_query(url)


class _Proxies(urllib.request.ProxyHandler):
    def proxy_open(
        self, request: urllib.request.Request, proxy: str, scheme: str
    ) -> http.client.HTTPResponse | None:
        if is_loopback(request.full_url):
            return None  # the next handler opens it directly
        return super().proxy_open(request, proxy, scheme)


class _Plain(http.client.HTTPConnection):
    connected: Connected

    def connect(self) -> None:
        super().connect()
        self.connected(self.sock)


class _Tls(http.client.HTTPSConnection):
    connected: Connected

    def connect(self) -> None:
        super().connect()
        self.connected(self.sock)


class _Handler(urllib.request.AbstractHTTPHandler):
    """urllib's own handler, with connections that tell their socket."""

    def __init__(self, connected: Connected) -> None:
        super().__init__()
        self._connected = connected

    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(self._connect, _Plain), request)

    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(self._connect, _Tls), request)

    http_request = https_request = urllib.request.AbstractHTTPHandler.do_request_

    def _connect(self, kind: type[_Plain | _Tls], host: str, /, **options: Any) -> _Plain | _Tls:
        connection = kind(host, **options)
        connection.connected = self._connected
        return connection
