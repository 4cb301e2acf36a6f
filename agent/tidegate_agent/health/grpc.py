"""The health check `grpc`: the server's grpc.health.v1 answers SERVING."""

from dataclasses import dataclass

from tidegate_agent.health.kind import Context, Fill, address_of, unreadable
from tidegate_protos import grpc_health
from tidegate_protos.v1 import agent_pb2 as pb


@dataclass(frozen=True)
class Grpc:
    """`address` is HOST:PORT, else ServiceError is raised. With `tls` the server's certificate has
    to be for that host, vouched for by `ca_file`, or by the system where that is empty."""

    address: str
    service: str = ""
    tls: bool = False
    ca_file: str = ""

    def __post_init__(self) -> None:
        address_of(self.address)

    def __str__(self) -> str:
        return f"gRPC health of {self.service or 'the server'} at {self.address}"

    async def ask(self, timeout_seconds: float) -> str | None:
        try:
            credentials = grpc_health.trusting(self.ca_file) if self.tls else None
        except OSError as error:
            return f"{self}: {unreadable(self.ca_file, error)}"
        problem = await grpc_health.ask(self.address, self.service, timeout_seconds, credentials)
        return problem and f"{self}: {problem}"


def of(health: pb.HealthCheck, fill: Fill, _context: Context) -> Grpc:
    grpc = health.grpc
    return Grpc(fill(grpc.address), fill(grpc.service), grpc.tls, fill(grpc.ca_file))
