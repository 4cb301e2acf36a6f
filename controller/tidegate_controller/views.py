"""Fills the documents that people and scripts read, from the log and the state.

Called by `operator_service`. Nothing here is stored: a view is made anew whenever it is asked for.
"""

from collections.abc import Iterable

import msgspec

from tidegate_controller.core import types as t
from tidegate_controller.core.evolve import place_of
from tidegate_controller.core.requests import active_release
from tidegate_controller.documents import (
    AppStatus,
    EventView,
    NodeList,
    NodeStatus,
    NodeStepView,
    NodeView,
    ReleaseView,
    RolloutRef,
    RolloutView,
    SlotView,
    Status,
    StepView,
)
from tidegate_controller.engine import Engine, Stream
from tidegate_controller.log import Record
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
    return "rolling_back" if rollout.undoing else "running"


def ever_deployed(state: t.State) -> bool:
    """Whether a rollout ever began; a stream also comes to be by a request that was refused."""
    return state.last_request[1] != ""


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
    if state.rollout:
        reference = RolloutRef(id=state.rollout.id, state=rollout_state(state.rollout))
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
    debts = [debt for key, debt in sorted(state.debts.items()) if t.Place(key).node == node]
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


def nodes(engine: Engine) -> NodeList:
    return NodeList(
        nodes=[_node_view(engine, node) for _, node in sorted(engine.fleet.registered.items())]
    )


def _node_view(engine: Engine, node: t.NodeRegistered) -> NodeView:
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


def rollouts(records: Iterable[Record]) -> list[RolloutView]:
    """Every rollout that the records tell of, oldest first. A view is nothing but a fold."""
    folds: list[_RolloutFold] = []
    open_in: dict[str, _RolloutFold] = {}
    for record in records:
        event = record.event
        if isinstance(event, t.Started):
            open_in[record.stream] = _RolloutFold(record, event)
            folds.append(open_in[record.stream])
        elif fold := open_in.get(record.stream):
            fold.take(record.at, record.clock, event)
            if isinstance(event, t.Ended):
                del open_in[record.stream]
    return [fold.view for fold in folds]


class _RolloutFold:
    """Adds up the events of one rollout to its view."""

    def __init__(self, record: Record, event: t.Started) -> None:
        app, environment = split_stream(record.stream)
        self._steps: dict[str, StepView] = {}
        self._actions: dict[str, NodeStepView] = {}
        self._entered = 0.0
        self.view = RolloutView(
            rollout=event.rollout,
            app=app,
            environment=environment,
            strategy=event.strategy,
            kind=event.kind,
            state="running",
            reason="",
            waiting_for=None,
            release=release_view(event.release),
            previous=release_view(event.previous) if event.previous else None,
            steps=[],
            requested_by=event.requested_by,
            started_at=record.at,
            ended_at=None,
        )
        self._plan(event.plan)

    def _plan(self, plan: tuple[t.Step, ...]) -> None:
        self._steps = {step.id: StepView(name=step.name) for step in plan}
        self.view.steps += self._steps.values()

    def take(self, at: str, clock: float, event: t.Event) -> None:
        match event:
            case t.StepEntered():
                step = self._steps[event.step]
                step.state, step.started_at = "running", at
                self._entered = clock
            case t.ActionIssued() if event.action.step in self._steps:
                node = NodeStepView(state="running")
                self._steps[event.action.step].nodes[event.action.work.at] = node
                self._actions[event.action.id] = node
            case t.ActionEnded() if event.action in self._actions:
                ended = self._actions[event.action]
                ended.state, ended.error = event.outcome, event.error
                ended.output_tail = event.output_tail
            case t.StepEnded():
                step = self._steps[event.step]
                step.state, step.ended_at = event.outcome, at
                step.seconds = round(clock - self._entered, 3)
            case t.Replanned():
                self.view.state, self.view.reason = "rolling_back", event.reason
                self._plan(event.plan)
            case t.Ended():
                self.view.state, self.view.ended_at = event.state, at
                self.view.reason = event.reason
            case _:
                return
