"""What counts as an address, and as one of this machine."""

import pytest

from tidegate_controller.addresses import split_address, split_loopback
from tidegate_controller.errors import UsageError


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:7420", "127.0.0.1", 7420),
        ("localhost:1", "localhost", 1),
        ("[::1]:65535", "::1", 65535),
        ("lb-1.example.org:80", "lb-1.example.org", 80),
        (":8080", "", 8080),
    ],
)
def test_an_address_has_a_host_and_a_port(text: str, host: str, port: int) -> None:
    assert split_address(text, "--listen") == (host, port)


@pytest.mark.parametrize(
    "text",
    [
        *("", "nonsense", "8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:0"),
        *("127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:80 ", "127.0.0.1:80\n", "127.0.0.1:٨٠"),
        *("127.0.0:80", "8080:8080", "::1:80", "[::1:80", "[zz]:80", "[]x:80", "a b:80", "a{b}:80"),
        *("http://127.0.0.1:80", "unix:/run/socket", "-a:80", "x" * 70_000),
    ],
)
def test_what_is_no_address_is_an_error_with_an_example(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        split_address(text, "--listen", "127.0.0.1:8080")
    assert caught.value.message == f"--listen {text[:80]!r} is not HOST:PORT"
    assert caught.value.hint == "for example 127.0.0.1:8080"


@pytest.mark.parametrize("text", ["127.0.0.1:7420", "127.8.9.1:1", "localhost:7420", "[::1]:7420"])
def test_loopback_is_accepted(text: str) -> None:
    assert split_loopback(text, "--listen")[1] > 0


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0:7420",
        "192.0.2.1:7420",
        "[::]:7420",
        ":7420",
        "example.org:7420",
        "localhost.x:7420",
    ],
)
def test_without_mutual_tls_nothing_but_loopback_is(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        split_loopback(text, "--listen")
    assert "without mutual TLS only loopback addresses are accepted" in caught.value.message
    assert "use 127.0.0.1:7420; " in caught.value.hint
