"""`[health]` of `tidegate.toml`: which kind of check, its options, and how often it is asked.

Called by `config_keys`. The kind is the one key of `PROBES` that is given; each option belongs to
some.
"""

import re
import urllib.parse
from collections.abc import Mapping

import msgspec

from tidegate_controller.config_checks import (
    BRACES,
    At,
    Check,
    Key,
    a_text,
    boolean,
    clip,
    command,
    describe,
    duration,
    integer,
    quoted,
    table,
    template,
)
from tidegate_controller.core.spec import Health, UnitProbe
from tidegate_controller.units import spell_duration
from tidegate_protos.rules import HEADER_NAME, HEADER_VALUE, split_host_port, status_range

EXAMPLE = 'http = "http://127.0.0.1:{port}/health"'
OWN_HEADERS = ("connection", "content-length", "transfer-encoding")

_URL_PORT = re.compile(r"(https?://(?:\[[^]]*\]|[^][/?#:]*))(?::[0-9]*)?(?=[/?#]|$)")


def health(at: At) -> object:
    """The table -> what `Health` is made of."""
    found = table(at, HEALTH)
    if not isinstance(at.value, dict):
        return None
    given = [kind for kind in PROBES if kind in at.value]
    if not given:
        at.clashes(
            f"does not say how to ask; give one of {', '.join(PROBES)}, for example {EXAMPLE}"
        )
        return None
    for second in given[1:]:
        said = f"a second check beside {given[0]}; give one of {', '.join(PROBES)}"
        at.inner(second).clashes(said)
    kind = given[0]
    if len(given) == 1:
        _refuse_foreign(at, kind, at.value)
    _refuse_useless(at, kind, at.value)
    _refuse_impossible(at, found)
    probe = {field: found[key] for key, field in PROBES[kind].items() if key in found}
    return {"probe": {"type": kind, **probe}} | {
        key.field: found[key.field] for key in WAITS.values() if key.field in found
    }


def without_other_kind(base: dict[str, object], own: Mapping[str, object]) -> dict[str, object]:
    """What an environment's own table leaves of the table for all: another kind of check replaces
    the kind and its options, not how often it is asked."""
    before, now = ({kind for kind in PROBES if kind in given} for given in (base, own))
    if not now or now == before:
        return base
    return {key: value for key, value in base.items() if key not in {**KINDS, **OPTIONS}}


def _refuse_foreign(at: At, kind: str, written: Mapping[str, object]) -> None:
    for key in OPTIONS:
        if key in written and key not in PROBES[kind]:
            owners = " and ".join(owner for owner, keys in PROBES.items() if key in keys)
            at.inner(key).clashes(f"belongs to {owners}; this check is {kind}")


def _refuse_useless(at: At, kind: str, written: Mapping[str, object]) -> None:
    """Options of TLS where there is none."""
    plain = {
        "http": (str(written.get("http")).startswith("http://"), "https://"),
        "grpc": (written.get("tls") is not True, "tls = true"),
    }
    without_tls, needed = plain.get(kind, (False, ""))
    for key in ("insecure", "ca_file"):
        if without_tls and key in PROBES[kind] and written.get(key, False) is not False:
            at.inner(key).clashes(f"is for {needed} only")
    if written.get("insecure") is True and written.get("ca_file"):
        at.inner("ca_file").clashes("has no use beside insecure, which accepts any certificate")


def _refuse_impossible(at: At, found: Mapping[str, object]) -> None:
    """A slot that could not be healthy for long enough before its deadline."""
    waits = ("healthy_after", "start_grace", "deadline")
    if {(*at.path, wait) for wait in waits} & {problem.path for problem in at.problems}:
        return
    fields = {wait: WAITS[wait].field for wait in waits}
    given = {
        field: value for field in fields.values() if isinstance(value := found.get(field), float)
    }
    whole = msgspec.structs.replace(Health(probe=UnitProbe()), **given)  # the rest by default
    grace, after = whole.start_grace_seconds, whole.healthy_after_seconds
    if grace + after < whole.deadline_seconds:
        return
    terms = f"healthy_after ({spell_duration(after)}) must be"
    if grace:
        terms = f"start_grace ({spell_duration(grace)}) and healthy_after ({spell_duration(after)})"
        terms += " together must be"
    first = next(wait for wait in waits if fields[wait] in given)
    at.inner(first).clashes(
        f"{terms} shorter than deadline ({spell_duration(whole.deadline_seconds)})"
    )


# --- Single values -------------------------------------------------------------------------------


def _url(at: At) -> str:
    what = 'a URL such as "http://127.0.0.1:{port}/health"'
    problems = len(at.problems)
    url = template(at, what)
    if len(at.problems) > problems:
        return url
    parts = taken_apart(BRACES.sub("1", url))
    if parts is None:
        at.expected(what)
    elif "@" in parts.netloc:
        at.wrong("must hold no user name and no password: it is stored in the event log")
    else:
        _need_slot(at, url, _URL_PORT.sub(r"\1:{port}", url, count=1))
    return url


def taken_apart(url: str) -> urllib.parse.SplitResult | None:
    """None for what cannot be asked."""
    try:
        parts = urllib.parse.urlsplit(url)
        named = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    visible = not re.search(r"[^!-~]", url)
    return parts if named and visible and url.startswith(("http://", "https://")) else None


def _address(at: At) -> str:
    what = '"HOST:PORT" such as "127.0.0.1:{port}"'
    problems = len(at.problems)
    address = template(at, what)
    if len(at.problems) > problems:
        return address
    try:
        split_host_port(BRACES.sub("1", address))
    except ValueError:
        at.expected(what)
    else:
        _need_slot(at, address, f"{address.rpartition(':')[0]}:{{port}}")
    return address


def _need_slot(at: At, address: str, better: str) -> None:
    """Both slots of a node may run at once, so an address has to tell them apart."""
    if not {"port", "slot"} & {found["name"] for found in BRACES.finditer(address)}:
        at.wrong(
            "names neither {port} nor {slot}, so it would ask the other slot, or the balancer, as "
            f"well; write {at.path[-1]} = {clip(quoted(better))}"
        )


def statuses(at: At) -> object:
    if not isinstance(at.value, list) or not at.value:
        at.expected('an array of statuses such as [200, "300-399"], not empty')
        return None
    for index, item in enumerate(at.value):
        try:
            status_range("" if isinstance(item, bool) else str(item))
        except ValueError:
            inner = at.inner(index, item)
            inner.expected('a status such as 200, or a range such as "200-299", from 200 to 599')
    return [str(item) for item in at.value]


def _headers(at: At) -> object:
    if not isinstance(at.value, dict):
        at.expected('a table of strings such as { Host = "shop.example" }')
        return None
    seen: set[str] = set()
    made = {}
    for header, value in at.value.items():
        inner = at.inner(header, value)
        problems = len(at.problems)
        made[header] = template(inner, 'a string such as "shop.example"', may_be_empty=True)
        if not HEADER_NAME.fullmatch(header):
            inner.wrong("must be a header's name: letters, digits and - are usual, no blanks")
        elif header.lower() in OWN_HEADERS:
            inner.wrong("is set by Tidegate itself")
        elif header.lower() in seen:
            inner.wrong("is given twice, apart from upper and lower case")
        elif len(at.problems) == problems and not HEADER_VALUE.fullmatch(made[header]):
            inner.wrong(f"must be ASCII, as headers are; found {describe(value)}")
        seen.add(header.lower())
    return made


def _file(at: At) -> str:
    what = 'the path of a file on the node, in full, such as "/etc/ssl/certs/shop-ca.pem"'
    problems = len(at.problems)
    path = template(at, what)
    if len(at.problems) == problems and not path.startswith("/"):
        at.expected(what)
    return path


def _yes(at: At) -> None:
    if at.value is not True:
        at.expected("true; leave it out where another check is meant")


# --- The schema ----------------------------------------------------------------------------------

# Kind -> its keys here and the fields of its probe in core.spec that they fill.
PROBES: dict[str, dict[str, str]] = {
    "http": {
        "http": "url",
        "status": "status",
        "body": "body",
        "headers": "headers",
        "insecure": "insecure",
        "ca_file": "ca_file",
    },
    "tcp": {"tcp": "address"},
    "exec": {"exec": "command"},
    "grpc": {"grpc": "address", "grpc_service": "service", "tls": "tls", "ca_file": "ca_file"},
    "unit": {},
}
KINDS = {
    "http": Key(
        "http", Check("a URL", _url), "what to GET; healthy when the answer is as the next keys say"
    ),
    "tcp": Key("tcp", Check('"HOST:PORT"', _address), "healthy when it accepts a connection there"),
    "exec": Key(
        "exec",
        command('["./check", "--port", "{port}"]'),
        "run in the release as the app is; healthy when it exits with 0; killed with all it "
        "started at the timeout",
    ),
    "grpc": Key(
        "grpc", Check('"HOST:PORT"', _address), "healthy when its grpc.health.v1 says `SERVING`"
    ),
    "unit": Key(
        "unit",
        Check("true", _yes),
        "healthy as long as the service manager says that it runs; the app is not asked",
    ),
}
OPTIONS = {
    "status": Key(
        "status",
        Check('an array such as [200, "300-399"]', statuses),
        "which answers are healthy; redirects are not followed",
    ),
    "body": Key(
        "body",
        a_text('a string such as "ok"'),
        "a text that the first 64 KiB of the answer have to contain",
        absent="anything will do",
    ),
    "headers": Key(
        "headers",
        Check("a table of strings", _headers),
        "headers to send; they are stored in the log, so no secrets",
    ),
    "insecure": Key("insecure", boolean, "with `https://`: any certificate will do"),
    "grpc_service": Key(
        "grpc_service",
        a_text('the name of a service such as "shop.Cart"'),
        "which of the server's services to ask about",
        absent="the server as a whole",
    ),
    "tls": Key("tls", boolean, "over TLS"),
    "ca_file": Key(
        "ca_file",
        Check("a path, in full", _file),
        "with TLS: whom to trust, a file on the nodes and on the controller's machine",
        absent="as the system does",
    ),
}
WAITS = {
    "every": Key("every_seconds", duration("50ms"), "how often, during the rollout and ever after"),
    "timeout": Key("timeout_seconds", duration("1ms"), "for one answer"),
    "failures": Key("failures", integer(1, 100), "so many in a row make a healthy slot unhealthy"),
    "start_grace": Key(
        "start_grace_seconds", duration("0s"), "after a start nothing is asked for so long"
    ),
    "healthy_after": Key(
        "healthy_after_seconds",
        duration("0s"),
        "a new slot must stay healthy this long before it gets traffic",
    ),
    "deadline": Key(
        "deadline_seconds",
        duration("100ms"),
        "a new slot that is not healthy by then, from its start on, has failed; longer than "
        "`start_grace` and `healthy_after` together",
    ),
}
HEALTH = {**KINDS, **OPTIONS, **WAITS}
