"""The health checks `tcp`, `grpc`, `unit`, and how the agent makes a check of what it is sent."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority
from small_servers import BROKEN, HealthServer, Server, free_port

from tidegate_agent.errors import ServiceError
from tidegate_agent.health import Check, Context, check_of, probe
from tidegate_agent.health.check import KINDS
from tidegate_agent.health.exec import Exec
from tidegate_agent.health.grpc import Grpc
from tidegate_agent.health.http import Http
from tidegate_agent.health.tcp import Tcp
from tidegate_agent.health.unit import OnceUp, Unit
from tidegate_protos.v1 import agent_pb2 as pb

SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3


@contextlib.asynccontextmanager
async def deaf() -> AsyncIterator[str]:
    """The address of a server that accepts connections and never says a word."""
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


# --- TCP -----------------------------------------------------------------------------------------


async def test_a_port_that_accepts_connections_is_healthy() -> None:
    async with Server().running() as server:
        assert await Tcp(f"127.0.0.1:{server.port}").ask(20) is None
        assert await Tcp(f"localhost:{server.port}").ask(20) is None


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_port_that_refuses_is_not(host: str) -> None:
    address = f"{host}:{free_port()}"
    assert await Tcp(address).ask(20) == f"TCP {address}: connection refused"


async def test_a_connection_that_is_not_taken_up_is_given_up_after_the_timeout() -> None:
    with contextlib.ExitStack() as sockets:
        server = sockets.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        host, port = server.getsockname()
        for _ in range(3):  # fill the queue: from then on the kernel drops what comes
            client = sockets.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex((host, port))
        problem = await Tcp(f"{host}:{port}").ask(0.3)
    assert problem == f"TCP {host}:{port}: no connection within 0.3 s"


@pytest.mark.parametrize("kind", [Tcp, Grpc])
@pytest.mark.parametrize(
    "address", ["", "127.0.0.1", ":80", "a:0", "a:65536", "a:b", "http://a:80", "a b:80", "::1:80"]
)
def test_an_address_that_is_none_is_refused_when_the_check_is_made(
    kind: type[Tcp] | type[Grpc], address: str
) -> None:
    with pytest.raises(ServiceError, match="health check: .* is not HOST:PORT"):
        kind(address)


# --- gRPC ----------------------------------------------------------------------------------------


async def asked_grpc(states: dict[str, int], service: str = "") -> str | None:
    async with HealthServer(states).running() as server:
        problem = await Grpc(server.address, service).ask(20)
        return problem.replace(server.address, "ADDRESS") if problem else None


async def test_a_server_and_a_service_that_are_serving_are_healthy() -> None:
    assert await asked_grpc({"": SERVING}) is None
    assert await asked_grpc({"": NOT_SERVING, "shop.Cart": SERVING}, "shop.Cart") is None


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (NOT_SERVING, "answered NOT_SERVING"),
        (0, "answered UNKNOWN"),
        (SERVICE_UNKNOWN, "answered SERVICE_UNKNOWN"),
        (77, "answered 77"),
    ],
)
async def test_any_other_state_is_named(state: int, said: str) -> None:
    problem = await asked_grpc({"": state})
    assert problem == f"gRPC health of the server at ADDRESS: {said}"
    problem = await asked_grpc({"shop.Cart": state}, "shop.Cart")
    assert problem == f"gRPC health of shop.Cart at ADDRESS: {said}"


async def test_a_service_that_the_server_does_not_know_is_said() -> None:
    problem = await asked_grpc({"": SERVING}, "shop.Car")
    assert problem == ("gRPC health of shop.Car at ADDRESS: the server knows no service 'shop.Car'")


async def test_a_server_without_the_health_protocol_is_said() -> None:
    async with HealthServer({}).running(method="Watch") as server:
        problem = await Grpc(server.address).ask(20)
    assert problem is not None
    assert problem.endswith(": the server does not offer grpc.health.v1")


async def test_a_grpc_server_that_is_not_there_refuses_the_connection() -> None:
    address = f"127.0.0.1:{free_port()}"
    problem = await Grpc(address).ask(20)
    assert problem == f"gRPC health of the server at {address}: connection refused"


async def test_a_grpc_server_that_never_answers_is_given_up_after_the_timeout() -> None:
    async with HealthServer({}, silent=True).running() as server:
        problem = await Grpc(server.address).ask(0.3)
        assert problem is not None
        assert problem.endswith(": no answer within 0.3 s")
    async with deaf() as address:
        problem = await Grpc(address).ask(0.3)
        assert problem is not None
        assert problem.endswith(": no answer within 0.3 s")


async def test_what_speaks_no_grpc_is_told() -> None:
    async with Server(BROKEN).running() as server:
        problem = await Grpc(f"127.0.0.1:{server.port}").ask(5)
    assert problem is not None
    assert "HTTP" in problem
    assert problem.isprintable()


async def test_a_grpc_check_goes_through_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    assert await asked_grpc({"": SERVING}) is None


async def test_grpc_over_tls_trusts_the_file_and_the_host_of_the_address(
    authority: Authority, stranger: Authority
) -> None:
    trusted = str(authority.file)

    async def over_tls(certificate: tuple[Path, Path], ca_file: str) -> str | None:
        async with HealthServer({"": SERVING}).running(certificate) as server:
            problem = await Grpc(server.address, tls=True, ca_file=ca_file).ask(20)
            return problem and problem.partition(server.address)[2]

    here = authority.certify("IP:127.0.0.1")
    assert await over_tls(here, trusted) is None
    elsewhere = authority.certify("DNS:shop.example")
    assert await over_tls(elsewhere, trusted) == ": the certificate is not for this host"
    unknown = ": the certificate was not accepted: unable to get local issuer certificate"
    assert await over_tls(stranger.certify("IP:127.0.0.1"), trusted) == unknown
    assert await over_tls(here, "") == unknown


async def test_grpc_with_and_without_tls_do_not_mix(authority: Authority) -> None:
    async with HealthServer({"": SERVING}).running(authority.certify("IP:127.0.0.1")) as server:
        assert await Grpc(server.address).ask(5) is not None
    async with HealthServer({"": SERVING}).running() as server:
        problem = await Grpc(server.address, tls=True, ca_file=str(authority.file)).ask(5)
    assert problem == f"gRPC health of the server at {server.address}: no TLS connection"


async def test_a_file_of_certificates_that_is_of_no_use_is_named(tmp_path: Path) -> None:
    missing, empty = tmp_path / "missing.pem", tmp_path / "empty.pem"
    empty.write_text("nothing\n")
    asked = Grpc("127.0.0.1:80", tls=True, ca_file=str(missing))
    assert (
        await asked.ask(20)
        == f"{asked}: ca_file {missing} on this node cannot be read: No such file or directory"
    )
    asked = Grpc("127.0.0.1:80", tls=True, ca_file=str(empty))
    assert await asked.ask(20) == f"{asked}: ca_file {empty} on this node holds no certificate"


# --- The service manager's word ------------------------------------------------------------------


async def well() -> str:
    return ""


async def test_a_unit_is_healthy_when_the_service_manager_says_so() -> None:
    async def no() -> str:
        return "shop@blue.service is activating (start)"

    assert await Unit(well).ask(20) is None
    assert await Unit(no).ask(20) == "shop@blue.service is activating (start)"


async def test_while_a_slot_starts_nothing_is_asked_before_its_manager_says_that_it_is_up() -> None:
    said = ["is activating (start)", "is activating (start-post)", "", "is deactivating"]

    async def problem() -> str:
        return said.pop(0)

    class Sick:
        async def ask(self, timeout_seconds: float) -> str | None:
            return "answered 500"

    starting = OnceUp(Sick(), problem)
    answers = [await starting.ask(20) for _ in range(4)]
    assert answers == [
        *("is activating (start)", "is activating (start-post)", "answered 500", "answered 500")
    ]


async def test_a_service_manager_that_cannot_be_asked_is_no_good_sign() -> None:
    async def fails() -> str:
        raise ServiceError("no connection to systemd")

    async def hangs() -> str:
        await asyncio.Event().wait()
        return ""

    said = await Unit(fails).ask(20)
    assert said == "the service manager could not be asked: no connection to systemd"
    assert await Unit(hangs).ask(0.1) == "the service manager did not answer within 0.1 s"


# --- What the controller sends -------------------------------------------------------------------

WORDS: Mapping[str, str] = {"port": "8001", "slot": "blue", "version": "7"}
USUAL: dict[str, Any] = {
    "every_seconds": 1,
    "timeout_seconds": 2,
    "failures": 3,
    "healthy_after_seconds": 4,
    "deadline_seconds": 50,
    "start_grace_seconds": 6,
}


CONTEXT = Context(Path("/slot/release"), dict, "www-data", well)


def made(**kind: Any) -> Check:
    return check_of(pb.HealthCheck(**kind, **USUAL), WORDS, CONTEXT)


def test_every_kind_is_made_of_its_message_with_all_placeholders_filled_in() -> None:
    http = pb.HttpCheck(
        url="https://127.0.0.1:{port}/{slot}",
        status=["200", "300-399"],
        body="version {version} {{}}",
        headers={"X-Slot": "{slot}"},
        insecure=True,
        ca_file="/etc/{slot}.pem",
    )
    assert made(http=http).kind == Http(
        "https://127.0.0.1:8001/blue",
        ("200", "300-399"),
        "version 7 {}",
        {"X-Slot": "blue"},
        True,
        "/etc/blue.pem",
    )
    assert made(http=pb.HttpCheck(url="http://a/")).kind == Http("http://a/", ("200-299",))
    assert made(tcp=pb.TcpCheck(address="a:{port}")).kind == Tcp("a:8001")
    command = pb.ExecCheck(command=["./check", "{slot}"])
    assert made(exec=command).kind == Exec(
        ("./check", "blue"), CONTEXT.directory, CONTEXT.environment, "www-data"
    )
    grpc = pb.GrpcCheck(address="a:{port}", service="s.{slot}", tls=True, ca_file="/{slot}")
    assert made(grpc=grpc).kind == Grpc("a:8001", "s.blue", True, "/blue")
    assert made(unit=pb.UnitCheck()).kind == Unit(well)


def test_the_numbers_of_a_check_reach_it() -> None:
    check = made(tcp=pb.TcpCheck(address="a:1"))
    assert {name: getattr(check, name) for name in USUAL} == USUAL


def test_every_kind_of_the_schema_is_known() -> None:
    kinds = {field.name for field in pb.HealthCheck.DESCRIPTOR.oneofs_by_name["kind"].fields}
    assert set(KINDS) == kinds


def test_a_check_of_an_unknown_kind_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(ServiceError, match="this agent does not know; it knows: http, tcp, exec"):
        made()


@pytest.mark.parametrize(
    "kind",
    [
        {"tcp": pb.TcpCheck(address="a:{prt}")},
        {"http": pb.HttpCheck(url="http://a/", body="{")},
        {"exec": pb.ExecCheck(command=["{node.x}"])},
    ],
)
def test_a_placeholder_that_is_not_known_is_refused(kind: dict[str, Any]) -> None:
    with pytest.raises(ServiceError, match="health check: "):
        made(**kind)


async def test_a_probe_asks_with_the_timeout_of_its_check() -> None:
    async with deaf() as address:
        grpc = pb.GrpcCheck(address=address)
        health = pb.HealthCheck(grpc=grpc, **{**USUAL, "timeout_seconds": 0.25})
        problem = await probe(check_of(health, WORDS, CONTEXT))
    assert problem is not None
    assert problem.endswith("no answer within 0.25 s")
