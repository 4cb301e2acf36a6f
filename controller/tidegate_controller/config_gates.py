"""`[checks.NAME]` of `tidegate.toml`: what the controller asks once a release has traffic.

Called by `config_keys`, which has the schema of all else.
"""

from tidegate_controller.config_checks import (
    At,
    Check,
    Key,
    a_name,
    duration,
    string,
    table,
)
from tidegate_controller.config_health import statuses, taken_apart

EXAMPLE = 'http = "https://shop.example/ready"'
KINDS = ("http", "command")
_PROGRAM = "a program's name, or its whole path, on the controller's machine"


def checks(at: At) -> object:
    """A table of checks by name."""
    if not isinstance(at.value, dict):
        at.expected(f"tables such as [checks.smoke] with {EXAMPLE}")
        return {}
    return {name: _check(at.inner(name, value), name) for name, value in at.value.items()}


def _check(at: At, name: str) -> object:
    a_name(At(name, at.path, at.problems))
    found = table(at, CHECK)
    given = [kind for kind in KINDS if isinstance(at.value, dict) and kind in at.value]
    if isinstance(at.value, dict) and len(given) != 1:
        has = "has both; " if given else ""
        at.clashes(f"{has}needs one of {' and '.join(KINDS)}; for example {EXAMPLE}")
    for only in ("status", "body"):
        if given == ["command"] and isinstance(at.value, dict) and only in at.value:
            at.inner(only).clashes("is for a check by http")
    return found


def _command(at: At) -> object:
    if not isinstance(at.value, list) or not at.value:
        at.expected('an array of strings such as ["/opt/checks/smoke", "--fast"], not empty')
        return None
    words = [string(at.inner(index, word), "a string") for index, word in enumerate(at.value)]
    if (program := words[0]) and "/" in program and not program.startswith("/"):
        at.inner(0, program).expected(_PROGRAM)
    return words


def _url(at: At) -> object:
    url = string(at, f"a URL; {EXAMPLE}")
    parts = taken_apart(url) if url is not None else None
    if url is not None and parts is None:
        at.expected("a URL such as https://shop.example/ready")
    elif parts is not None and "@" in parts.netloc:
        at.wrong("must hold no user name and no password: it is stored in the event log")
    return url


CHECK = {
    "http": Key(
        "http", Check("a URL", _url), "asked for with GET; no redirect is followed", absent="-"
    ),
    "status": Key(
        "status",
        Check('an array such as [200, "300-399"]', statuses),
        "http: the answers that are a pass; 408, 425, 429, 502, 503 and 504 are no verdict, any "
        "other is a fail",
    ),
    "body": Key(
        "body",
        Check("a string", lambda at: string(at, "a string")),
        "http: what the answer has to hold as well",
        absent="anything",
    ),
    "command": Key(
        "command",
        Check("an array of strings", _command),
        "a program on the controller's machine: exits with 0 for a pass, 1 for a fail, anything "
        "else for no verdict",
        absent="-",
    ),
    "timeout": Key("timeout_seconds", duration("100ms", "1h"), "for one try"),
    "every": Key("every_seconds", duration("100ms", "1h"), "between tries without a verdict"),
    "deadline": Key(
        "deadline_seconds",
        duration("1s", "1d"),
        "for all tries; then a person is asked: no verdict is never taken for a pass",
    ),
}
