"""Every key that `tidegate.toml` may hold, with its check and what it means: the schema.

`config` reads files by it, `config_reference` writes the reference page from it. `[service]`,
`[health]` and `[traffic]`, which are of several kinds, have modules of their own.
"""

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
    duration,
    integer,
    known_yet,
    nodes,
    table,
)
from tidegate_controller.config_freeze import freezes
from tidegate_controller.config_gates import checks
from tidegate_controller.config_health import EXAMPLE, health
from tidegate_controller.config_service import EXAMPLES, service
from tidegate_controller.config_shares import share
from tidegate_controller.config_traffic import TRAFFIC, traffic
from tidegate_controller.config_waves import WAVES, clashing
from tidegate_controller.core.spec import Hooks, Policy, Spec, Struct


def _literals(struct: type[Struct], field: str) -> tuple[str, ...]:
    return get_args(get_type_hints(struct)[field])


def _environments(at: At) -> object:
    if not isinstance(at.value, dict) or not at.value:
        at.expected("at least one table such as [environments.production]")
        return {}
    for environment in at.value:
        a_name(At(environment, (*at.path, environment), at.problems))
    found = {}
    for environment, value in at.value.items():
        inner = at.inner(environment, value)
        found[environment] = table(inner, ENVIRONMENT, SECTIONS)
        clashing(inner)
    return found


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
        "how the new release takes over: [strategies](../strategies.md)",
    ),
    "approval": Key(
        "approval",
        boolean,
        "somebody has to say `tidegate rollout approve` before a deployment gets any traffic",
    ),
    "protected": Key(
        "protected",
        boolean,
        "whoever deploys here is asked whether it is meant; and whoever rolls back, since the last "
        "deployment that had it so",
    ),
    "freeze": Key(
        "freeze",
        Check("tables", freezes),
        "when nothing is deployed, in tables `[[environments.NAME.freeze]]`: "
        "[freezes](../operating.md#freezes)",
    ),
    **WAVES,
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
FAILURES = {
    "on_failure": Key(
        "on_failure",
        choice(_literals(Policy, "on_failure")),
        "what follows where more fails than may: all is undone, a person is asked, or all is left "
        "as it is",
    ),
    "max_failed_nodes": Key(
        "max_failed_nodes",
        share(least=0),
        "so many nodes may fail, or be away, without hurting the others; of a part of the nodes, "
        "whole ones count",
    ),
    "of_at_least": Key(
        "of_at_least", integer(1, 10_000), "where there are fewer nodes, none of them may fail"
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
    "backups": Key(
        "backups",
        integer(0, 1000),
        "so many copies of what slots held before stay on a node, with all that the app wrote "
        "there; 0 makes none and leaves those there are",
    ),
    "backups_age": Key(
        "backups_age_seconds",
        duration("1m", "3650d"),
        "of them none that is older",
        absent="any age",
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
        Check("a table", service),
        "How a release runs on a node.",
        f"[service] with {EXAMPLES['command']}",
    ),
    "health": Key(
        "health",
        Check("a table", health),
        "When a slot is healthy; asked on the node. One of the kinds, with its options.",
        f"[health] with {EXAMPLE}",
    ),
    "hooks": Key(
        "hooks",
        _section(HOOKS),
        "Scripts in the release, run there by bash as the app is: as its user, with its variables.",
    ),
    "rollout": Key("pace", _section(ROLLOUT), "How long a rollout waits where it has to."),
    "failures": Key(
        "policy",
        _section(FAILURES),
        "What a rollout does about failures: [what happens when](../failures.md).",
    ),
    "checks": Key(
        "checks",
        Check("tables", checks),
        "What the controller asks once the release has traffic, in tables `[checks.NAME]`: "
        "[pass, fail or no verdict](../failures.md#checks). Each has `http` or `command`.",
    ),
    "retention": Key(
        "keep", _section(RETENTION), "Which releases and backups stay on the nodes' disks."
    ),
    "artifact": Key("artifact", _section(ARTIFACT), "How the artifact is unpacked."),
    "traffic": Key(
        "traffic",
        Check("a table", traffic),
        "What sends requests to the nodes. Each adapter has keys of its own.",
        f"[traffic] with {TRAFFIC['adapter'].needed}",
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
        '[environments.production] with nodes = { role = "web" }',
    ),
}
TOP = {**FRAME, **SECTIONS}
