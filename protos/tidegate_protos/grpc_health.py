"""grpc.health.v1, the health service that gRPC servers offer, asked by agents and the controller.

A copy of its schema is not needed, and would collide with the official package's where both are
loaded: on the wire HealthCheckRequest is protobuf's StringValue, HealthCheckResponse an Int32Value.
"""

import re
import ssl
from pathlib import Path

import grpc
from google.protobuf.wrappers_pb2 import Int32Value, StringValue

from tidegate_protos.rules import CONTROLS

METHOD = "/grpc.health.v1.Health/Check"
SERVING = 1
STATES = {0: "UNKNOWN", SERVING: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
ANSWER_BYTES = 4096
DETAIL_CHARS = 200

# Where distributions keep the system's certificates in one file; OpenSSL's own word comes first.
SYSTEM_ROOTS = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")

_OPTIONS: list[tuple[str, int | str]] = [
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
    ("grpc.service_config_disable_resolution", 1),
    # Channels would share connections, and the pause after one that failed.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", ANSWER_BYTES),
]
_LAST_ERROR = re.compile(r"failed to connect to all addresses; last error: [A-Z_]+: (?:ipv.+?: )?")
_CONNECTING = {  # what gRPC says -> what is said here
    r"Connection refused": "connection refused",
    r"Hostname Verification Check failed": "the certificate is not for this host",
    r"CERTIFICATE_VERIFY_FAILED: (?P<why>[^:]+)": "the certificate was not accepted: {why}",
    r"Tls handshake failed": "no TLS connection",
}


async def ask(
    address: str,
    service: str,
    timeout_seconds: float,
    credentials: grpc.ChannelCredentials | None = None,
    authority: str = "",
) -> str | None:
    """Ask the server at "HOST:PORT": None if it is serving, else in a few words what is wrong.

    `service`: empty for the server as a whole. `authority`: whom the certificate must be for and
    who is asked for, where that is not the address.
    """
    options = [*_OPTIONS, ("grpc.default_authority", authority or address)]
    target = f"dns:///{address}"  # so that no host is taken for another scheme, such as unix:
    if credentials is None:
        channel = grpc.aio.insecure_channel(target, options=options)
    else:
        channel = grpc.aio.secure_channel(target, credentials, options=options)
    async with channel:
        check = channel.unary_unary(
            METHOD,
            request_serializer=StringValue.SerializeToString,
            response_deserializer=Int32Value.FromString,
        )
        try:
            answer = await check(StringValue(value=service), timeout=timeout_seconds)
        except grpc.aio.AioRpcError as error:
            return _in_words(error.code(), error.details() or "", service, timeout_seconds)
    if answer.value == SERVING:
        return None
    return f"answered {STATES.get(answer.value, answer.value)}"


def trusting(ca_file: str) -> grpc.ChannelCredentials:
    """For TLS with servers whose certificates this file vouches for; without one, the system's.
    Raises OSError (ssl.SSLError among them) where the file cannot be read or holds none."""
    if not ca_file:
        known = (ssl.get_default_verify_paths().cafile, *SYSTEM_ROOTS)
        ca_file = next((name for name in known if name and Path(name).is_file()), "")
    if not ca_file:
        return grpc.ssl_channel_credentials()
    # gRPC itself would fail to connect, and tell why on standard error alone.
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(ca_file)
    return grpc.ssl_channel_credentials(Path(ca_file).read_bytes())


def _in_words(code: grpc.StatusCode, details: str, service: str, timeout_seconds: float) -> str:
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"no answer within {timeout_seconds:g} s"
    if code == grpc.StatusCode.UNIMPLEMENTED:
        return "the server does not offer grpc.health.v1"
    if code == grpc.StatusCode.NOT_FOUND and service:
        return f"the server knows no service {service!r}"
    connecting = _LAST_ERROR.match(details)
    if connecting is None:
        return f"{code.name}: {_plain(details)}"
    for said, words in _CONNECTING.items():
        if found := re.search(said, details):
            return words.format(**found.groupdict())
    return _plain(details[connecting.end() :])


def _plain(text: str) -> str:
    return " ".join(CONTROLS.sub(" ", text).split())[:DETAIL_CHARS]
