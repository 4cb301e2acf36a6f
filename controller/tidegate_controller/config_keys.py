"""Every key that `tidegate.toml` may hold, with its check and what it means: the schema.

`config` reads files by it, `config_reference` writes the reference page from it. `[health]` and
`[traffic]`, which are of several kinds, have modules of their own.
"""

import re
from typing import get_args, get_type_hints

from tidegate_controller.config_checks import (
    NAME_FORM,
    At,
    Check,
    Key,
    Keys,
    a_name,
    boolean,
    choice,
    command,
    duration,
    full_path,
    integer,
    known_yet,
    nodes,
    string,
    table,
    variables,
)
from tidegate_controller.config_health import EXAMPLE, health
from tidegate_controller.config_traffic import TRAFFIC, traffic
from tidegate_controller.core.spec import Hooks, Service, Spec, Struct

_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}")


def _literals(struct: type[Struct], field: str) -> tuple[str, ...]:
    return get_args(get_type_hints(struct)[field])


def _environments(at: At) -> object:
    if not isinstance(at.value, dict) or not at.value:
        at.expected("at least one table such as [environments.production]")
        return {}
    for environment in at.value:
        a_name(At(environment, (*at.path, environment), at.problems))
    return {
        environment: table(at.inner(environment, value), ENVIRONMENT, SECTIONS)
        for environment, value in at.value.items()
    }


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


def _environment_file(at: At) -> object:
    return full_path(at, 'the path of a file on the node, in full, such as "/etc/shop/env"')


def _section(keys: Keys) -> Check:
    return Check("a table", lambda at: table(at, keys))


# --- Each key, the field of core.spec that it fills, its check, its meaning ----------------------

ENVIRONMENT = {
    "nodes": Key(
        "nodes",
        Check("a table of labels, or an array of names", nodes),
        'labels that must all match, `{ role = "web" }`, or a list of names',
        'nodes = { role = "web" }',
    ),
    "strategy": Key(
        "strategy",
        known_yet(_literals(Spec, "strategy")),
        "how the new release takes over; the only one yet",
    ),
    "protected": Key("protected", boolean, "whoever deploys here is asked whether it is meant"),
}
PORTS = {
    "blue": Key("blue", integer(1, 65535), "of the slot blue", "blue = 8001"),
    "green": Key("green", integer(1, 65535), "of the slot green", "green = 8002"),
}
SERVICE = {
    "manager": Key(
        "manager",
        known_yet(_literals(Service, "manager")),
        "the only one yet: children of the agent, which starts them again when they exit",
    ),
    "command": Key(
        "command",
        command('["./serve", "--port", "{port}"]'),
        "a list of arguments; runs in the unpacked release",
        'command = ["./serve", "--port", "{port}"]',
    ),
    "user": Key(
        "user",
        Check("a user's name", _user),
        "whom the app and its hooks run as; the agent must be root for that",
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
        Check("a path, in full", _environment_file),
        "`NAME=value` lines in a file on the node, read at each start: the place for secrets; "
        "where `environment` has the same name, the file counts",
        absent="none",
    ),
    "ports": Key(
        "ports",
        Check("{ blue = 8001, green = 8002 }", _ports),
        "where they must be known",
        absent="the agent picks",
    ),
    "stop_grace": Key(
        "stop_grace_seconds", duration("0s"), "between SIGTERM and SIGKILL, when a slot is stopped"
    ),
}
HOOKS = {
    "install": Key(
        "install",
        boolean,
        "run `install.sh`, if the release has one, on each node before it is started",
    ),
    "install_timeout": Key("install_seconds", duration("1s"), "for that, on a node"),
    "migrate": Key(
        "migrate",
        choice(_literals(Hooks, "migrate")),
        "run `migrate.sh`, if the release has one, before the first start: on one node, on every "
        "node, or not at all; a rollback never does",
    ),
    "migrate_timeout": Key("migrate_seconds", duration("1s"), "for that, on a node"),
}
ROLLOUT = {
    "prepare_deadline": Key("prepare_seconds", duration("100ms"), "for fetching and unpacking"),
    "soak": Key(
        "soak_seconds",
        duration("0s"),
        "healthy with traffic for so long, then the rollout has succeeded",
    ),
    "drain": Key(
        "drain_seconds", duration("0s"), "for requests in flight, before a slot is stopped"
    ),
    "keep_old_for": Key(
        "keep_old_seconds",
        duration("0s"),
        "the old slot runs on this long: rollback without a start",
    ),
    "away_deadline": Key(
        "away_seconds",
        duration("100ms"),
        "for a node whose agent is gone in the middle of a rollout",
    ),
}
RETENTION = {
    "releases": Key(
        "releases",
        integer(0, 1000),
        "so many stay on a node beside those that are in use; the one to go back to always stays",
    ),
    "age": Key(
        "age_seconds", duration("1m", "3650d"), "of them none that is older", absent="any age"
    ),
}
ARTIFACT = {
    "strip_components": Key(
        "strip_components",
        integer(0, 9),
        "leading folders of the artifact to leave out",
        absent="one, where all is in it",
    ),
}
SECTIONS = {
    "service": Key(
        "service",
        _section(SERVICE),
        "How a release runs on a node.",
        f"[service] {SERVICE['command'].needed}",
    ),
    "health": Key(
        "health",
        Check("a table", health),
        "When a slot is healthy; asked on the node. One of the kinds, with its options.",
        f"[health] {EXAMPLE}",
    ),
    "hooks": Key(
        "hooks",
        _section(HOOKS),
        "Scripts in the release, run there by bash as the app is: as its user, with its variables.",
    ),
    "rollout": Key("pace", _section(ROLLOUT), "How long a rollout waits where it has to."),
    "retention": Key("keep", _section(RETENTION), "Which releases stay on the nodes' disks."),
    "artifact": Key("artifact", _section(ARTIFACT), "How the artifact is unpacked."),
    "traffic": Key(
        "traffic",
        Check("a table", traffic),
        "What sends requests to the nodes. Each adapter has keys of its own.",
        f"[traffic] {TRAFFIC['adapter'].needed}",
    ),
}
FRAME = {
    "app": Key(
        "app",
        Check("a name", a_name),
        f"its name in every command: {NAME_FORM}",
        'app = "shop"',
    ),
    "environments": Key(
        "environments",
        Check("tables", _environments),
        "One table for each set of nodes.",
        '[environments.production] nodes = { role = "web" }',
    ),
}
TOP = {**FRAME, **SECTIONS}
