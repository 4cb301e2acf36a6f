"""The shell around the pure core: one input at a time into each stream, its events into the log,
its actions out to agents and effects.

Whatever is outstanding is derived from the state, so a start and a normal run take the same path:
load the log, evolve, send what is pending. Called by the services (`agent_service`,
`operator_service`) and by its own timers.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable

from tidegate_controller.calendars import calendar_in_force
from tidegate_controller.clock import EngineClock, wall_now
from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.deadline import next_deadline
from tidegate_controller.core.decide import decide
from tidegate_controller.core.draft import pending
from tidegate_controller.core.evolve import evolve
from tidegate_controller.core.facts import find_action
from tidegate_controller.core.inputs import ControllerStart, Input, Tick
from tidegate_controller.dispatch import Dispatch
from tidegate_controller.effects import Effects
from tidegate_controller.errors import Refused, UsageError
from tidegate_controller.event_notes import note
from tidegate_controller.fleet import Fleet
from tidegate_controller.log import Batch, EventLog, Record
from tidegate_controller.log_index import (
    CONTROLLER_STREAM,
    OWN_STREAMS,
    Index,
    LogIndex,
    rollout_place,
)
from tidegate_controller.log_writer import LogWriter
from tidegate_controller.outside import WORLD, Outside
from tidegate_controller.own_task import in_own_task
from tidegate_controller.reminders import remind
from tidegate_controller.snapshot_keeper import SnapshotKeeper, load
from tidegate_controller.stream import RolloutPlace, Stream
from tidegate_protos import logs

log = logging.getLogger(__name__)

RECONNECT_GRACE_SECONDS = 30.0


class Engine:
    """Owns all streams. `run()` loads the log and works until cancelled or the log fails."""

    def __init__(
        self,
        event_log: EventLog,
        fleet: Fleet,
        artifact_url: Callable[[str], str],
        outside: Outside = WORLD,
    ) -> None:
        self.outside = outside
        self.log = event_log
        self.fleet = fleet
        self.streams: dict[str, Stream] = {}
        self.rollouts: dict[str, RolloutPlace] = {}
        self._last_number = 0  # of the rollouts r1, r2, …
        self.epoch = 0
        self.former_logs: tuple[str, ...] = ()  # those of which this is a restored copy
        self.ready = asyncio.Event()
        self.ended = asyncio.Event()  # for whoever looks what is needed still, and clears it
        self.news = asyncio.Event()  # likewise: something was decided, or a node has come
        self.admission = asyncio.Lock()  # until what was admitted stands in the state
        self.started_at = 0.0
        self._clock = EngineClock(0.0, outside.boot_seconds)
        self._writer = LogWriter(event_log)
        self._effects = Effects(self.submit_quietly, outside)
        self.dispatch = Dispatch(
            fleet,
            self._effects,
            artifact_url,
            outside.wall_seconds,
            self.now,
            self._soon,
        )
        self.snapshots = SnapshotKeeper(event_log, self._writer, self._at_rest)
        self._tasks: asyncio.TaskGroup | None = None
        self._own_lock = asyncio.Lock()
        self._epoch_lock = asyncio.Lock()
        self._appended = asyncio.Event()  # replaced at every append

    # --- Life ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Load, begin a new epoch, take up what is open. Raises `LogError` if the log fails."""
        self._load()
        async with asyncio.TaskGroup() as self._tasks:
            self._tasks.create_task(self._writer.run())
            self._tasks.create_task(self._clock.pulse())
            self._tasks.create_task(self.snapshots.run())
            self._tasks.create_task(remind(self.streams, self._clock.now))
            self._effects.use(self._tasks)
            self.started_at = self._clock.now()
            began = ev.EpochBegan(epoch=self.epoch, log_id=self.log.log_id)
            await self.record_own(CONTROLLER_STREAM, began)
            for stream in tuple(self.streams.values()):
                if stream.busy:
                    await self._answer(stream, Tick())
            self.ready.set()
            await asyncio.Event().wait()

    def _load(self) -> None:
        found = load(self.log, self.snapshots)
        for name, state in found.states.items():
            self.streams[name] = Stream(name)
            self.streams[name].state = state
        self.rollouts = found.index.rollouts
        self.fleet.registered = found.index.registered
        self.former_logs = tuple(found.index.former_logs)
        self._last_number = max((int(name[1:]) for name in self.rollouts), default=0)
        self.epoch = found.index.epoch + 1
        self._clock = EngineClock(self.log.last_clock, self.outside.boot_seconds)

    async def _at_rest(self) -> LogIndex:
        """All that is known, for a snapshot: each part as no append to it is under way."""
        states = {}
        for stream in tuple(self.streams.values()):
            async with stream.lock:
                if stream.begun:
                    states[stream.name] = stream.state
        async with self._own_lock:
            index = Index(
                epoch=self.epoch,
                log_id=self.log.log_id,
                former_logs=list(self.former_logs),
                registered=dict(self.fleet.registered),
                rollouts=dict(self.rollouts),
                versions={name: self.log.version(name) for name in OWN_STREAMS},
            )
        return LogIndex(index, states)

    async def _adopt(self, stream: Stream) -> None:
        """Make the stream this epoch's own before anything else is decided in it."""
        async with stream.lock:
            if stream.state.epoch == self.epoch:
                return
            issued_before = pending(stream.state)
            await self._decide(stream, self._start_of(stream))
            for action in issued_before:
                if find_action(stream.state, action.id):
                    self.dispatch(stream, action)

    def _start_of(self, stream: Stream) -> ControllerStart:
        calendar = None  # where time zones are not known any more; `freeze_clock` says so
        with contextlib.suppress(UsageError):
            now = self.outside.wall_seconds()
            calendar = calendar_in_force(stream.state, now, self.now())
        return ControllerStart(
            stream=stream.name,
            epoch=self.epoch,
            log_id=self.log.log_id,
            connected=self.fleet.connected(),
            grace_seconds=RECONNECT_GRACE_SECONDS,
            calendar=calendar,
        )

    def at(self) -> str:
        """The present by the wall clock, for people: RFC 3339."""
        return wall_now(self.outside.wall_seconds)

    def now(self) -> float:
        """Engine time, in seconds; the clock itself is another one once the log was read."""
        return self._clock.now()

    def seconds_up(self) -> float:
        return self.seconds_since(self.started_at)

    def seconds_since(self, clock: float) -> float:
        """Since an engine time."""
        return self._clock.now() - clock

    # --- Inputs -------------------------------------------------------------------------------

    def state(self, name: str) -> t.State:
        """The state of the stream; an empty one if there is none."""
        stream = self.streams.get(name)
        return stream.state if stream is not None else t.State()

    def next_rollout_id(self) -> str:
        self._last_number += 1
        return f"r{self._last_number}"

    def give_back(self, name: str, rollout: str) -> None:
        """Of a request to a stream that is over. If it has begun nothing, and nobody has taken a
        later number meanwhile, the next one gets this, so that the list has no gaps. Of a stream
        that stands still nobody knows: its last decision may be in the log alone."""
        stream = self.streams.get(name)
        known = rollout in self.rollouts or (stream is not None and stream.fault)
        if rollout == f"r{self._last_number}" and not known:
            self._last_number -= 1

    async def submit(self, name: str, input_: Input) -> t.State:
        """Decide on the input, record and act; the stream's state after it. Raises `Refused`.

        A caller that is cancelled does not cut this short: what is in the log is in the state.
        """
        stream = self.streams.setdefault(name, Stream(name))  # it begins with its first event
        state, error = await in_own_task(self._tasks, self._answer(stream, input_))
        if error is not None:
            raise error
        return state

    async def submit_quietly(self, name: str, input_: Input) -> None:
        """For what nobody has asked for: a stream that stands still takes no part, and has said
        so in the log."""
        with contextlib.suppress(Refused):
            await self.submit(name, input_)

    async def _answer(self, stream: Stream, input_: Input) -> tuple[t.State, Refused | None]:
        """A refusal is an answer. An error of the core stops this stream alone, with the log as it
        was; one of the log ends the engine."""
        try:
            with logs.about(**stream.about), stream.confining(type(input_).__name__):
                if not stream.begun:
                    self.foresee(stream.name, input_)  # a wrong request does not begin a stream
                await self._adopt(stream)
                async with stream.lock:
                    await self._decide(stream, input_)
        except Refused as refusal:
            return stream.state, refusal
        return stream.state, stream.broken() if stream.fault else None

    def foresee(self, name: str, input_: Input) -> tuple[tuple[ev.Event, ...], t.State]:
        """What would follow from the input now, and the state after it. Nothing is recorded.
        Raises `Refused`."""
        stream = self.streams.get(name) or Stream(name)
        if stream.fault:
            raise stream.broken()
        now = self._clock.now()
        state = stream.state
        if state.epoch != self.epoch:
            state = _after(state, decide(state, self._start_of(stream), now), now)
        events = decide(state, input_, now)
        return events, _after(state, events, now)

    async def _decide(self, stream: Stream, input_: Input) -> None:
        """With the stream's lock held: decide, append, evolve, act."""
        if stream.fault:
            raise stream.broken()
        now = self._clock.now()
        events = decide(stream.state, input_, now)
        if events:
            batch = Batch(stream.name, stream.state.version, self.at(), now, events, input_)
            records = await self._append(batch, pending(stream.state))
            for event, record in zip(events, records, strict=True):
                stream.state = evolve(stream.state, event, now)
                self._follow_up(stream, event, record)
        self._set_timer(stream, idle_tick=isinstance(input_, Tick) and not events)

    async def _append(self, batch: Batch, opened: Iterable[t.Action] = ()) -> list[Record]:
        records = await self._writer.append(batch)
        note(batch.events, records, opened)
        self.snapshots.appended()
        appended, self._appended = self._appended, asyncio.Event()
        appended.set()
        self.news.set()
        return records

    def _follow_up(self, stream: Stream, event: ev.Event, record: Record) -> None:
        if isinstance(event, ev.Started | ev.Queued):
            self.rollouts[event.rollout] = rollout_place(event, record)
        elif isinstance(event, ev.Ended):
            self.ended.set()
        elif isinstance(event, ev.ActionEnded):
            self._effects.cancel(event.action)
        elif isinstance(event, ev.ActionIssued) and find_action(stream.state, event.action.id):
            self.dispatch(stream, event.action)

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
        stream.timer = asyncio.get_running_loop().call_later(delay, self._soon, stream, Tick())

    def _soon(self, stream: Stream, input_: Input) -> None:
        """Decide on it once the present decision is made."""
        assert self._tasks is not None
        self._tasks.create_task(self._answer(stream, input_))

    def place_of(self, rollout: str) -> RolloutPlace:
        """Where the rollout is in the log; `UsageError` if there is none."""
        place = self.rollouts.get(rollout)
        if place is None:
            raise UsageError(f"there is no rollout {rollout[:80]}", "see: tidegate rollout list")
        return place

    # --- Streams that no rollout lives in --------------------------------------------------

    async def record_own(
        self, name: str, event: ev.EpochBegan | ev.NodeRegistered | ev.NodeRemoved
    ) -> None:
        """Append to a stream that no rollout lives in; to the end, as `submit`. Raises
        `ShuttingDown`."""
        await in_own_task(self._tasks, self._record_own(name, event))

    async def _record_own(
        self, name: str, event: ev.EpochBegan | ev.NodeRegistered | ev.NodeRemoved
    ) -> None:
        async with self._own_lock:
            version, clock = self.log.version(name), self._clock.now()
            await self._append(Batch(name, version, self.at(), clock, (event,), None))
            if isinstance(event, ev.EpochBegan):
                self.epoch = event.epoch
            else:
                self.fleet.fold(event)

    async def rise_above(self, epoch: int) -> None:
        """Begin an epoch above the one that an agent has obeyed a former log at. Likewise."""
        await in_own_task(self._tasks, self._rise_above(epoch))

    async def _rise_above(self, epoch: int) -> None:
        async with self._epoch_lock:
            if epoch >= self.epoch:
                began = ev.EpochBegan(epoch=epoch + 1, log_id=self.log.log_id)
                await self.record_own(CONTROLLER_STREAM, began)

    # --- Readers ------------------------------------------------------------------------------

    async def wait_for_append(self, after_seq: int) -> None:
        """Return once the log holds something after the cursor."""
        while self.log.last_seq <= after_seq:
            await self._appended.wait()


def _after(state: t.State, events: tuple[ev.Event, ...], now: float) -> t.State:
    for event in events:
        state = evolve(state, event, now)
    return state
