"""Takes snapshots while the controller works, and starts from the last good one.

Called by `engine` at its start, every so many events, and by `server` at an orderly stop. Taking
one keeps no decision waiting: the states are immutable, so they are only looked at on the loop, and
made into JSON in a thread. None is worth an error: without one, all is folded.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import msgspec

from tidegate_controller.core import types as t
from tidegate_controller.log import EventLog, LogError, decoder_of, encode
from tidegate_controller.log_index import Index, LogIndex
from tidegate_controller.log_writer import LogWriter
from tidegate_controller.snapshots import Snapshot

log = logging.getLogger(__name__)

EVERY_EVENTS = 5_000
STOP_EVENTS = 1_000  # at an orderly stop; fewer are folded in no time, and their hashes checked
TOLD_EVENTS = 50_000  # that are read, some seconds: whoever waits for the start is told so far
INDEX, CLOCK, STATE = "index", "clock", "state "  # names of the parts; the last with the stream's

OtherPart = Callable[[], Awaitable[bytes]]

_state_decoder: msgspec.json.Decoder[t.State] = decoder_of(t.State)
_index_decoder: msgspec.json.Decoder[Index] = msgspec.json.Decoder(Index)
_clock_decoder: msgspec.json.Decoder[float] = msgspec.json.Decoder(float)


class SnapshotKeeper:
    """`at_rest`: all that is known, each stream of it as no append to it is under way."""

    def __init__(
        self, event_log: EventLog, writer: LogWriter, at_rest: Callable[[], Awaitable[LogIndex]]
    ) -> None:
        self._log = event_log
        self._writer = writer
        self._at_rest = at_rest
        self._others: dict[str, OtherPart] = {}
        self._lock = asyncio.Lock()
        self._due = asyncio.Event()
        self.loaded: Snapshot | None = None  # what the start has begun with
        self.last_seq = 0

    def add(self, name: str, part: OtherPart) -> None:
        """Something else that is folded from the log and is to be found again in `loaded`."""
        self._others[name] = part

    async def run(self) -> None:
        """Take one every so many events, until cancelled."""
        while True:
            await self._due.wait()
            self._due.clear()
            await self.take()

    def appended(self) -> None:
        """Something was, so that one may be due."""
        if self._log.last_seq - self.last_seq >= EVERY_EVENTS:
            self._due.set()

    async def take(self, least: int = 1) -> None:
        """Take one now, unless fewer events than that have happened since the last."""
        async with self._lock:
            seq, versions = self._log.last_seq, self._log.versions()
            if seq - self.last_seq < least:
                return
            self.last_seq = seq  # also if it fails: the next try is after as many events again
            try:
                found = await self._at_rest()
                if behind := [n for n, least in versions.items() if found.version(n) < least]:
                    log.warning("no snapshot: %s stands still", ", ".join(behind))
                    return
                others = {name: await part() for name, part in self._others.items()}
                clock = self._log.last_clock
                parts = await asyncio.to_thread(parts_of, found, clock)
                await self._writer.keep(Snapshot(seq, {**parts, **others}))
            except Exception:  # whatever it is: decisions do not depend on snapshots
                log.exception("no snapshot of event %d could be kept", seq)
            else:
                log.debug("a snapshot of event %d is kept", seq)


def parts_of(found: LogIndex, clock: float) -> dict[str, bytes]:
    """As a snapshot has them. `clock`: the engine's time at its event."""
    states = {f"{STATE}{name}": encode(state) for name, state in found.states.items()}
    index = msgspec.json.encode(found.index)
    return {INDEX: index, CLOCK: msgspec.json.encode(clock), **states}


def opened(snapshot: Snapshot) -> tuple[LogIndex, float]:
    """What is in it, and the engine's time at it. Raises `msgspec.DecodeError` or `KeyError`."""
    index = _index_decoder.decode(snapshot.parts[INDEX])
    states = {
        name.removeprefix(STATE): _state_decoder.decode(data)
        for name, data in snapshot.parts.items()
        if name.startswith(STATE)
    }
    return LogIndex(index, states), _clock_decoder.decode(snapshot.parts[CLOCK])


def load(event_log: EventLog, keeper: SnapshotKeeper | None = None) -> LogIndex:
    """Fold the log, from the last snapshot that fits or from the beginning. Errors: `LogError`."""
    for snapshot in event_log.kept():
        if isinstance(snapshot, str):
            log.warning("%s; it is not used", snapshot)
            continue
        try:
            found = _fold_on(event_log, snapshot)
        except (LogError, msgspec.DecodeError, KeyError) as error:
            log.warning("the snapshot of event %d does not fit: %s", snapshot.seq, error)
            continue
        if keeper is not None:
            keeper.loaded, keeper.last_seq = snapshot, snapshot.seq
        return found
    found = LogIndex()
    for record in event_log.load():
        found.fold(record)
        if record.seq % TOLD_EVENTS == 0:  # it may take minutes, and nobody is answered meanwhile
            log.info("reading the whole log: %d events, to %s", record.seq, record.at)
    return found


def _fold_on(event_log: EventLog, snapshot: Snapshot) -> LogIndex:
    found, clock = opened(snapshot)
    for record in event_log.load(snapshot.seq, found.versions()):
        found.fold(record)
    event_log.last_clock = max(event_log.last_clock, clock)
    return found
