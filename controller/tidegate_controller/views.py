"""Fills the documents that people and scripts read, from the log and the state.

Called by `operator_service`. Nothing here is stored: a view is made anew whenever it is asked for.
"""

import asyncio
from collections.abc import Mapping

import msgspec

from tidegate_controller.balancer_look import address_trouble, balancer_trouble
from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.draft import pending
from tidegate_controller.core.facts import (
    awaits,
    join_stream,
    place_of,
    split_stream,
    waiting_for,
    waiting_since,
)
from tidegate_controller.core.freezing import freeze_at
from tidegate_controller.core.guards import NEVER
from tidegate_controller.core.queueing import waits_for
from tidegate_controller.core.releases import active_release, release_back, release_of
from tidegate_controller.core.settling import rewrite_opens_at
from tidegate_controller.documents import (
    AppStatus,
    ControllerView,
    EventView,
    NodeChange,
    NodeDetail,
    NodeList,
    NodeSlotView,
    NodeStatus,
    NodeView,
    QueuedRef,
    RefusedAgent,
    ReleaseView,
    RolloutRef,
    SlotView,
    Status,
    TrafficTrouble,
)
from tidegate_controller.engine import Engine
from tidegate_controller.errors import TrafficError, UsageError
from tidegate_controller.log import Record
from tidegate_controller.named_apps import ever_deployed
from tidegate_controller.owes import owed_by_node
from tidegate_controller.stream import Stream
from tidegate_protos import VERSION
from tidegate_protos.rules import without_query

UNDER_WAY: dict[t.Verb, str] = {"start": "starting", "stop": "stopping"}


def release_view(release: t.Release) -> ReleaseView:
    return ReleaseView(version=release.version, digest=release.revision.digest)


def event_view(record: Record) -> EventView:
    return EventView(
        seq=record.seq,
        stream=record.stream,
        version=record.version,
        at=record.at,
        kind=record.kind,
        data=msgspec.json.decode(record.data),
        cause=msgspec.json.decode(record.cause, type=_Tag).type if record.cause else None,
    )


class _Tag(msgspec.Struct):
    """What kind of input a cause is; the rest of it is read by nobody here."""

    type: str


def rollout_state(rollout: t.Rollout) -> str:
    if waiting_for(rollout):
        wait = None if rollout.paused else rollout.waiting
        return waiting_state(wait.kind if wait else "")
    return "rolling_back" if rollout.undoing else "running"


def waiting_state(kind: str) -> str:
    """The state of a rollout that a person holds up; `kind`: of what one is asked, if one is."""
    return "awaiting_approval" if kind in ("approval", "promotion") else "paused"


def status(engine: Engine, app: str) -> Status:
    """Status of one app, or of all when `app` is empty."""
    streams = sorted(engine.streams.values(), key=lambda stream: stream.name)
    return Status(
        apps=[
            _app_status(engine, stream)
            for stream in streams
            if (ever_deployed(stream.state) or stream.fault)
            and app in ("", split_stream(stream.name)[0])
        ]
    )


async def status_with_balancers(engine: Engine, app: str) -> Status:
    """The same, after a look at each app's balancer."""
    names = [join_stream(each.app, each.environment) for each in status(engine, app).apps]
    looks = await asyncio.gather(
        *(balancer_trouble(engine.state(name), outside=engine.outside) for name in names)
    )
    view = status(engine, app)  # as it is now: a rollout may have begun to move traffic meanwhile
    for each in view.apps:
        wrong = dict(zip(names, looks, strict=True)).get(join_stream(each.app, each.environment))
        if wrong is not None and each.rollout is None:
            each.traffic_trouble = _trouble(wrong)
    return view


def _trouble(e: TrafficError | None) -> TrafficTrouble | None:
    return TrafficTrouble(what=e.message, mend=e.hint, redeploy=e.redeploy) if e else None


def _app_status(engine: Engine, stream: Stream) -> AppStatus:
    state = stream.state
    app, environment = split_stream(stream.name)
    release, back = active_release(state), release_back(state)
    frozen = freeze_at(state, engine.now())
    reference = None
    if state.rollout:
        reference = _rollout_ref(state.rollout)
        if (since := waiting_since(state.rollout)) is not None:
            reference.waiting_seconds = round(engine.seconds_since(since), 1)
    nodes = sorted({place.node for place in (*state.places, *state.settled)})
    owed, under_way = owed_by_node(engine, state), _under_way(state)
    settles_in = rewrite_opens_at(state) - engine.now()
    return AppStatus(
        app=app,
        environment=environment,
        version=release.version if release else None,
        digest=release.revision.digest if release else None,
        url=_shown(release.url) if release else None,
        rollback_to=release_view(back) if back and not back.incomplete else None,
        rollout=reference,
        nodes=[_node_status(engine, state, node, owed.get(node, []), under_way) for node in nodes],
        unfinished=len(state.chores) + len(state.rollout.open if state.rollout else ()),
        stands_still=stream.broken().message if stream.fault else None,
        locked_by=state.lock.by if state.lock else None,
        lock_reason=state.lock.reason if state.lock else None,
        notes=_notes(state, app, environment),
        unsettled=sorted(str(place) for place in state.unsettled if not state.settled.get(place)),
        settles_in_seconds=None if settles_in == NEVER else round(max(0.0, settles_in), 1),
        undecided=state.reconciling,
        frozen_until=frozen.until if frozen else None,
        freeze=frozen.named if frozen else None,
        queue=_queue(engine, state),
        traffic_trouble=_trouble(address_trouble(state)),
    )


def _shown(url: str) -> str | None:
    """A query may hold a secret, and status is shown to everybody."""
    return f"{without_query(url)}{'?…' if '?' in url else ''}" or None


def _queue(engine: Engine, state: t.State) -> list[QueuedRef]:
    refs = [
        QueuedRef(
            id=entry.rollout,
            version=entry.release.version,
            requested_by=entry.requested_by,
            message=entry.message,
            waiting_seconds=round(engine.seconds_since(entry.since), 1),
        )
        for entry in state.queue
    ]
    if refs:
        refs[0].waiting_for = waits_for(state, engine.now(), None) or None
    return refs


def _notes(state: t.State, app: str, environment: str) -> list[str]:
    notes = [debt for key, debt in state.debts.items() if key == t.CONTROLLER]
    if state.reconciling:
        notes.append(
            "restored from a backup: the version, what is active and what is owed are as the log "
            "has them, and may be otherwise by now; nothing is begun until it is decided what "
            f"counts; see: tidegate controller reconcile {app} -e {environment}"
        )
    return notes


def _rollout_ref(rollout: t.Rollout) -> RolloutRef:
    step = rollout.plan[rollout.cursor] if rollout.cursor < len(rollout.plan) else None
    tries_failed, last_error = _failed_tries(rollout) if step and step.retry_seconds else (0, "")
    return RolloutRef(
        id=rollout.id,
        state=rollout_state(rollout),
        version=rollout.release.version,
        step=step.title if step else None,
        waiting_for=waiting_for(rollout) or None,
        awaits=awaits(rollout),
        undoing=rollout.undoing,
        tries_failed=tries_failed,
        last_error=last_error,
    )


def _failed_tries(rollout: t.Rollout) -> tuple[int, str]:
    """How often the work that fails most has failed, and why, which a new try makes unknown."""
    tries = [(action.attempt - 1, "") for action in rollout.open.values()]
    for done in rollout.done.values():
        tries.append((done.attempt, done.error) if done.outcome != "ok" else (0, ""))
    return max(tries, default=(0, ""))


def _node_status(
    engine: Engine,
    state: t.State,
    node: str,
    debts: list[str],
    under_way: Mapping[t.Place, str],
) -> NodeStatus:
    places = [t.Place.of(node, slot) for slot in t.SLOTS]
    active = [place.slot for place in places if state.settled.get(place)]
    if active and node not in engine.fleet.registered:
        debts = [*debts, "was removed; the next deployment takes its traffic away"]
    return NodeStatus(
        node=node,
        connected=node in engine.fleet.sessions,
        active_slot=active[0] if active else None,
        slots={
            place.slot: _slot_view(engine, state, place, under_way)
            for place in places
            if place in state.places
        },
        debt="; ".join(debts) or None,
        disk_free_bytes=engine.fleet.disk_free_bytes(node),
    )


def _under_way(state: t.State) -> dict[t.Place, str]:
    """What is being done to slots now, in a word each."""
    works = [action.work for action in reversed(pending(state))]
    return {
        work.place: UNDER_WAY[work.verb] for work in works if work.place and work.verb in UNDER_WAY
    }


def _slot_view(
    engine: Engine, state: t.State, place: t.Place, under_way: Mapping[t.Place, str]
) -> SlotView:
    """What was well when its agent went may not be so any more; what was not well is still said."""
    known = place_of(state, place)
    if place.node not in engine.fleet.sessions and False not in (known.running, known.healthy):
        known = msgspec.structs.replace(known, running=None, healthy=None)
    release = release_of(state, known.revision)
    return SlotView(
        version=release.version if release else None,
        digest=known.revision.digest if known.revision else None,
        running=known.running,
        healthy=known.healthy,
        address=known.address,
        under_way=under_way.get(place),
    )


def controller(engine: Engine) -> ControllerView:
    return ControllerView(
        version=VERSION,
        log_id=engine.log.log_id,
        epoch=engine.epoch,
        events=engine.log.last_seq,
        now=engine.at(),
        seconds_up=engine.seconds_up(),
    )


def nodes(engine: Engine) -> NodeList:
    return NodeList(
        nodes=[_node_view(engine, node) for _, node in sorted(engine.fleet.registered.items())],
        refused=[
            RefusedAgent(node=node, at=refusal.at, why=refusal.why)
            for node, refusal in sorted(engine.fleet.refused.items())
        ],
    )


def _node_view(engine: Engine, node: ev.NodeRegistered) -> NodeView:
    session = engine.fleet.sessions.get(node.node)
    view = NodeView(
        node=node.node,
        connected=session is not None,
        labels=dict(node.labels),
        transport=session.transport if session else None,
        agent_version=node.agent_version,
        last_seen=session.last_seen if session else engine.fleet.last_seen.get(node.node),
        address=node.address,
    )
    if session is not None and session.heartbeat.memory_total_bytes:
        view.cpu_percent = session.heartbeat.cpu_percent
        view.memory_used_bytes = session.heartbeat.memory_used_bytes
        view.disk_free_bytes = session.heartbeat.disk_free_bytes
    return view


def node_detail(engine: Engine, name: str, changes: list[NodeChange]) -> NodeDetail:
    """All about one node. Raises `UsageError` where none of this name ever registered."""
    registered = engine.fleet.registered.get(name)
    refusal = engine.fleet.refused.get(name)
    refused = RefusedAgent(node=name, at=refusal.at, why=refusal.why) if refusal else None
    if registered is None:
        why = f"; an agent of this name was turned away: {refused.why}" if refused else ""
        raise UsageError(f"there is no node {name[:80]!r}{why}", "see: tidegate node list")
    session = engine.fleet.sessions.get(name)
    detail = NodeDetail(
        **msgspec.structs.asdict(_node_view(engine, registered)),
        facts=dict(session.hello.facts) if session else {},
        slots=[],
        debts=[],
        changes=changes,
        refused=refused,
    )
    if session is not None and session.heartbeat.memory_total_bytes:
        detail.memory_total_bytes = session.heartbeat.memory_total_bytes
        detail.load_1m = session.heartbeat.load_1m
        detail.uptime_seconds = session.heartbeat.uptime_seconds
    for stream in sorted(engine.streams.values(), key=lambda stream: stream.name):
        detail.slots += _slots_of(engine, stream, name)
        app = split_stream(stream.name)[0]
        owed = owed_by_node(engine, stream.state).get(name, [])
        detail.debts += [f"{app}: {debt}" for debt in owed]
    return detail


def _slots_of(engine: Engine, stream: Stream, node: str) -> list[NodeSlotView]:
    app, environment = split_stream(stream.name)
    under_way = _under_way(stream.state)
    return [
        NodeSlotView(
            **msgspec.structs.asdict(_slot_view(engine, stream.state, place, under_way)),
            app=app,
            environment=environment,
            slot=place.slot,
            active=bool(stream.state.settled.get(place)),
        )
        for place in (t.Place.of(node, slot) for slot in t.SLOTS)
        if place in stream.state.places
    ]
