"""`[traffic]` of `tidegate.toml`: which adapter moves traffic, and its options.

Called by `config`. Each option belongs to one adapter; that of another is an error.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import get_args, get_type_hints

from tidegate_controller.addresses import split_address
from tidegate_controller.config_checks import (
    At,
    Check,
    Key,
    choice,
    command,
    duration,
    integer,
    known_yet,
    string,
    table,
    template,
)
from tidegate_controller.core.spec import Traffic
from tidegate_controller.errors import UsageError
from tidegate_protos.rules import render

LISTEN = "127.0.0.1:8080"  # where Caddy takes requests if nobody says otherwise
WORDS = ("app", "environment")  # what placeholders may stand for here


def traffic(at: At) -> object:
    """The table -> what `Traffic` is made of."""
    found = table(at, TRAFFIC)
    adapter = at.value.get("adapter") if isinstance(at.value, dict) else None
    if not isinstance(at.value, dict) or not isinstance(adapter, str) or adapter not in ADAPTERS:
        return None
    for key in at.value:
        owners = [owner for owner, keys in ADAPTERS.items() if key in keys]
        if owners and adapter not in owners:
            at.inner(key).clashes(f"belongs to {' and '.join(owners)}; this adapter is {adapter}")
    for key, example in NEEDED.items():
        if key in ADAPTERS[adapter] and key not in at.value:
            at.inner(key).clashes(f"missing; for example {example}")
    return found


def without_other_adapter(base: dict[str, object], own: Mapping[str, object]) -> dict[str, object]:
    """What an environment's own table leaves of the table for all: nothing of another adapter."""
    same = "adapter" not in own or own["adapter"] == base.get("adapter", own["adapter"])
    return base if same else {}


def resolved(found: Traffic, app: str, environment: str, folder: Path) -> Traffic:
    """With its placeholders filled in, and paths that are relative to the file's `folder` in full.
    A program without a slash in its name is looked for where programs are."""
    words = dict(zip(WORDS, (app, environment), strict=True))
    fields: dict[str, object] = {name: getattr(found, name) for name in found.__struct_fields__}
    if found.directory:
        fields["directory"] = str((folder / render(found.directory, words)).absolute())
    if found.command:
        program, *arguments = (render(part, words) for part in found.command)
        if "/" in program:
            program = str((folder / program).absolute())
        fields["command"] = (program, *arguments)
    return Traffic(**fields)  # type: ignore[arg-type]


# --- The schema ----------------------------------------------------------------------------------


def _directory(at: At) -> str:
    found = template(at, 'a directory such as "/srv/caddy/upstreams"', words=WORDS)
    if found.startswith("~"):
        at.wrong("~ is not expanded here; write the path in full or relative to this file")
    return found


def _listen(at: At) -> str:
    found = string(at, f'HOST:PORT such as "{LISTEN}"') or ""
    try:
        split_address(found or LISTEN, "listen")
    except UsageError:
        at.expected(f'HOST:PORT such as "{LISTEN}"')
    return found


_KNOWN = get_args(get_type_hints(Traffic)["adapter"])
TRAFFIC = {
    "adapter": Key(
        "adapter", known_yet(_KNOWN), "what moves requests between slots", 'adapter = "caddy"'
    ),
    "directory": Key(
        "directory",
        Check("a directory", _directory),
        "for the lanes, on the controller's machine; relative to this file; may hold `{app}` and "
        "`{environment}`",
    ),
    "lanes": Key(
        "lanes", integer(1, 1000), "upstreams in the Caddyfile; at least two a node share evenly"
    ),
    "listen": Key(
        "listen",
        Check("HOST:PORT", _listen),
        "where Caddy takes requests, seen from the controller's machine: each rollout and "
        "`tidegate doctor` look whether connections are accepted there",
        absent="nobody looks",
    ),
    "command": Key(
        "command",
        command('["./traffic", "{environment}"]', WORDS),
        "an argument list, run on the controller's machine as the controller's user with `check N`,"
        " `read` or `write` after it; may hold `{app}` and `{environment}`; a program with a `/` in"
        " its name is relative to this file",
    ),
    "timeout": Key(
        "timeout_seconds",
        duration("100ms", "5m"),
        "for one run of the command; then it is killed with all it started",
    ),
    "manual": Key(
        "manual",
        choice(get_args(get_type_hints(Traffic)["manual"])),
        '`"wait"`: until somebody says that traffic was switched; `"warn"`: go on at once',
    ),
}
ADAPTERS = {
    "caddy": ("directory", "lanes", "listen"),
    "exec": ("command", "timeout"),
    "none": ("manual",),
}
NEEDED = {
    "directory": 'directory = "/srv/caddy/upstreams"',
    "command": 'command = ["./traffic", "{environment}"]',
}
