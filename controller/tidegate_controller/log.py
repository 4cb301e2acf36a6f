"""The event log: SQLite in WAL mode, synchronous=FULL, one writer, hash-chained.

The interface is small on purpose (append with expected version, read a stream, read from a
cursor, snapshots), because another database can take its place. Blocking: the engine calls
`append` and `keep` from a thread through `tidegate_controller.log_writer`.
"""

import hashlib
import sqlite3
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
import sqlite_utils
from sqlite_utils.db import Table

from tidegate_controller import snapshots
from tidegate_controller.core import events as ev
from tidegate_controller.core.inputs import AnyInput, Input
from tidegate_controller.errors import TidegateError
from tidegate_controller.snapshots import Snapshot

SCHEMA_VERSION = 1
GENESIS = "0" * 64
RESTORE = "restore the log from a backup: tidegate controller restore FILE --data DIR --replace"
COLUMNS = ("seq", "stream", "version", "at", "clock", "kind", "data", "cause", "hash")


class LogError(TidegateError):
    """The log cannot be read or written: the controller must not go on."""


class Record(NamedTuple):
    """One event as it stands in the log. `data` and `cause` are JSON; `cause` is the input that
    led to the decision, at its first event; `clock` is engine time, `at` wall time."""

    seq: int
    stream: str
    version: int
    at: str
    clock: float
    kind: str
    data: bytes
    cause: bytes | None
    hash: str

    @property
    def event(self) -> ev.Event:
        return decode_event(self)


class Batch(NamedTuple):
    """The events of one decision, to be appended together after `expected_version`."""

    stream: str
    expected_version: int
    at: str
    clock: float
    events: Sequence[ev.Event]
    cause: Input | None


def decoder_of(kind: Any) -> msgspec.json.Decoder[Any]:
    """Reads what `encode` has written of this type, with its places."""
    return msgspec.json.Decoder(kind, dec_hook=lambda named, value: named(value))


_event_decoder: msgspec.json.Decoder[ev.Event] = decoder_of(ev.AnyEvent)
_input_decoder: msgspec.json.Decoder[Input] = decoder_of(AnyInput)


def encode(value: object) -> bytes:
    """JSON of a value of the core; mappings keep their order."""
    return msgspec.json.encode(value, enc_hook=str)


def decode_event(record: Record) -> ev.Event:
    """Raises `LogError` that names the event when its kind or shape is not known here."""
    try:
        return _event_decoder.decode(record.data)
    except msgspec.DecodeError as error:
        raise _unreadable(record, "", error) from error


def decode_cause(record: Record) -> Input | None:
    """The input that led to the decision, at its first event. Errors: `LogError`."""
    try:
        return None if record.cause is None else _input_decoder.decode(record.cause)
    except msgspec.DecodeError as error:
        raise _unreadable(record, "the cause of ", error) from error


def _unreadable(record: Record, part: str, error: Exception) -> LogError:
    return LogError(
        f"{part}event {record.seq} ({record.kind}, version {record.version} of {record.stream}) "
        f"cannot be read: {error}",
        "it was damaged, or written by a newer Tidegate: start that one, or restore a backup",
    )


def _new_id() -> str:
    return uuid.uuid4().hex[:12]


class EventLog:
    """The log in one file. Open it once; only one process may."""

    def __init__(self, path: Path, new_id: Callable[[], str] = _new_id) -> None:
        snapshots.code()  # which code this is: files may be those of an upgrade before it is asked
        self.path = path
        self._new_id = new_id
        try:
            connection = sqlite3.connect(path, check_same_thread=False)
            self._db = sqlite_utils.Database(connection)
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.enable_wal()
            self._create()
            self._db.execute(snapshots.TABLE)
            meta = {row["key"]: row["value"] for row in Table(self._db, "meta").rows}
        except sqlite3.Error as error:
            raise LogError(
                f"cannot open the event log {path}: {error}",
                "look at the disk, and at who may write there; a damaged log is restored from a "
                "backup",
            ) from error
        _check_schema(path, meta["schema_version"])
        self.log_id = meta["log_id"]
        self._versions: dict[str, int] = {}
        self._last_hash = GENESIS
        self._last_seq = 0
        self.last_clock = 0.0

    def _create(self) -> None:
        if "events" in self._db.table_names():
            return
        with self._db.atomic():
            Table(self._db, "meta").create({"key": str, "value": str}, pk="key")
            Table(self._db, "events").create(
                {
                    "seq": int,
                    "stream": str,
                    "version": int,
                    "at": str,
                    "clock": float,
                    "kind": str,
                    "data": str,
                    "cause": str,
                    "hash": str,
                },
                pk="seq",
                not_null=set(COLUMNS) - {"cause"},
            )
            Table(self._db, "events").create_index(["stream", "version"], unique=True)
            Table(self._db, "meta").insert_all(
                [
                    {"key": "schema_version", "value": str(SCHEMA_VERSION)},
                    {"key": "log_id", "value": self._new_id()},
                ]
            )

    def load(
        self, after: int = 0, versions: Mapping[str, int] = MappingProxyType({})
    ) -> Iterator[Record]:
        """Every record, oldest first, its place in the hash chain checked. Call first, and to the
        end. `after`: only those after this event, at which streams had these `versions` or less;
        what is before it is taken as it is, so only `log_check` says whether it was changed."""
        self._versions, self._last_hash, self._last_seq = dict(versions), GENESIS, 0
        for record in self._rows("SELECT * FROM events WHERE seq = ?", (after,)):
            self._last_hash, self._last_seq = record.hash, record.seq
        rows = self._rows("SELECT * FROM events WHERE seq > ? ORDER BY seq", (self._last_seq,))
        for record in _chained(rows, self._last_hash):
            self._remember(record)
            yield record

    def kept(self) -> Iterator[Snapshot | str]:
        """Snapshots, the last first; in place of one that does not count, why, in words."""
        try:
            yield from snapshots.newest(self._db.conn)
        except sqlite3.Error as error:
            yield f"the snapshots cannot be read: {error}"

    def keep(self, snapshot: Snapshot) -> None:
        """Store the snapshot; durable on return. `LogError` if it cannot be."""
        try:
            with self._db.atomic():
                snapshots.store(self._db.conn, snapshot)
        except sqlite3.Error as error:
            raise LogError(f"cannot write to the event log {self.path}: {error}") from error

    def append(self, batches: Sequence[Batch]) -> list[list[Record]]:
        """Append all batches in one transaction, durable on return. `LogError` if any cannot."""
        made: list[list[Record]] = []
        seq, last_hash = self._last_seq, self._last_hash
        versions = dict(self._versions)
        for batch in batches:
            if versions.get(batch.stream, 0) != batch.expected_version:
                raise LogError(
                    f"{batch.stream} is at version {versions.get(batch.stream, 0)}, "
                    f"not at {batch.expected_version}: another writer?"
                )
            records = []
            for offset, event in enumerate(batch.events, 1):
                seq += 1
                cause = encode(batch.cause) if batch.cause is not None and offset == 1 else None
                record = Record(
                    seq,
                    batch.stream,
                    batch.expected_version + offset,
                    batch.at,
                    batch.clock,
                    type(event).__name__,
                    encode(event),
                    cause,
                    "",
                )
                last_hash = _hash(last_hash, record)
                records.append(record._replace(hash=last_hash))
            versions[batch.stream] = batch.expected_version + len(records)
            made.append(records)
        self._insert([record for records in made for record in records])
        return made

    def _insert(self, records: list[Record]) -> None:
        rows = [_to_row(record) for record in records]
        marks = ", ".join("?" * len(COLUMNS))
        sql = f"INSERT INTO events ({', '.join(COLUMNS)}) VALUES ({marks})"  # noqa: S608
        try:
            with self._db.atomic():
                self._db.conn.executemany(sql, rows)
        except sqlite3.Error as error:
            raise LogError(f"cannot write to the event log {self.path}: {error}") from error
        for record in records:
            self._remember(record)

    def _remember(self, record: Record) -> None:
        self._versions[record.stream] = record.version
        self._last_hash, self._last_seq = record.hash, record.seq
        self.last_clock = max(self.last_clock, record.clock)

    def take_id(self, log_id: str) -> None:
        """It goes on as another log. Errors: `LogError`."""
        try:
            with self._db.atomic():
                self._db.execute("UPDATE meta SET value = ? WHERE key = 'log_id'", (log_id,))
        except sqlite3.Error as error:
            raise LogError(f"cannot write to the event log {self.path}: {error}") from error
        self.log_id = log_id

    def version(self, stream: str) -> int:
        return self._versions.get(stream, 0)

    def versions(self) -> dict[str, int]:
        """Of all streams, as of now or a moment ago: the writer may be at work."""
        return dict(self._versions)

    @property
    def last_seq(self) -> int:
        return self._last_seq

    def close(self) -> None:
        self._db.close()

    def _rows(self, sql: str, parameters: Sequence[object] = ()) -> Iterator[Record]:
        try:
            for row in self._db.conn.execute(sql, parameters):
                yield _from_row(row)
        except (sqlite3.Error, ValueError) as error:
            raise LogError(f"the event log {self.path} is damaged: {error}") from error


def read_log(path: Path, after_seq: int, limit: int) -> list[Record]:
    """Up to `limit` records after the cursor, oldest first, of all streams. Blocking; may run in
    any thread beside the writer, since it opens and closes for itself. Errors: `LogError`."""
    return _read(path, "SELECT * FROM events WHERE seq > ? ORDER BY seq LIMIT ?", after_seq, limit)


def read_stream(path: Path, stream: str, after_version: int, limit: int) -> list[Record]:
    """Likewise of one stream, after that version of it."""
    sql = "SELECT * FROM events WHERE stream = ? AND version > ? ORDER BY version LIMIT ?"
    return _read(path, sql, stream, after_version, limit)


def connect_to_read(path: Path) -> sqlite3.Connection:
    """For whoever only looks; it need not be the log of a controller that has stopped."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)


def verified(path: Path) -> Iterator[Record]:
    """Every record, oldest first, its place in the hash chain checked, for whoever only looks:
    nothing is written, whether a controller runs or not. Errors: `LogError`."""
    try:
        with closing(connect_to_read(path)) as connection:
            sql = "SELECT value FROM meta WHERE key = 'schema_version'"
            _check_schema(path, *connection.execute(sql).fetchone())
            rows = connection.execute("SELECT * FROM events ORDER BY seq")
            yield from _chained(map(_from_row, rows))
    except (sqlite3.Error, ValueError, TypeError) as error:
        raise LogError(f"the event log {path} is damaged: {error}") from error


def _check_schema(path: Path, found: str) -> None:
    if found != str(SCHEMA_VERSION):
        raise LogError(
            f"{path} has schema version {found}, this is {SCHEMA_VERSION}",
            "start the version of Tidegate that wrote it, or a newer one",
        )


def _chained(records: Iterable[Record], last_hash: str = GENESIS) -> Iterator[Record]:
    """The records, as long as the hash of each covers all before it."""
    for record in records:
        if record.hash != _hash(last_hash, record):
            raise LogError(
                f"event {record.seq} ({record.kind} of {record.stream}) was changed after it "
                "was written: its hash does not fit",
                RESTORE,
            )
        last_hash = record.hash
        yield record


def _read(path: Path, sql: str, *parameters: object) -> list[Record]:
    try:
        with closing(connect_to_read(path)) as connection:
            return [_from_row(row) for row in connection.execute(sql, parameters)]
    except sqlite3.Error as error:
        raise LogError(f"cannot read the event log {path}: {error}") from error


def _to_row(record: Record) -> tuple[object, ...]:
    cause = None if record.cause is None else record.cause.decode()
    return (*record[:6], record.data.decode(), cause, record.hash)


def _from_row(row: Sequence[Any]) -> Record:
    cause = None if row[7] is None else str(row[7]).encode()
    seq, stream, version, at, clock, kind, data, _, digest = row
    return Record(seq, stream, version, at, clock, kind, str(data).encode(), cause, digest)


def _hash(previous: str, record: Record) -> str:
    """Covers the previous hash and every column, length-prefixed, so nothing can be moved."""
    seq, stream, version, at, clock, kind = record[:6]
    texts = (previous, str(seq), stream, str(version), at, str(clock), kind)
    parts = [*(text.encode() for text in texts), record.data, record.cause or b""]
    return hashlib.sha256(b"".join([b"%d:%b" % (len(part), part) for part in parts])).hexdigest()
