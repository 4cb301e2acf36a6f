"""A person's decision after a restore, from the wire to the engine; and what it is to be made of.

The rules are in `core/reconciling`; here is what it takes to know what runs: the nodes' words,
and the balancer's. Called by `operator_service`.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from tidegate_controller.admission import gathered_by_name, refuse_shared, rollback_nodes
from tidegate_controller.artifacts import ArtifactStore
from tidegate_controller.balancer_look import read_balancer
from tidegate_controller.control_requests import MESSAGE_CHARS, WHO_CHARS
from tidegate_controller.core import types as t
from tidegate_controller.core.facts import split_stream
from tidegate_controller.core.inputs import Member, Reconcile
from tidegate_controller.core.reconciling import differences, members_concerned, taking
from tidegate_controller.core.releases import active_release
from tidegate_controller.documents import NodeDifference, ReconcileView, UndecidedApp, UnknownApp
from tidegate_controller.engine import Engine
from tidegate_controller.errors import Refused, UsageError
from tidegate_controller.named_apps import ever_deployed
from tidegate_protos.rules import DIGEST, VERSION
from tidegate_protos.threads import to_the_end
from tidegate_protos.v1 import operator_pb2 as pb


async def view_with_balancers(engine: Engine) -> ReconcileView:
    """As `view`, after a look at each app's balancer: who takes traffic."""
    names = [name for name, stream in engine.streams.items() if stream.state.reconciling]
    looks = await asyncio.gather(*(_addresses_taking(engine, name) for name in names))
    return view(engine, dict(zip(names, looks, strict=True)))


async def _addresses_taking(engine: Engine, stream: str) -> Collection[str] | None:
    """None where nobody can say."""
    try:
        says = await read_balancer(engine.state(stream), engine.outside)
    except Refused:
        return None  # the decision will be, with the reason
    return taking(says)


def view(
    engine: Engine, takers: Mapping[str, Collection[str] | None] = MappingProxyType({})
) -> ReconcileView:
    """Each app that waits for a decision, with what differs; and what runs of apps that the log
    does not know. `takers`: stream -> addresses that get traffic, where that is known."""
    undecided = [
        _undecided(engine, name, stream.state, takers.get(name))
        for name, stream in sorted(engine.streams.items())
        if stream.state.reconciling
    ]
    return ReconcileView(
        log_id=engine.log.log_id,
        former_logs=list(engine.former_logs),
        undecided=undecided,
        unknown=_unknown(engine) if engine.former_logs else [],
    )


def _undecided(
    engine: Engine, stream: str, state: t.State, takers: Collection[str] | None
) -> UndecidedApp:
    app, environment = split_stream(stream)
    release = active_release(state)
    members = members_concerned(state, _members(engine, stream, state), takers)
    traffic = {} if takers is None else _with_traffic(members, takers)
    return UndecidedApp(
        app=app,
        environment=environment,
        version=release.version if release else None,
        digest=release.revision.digest if release else None,
        differences=[
            NodeDifference(
                node=each.node, log=each.log, now=each.now, traffic=traffic.get(each.node)
            )
            for each in differences(state, members, _versions(engine))
        ],
    )


def _with_traffic(members: Sequence[Member], takers: Collection[str]) -> dict[str, bool]:
    """Whether each node that is connected gets any."""
    return {
        member.node: any(slot.known.address in takers for slot in member.slots.values())
        for member in members
        if member.connected
    }


def _unknown(engine: Engine) -> list[UnknownApp]:
    found: dict[str, list[str]] = {}
    for node, session in sorted(engine.fleet.sessions.items()):
        for stream in sorted({stream for stream, _ in session.slots}):
            known = engine.streams.get(stream)
            if known is None or not ever_deployed(known.state):
                found.setdefault(stream, []).append(node)
    names = ((split_stream(stream), nodes) for stream, nodes in sorted(found.items()))
    return [UnknownApp(app=app, environment=env, nodes=nodes) for (app, env), nodes in names]


def _members(engine: Engine, stream: str, state: t.State) -> tuple[Member, ...]:
    """Nodes that the log has the app on, and those that say that they hold it."""
    holding = [
        node
        for node, session in engine.fleet.sessions.items()
        if any(of == stream for of, _ in session.slots)
    ]
    return engine.fleet.members([*rollback_nodes(engine, state), *holding], stream)


def _versions(engine: Engine) -> dict[str, str]:
    """What the agents call the artifacts that they hold, by digest."""
    return {
        slot.revision.digest: slot.version
        for session in engine.fleet.sessions.values()
        for slot in session.slots.values()
        if DIGEST.fullmatch(slot.revision.digest) and VERSION.fullmatch(slot.version)
    }


async def reconcile(
    engine: Engine, store: ArtifactStore, stream: str, request: pb.ReconcileRequest
) -> pb.RolloutReply:
    """Carry out the decision. Raises `Refused` where it cannot be: then nothing has changed."""
    if request.decision not in ("adopt", "converge"):
        raise UsageError(f"{request.decision[:80]!r} is no decision", "one of: adopt, converge")
    state = engine.state(stream)
    await gathered_by_name(engine, rollback_nodes(engine, state))
    says = await read_balancer(state, engine.outside)
    versions = _versions(engine)
    sizes = await asyncio.to_thread(_sizes, store, versions)
    async with engine.admission:
        state = engine.state(stream)
        members = _members(engine, stream, state)
        converge = engine.next_rollout_id() if request.decision == "converge" else ""
        if converge:
            its_own = members_concerned(state, members, taking(says))
            refuse_shared(engine, stream, [member.node for member in its_own], None)
        decision = Reconcile(
            request_id=request.request_id,
            members=members,
            requested_by=request.requested_by[:WHO_CHARS],
            message=request.message[:MESSAGE_CHARS],
            balancer=says,
            versions=versions,
            sizes=sizes,
            without_absent=request.without_absent,
            converge=converge,
        )
        after = await to_the_end(engine.submit(stream, decision))
    release = active_release(after)
    what = f"version {release.version}" if release else "nothing"
    nodes = {place.node for place, share in after.settled.items() if share}
    where = f"{len(nodes)} node{'s' * (len(nodes) != 1)}"
    message = f"{stream}: what runs is what counts: {what}, with traffic to {where}"
    if (begun := after.requests.get(f"{request.request_id}/converge")) is not None and begun:
        return pb.RolloutReply(
            rollout=begun, stream=stream, seq=engine.place_of(begun).seq - 1, message=message
        )
    if release and release.never_succeeded:
        message += "; no rollback goes to it until it was deployed to all"
    return pb.RolloutReply(stream=stream, message=message)


def _sizes(store: ArtifactStore, digests: dict[str, str]) -> dict[str, int]:
    paths = ((digest, store.path(digest)) for digest in digests)
    return {digest: path.stat().st_size for digest, path in paths if path is not None}
