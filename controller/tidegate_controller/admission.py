"""What must hold between streams before a rollout may start in one of them.

The core decides about one stream; here is what concerns all: which nodes an environment has, and
that no two environments share a node or a balancer's lanes. Called by whatever begins rollouts:
`deploy_requests`, `reconcile_requests`, `turns` and `convergence`.
"""

import asyncio

from tidegate_controller.core import types as t
from tidegate_controller.core.facts import split_stream
from tidegate_controller.core.spec import Spec
from tidegate_controller.engine import RECONNECT_GRACE_SECONDS, Engine
from tidegate_controller.errors import Refused, UsageError
from tidegate_controller.traffic import balancer_of

POLL_SECONDS = 0.2
REGISTER_SECONDS = 2.0  # after a start, for agents that never were here before


async def gathered(engine: Engine, spec: Spec) -> list[str]:
    """Names of the environment's nodes; after a start, agents get time to come back first.
    Raises `UsageError` when none matches."""
    while True:
        try:
            names = engine.fleet.select(spec)
            missing = [name for name in names if name not in engine.fleet.sessions]
        except UsageError:
            if engine.seconds_up() > REGISTER_SECONDS:
                raise
        else:
            if not missing or engine.seconds_up() > RECONNECT_GRACE_SECONDS / 2:
                return names
        await asyncio.sleep(POLL_SECONDS)


async def gathered_by_name(engine: Engine, names: list[str]) -> None:
    """Likewise for nodes that are known by name: return when all are here, or had their time."""
    while engine.seconds_up() <= RECONNECT_GRACE_SECONDS / 2:
        if all(name in engine.fleet.sessions for name in names):
            return
        await asyncio.sleep(POLL_SECONDS)


def rollback_nodes(engine: Engine, state: t.State) -> list[str]:
    """Nodes that a rollback is about: those of the last deployment, and whoever takes traffic;
    but for those that were removed, which nobody waits for."""
    nodes = {place.node for place in state.settled}.union(state.members)
    return sorted(nodes.intersection(engine.fleet.registered))


def refuse_shared(engine: Engine, stream: str, names: list[str], spec: Spec | None) -> None:
    """Raise `Refused` if another environment uses one of the nodes, or moves the same
    traffic."""
    for other in tuple(engine.streams.values()):
        if other.name == stream:
            continue
        if split_stream(other.name)[0] == split_stream(stream)[0]:
            _refuse_nodes(other.name, _used_nodes(other.state), names)
        if spec is not None:
            _refuse_balancer(other.name, other.state, spec)


def _used_nodes(state: t.State) -> set[str]:
    """Nodes where the environment serves, is about to, or still has something to stop."""
    used = {place.node for place, share in state.settled.items() if share}
    used |= {chore.work.at for chore in state.chores}
    return used | set(state.rollout.nodes if state.rollout else ())


def _refuse_nodes(other: str, used: set[str], names: list[str]) -> None:
    app, environment = split_stream(other)
    if shared := sorted(used.intersection(names)):
        raise Refused(
            f"{', '.join(shared)} already serve{'s' * (len(shared) == 1)} {app} in {environment}",
            "a node has room for one environment of an app, which cannot be taken off it yet: give "
            "each environment nodes of its own",
        )


def _refuse_balancer(other: str, state: t.State, spec: Spec) -> None:
    mine = balancer_of(spec.traffic)
    traffics = [state.traffic, state.rollout.spec.traffic if state.rollout else None]
    if mine and any(theirs and balancer_of(theirs) == mine for theirs in traffics):
        raise Refused(
            f"{other} already moves the traffic {mine}",
            "give each app and environment a `directory`, or a `command`, of its own under "
            "[traffic]",
        )
