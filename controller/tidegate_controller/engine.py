"""The shell around the pure core: one input at a time into each stream, its events into the log,
its actions out to agents and effects.

Whatever is outstanding is derived from the state, so a start and a normal run take the same path:
load the log, evolve, send what is pending. Called by the services (`agent_service`,
`operator_service`) and by its own timers.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import NamedTuple

from tidegate_controller.clock import EngineClock, wall_now
from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.decide import decide, next_deadline
from tidegate_controller.core.draft import pending
from tidegate_controller.core.evolve import evolve
from tidegate_controller.core.facts import find_action
from tidegate_controller.core.inputs import ControllerStart, Input, Observation, Result, Tick
from tidegate_controller.effects import Effects
from tidegate_controller.errors import Refused
from tidegate_controller.fleet import FLEET_STREAM, Fleet, Session
from tidegate_controller.log import Batch, EventLog, Record
from tidegate_controller.log_writer import LogWriter
from tidegate_controller.wire import to_command, to_observations
from tidegate_protos.v1 import agent_pb2 as pb

log = logging.getLogger(__name__)

CONTROLLER_STREAM = "controller"
RECONNECT_GRACE_SECONDS = 30.0


class Stream:
    """One "app@environment": its state, the lock that orders its inputs, its timer."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.state = t.State()
        self.lock = asyncio.Lock()
        self.timer: asyncio.TimerHandle | None = None

    @property
    def busy(self) -> bool:
        return self.state.rollout is not None or bool(self.state.chores)


class RolloutPlace(NamedTuple):
    """Where a rollout is in the log."""

    stream: str
    version: int  # of its Started
    seq: int  # likewise


class Engine:
    """Owns all streams. `run()` loads the log and works until cancelled or the log fails."""

    def __init__(
        self, event_log: EventLog, fleet: Fleet, artifact_url: Callable[[str], str]
    ) -> None:
        self.log = event_log
        self.fleet = fleet
        self.streams: dict[str, Stream] = {}
        self.rollouts: dict[str, RolloutPlace] = {}
        self._last_number = 0  # of the rollouts r1, r2, …
        self.epoch = 0
        self.ready = asyncio.Event()
        self.started_at = 0.0
        self._artifact_url = artifact_url
        self._clock = EngineClock(0.0)
        self._writer = LogWriter(event_log)
        self._effects = Effects(self.submit)
        self._tasks: asyncio.TaskGroup | None = None
        self._own_lock = asyncio.Lock()
        self._appended = asyncio.Event()  # replaced at every append

    # --- Life ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Load, begin a new epoch, take up what is open. Raises `LogError` if the log fails."""
        self._load()
        async with asyncio.TaskGroup() as self._tasks:
            self._tasks.create_task(self._writer.run())
            self._tasks.create_task(self._clock.pulse())
            self._effects.use(self._tasks)
            self.started_at = self._clock.now()
            began = ev.EpochBegan(epoch=self.epoch, log_id=self.log.log_id)
            await self._record_own(CONTROLLER_STREAM, began)
            for stream in tuple(self.streams.values()):
                if stream.busy:
                    await self._adopt(stream)
            self.ready.set()
            await asyncio.Event().wait()

    def _load(self) -> None:
        for record in self.log.load():
            self._fold(record)
        self.epoch += 1
        self._clock = EngineClock(self.log.last_clock)

    def _fold(self, record: Record) -> None:
        event = record.event
        if isinstance(event, ev.EpochBegan):
            self.epoch = event.epoch
        elif isinstance(event, ev.NodeRegistered):
            self.fleet.fold(event, record.at)
        else:
            stream = self.streams.setdefault(record.stream, Stream(record.stream))
            stream.state = evolve(stream.state, event, record.clock)
            if isinstance(event, ev.Started):
                self._note_rollout(event.rollout, record)

    def _note_rollout(self, rollout: str, started: Record) -> None:
        self.rollouts[rollout] = RolloutPlace(started.stream, started.version, started.seq)
        self._last_number = max(self._last_number, int(rollout[1:]))

    async def _adopt(self, stream: Stream) -> None:
        """Make the stream this epoch's own before anything else is decided in it."""
        async with stream.lock:
            if stream.state.epoch == self.epoch:
                return
            start = ControllerStart(
                epoch=self.epoch,
                log_id=self.log.log_id,
                connected=self.fleet.connected(),
                grace_seconds=RECONNECT_GRACE_SECONDS,
            )
            issued_before = pending(stream.state)
            await self._decide(stream, start)
            for action in issued_before:
                if find_action(stream.state, action.id):
                    self._dispatch(stream, action)

    def seconds_up(self) -> float:
        return self._clock.now() - self.started_at

    # --- Inputs -------------------------------------------------------------------------------

    def stream(self, name: str) -> Stream:
        """The stream of this name; a new one is empty and becomes real with its first event."""
        return self.streams.setdefault(name, Stream(name))

    def next_rollout_id(self) -> str:
        self._last_number += 1
        return f"r{self._last_number}"

    async def submit(self, name: str, input_: Input) -> t.State:
        """Decide on the input, record and act; the stream's state after it. Raises `Refused`.

        A caller that is cancelled does not cut this short: what is in the log is in the state.
        """
        assert self._tasks is not None
        task = self._tasks.create_task(self._answer(self.stream(name), input_))
        state, error = await asyncio.shield(task)
        if error is not None:
            raise error
        return state

    async def _answer(self, stream: Stream, input_: Input) -> tuple[t.State, Refused | None]:
        """A refusal is an answer; any other error ends the engine, with the log as it was."""
        try:
            await self._adopt(stream)
            async with stream.lock:
                await self._decide(stream, input_)
        except Refused as refusal:
            return stream.state, refusal
        return stream.state, None

    async def _decide(self, stream: Stream, input_: Input) -> None:
        """With the stream's lock held: decide, append, evolve, act."""
        now = self._clock.now()
        events = decide(stream.state, input_, now)
        if events:
            batch = Batch(stream.name, stream.state.version, wall_now(), now, events, input_)
            records = await self._append(batch)
            for event, record in zip(events, records, strict=True):
                stream.state = evolve(stream.state, event, now)
                self._follow_up(stream, event, record)
        self._set_timer(stream, idle_tick=isinstance(input_, Tick) and not events)

    async def _append(self, batch: Batch) -> list[Record]:
        records = await self._writer.append(batch)
        for record in records:
            log.debug("%d %s %s", record.seq, record.stream, record.kind)
        appended, self._appended = self._appended, asyncio.Event()
        appended.set()
        return records

    def _follow_up(self, stream: Stream, event: ev.Event, record: Record) -> None:
        if isinstance(event, ev.Started):
            self._note_rollout(event.rollout, record)
        elif isinstance(event, ev.ActionEnded):
            self._effects.cancel(event.action)
        elif isinstance(event, ev.ActionIssued) and find_action(stream.state, event.action.id):
            self._dispatch(stream, event.action)

    def _set_timer(self, stream: Stream, *, idle_tick: bool) -> None:
        if stream.timer is not None:
            stream.timer.cancel()
            stream.timer = None
        deadline = next_deadline(stream.state)
        if deadline is None:
            return
        delay = max(0.0, deadline - self._clock.now())
        if idle_tick and delay == 0.0:
            log.error("%s: a deadline has passed and nothing follows from it", stream.name)
            delay = 1.0
        stream.timer = asyncio.get_running_loop().call_later(delay, self._tick, stream)

    def _tick(self, stream: Stream) -> None:
        assert self._tasks is not None
        self._tasks.create_task(self._answer(stream, Tick()))

    def _dispatch(self, stream: Stream, action: t.Action) -> None:
        """Send the action if its node is connected; if not, it is sent when the node comes."""
        if action.work.at == t.CONTROLLER:
            self._effects.start(stream.name, stream.state, action)
            return
        session = self.fleet.sessions.get(action.work.at)
        if session is not None:
            self._send(stream, action, session)

    def _send(self, stream: Stream, action: t.Action, session: Session) -> None:
        """An action that cannot be put into a command ends as failed, not the engine."""
        now = self._clock.now()
        try:
            command = to_command(stream.name, stream.state, action, self._artifact_url, now)
        except (ValueError, TypeError, AssertionError) as error:
            log.exception("no command could be made of %s", action.id)
            assert self._tasks is not None
            failed = Result(action=action.id, outcome="failed", error=f"no command: {error}")
            self._tasks.create_task(self._answer(stream, failed))
            return
        session.send(pb.Instruction(command=command))

    # --- Nodes --------------------------------------------------------------------------------

    async def node_joined(self, session: Session) -> None:
        """After Hello: record what is new, compare what it holds, send what waits for it."""
        node = session.hello.node
        registered = self.fleet.registration(session.hello)
        self.fleet.join(session)
        if registered is not None:
            await self._record_own(FLEET_STREAM, registered)
        for name, seen in to_observations(session.hello, self._streams_with(node)).items():
            await self.observed(name, seen)
        for stream in tuple(self.streams.values()):
            for action in pending(stream.state):
                if action.work.at == node:
                    self._dispatch(stream, action)

    async def node_left(self, session: Session) -> None:
        if not self.fleet.leave(session):
            return
        node = session.hello.node
        for name in self._streams_with(node):
            await self.submit(name, Observation(node=node, connected=False))

    async def finished(self, node: str, result: Result) -> None:
        """A result from a node: it can speak for its own actions alone."""
        for stream in tuple(self.streams.values()):
            action = find_action(stream.state, result.action)
            if action is not None and action.work.at == node:
                await self.submit(stream.name, result)
                return

    async def observed(self, name: str, seen: Observation) -> None:
        """A node reports a change of a slot; of streams that this log knows."""
        if name in self.streams:
            await self.submit(name, seen)

    def _streams_with(self, node: str) -> set[str]:
        return {
            stream.name
            for stream in self.streams.values()
            if (stream.state.rollout and node in stream.state.rollout.nodes)
            or any(place.node == node for place in stream.state.places)
        }

    async def _record_own(self, name: str, event: ev.EpochBegan | ev.NodeRegistered) -> None:
        """Append to a stream that no rollout lives in."""
        async with self._own_lock:
            at = wall_now()
            batch = Batch(name, self.log.version(name), at, self._clock.now(), (event,), None)
            await self._append(batch)
            if isinstance(event, ev.NodeRegistered):
                self.fleet.fold(event, at)

    # --- Readers ------------------------------------------------------------------------------

    async def wait_for_append(self, after_seq: int) -> None:
        """Return once the log holds something after the cursor."""
        while self.log.last_seq <= after_seq:
            await self._appended.wait()
