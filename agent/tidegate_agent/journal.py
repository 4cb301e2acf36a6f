"""The agent's durable memory: commands with their results, the highest fences, what slots run.

SQLite with synchronous=FULL: what `write` has returned from survives power loss. All changes go
through that one method. An unreadable journal stops the agent and leaves the apps serving.
"""

import sqlite3
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tidegate_agent.errors import AgentError
from tidegate_agent.processes import Instance
from tidegate_protos.v1 import agent_pb2 as pb

SCHEMA_VERSION = 1
RESULTS_KEPT = 1000  # finished commands that were not acknowledged yet

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE fences (
    app TEXT NOT NULL, environment TEXT NOT NULL,
    epoch INTEGER NOT NULL, version INTEGER NOT NULL,
    PRIMARY KEY (app, environment)
) STRICT;
CREATE TABLE commands (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, app TEXT NOT NULL,
    command BLOB NOT NULL, result BLOB
) STRICT;
CREATE TABLE slots (
    app TEXT NOT NULL, slot TEXT NOT NULL, environment TEXT NOT NULL,
    start BLOB NOT NULL, port INTEGER NOT NULL, wanted INTEGER NOT NULL,
    token TEXT NOT NULL, pid INTEGER, started_ticks INTEGER, boot_id TEXT,
    PRIMARY KEY (app, slot)
) STRICT;
"""


@dataclass(frozen=True)
class SlotRecord:
    """What a slot was last told to run. `wanted`: it passed its start and shall go on running."""

    app: str
    slot: str
    environment: str
    start: pb.StartSlot
    port: int
    wanted: bool
    token: str
    instance: Instance | None


class Journal:
    """Open it once; `journal_id` is random and made with it."""

    def __init__(self, path: Path) -> None:
        try:
            self._db = sqlite3.connect(path, isolation_level=None)
            path.chmod(0o600)  # it holds what operators set in the apps' environment
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            if self._db.execute("PRAGMA user_version").fetchone()[0] == 0:
                self._create()
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            found = self._db.execute("SELECT value FROM meta WHERE key = 'journal_id'").fetchone()
        except sqlite3.Error as error:
            raise AgentError(f"the journal {path} cannot be read: {error}") from error
        if version != SCHEMA_VERSION:
            raise AgentError(f"the journal {path} has version {version}, not {SCHEMA_VERSION}")
        self.journal_id: str = found[0]

    def _create(self) -> None:
        self._db.executescript(f"BEGIN IMMEDIATE; {SCHEMA}")
        journal_id = ("journal_id", uuid.uuid4().hex)
        self._db.execute("INSERT INTO meta VALUES (?, ?)", journal_id)
        self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        self._db.execute("COMMIT")

    def close(self) -> None:
        self._db.close()

    def write(self, *statements: tuple[str, Sequence[object]]) -> None:
        """Run the statements in one durable transaction."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for sql, parameters in statements:
                self._db.execute(sql, tuple(parameters))
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise AgentError(f"the journal cannot be written: {error}") from error

    def _read(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(sql, tuple(parameters)).fetchall()
        except sqlite3.Error as error:
            raise AgentError(f"the journal cannot be read: {error}") from error

    # --- Commands -----------------------------------------------------------------------------

    def fence(self, app: str, environment: str) -> tuple[int, int]:
        """The highest (epoch, version) that was accepted; (0, 0) if none."""
        sql = "SELECT epoch, version FROM fences WHERE app = ? AND environment = ?"
        rows = self._read(sql, (app, environment))
        return (int(rows[0][0]), int(rows[0][1])) if rows else (0, 0)

    def highest_epoch(self) -> int:
        return int(self._read("SELECT coalesce(max(epoch), 0) FROM fences")[0][0])

    def accept(self, command: pb.Command) -> None:
        """Record the command and its fence, before anything of it is done."""
        fence = (command.fence.epoch, command.fence.version)
        self.write(
            (
                "INSERT OR REPLACE INTO fences VALUES (?, ?, ?, ?)",
                (command.app, command.environment, *fence),
            ),
            (
                "INSERT INTO commands (id, app, command) VALUES (?, ?, ?)",
                (command.id, command.app, command.SerializeToString()),
            ),
        )

    def finish(self, finished: pb.Finished) -> None:
        self.write(
            (
                "UPDATE commands SET result = ? WHERE id = ?",
                (finished.SerializeToString(), finished.command_id),
            ),
            (
                "DELETE FROM commands WHERE result IS NOT NULL AND number <= "
                "(SELECT max(number) FROM commands) - ?",
                (RESULTS_KEPT,),
            ),
        )

    def known(self, command_id: str) -> bool:
        sql = "SELECT 1 FROM commands WHERE id = ?"
        return bool(self._read(sql, (command_id,)))

    def result(self, command_id: str) -> pb.Finished | None:
        sql = "SELECT result FROM commands WHERE id = ? AND result IS NOT NULL"
        rows = self._read(sql, (command_id,))
        return pb.Finished.FromString(rows[0][0]) if rows else None

    def unfinished(self) -> list[pb.Command]:
        """Commands that were accepted and have no result, in the order they came."""
        sql = "SELECT command FROM commands WHERE result IS NULL ORDER BY number"
        return [pb.Command.FromString(row[0]) for row in self._read(sql)]

    def forget(self, command_id: str) -> None:
        """The controller has the result."""
        self.write(("DELETE FROM commands WHERE id = ?", (command_id,)))

    # --- Slots --------------------------------------------------------------------------------

    def slots(self) -> list[SlotRecord]:
        sql = "SELECT app, slot, environment, start, port, wanted, token, pid, started_ticks, "
        rows = self._read(sql + "boot_id FROM slots ORDER BY app, slot")
        return [_slot_record(*row) for row in rows]

    def save_slot(self, record: SlotRecord) -> None:
        instance = record.instance
        seen = (instance.pid, instance.started_ticks, instance.boot_id) if instance else (None,) * 3
        self.write(
            (
                "INSERT OR REPLACE INTO slots VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    record.app,
                    record.slot,
                    record.environment,
                    record.start.SerializeToString(),
                    record.port,
                    record.wanted,
                    record.token,
                    *seen,
                ),
            )
        )


def _slot_record(
    app: str,
    slot: str,
    environment: str,
    start: bytes,
    port: int,
    wanted: int,
    token: str,
    pid: int | None,
    started_ticks: int | None,
    boot_id: str | None,
) -> SlotRecord:
    instance = None
    if pid is not None and started_ticks is not None and boot_id is not None:
        instance = Instance(token, pid, started_ticks, boot_id)
    parsed = pb.StartSlot.FromString(start)
    return SlotRecord(app, slot, environment, parsed, port, bool(wanted), token, instance)
