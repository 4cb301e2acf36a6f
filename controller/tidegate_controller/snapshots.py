"""Snapshots: what the log added up to at one event, so that a start need not begin at the first.

They stand in the log's own database, in parts, each with a hash that covers the log's hash at that
event. They are disposable: one that was made by other code, cannot be read or does not fit counts
for nothing, and everything is folded from the beginning. Called by `log` and `snapshot_keeper`.
"""

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

KEPT = 2  # the last ones: one that was damaged leaves the one before
TABLE = """
CREATE TABLE IF NOT EXISTS snapshots (
    seq INTEGER NOT NULL, name TEXT NOT NULL, code TEXT NOT NULL,
    data BLOB NOT NULL, hash TEXT NOT NULL, PRIMARY KEY (seq, name)
)
"""
# Whose change makes older snapshots useless: what folds, what is in its result, and whatever these
# import. Which modules that is changes from version to version, so all of them count.
FOLDING = "**/*.py"


class Snapshot(NamedTuple):
    """Everything up to the event `seq` is in its parts, and perhaps more. `parts`: JSON by name."""

    seq: int
    parts: Mapping[str, bytes]


@cache
def code() -> str:
    """Which code has folded: another version of it may make something else of the same events.
    Read once, by `EventLog` as it is opened, since the files may be replaced while this runs."""
    digest = hashlib.sha256()
    folder = Path(__file__).parent
    for file in sorted(folder.glob(FOLDING)):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def store(database: sqlite3.Connection, snapshot: Snapshot) -> None:
    """Within a transaction of the caller's; the oldest make room."""
    chain = _chain_hash(database, snapshot.seq)
    database.execute("DELETE FROM snapshots WHERE seq = ?", (snapshot.seq,))
    whole = f"{snapshot.seq} {len(snapshot.parts)}"
    for name, data in snapshot.parts.items():
        row = (snapshot.seq, name, code(), data, _hash(chain, whole, code(), name, data))
        database.execute("INSERT INTO snapshots VALUES (?, ?, ?, ?, ?)", row)
    kept = "SELECT DISTINCT seq FROM snapshots ORDER BY seq DESC LIMIT ?"
    database.execute(f"DELETE FROM snapshots WHERE seq NOT IN ({kept})", (KEPT,))  # noqa: S608


def newest(database: sqlite3.Connection) -> Iterator[Snapshot | str]:
    """The snapshots, the last first; in place of one that does not count, why, in words."""
    if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'snapshots'").fetchall():
        return
    seqs = database.execute("SELECT DISTINCT seq FROM snapshots ORDER BY seq DESC").fetchall()
    for (seq,) in seqs:
        yield _read(database, seq)


def _read(database: sqlite3.Connection, seq: int) -> Snapshot | str:
    chain = _chain_hash(database, seq)
    parts: dict[str, bytes] = {}
    sql = "SELECT name, code, data, hash FROM snapshots WHERE seq = ?"
    rows = database.execute(sql, (seq,)).fetchall()
    whole = f"{seq} {len(rows)}"  # so that none can be missing
    for name, made_by, data, found in rows:
        if made_by != code():
            return f"the snapshot of event {seq} was made by another version of Tidegate"
        if not isinstance(data, bytes) or found != _hash(chain, whole, made_by, name, data):
            return f"the snapshot of event {seq} was changed, or is of another log: {name}"
        parts[name] = data
    return Snapshot(seq, parts)


def _chain_hash(database: sqlite3.Connection, seq: int) -> str:
    row = database.execute("SELECT hash FROM events WHERE seq = ?", (seq,)).fetchone()
    return str(row[0]) if row else ""


def _hash(chain: str, whole: str, made_by: str, name: str, data: bytes) -> str:
    digest = hashlib.sha256()
    for part in (chain.encode(), whole.encode(), made_by.encode(), name.encode(), data):
        digest.update(f"{len(part)}:".encode() + part)
    return digest.hexdigest()
