"""Fills the documents that people and scripts read, from the log and the state.

Called by `operator_service`. Nothing here is stored: a view is made anew whenever it is asked for.
"""

from importlib.metadata import version

import msgspec

from tidegate_controller.clock import wall_now
from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.facts import place_of, strays
from tidegate_controller.core.requests import active_release
from tidegate_controller.documents import (
    AppStatus,
    ControllerView,
    EventView,
    NodeList,
    NodeStatus,
    NodeView,
    RefusedAgent,
    ReleaseView,
    RolloutRef,
    SlotView,
    Status,
)
from tidegate_controller.engine import Engine
from tidegate_controller.log import Record
from tidegate_controller.stream import Stream
from tidegate_controller.wire import release_of, split_stream


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
    )


def rollout_state(rollout: t.Rollout) -> str:
    if rollout.waiting is not None:
        return "paused"
    return "rolling_back" if rollout.undoing else "running"


def ever_deployed(state: t.State) -> bool:
    """Whether a rollout ever began."""
    return bool(state.rollout or state.committed or state.undone)


def status(engine: Engine, app: str) -> Status:
    """Status of one app, or of all when `app` is empty."""
    streams = sorted(engine.streams.values(), key=lambda stream: stream.name)
    return Status(
        apps=[
            _app_status(engine, stream)
            for stream in streams
            if ever_deployed(stream.state) and app in ("", split_stream(stream.name)[0])
        ]
    )


def _app_status(engine: Engine, stream: Stream) -> AppStatus:
    state = stream.state
    app, environment = split_stream(stream.name)
    release = active_release(state)
    reference = None
    if rollout := state.rollout:
        reference = RolloutRef(
            id=rollout.id,
            state=rollout_state(rollout),
            waiting_for=rollout.waiting.why if rollout.waiting else None,
        )
    nodes = sorted({place.node for place in (*state.places, *state.settled)})
    return AppStatus(
        app=app,
        environment=environment,
        version=release.version if release else None,
        digest=release.revision.digest if release else None,
        rollout=reference,
        nodes=[_node_status(engine, state, node) for node in nodes],
        unfinished=len(state.chores) + len(state.rollout.open if state.rollout else ()),
    )


def _node_status(engine: Engine, state: t.State, node: str) -> NodeStatus:
    places = [t.Place.of(node, slot) for slot in t.SLOTS]
    debts = [
        f"{place.slot} runs without traffic; the next deployment stops it"
        for place in strays(state)
        if place.node == node
    ]
    debts += [debt for key, debt in sorted(state.debts.items()) if t.Place(key).node == node]
    active = [place.slot for place in places if state.settled.get(place)]
    return NodeStatus(
        node=node,
        connected=node in engine.fleet.sessions,
        active_slot=active[0] if active else None,
        slots={place.slot: _slot_view(state, place) for place in places if place in state.places},
        debt="; ".join(debts) or None,
    )


def _slot_view(state: t.State, place: t.Place) -> SlotView:
    known = place_of(state, place)
    release = release_of(state, known.revision)
    return SlotView(
        version=release.version if release else None,
        digest=known.revision.digest if known.revision else None,
        running=known.running,
        healthy=known.healthy,
        address=known.address,
    )


def controller(engine: Engine) -> ControllerView:
    return ControllerView(
        version=version("tidegate"),
        log_id=engine.log.log_id,
        epoch=engine.epoch,
        events=engine.log.last_seq,
        now=wall_now(),
        seconds_up=engine.seconds_up(),
        stands_still={
            name: stream.fault for name, stream in engine.streams.items() if stream.fault
        },
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
