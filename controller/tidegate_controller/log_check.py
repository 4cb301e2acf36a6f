"""The full check of an event log, from its first event to its last; nothing is written.

Each event's hash covers the one before, so whoever has noted the last hash can prove later that
nothing up to there was changed or cut off. Called by `tidegate log verify` on a controller's log or
a backup, beside a running controller too; and by `backup` and `restore`. Blocking.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import msgspec

from tidegate_controller import history, snapshots
from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.log import (
    GENESIS,
    RESTORE,
    LogError,
    Record,
    connect_to_read,
    decode_cause,
    verified,
)
from tidegate_controller.log_index import CONTROLLER_STREAM, FLEET_STREAM, Index, LogIndex
from tidegate_controller.snapshot_keeper import opened
from tidegate_controller.stream import RolloutPlace

PLACING = (ev.Started.__name__, ev.Queued.__name__)  # only these are read for where a rollout is


class Checked(NamedTuple):
    """A log in which all holds. `compared`: events at which snapshots were found to be as folding
    gives it; `ignored`: why others count for nothing."""

    log_id: str
    events: int
    streams: int
    first_at: str
    last_at: str
    seq: int
    head: str
    compared: list[int]
    ignored: list[str]


def check(path: Path, head: str = "", seq: int = 0) -> Checked:
    """Raises `LogError` that names the first event that is wrong. `head`: a hash that must be in
    it, at event `seq` if that is not 0."""
    walk = _Walk(path)
    head_at = 0
    for record in verified(path):
        walk.take(record)
        if record.hash == head:
            head_at = record.seq
        if seq == record.seq and head_at != seq:
            raise LogError(
                f"event {seq} has the hash {record.hash}, not the one that was noted: this is "
                "another log, or it was written anew from some event before",
                RESTORE,
            )
    if head and not head_at:
        raise LogError(
            f"no event of the log has the hash that was noted; its last is event {walk.seq}: it "
            "was cut off, or is another log",
            RESTORE,
        )
    return walk.end()


class _Walk:
    """From event to event. Each is folded, and compared with the snapshots where they were made."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._index = LogIndex()
        self._history = history.History(path)
        self._states: dict[tuple[str, int], list[t.State]] = {}  # to be found, by stream, version
        self._indexes: list[tuple[int, Index]] = []
        self._places: dict[str, list[RolloutPlace]] = {}  # by rollout, as they came
        self._pasts: dict[int, bytes] = {}
        self._ignored: list[str] = []
        self._first_at = self._last_at = ""
        self.seq, self._head = 0, GENESIS
        self._read_snapshots()

    def _read_snapshots(self) -> None:
        for found in _snapshots(self._path):
            if isinstance(found, str):
                self._ignored.append(found)
                continue
            try:
                index = opened(found)[0]
            except (msgspec.DecodeError, KeyError) as error:
                raise _misfit(found.seq, f"it cannot be read: {error}") from error
            self._indexes.append((found.seq, index.index))
            for name, state in index.states.items():
                self._states.setdefault((name, state.version), []).append(state)
            if (past := found.parts.get(history.PART)) is not None:
                self._pasts[msgspec.json.decode(past, type=_Seq).seq] = past

    def take(self, record: Record) -> None:
        if record.seq != self.seq + 1:
            raise LogError(f"event {record.seq} follows event {self.seq}", RESTORE)
        decode_cause(record)
        self._index.fold(record)
        if record.kind in PLACING and isinstance(event := record.event, ev.Started | ev.Queued):
            rollouts = self._index.index.rollouts
            self._places.setdefault(event.rollout, []).append(rollouts[event.rollout])
        self.seq, self._head, self._last_at = record.seq, record.hash, record.at
        self._first_at = self._first_at or record.at
        place = (record.stream, record.version)
        for state in self._states.pop(place, ()):
            if state != self._index.states[record.stream]:
                name = f"version {record.version} of {record.stream}"
                raise _misfit(record.seq, f"{name} is otherwise than the events give")
        self._compare_own(record)
        if self._pasts:
            self._history.take(record)
            past = self._pasts.pop(record.seq, None)
            if past is not None and past != self._history.past():
                raise _misfit(record.seq, "the history is otherwise than the events give")

    def _compare_own(self, record: Record) -> None:
        now, name = self._index.index, record.stream
        for seq, index in self._indexes:
            if index.versions.get(name, -1) != record.version:
                continue
            fits = name != FLEET_STREAM or index.registered == now.registered
            fits = fits and (name != CONTROLLER_STREAM or _life(index) == _life(now))
            if not fits:
                raise _misfit(seq, f"{name} is otherwise than the events give")

    def _placed(self, found: dict[str, RolloutPlace], seq: int) -> bool:
        """Whether the rollouts are where they were at that event, or came to be since: a snapshot
        may have more than the events up to its own, and one that waits begins elsewhere."""
        for rollout, places in self._places.items():
            before = [place for place in places if place.seq <= seq]
            since = places[len(before) :]
            if found.get(rollout) not in (before[-1] if before else None, *since):
                return False
        return found.keys() <= self._places.keys()

    def end(self) -> Checked:
        for seq, index in self._indexes:
            if not self._placed(index.rollouts, seq):
                raise _misfit(seq, "the list of rollouts is otherwise than the events give")
        if self._states or self._pasts:
            raise _misfit(self._indexes[0][0], "it is about events that the log does not have")
        own_id, told = log_id(self._path), self._index.index.log_id
        if told not in ("", own_id):
            raise LogError(f"it calls itself log {own_id}, its events log {told}", RESTORE)
        return Checked(
            log_id=own_id,
            events=self.seq,
            streams=len(self._index.versions()),
            first_at=self._first_at,
            last_at=self._last_at,
            seq=self.seq,
            head=self._head,
            compared=[seq for seq, _ in self._indexes],
            ignored=self._ignored,
        )


def _life(index: Index) -> tuple[int, str, list[str]]:
    """What the controller's own stream gives."""
    return index.epoch, index.log_id, index.former_logs


class _Seq(msgspec.Struct):
    """The last event that a history has had; the rest of it is compared as it is."""

    seq: int


def log_id(path: Path) -> str:
    """Errors: `LogError`."""
    try:
        with closing(connect_to_read(path)) as database:
            sql = "SELECT value FROM meta WHERE key = 'log_id'"
            return str(database.execute(sql).fetchone()[0])
    except (sqlite3.Error, TypeError) as error:
        raise LogError(f"cannot read the event log {path}: {error}", RESTORE) from error


def _snapshots(path: Path) -> Iterator[snapshots.Snapshot | str]:
    try:
        with closing(connect_to_read(path)) as database:
            yield from snapshots.newest(database)
    except sqlite3.Error as error:
        yield f"the snapshots cannot be read: {error}"


def _misfit(seq: int, why: str) -> LogError:
    return LogError(
        f"the events are as they were written, but the snapshot of event {seq} is not: {why}",
        "stop the controller and remove the snapshots, of which it makes new ones: "
        "sqlite3 DIR/events.db 'DELETE FROM snapshots'; and report it",
    )
