"""The health check `tcp`: something accepts connections at an address."""

import asyncio
from dataclasses import dataclass

from tidegate_agent.health.kind import Context, Fill, address_of, in_words
from tidegate_protos.v1 import agent_pb2 as pb


@dataclass(frozen=True)
class Tcp:
    """`address` is HOST:PORT, else ServiceError is raised. Nothing is sent there."""

    address: str

    def __post_init__(self) -> None:
        address_of(self.address)

    def __str__(self) -> str:
        return f"TCP {self.address}"

    async def ask(self, timeout_seconds: float) -> str | None:
        host, port = address_of(self.address)
        try:
            async with asyncio.timeout(timeout_seconds):
                _, writer = await asyncio.open_connection(host, port)
        except TimeoutError:
            return f"{self}: no connection within {timeout_seconds:g} s"
        except OSError as error:
            return f"{self}: {in_words(error)}"
        writer.close()
        return None


def of(health: pb.HealthCheck, fill: Fill, _context: Context) -> Tcp:
    return Tcp(fill(health.tcp.address))
