"""What an app of the simulation is asked to be: strategy, waves, gates, policy, checks, freezes,
pace. Drawn from the seed, and such that a good release can get everywhere once all is well.
"""

from collections.abc import Collection
from datetime import datetime
from random import Random
from typing import Any, Literal
from zoneinfo import ZoneInfo

from virtual_time import EPOCH
from world import App

from tidegate_controller.calendars import DATED, DAYS
from tidegate_controller.core.spec import (
    Check,
    Freeze,
    Health,
    HttpProbe,
    Keep,
    Pace,
    Policy,
    Waves,
)

KINDS = {"blue-green": 0.3, "groups": 0.12, "canary": 0.28, "rolling": 0.3}
NAMES = ("shop", "blog")
GROUPS = {"blue": {"group": "blue"}, "green": {"group": "green"}}
CANARY_SIZES = (("1", "10%", "50%", "100%"), ("1", "100%"), ("50%", "100%"), ("1", "2", "100%"))
IN_PLACE, WAVES = {"drain", "stop", "admit"}, {"rehearsal", "promotion"}  # phases
LESS = {"lost", "absent"}  # what comes of it only where a rollout goes on with less nodes
NO_ZONE = "rack"  # a label that no node has
TIME_ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata")
# Freezes of a configuration begin and end at whole minutes, after the first deployments have begun
# and before this; by a clock that is an hour late they come later, until it is set right.
FREEZES_BEGIN_SECONDS, FREEZES_END_SECONDS = 60.0, 360.0


def labels_of(number: int) -> dict[str, str]:
    """Of the node with this number, from 1 on: two groups from two nodes on, two zones of two
    nodes from four on."""
    labels = {
        "group": "blue" if number % 2 else "green",
        "zone": "a" if number // 2 % 2 else "b",
    }
    if number % 3 == 1:
        labels["canary"] = "yes"
    return labels


def app(
    rng: Random,
    number: int,
    nodes: list[str],
    aims: Collection[str] = (),
    groups: bool | None = None,
) -> App:
    """`aims`: phases that its rollouts are to come to, if they can, or "absent": some nodes are.
    `groups`: whether its slots are groups of servers, if that is not to be drawn."""
    kinds = {k: p for k, p in KINDS.items() if groups is None or (k == "groups") == groups}
    kind = rng.choices(list(kinds), list(kinds.values()))[0]
    if groups is None and IN_PLACE.intersection(aims):
        kind = "rolling"
    elif groups is None and WAVES.intersection(aims) and kind not in ("canary", "rolling"):
        kind = rng.choice(["canary", "rolling"])
    if kind == "groups" and len(nodes) < 2:
        kind = "canary"
    approval = rng.random() < 0.15 or "approval" in aims
    more: dict[str, Any] = {"policy": _policy(rng, aims), "approval": approval}
    if kind == "groups":
        more["slots"] = GROUPS
    if kind in ("canary", "rolling"):
        draw = _canary if kind == "canary" else _rolling
        more["waves"] = draw(rng, len(nodes), aims)
    if rng.random() < 0.3 or {"check", "question"}.intersection(aims):
        check = Check(command=("ask",), timeout_seconds=2.0, every_seconds=2.0, deadline_seconds=9)
        more["checks"] = {"orders": check}
    if rng.random() < 0.5:
        more["keep"] = Keep(releases=rng.choice([0, 0, 1, 5]))
    if rng.random() < 0.4:
        more["freeze"] = tuple(_freeze(rng) for _ in range(rng.choice([1, 1, 2])))
    return App(
        NAMES[number],
        nodes,
        paces=[_pace(rng)],
        health=_health(rng),
        strategy="blue-green" if kind == "groups" else kind,
        more=more,
    )


def change(rng: Random, old: App) -> None:
    """Its configuration is another from now on, with a node less now and then. What its slots are
    stays."""
    groups = "slots" in old.more
    nodes = list(old.nodes)
    if not groups and len(nodes) > 2 and rng.random() < 0.3:
        nodes.remove(rng.choice(nodes))
    new = app(rng, NAMES.index(old.name), nodes, groups=groups)
    old.nodes, old.strategy, old.more = nodes, new.strategy, new.more
    old.health, old.paces = new.health, [*old.paces, new.pace]


def _freeze(rng: Random) -> Freeze:
    """Of a minute or two, in the life of the world: once, or each week."""
    begins = rng.uniform(FREEZES_BEGIN_SECONDS, FREEZES_END_SECONDS - 180.0)
    ends = begins + rng.choice([60.0, 60.0, 120.0])
    zone = rng.choice(TIME_ZONES)
    edge = _dated if rng.random() < 0.5 else _weekly
    return Freeze(begin=edge(begins, zone), until=edge(ends, zone), time_zone=zone, reason="peak")


def _dated(seconds: float, zone: str) -> str:
    return datetime.fromtimestamp(EPOCH + seconds, ZoneInfo(zone)).strftime(DATED)


def _weekly(seconds: float, zone: str) -> str:
    at = datetime.fromtimestamp(EPOCH + seconds, ZoneInfo(zone))
    return f"{DAYS[at.weekday()]} {at:%H:%M}"


def _policy(rng: Random, aims: Collection[str]) -> Policy:
    on_failure = rng.choices(("rollback", "pause", "stop"), (0.5, 0.25, 0.25))[0]
    most = rng.choice(["0", "0", "1", "25%", "50%"])
    return Policy(
        on_failure="pause" if "failure" in aims else on_failure,
        max_failed_nodes="50%" if LESS.intersection(aims) else most,
        of_at_least=1 if LESS.intersection(aims) else rng.choice([1, 1, 3]),
    )


def _canary(rng: Random, nodes: int, aims: Collection[str]) -> Waves:
    del nodes
    return Waves(
        sizes=rng.choice(CANARY_SIZES),
        canary={"canary": "yes"} if rng.random() < 0.2 else None,
        promote=_promote(rng, aims),
        rehearse=rng.random() < 0.25 or "rehearsal" in aims,
    )


def _rolling(rng: Random, nodes: int, aims: Collection[str]) -> Waves:
    floor = rng.choice([None, "0", "1", "50%", "50%"]) if nodes > 1 else "0"
    at_once = rng.choice(["1", "1", "50%", "100%"])
    return Waves(
        max_parallel="1" if WAVES.intersection(aims) else at_once,
        min_in_service=floor,
        zone="zone" if nodes >= 4 and rng.random() < 0.5 else NO_ZONE,
        promote=_promote(rng, aims),
        rehearse=rng.random() < 0.25 or "rehearsal" in aims,
    )


def _promote(rng: Random, aims: Collection[str]) -> Literal["manual", "auto"]:
    return "manual" if rng.random() < 0.15 or "promotion" in aims else "auto"


def _pace(rng: Random) -> Pace:
    return Pace(
        prepare_seconds=60.0,
        soak_seconds=rng.choice([0.0, 5.0, 15.0]),
        drain_seconds=rng.choice([0.0, 2.0]),
        keep_old_seconds=rng.choice([5.0, 20.0]),
        away_seconds=30.0,
    )


def _health(rng: Random) -> Health:
    return Health(
        probe=HttpProbe(url="http://127.0.0.1:{port}/health"),
        every_seconds=rng.choice([2.0, 5.0]),
        timeout_seconds=1.0,
        failures=rng.choice([1, 2]),
        healthy_after_seconds=rng.choice([0.0, 1.0, 4.0]),
        deadline_seconds=20.0,
    )
