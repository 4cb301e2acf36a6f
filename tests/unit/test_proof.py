"""The proof before traffic moves: each kind of check as the controller asks it, from its machine.

A node's address is 127.0.0.2 here, so that what listens on 127.0.0.1 is another machine's.
"""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority
from small_servers import BROKEN, HealthServer, Server, answer_of, free_port

from tidegate_controller import effects, proof
from tidegate_controller.core import types as t
from tidegate_controller.core.spec import (
    ExecProbe,
    GrpcProbe,
    Health,
    HttpProbe,
    Probe,
    Service,
    Settings,
    TcpProbe,
    Traffic,
    UnitProbe,
)
from tidegate_controller.errors import TrafficError
from tidegate_controller.traffic import listening
from tidegate_controller.wire import to_check

NODE = "127.0.0.2"
PLACE = t.Place("web-1/blue")
HTTP = HttpProbe(url="http://127.0.0.1:{port}/health")


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "PROBE_PAUSE_SECONDS", 0.01)


def release(probe: Probe, timeout_seconds: float = 20) -> t.Release:
    settings = Settings(
        service=Service(command=("./serve",)),
        health=Health(probe=probe, timeout_seconds=timeout_seconds),
    )
    revision = t.Revision(digest="sha256:1", config="sha256:2")
    return t.Release(version="7", revision=revision, size_bytes=1, settings=settings)


async def prove(probe: Probe, port: int, timeout_seconds: float = 20) -> None:
    wanted = release(probe, timeout_seconds)
    await proof.prove("shop@production", wanted, PLACE, f"{NODE}:{port}")


async def refusal(probe: Probe, port: int, timeout_seconds: float = 20) -> str:
    """What is said of the place, after its name."""
    with pytest.raises(TrafficError) as raised:
        await prove(probe, port, timeout_seconds)
    start = "web-1/blue does not answer where the balancer would send to: "
    assert raised.value.message.startswith(start)
    return raised.value.message.removeprefix(start)


# --- HTTP ----------------------------------------------------------------------------------------


async def test_a_slot_is_asked_at_its_nodes_address_with_the_agents_own_words() -> None:
    probe = HttpProbe(
        url="http://127.0.0.1:{port}/{slot}/{node}?v={version}",
        body="ok {app} in {environment}",
        headers={"X-Version": "{version}", "accept": "text/plain"},
    )
    async with Server(answer_of("it is ok shop in production")).running(host=NODE) as server:
        await prove(probe, server.port)
    lines = server.requests[0].decode().split("\r\n")
    assert lines[0] == "GET /blue/web-1?v=7 HTTP/1.1"
    assert {f"Host: 127.0.0.1:{server.port}", "X-Version: 7", "accept: text/plain"} <= set(lines)
    names = sorted(line.partition(":")[0].lower() for line in lines[1:] if line)
    assert names == ["accept", "connection", "host", "user-agent", "x-version"]


async def test_a_slot_that_only_its_own_node_can_reach_gets_no_traffic() -> None:
    async with Server().running(host="127.0.0.1") as server:
        said = await refusal(HTTP, server.port)
    assert said == f"http://{NODE}:{server.port}/health: connection refused"


@pytest.mark.parametrize(
    ("data", "options", "said"),
    [
        (BROKEN, {}, "answered 500"),
        (answer_of("", "204 No Content"), {"status": ("200", "300-399")}, "answered 204"),
        (
            b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
            {},
            "answered 302, and redirects are not followed",
        ),
        (answer_of("starting"), {"body": "ok"}, "the answer's body does not contain 'ok'"),
        (
            answer_of("x" * proof.ANSWER_BYTES + "ok"),
            {"body": "ok"},
            "the answer's body does not contain 'ok'",
        ),
    ],
    ids=["500", "other status", "redirect", "body", "body too late"],
)
async def test_a_slot_that_answers_otherwise_gets_no_traffic(
    data: bytes, options: dict[str, Any], said: str
) -> None:
    async with Server(data).running(host=NODE) as server:
        problem = await refusal(HttpProbe(url=HTTP.url, **options), server.port)
    assert problem == f"http://{NODE}:{server.port}/health: {said}"
    assert len(server.requests) == proof.PROBE_TRIES


@pytest.mark.parametrize(
    ("data", "options"),
    [
        (answer_of("", "404 Not Found"), {"status": ("200-299", "404")}),
        (answer_of("", "302 Found"), {"status": ("302",)}),
        (answer_of("all is ok" + "x" * 200_000), {"body": "is ok"}),
        (b"HTTP/1.1 200 OK\r\n\r\nto the end", {"body": "the end"}),
    ],
)
async def test_what_the_agent_accepts_is_accepted_here(
    data: bytes, options: dict[str, Any]
) -> None:
    async with Server(data).running(host=NODE) as server:
        await prove(HttpProbe(url=HTTP.url, **options), server.port)


async def test_a_slot_that_recovers_between_two_tries_is_proven() -> None:
    class RecoversSoon(Server):
        async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.data = BROKEN if len(self.requests) < 2 else answer_of("ok")
            await super().answer(reader, writer)

    async with RecoversSoon().running(host=NODE) as server:
        await prove(HTTP, server.port)
    assert len(server.requests) == 3


async def test_an_answer_that_breaks_off_is_none() -> None:
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok"
    async with Server(data).running(host=NODE) as server:
        assert "payload is not completed" in await refusal(HTTP, server.port)
    async with Server(b"220 mail ready\r\n").running(host=NODE) as server:
        assert "Bad status line" in await refusal(HTTP, server.port)


# --- TLS -----------------------------------------------------------------------------------------


async def test_the_certificate_has_to_be_for_the_host_that_the_check_names(
    authority: Authority, stranger: Authority
) -> None:
    named = HttpProbe(url="https://shop.example:{port}/", ca_file=str(authority.file))
    here = authority.certify("DNS:shop.example")
    async with Server().running(here, host=NODE) as server:
        await prove(named, server.port)
        await prove(HttpProbe(url="https://127.0.0.1:{port}/", insecure=True), server.port)
        said = await refusal(HttpProbe(url="https://a:{port}/", ca_file=named.ca_file), server.port)
        assert "the certificate was not accepted: " in said
    async with Server().running(stranger.certify("DNS:shop.example"), host=NODE) as server:
        said = await refusal(named, server.port)
        assert "the certificate was not accepted: " in said


@pytest.mark.parametrize(
    "probe",
    [
        HttpProbe(url="https://a:{port}/", ca_file="/nowhere/ca.pem"),
        GrpcProbe(address="a:{port}", tls=True, ca_file="/nowhere/ca.pem"),
    ],
)
async def test_a_file_that_the_controller_lacks_is_found_before_anything_starts(
    probe: Probe,
) -> None:
    with pytest.raises(TrafficError) as raised:
        proof.check(release(probe))
    assert raised.value.message == (
        "ca_file /nowhere/ca.pem cannot be read: No such file or directory on the controller's "
        "machine"
    )
    assert raised.value.hint.startswith("put it there as well")
    with pytest.raises(TrafficError, match="ca_file /nowhere"):
        await prove(probe, free_port())


def test_a_file_that_is_none_is_said_and_where(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing\n")
    with pytest.raises(TrafficError, match="holds no certificate on the controller's machine"):
        proof.check(release(HttpProbe(url="https://a:{port}/", ca_file=str(empty))))


@pytest.mark.parametrize(
    "probe", [HTTP, UnitProbe(), HttpProbe(url="https://a:{port}/", ca_file="/etc/{node}.pem")]
)
def test_a_check_without_a_file_needs_nothing_here(probe: Probe) -> None:
    proof.check(release(probe))


# --- The other kinds -----------------------------------------------------------------------------


async def test_a_grpc_server_is_asked_at_its_nodes_address() -> None:
    probe = GrpcProbe(address="127.0.0.1:{port}", service="shop.{slot}")
    async with HealthServer({"shop.blue": 1, "": 2}).running(host=NODE) as server:
        await prove(probe, server.port)
        said = await refusal(GrpcProbe(address="127.0.0.1:{port}"), server.port)
    assert said == f"gRPC health of the server at {server.address}: answered NOT_SERVING"
    port = free_port()
    said = await refusal(probe, port)
    assert said == f"gRPC health of shop.blue at {NODE}:{port}: connection refused"


async def test_a_grpc_server_with_tls_is_trusted_for_the_host_that_the_check_names(
    authority: Authority,
) -> None:
    ca_file = str(authority.file)
    certificate = authority.certify("DNS:shop.example")
    async with HealthServer({"": 1}).running(certificate, host=NODE) as server:
        await prove(
            GrpcProbe(address="shop.example:{port}", tls=True, ca_file=ca_file), server.port
        )
        other = GrpcProbe(address="127.0.0.1:{port}", tls=True, ca_file=ca_file)
        assert (await refusal(other, server.port)).endswith("the certificate is not for this host")


@pytest.mark.parametrize(
    "probe",
    [TcpProbe(address="127.0.0.1:{port}"), ExecProbe(command=("./check",)), UnitProbe()],
    ids=["tcp", "exec", "unit"],
)
async def test_where_only_the_node_can_ask_the_slots_port_has_to_accept_connections(
    probe: Probe,
) -> None:
    async with Server().running(host=NODE) as server:
        await prove(probe, server.port)
    async with Server().running(host="127.0.0.1") as server:
        said = await refusal(probe, server.port)
    assert said == f"TCP {NODE}:{server.port}: connection refused"


async def test_a_node_with_an_address_of_ipv6_is_asked_there() -> None:
    port = free_port()
    for address in (f"::1:{port}", f"[::1]:{port}"):
        for probe, what in {
            HTTP.url: f"http://[::1]:{port}/health",
            "http://localhost/{port}": f"http://[::1]/{port}",
        }.items():
            wanted = release(HttpProbe(url=probe))
            with pytest.raises(TrafficError, match=re.escape(f": {what}: ")):
                await proof.prove("shop@production", wanted, PLACE, address)
        with pytest.raises(TrafficError, match=re.escape(f"TCP [::1]:{port}: ")):
            await proof.prove("shop@production", release(UnitProbe()), PLACE, address)


# --- How long ------------------------------------------------------------------------------------


async def test_each_try_has_the_timeout_of_the_check() -> None:
    async with Server(b"", hold=True).running(host=NODE) as server:
        said = await refusal(HTTP, server.port, timeout_seconds=0.1)
    assert said.endswith(": no answer within 0.1 s")
    assert len(server.requests) == proof.PROBE_TRIES


@pytest.mark.parametrize("timeout_seconds", [0.25, 3600])
async def test_all_tries_together_are_bounded(
    monkeypatch: pytest.MonkeyPatch, timeout_seconds: float
) -> None:
    monkeypatch.setattr(proof, "PROOF_SECONDS", 0.6)
    async with Server(b"", hold=True).running(host=NODE) as server:
        said = await asyncio.wait_for(refusal(HTTP, server.port, timeout_seconds), 10)
    assert ": no answer within 0." in said
    assert 1 <= len(server.requests) < proof.PROBE_TRIES


def test_the_proof_ends_before_the_effect_that_it_belongs_to() -> None:
    """Otherwise the balancer would be blamed for a slot."""
    assert proof.PROOF_SECONDS < effects.EFFECT_SECONDS


def test_looking_twice_whether_anybody_listens_takes_no_time_from_the_proof() -> None:
    looks = 2 * (listening.PATIENCE_SECONDS + listening.CONNECT_SECONDS)
    assert looks <= Traffic(adapter="caddy", listen=":80").work_seconds
    assert Traffic(adapter="caddy").work_seconds == 0.0


# --- What the agent is told ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "probe",
    [
        HttpProbe(url="a", status=("200", "300-399"), body="b", headers={"X": "y"}, insecure=True),
        HttpProbe(url="a", ca_file="c"),
        TcpProbe(address="a:1"),
        ExecProbe(command=("a", "b")),
        GrpcProbe(address="a:1", service="s", tls=True, ca_file="c"),
        UnitProbe(),
    ],
)
def test_every_kind_of_check_reaches_the_agent_whole(probe: Probe) -> None:
    health = Health(probe=probe, start_grace_seconds=4.0)
    sent = to_check(health)
    kind = type(probe).__struct_config__.tag
    assert sent.WhichOneof("kind") == kind
    for field in probe.__struct_fields__:
        told = getattr(getattr(sent, str(kind)), field)
        value = getattr(probe, field)
        assert (tuple(told) if isinstance(value, tuple) else told) == value
    numbers = set(Health.__struct_fields__) - {"probe"}
    assert {name: getattr(sent, name) for name in numbers} == {
        name: getattr(health, name) for name in numbers
    }
