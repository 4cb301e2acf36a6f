"""What both sides hold to beside the schema: the forms of names, addresses, URLs and what HTTP
sends, and what placeholders stand for.

Used by agent and controller alike, since each checks what the other sends, and both fill in the
same texts.
"""

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")  # of nodes, apps, environments, slots
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,62}")  # of releases
RESERVED = {"controller"}  # what no node can be called
LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}")  # a label's key and its value alike
DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")  # of HTTP
HEADER_VALUE = re.compile(r"[ -~]*")
URL_CHARS = 2000
PLACEHOLDERS = ("port", "slot", "app", "environment", "version", "node")
UNIT_PLACEHOLDERS = ("slot", "app", "environment", "node")  # a unit is the same for all releases
UNIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_.@-]{0,240}\.service")  # of systemd; none is an option

# Control characters but newline and tab, and the marks that reorder a line for its reader: what
# comes from elsewhere is text, and reaches no terminal with any of these.
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")

_HOST_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})")
_STATUS = re.compile(r"([2-5][0-9]{2})(?:-([2-5][0-9]{2}))?")
_PIECE = re.compile(r"\{\{|\}\}|\{([a-z]+)\}|[{}]")


def render(text: str, words: Mapping[str, str]) -> str:
    """`text` with {word} replaced by its value; `{{` and `}}` stand for braces. Nothing is
    evaluated. Raises ValueError for a word that is not known, or a single brace."""

    def fill(match: re.Match[str]) -> str:
        piece = match.group()
        if piece in ("{{", "}}"):
            return piece[0]
        word = match.group(1)
        if word not in words:
            known = " ".join(f"{{{name}}}" for name in words)
            raise ValueError(f"{piece!r} in {text!r} is not known here; known: {known}")
        return words[word]

    return _PIECE.sub(fill, text)


def split_host_port(text: str) -> tuple[str, int]:
    """ "HOST:PORT" -> host (of IPv6 without its brackets) and port. Raises ValueError."""
    found = _HOST_PORT.fullmatch(text)
    if found is None or not 0 < int(found[3]) < 65536:
        raise ValueError(f"{text!r} is not HOST:PORT")
    return found[1] or found[2], int(found[3])


def join_host_port(host: str, port: int) -> str:
    """The other way round."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def status_range(text: str) -> range:
    """ "200" or "200-299" -> the codes of HTTP answers that are meant. Raises ValueError."""
    found = _STATUS.fullmatch(text)
    if found is None or int(found[2] or found[1]) < int(found[1]):
        raise ValueError(f'{text!r} is no status such as "200" and no range such as "200-299"')
    return range(int(found[1]), int(found[2] or found[1]) + 1)


def url_problem(url: str) -> str:
    """Why an artifact is not fetched from there, to follow "the address"; empty when it may be.

    A query may hold a secret: nothing of it is in the answer.
    """
    if len(url) > URL_CHARS:
        return f"has more than {URL_CHARS} characters"
    if not url.isascii() or not url.isprintable() or " " in url:
        return "is malformed: it has characters that must be written as %XX"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return "is malformed"
    if not usable:
        return f"is not http or https: {url.partition('?')[0][:80]!r}"
    if "@" in parts.netloc:
        return "has a user or password in it, which is not supported"
    return ""


def without_query(url: str) -> str:
    """The URL as messages and notes may have it: a query can hold a secret. Takes anything."""
    return re.split("[?#]", url, maxsplit=1)[0]


def is_loopback(url: str) -> bool:
    """Whether the URL names this machine itself, which no proxy can reach for us."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
