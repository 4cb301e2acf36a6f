"""Servers on loopback that answer, lie or say nothing, for the tests of health checks."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import Int32Value, StringValue

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BROKEN = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"


def answer_of(body: str, status: str = "200 OK") -> bytes:
    data = body.encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data


class Server:
    """Sends `data` after the request's headers, then closes or, if `hold`, keeps it open. `later`:
    what comes after it, once there was time to read that alone."""

    def __init__(self, data: bytes = OK, hold: bool = False, later: bytes = b"") -> None:
        self.data = data
        self.later = later
        self.hold = hold
        self.requests: list[bytes] = []
        self.port = 0
        self.url = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(self.data)
            await writer.drain()
            if self.later:
                await asyncio.sleep(0.1)
                writer.write(self.later)
                await writer.drain()
            if self.hold:
                await reader.read()
        writer.close()

    @contextlib.asynccontextmanager
    async def running(
        self, certificate: tuple[Path, Path] | None = None, host: str = "127.0.0.1"
    ) -> AsyncIterator["Server"]:
        tls = None
        if certificate is not None:
            tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            tls.load_cert_chain(*certificate)
        server = await asyncio.start_server(self.answer, host, 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        self.url = f"http{'s' if tls else ''}://{host}:{self.port}/health"
        try:
            yield self
        finally:
            server.close()


class HealthServer:
    """A gRPC server with grpc.health.v1. `states` are by service; `silent` never answers."""

    def __init__(self, states: dict[str, int], silent: bool = False) -> None:
        self.states = states
        self.silent = silent
        self.address = ""
        self.port = 0

    @contextlib.asynccontextmanager
    async def running(
        self,
        certificate: tuple[Path, Path] | None = None,
        host: str = "127.0.0.1",
        method: str = "Check",
    ) -> AsyncIterator["HealthServer"]:
        server = grpc.aio.server()
        handler = grpc.unary_unary_rpc_method_handler(
            self._check,
            request_deserializer=StringValue.FromString,
            response_serializer=Int32Value.SerializeToString,
        )
        service = grpc.method_handlers_generic_handler("grpc.health.v1.Health", {method: handler})
        server.add_generic_rpc_handlers((service,))
        if certificate is None:
            port = server.add_insecure_port(f"{host}:0")
        else:
            pair = (certificate[1].read_bytes(), certificate[0].read_bytes())
            port = server.add_secure_port(f"{host}:0", grpc.ssl_server_credentials([pair]))
        self.address, self.port = f"{host}:{port}", port
        await server.start()
        try:
            yield self
        finally:
            await server.stop(None)

    async def _check(self, request: StringValue, context: Any) -> Int32Value:
        if self.silent:
            await asyncio.Event().wait()
        if request.value not in self.states:
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return Int32Value(value=self.states[request.value])


def free_port() -> int:
    with socket.socket() as probe_socket:
        probe_socket.bind(("127.0.0.1", 0))
        port: int = probe_socket.getsockname()[1]
        return port
