"""The health check `http`, against servers that answer, stutter, lie or say nothing."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority
from small_servers import OK, Server, answer_of, free_port

from tidegate_agent.errors import ServiceError
from tidegate_agent.health import http
from tidegate_agent.health.http import Http

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def probed(
    data: bytes, hold: bool = False, timeout_seconds: float = 20, **options: Any
) -> str | None:
    async with Server(data, hold).running() as server:
        problem = await Http(server.url, **options).ask(timeout_seconds)
        return problem.replace(server.url, "URL") if problem else None


@pytest.mark.parametrize("hold", [False, True], ids=["closes", "keeps it open"])
@pytest.mark.parametrize(
    "data",
    [
        OK,
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200\r\ncontent-length:0\r\n\r\n",
        b"HTTP/1.0 299 Fine\nContent-Length: 0\n\n",
        CHUNKED + b"2\r\nok\r\n0\r\n\r\n",
        CHUNKED + b"2\r\nok\r\n0\r\nTrailer: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + b"x" * http.ANSWER_BYTES,
    ],
    ids=[
        "200",
        "204",
        "no reason",
        "1.0, bare newlines",
        "chunked",
        "trailers",
        "more than we read",
    ],
)
async def test_a_2xx_answer_is_healthy_whether_or_not_the_server_closes(
    data: bytes, hold: bool
) -> None:
    assert await probed(data, hold) is None


async def test_an_answer_without_length_ends_when_the_server_closes() -> None:
    assert await probed(b"HTTP/1.1 200 OK\r\n\r\nall is well") is None


async def test_the_request_is_a_plain_get_that_asks_to_close() -> None:
    async with Server().running() as server:
        assert await Http(server.url + "?deep=1").ask(20) is None
    head = server.requests[0].decode().split("\r\n")
    assert head[0] == "GET /health?deep=1 HTTP/1.1"
    assert f"Host: {server.url.split('/')[2]}" in head
    assert "Connection: close" in head


@pytest.mark.parametrize("code", [400, 404, 500, 503, 101])
async def test_any_other_answer_is_named(code: int) -> None:
    data = f"HTTP/1.1 {code} Whatever\r\nContent-Length: 0\r\n\r\n".encode()
    assert await probed(data) == f"GET URL answered {code}"


async def test_a_bad_status_is_named_even_if_the_body_never_comes() -> None:
    data = b"HTTP/1.1 503 Busy\r\nContent-Length: 10\r\n\r\n"
    assert await probed(data, hold=True, timeout_seconds=0.5) == "GET URL answered 503"


async def test_a_redirect_is_not_followed_and_said_so() -> None:
    data = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    assert await probed(data) == "GET URL answered 302, and redirects are not followed"


@pytest.mark.parametrize(
    ("data", "beginning"),
    [
        (b"SSH-2.0-OpenSSH_9.9\r\n", b"SSH-2.0-OpenSSH_9.9\r\n"),
        (b"\x1b[31mred{{7*7}}<script>", b"\x1b[31mred{{7*7}}<script>"),
        (b"HTTP/2 200\r\n\r\n", b"HTTP/2 200\r\n\r\n"),
        (b"HTTP/1.1 20 OK\r\n\r\n", b"HTTP/1.1 20 OK\r\n\r\n"),
        (b"HTTP/1.1 999999 OK\r\n\r\n", b"HTTP/1.1 999999 OK\r\n\r\n"),
        (b"\x00" * 100_000, b"\x00" * 40),
    ],
)
async def test_what_is_not_http_is_told_at_once_and_without_raw_bytes(
    data: bytes, beginning: bytes
) -> None:
    problem = await probed(data, hold=True)
    assert problem == f"GET URL: the answer is not HTTP/1.1, it begins with {beginning!r}"
    assert problem.isprintable()


async def test_a_server_that_never_answers_is_given_up_after_the_timeout() -> None:
    assert await probed(b"", hold=True, timeout_seconds=0.2) == "GET URL: no answer within 0.2 s"


async def test_the_timeout_is_for_the_whole_answer_and_not_for_each_read() -> None:
    async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not writer.is_closing():
                writer.write(b"z")
                await writer.drain()
                await asyncio.sleep(0.02)
        writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with server:
        problem = await asyncio.wait_for(Http(url).ask(0.5), 10)
    assert problem == f"GET {url}: no complete answer within 0.5 s"


async def test_endless_headers_are_not_read_for_ever() -> None:
    data = b"HTTP/1.1 200 OK\r\n" + b"X-Long: 1\r\n" * 20_000
    assert await probed(data, hold=True) == "GET URL: the answer broke off"


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "the connection was closed unanswered"),
        (b"HTTP/1.1 20", "the answer broke off"),
        (b"HTTP/1.1 200 OK\r\nContent-", "the answer broke off"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok", "the answer broke off"),
        (CHUNKED + b"2\r\nok\r\n", "the answer broke off"),
        (CHUNKED + b"ff\r\n0\r\n\r\n", "the answer broke off"),
    ],
)
async def test_an_answer_that_breaks_off_is_not_healthy(data: bytes, what: str) -> None:
    assert await probed(data) == f"GET URL: {what}"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_port_where_nobody_listens_is_connection_refused(host: str) -> None:
    url = f"http://{host}:{free_port()}/"
    assert await Http(url).ask(20) == f"GET {url}: connection refused"


async def test_a_server_that_speaks_no_tls_is_told_for_https() -> None:
    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail ready\r\n")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with server:
        problem = await Http(url).ask(20)
    assert problem is not None
    assert problem.startswith(f"GET {url}: no TLS connection: ")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/",
        "127.0.0.1:80",
        "http://",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:0/",
        "http://127.0.0.1/a b",
        "http://127.0.0.1/\r\nX-Evil: 1",
        "http://user:secret@127.0.0.1/",
        "http://[::1/",
        "",
    ],
)
def test_an_address_that_cannot_be_asked_is_refused_when_the_check_is_made(url: str) -> None:
    with pytest.raises(ServiceError, match="health check: ") as refusal:
        Http(url)
    assert "secret" not in str(refusal.value)


# --- What is asked for ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "accepted", "refused"),
    [
        (("204",), (204,), (200, 205)),
        (("200-204", "404"), (200, 204, 404), (205, 403)),
        (("500-599",), (503,), (200,)),
        (("302",), (302,), (200,)),
    ],
)
async def test_a_status_that_is_asked_for_is_healthy_and_no_other(
    status: tuple[str, ...], accepted: tuple[int, ...], refused: tuple[int, ...]
) -> None:
    for code in accepted:
        assert await probed(answer_of("", f"{code} Whatever"), status=status) is None
    for code in refused:
        problem = await probed(answer_of("", f"{code} Whatever"), status=status)
        assert problem == f"GET URL answered {code}"


@pytest.mark.parametrize("status", ["2xx", "", "99", "600", "200-", "299-200", "200,201", "100"])
def test_a_status_that_is_none_is_refused_when_the_check_is_made(status: str) -> None:
    with pytest.raises(ServiceError, match="health check: .* is no status"):
        Http("http://127.0.0.1/", (status,))


@pytest.mark.parametrize(
    "data",
    [
        answer_of("all is well"),
        answer_of("is wéll"),
        b"HTTP/1.1 200 OK\r\n\r\nis well",
        CHUNKED + b"7\r\nall is \r\n4;x=y\r\nwell\r\n0\r\n\r\n",
        CHUNKED + b"2\r\nis\r\n5\r\n well\r\n0\r\nTrailer: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\nis well" + b"x" * http.ANSWER_BYTES,
    ],
    ids=["plain", "not ASCII", "to the end", "over chunks", "trailer", "more than we read"],
)
async def test_a_body_that_contains_what_is_asked_for_is_healthy(data: bytes) -> None:
    body = "is wéll" if "wéll".encode() in data else "is well"
    assert await probed(data, body=body) is None


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (answer_of("starting\x1b[31m"), r"begins with b'starting\x1b[31m'"),
        (answer_of(""), "is empty"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "is empty"),
        (b"HTTP/1.1 200 OK\r\nX: well\r\nContent-Length: 3\r\n\r\nbad", "begins with b'bad'"),
        (CHUNKED + b"2\r\nwe\r\n1\r\nl\r\n0\r\n\r\n", "begins with b'wel'"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokwell", "begins with b'ok'"),
    ],
)
async def test_a_body_that_lacks_what_is_asked_for_is_shown(data: bytes, found: str) -> None:
    problem = await probed(data, body="well")
    assert problem == f"GET URL: the answer's body does not contain 'well', it {found}"
    assert problem.isprintable()


async def test_a_body_beyond_what_is_read_is_not_found() -> None:
    data = answer_of("x" * http.ANSWER_BYTES + "well")
    problem = await probed(data, body="well")
    assert problem is not None
    assert "does not contain 'well'" in problem


async def test_a_wrong_status_is_said_before_a_wrong_body() -> None:
    problem = await probed(answer_of("bad", "503 Busy"), body="ok")
    assert problem == "GET URL answered 503"


async def test_own_headers_are_sent_in_place_of_the_usual_ones() -> None:
    headers = {"host": "shop.example", "X-Check": "deep", "ACCEPT": "text/plain"}
    async with Server().running() as server:
        assert await Http(server.url, headers=headers).ask(20) is None
    lines = server.requests[0].decode().split("\r\n")
    assert {"host: shop.example", "X-Check: deep", "ACCEPT: text/plain"} <= set(lines)
    names = [line.partition(":")[0].lower() for line in lines if ":" in line]
    assert sorted(names) == ["accept", "connection", "host", "user-agent", "x-check"]


@pytest.mark.parametrize(
    ("name", "value"), [("X-A\r\nX-B", "1"), ("X A", "1"), ("", "1"), ("X", "a\nb"), ("X", "é")]
)
def test_a_header_that_cannot_be_sent_is_refused_when_the_check_is_made(
    name: str, value: str
) -> None:
    with pytest.raises(ServiceError, match="cannot be sent"):
        Http("http://127.0.0.1/", headers={name: value})


# --- TLS -----------------------------------------------------------------------------------------


async def asked_over_tls(certificate: tuple[Path, Path], **options: Any) -> str | None:
    async with Server().running(certificate) as server:
        problem = await Http(server.url, **options).ask(20)
        return problem.replace(server.url, "URL") if problem else None


async def test_a_certificate_that_the_file_vouches_for_is_accepted(authority: Authority) -> None:
    certificate = authority.certify("IP:127.0.0.1")
    assert await asked_over_tls(certificate, ca_file=str(authority.file)) is None


async def test_a_certificate_that_nobody_vouches_for_is_not(
    authority: Authority, stranger: Authority
) -> None:
    refused = "GET URL: the certificate was not accepted: unable to get local issuer certificate"
    certificate = stranger.certify("IP:127.0.0.1")
    assert await asked_over_tls(certificate, ca_file=str(authority.file)) == refused
    assert await asked_over_tls(certificate) == refused


async def test_a_certificate_for_another_host_is_not_accepted(authority: Authority) -> None:
    certificate = authority.certify("DNS:shop.example")
    problem = await asked_over_tls(certificate, ca_file=str(authority.file))
    assert problem is not None
    assert problem.startswith("GET URL: the certificate was not accepted: IP address mismatch")


async def test_insecure_accepts_any_certificate(stranger: Authority) -> None:
    assert await asked_over_tls(stranger.certify("DNS:shop.example"), insecure=True) is None


async def test_a_file_of_certificates_is_read_again_each_time(
    authority: Authority, stranger: Authority, tmp_path: Path
) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(stranger.file.read_bytes())
    async with Server().running(authority.certify("IP:127.0.0.1")) as server:
        asked = Http(server.url, ca_file=str(file))
        assert await asked.ask(20) is not None
        file.write_bytes(authority.file.read_bytes())
        assert await asked.ask(20) is None


async def test_a_file_of_certificates_that_is_of_no_use_is_named(tmp_path: Path) -> None:
    missing, empty = tmp_path / "missing.pem", tmp_path / "empty.pem"
    empty.write_text("nothing\n")
    url = f"https://127.0.0.1:{free_port()}/"
    problem = await Http(url, ca_file=str(missing)).ask(20)
    assert (
        problem
        == f"GET {url}: ca_file {missing} on this node cannot be read: No such file or directory"
    )
    problem = await Http(url, ca_file=str(empty)).ask(20)
    assert problem == f"GET {url}: ca_file {empty} on this node holds no certificate"
