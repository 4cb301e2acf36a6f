"""`[service]` of `tidegate.toml`: which service manager runs a release, and with what.

Called by `config_keys`. Some options belong to one manager; those of another are an error.
"""

import re
from collections.abc import Mapping
from functools import partial
from typing import get_args, get_type_hints

from tidegate_controller.config_checks import (
    BRACES,
    At,
    Check,
    Key,
    command,
    duration,
    full_path,
    integer,
    known_yet,
    string,
    table,
    template,
    variables,
)
from tidegate_controller.core.spec import Service
from tidegate_protos.rules import UNIT, UNIT_PLACEHOLDERS

_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}")
_UNIT_FORM = 'the name of a unit on the nodes such as "shop@{slot}.service"'


def service(at: At) -> object:
    """The table -> what `Service` is made of."""
    found = table(at, SERVICE)
    manager = at.value.get("manager", "process") if isinstance(at.value, dict) else None
    if not isinstance(at.value, dict) or not isinstance(manager, str) or manager not in MANAGERS:
        return found
    foreign = [key for key in OWN if key in at.value and key not in MANAGERS[manager]]
    for key in foreign:
        at.inner(key).clashes(f"{OWN[key]}; this manager is {manager}")
    for key in MANAGERS[manager]:
        # Whoever gave the other's key, and named no manager, has forgotten only that.
        if key not in at.value and not (foreign and "manager" not in at.value):
            at.inner(key).clashes(f"missing; for example {EXAMPLES[key]}")
    return found


def without_other_manager(base: dict[str, object], own: Mapping[str, object]) -> dict[str, object]:
    """What an environment's own table leaves of the table for all: what only another manager can
    do something with is left out."""
    if "manager" not in own or own["manager"] == base.get("manager", "process"):
        return base
    return {key: value for key, value in base.items() if key not in OWN}


def keys_of(manager: str) -> dict[str, Key]:
    """All that may be given with it."""
    own = MANAGERS[manager]
    return {name: key for name, key in SERVICE.items() if name in own or name not in OWN}


# --- Single values -------------------------------------------------------------------------------


def _unit(at: At) -> str:
    problems = len(at.problems)
    unit = template(at, _UNIT_FORM, words=UNIT_PLACEHOLDERS)
    if len(at.problems) > problems:
        return unit
    name = BRACES.sub(lambda found: "x" if found["name"] else found[0], unit)
    if not UNIT.fullmatch(name):
        at.expected(f"{_UNIT_FORM}: letters, digits and : _ . @ -, and .service at its end")
    elif "{slot}" not in unit:
        at.wrong(
            "does not name {slot}, so both slots would have the same unit; write one such as "
            '"shop@{slot}.service"'
        )
    return unit


def _ports(at: At) -> object:
    found = table(at, PORTS)
    if found.get("blue") is not None and found["blue"] == found.get("green"):
        at.clashes("blue and green must be two different ports: both run at once")
    return found


def _user(at: At) -> object:
    what = 'the name of a user on the nodes such as "www-data"'
    user = string(at, what)
    if user is not None and not _USER.fullmatch(user):
        at.expected(what)
    return user


# --- The schema ----------------------------------------------------------------------------------

PORTS = {
    "blue": Key("blue", integer(1, 65535), "of the slot blue", "blue = 8001"),
    "green": Key("green", integer(1, 65535), "of the slot green", "green = 8002"),
}
# Manager -> the keys that only it has, all of which it needs.
MANAGERS = {"process": ("command",), "systemd": ("unit",)}
OWN = {
    "command": "belongs to process, while a unit says itself what it runs, by its ExecStart=",
    "unit": 'belongs to systemd; write manager = "systemd" beside it',
}
EXAMPLES = {
    "command": 'command = ["./serve", "--port", "{port}"]',
    "unit": 'unit = "shop@{slot}.service"',
}
SERVICE = {
    "manager": Key(
        "manager",
        known_yet(get_args(get_type_hints(Service)["manager"])),
        "who runs it: `process`, children of the agent, which starts them again when they exit; "
        "or `systemd`, [units of your own](../../systemd/README.md#apps-as-units)",
    ),
    "command": Key(
        "command",
        command('["./serve", "--port", "{port}"]'),
        "with `process`: a list of arguments; runs in the unpacked release",
        absent="required with `process`",
    ),
    "unit": Key(
        "unit",
        Check("a unit's name", _unit),
        "with `systemd`: the unit of each slot, which must be on the nodes; may hold `{slot}`, "
        "`{app}`, `{environment}` and `{node}`, and must hold `{slot}`",
        absent="required with `systemd`",
    ),
    "user": Key(
        "user",
        Check("a user's name", _user),
        "whom the app and its hooks run as; the agent must be root for that. With `systemd` whom "
        "the slot's files belong to, and the unit's `User=` is to be the same",
        absent="the agent's own",
    ),
    "environment": Key(
        "environment",
        Check("a table of strings", variables),
        "variables; they are stored in the log, so no secrets. Names that begin with `TIDEGATE_` "
        "are set by Tidegate, and so is `PORT`",
    ),
    "environment_file": Key(
        "environment_file",
        Check(
            "a path, in full",
            partial(
                full_path, what='the path of a file on the node, in full, such as "/etc/shop/env"'
            ),
        ),
        "`NAME=value` lines in a file on the node, read at each start: the place for secrets; "
        "where `environment` has the same name, the file counts. With `systemd` for hooks and "
        "checks alone: a unit names the file by its own `EnvironmentFile=`",
        absent="none",
    ),
    "ports": Key(
        "ports",
        Check("{ blue = 8001, green = 8002 }", _ports),
        "where they must be known",
        absent="the agent picks",
    ),
    "stop_grace": Key(
        "stop_grace_seconds",
        duration("0s"),
        "between SIGTERM and SIGKILL, when a slot is stopped. With `systemd` the unit's "
        "`TimeoutStopSec=` counts where it is shorter",
    ),
}
