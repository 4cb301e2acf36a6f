"""The agent's durable memory: commands with their results, the highest fences, what slots run.

SQLite with synchronous=FULL: what `write` has returned from survives power loss. All changes go
through that one method. An unreadable journal stops the agent and leaves the apps serving.
"""

import contextlib
import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tidegate_agent.errors import JournalError, NotThisNode
from tidegate_agent.machine import new_id
from tidegate_agent.managers import Handle
from tidegate_protos.v1 import agent_pb2 as pb

SCHEMA_VERSION = 2
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
    command BLOB NOT NULL, begun TEXT, result BLOB
) STRICT;
CREATE TABLE slots (
    app TEXT NOT NULL, slot TEXT NOT NULL, environment TEXT NOT NULL,
    start BLOB NOT NULL, port INTEGER NOT NULL,
    phase TEXT NOT NULL CHECK (phase IN ('starting', 'wanted', 'ending')),
    token TEXT NOT NULL, handle TEXT,
    PRIMARY KEY (app, slot)
) STRICT;
"""


# What the agent of the folder was started with: its node, and where its controller is.
TOLD = "SELECT key, value FROM meta WHERE key IN ('node', 'controller')"


@dataclass(frozen=True)
class SlotRecord:
    """What a slot was last told to run, and what is known of it.

    `phase`: "starting" until it has been healthy, then "wanted": it shall go on running, whatever
    happens; "ending" from before the first signal on, for good: it is never taken up again.
    `handle` is the service manager's; None from before a start until it has succeeded.
    """

    app: str
    slot: str
    environment: str
    start: pb.StartSlot
    port: int
    phase: Literal["starting", "wanted", "ending"]
    token: str
    handle: Handle | None


class Journal:
    """Open it once; `journal_id` is random and made with it."""

    def __init__(self, path: Path, new_id: Callable[[], str] = new_id) -> None:
        try:
            self._db = sqlite3.connect(path, isolation_level=None)
            path.chmod(0o600)  # it holds what operators set in the apps' environment
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            if self._db.execute("PRAGMA user_version").fetchone()[0] == 0:
                self._create(new_id())
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            found = self._db.execute("SELECT value FROM meta WHERE key = 'journal_id'").fetchone()
        except sqlite3.Error as error:
            raise JournalError(f"the journal {path} cannot be read: {error}") from error
        if version != SCHEMA_VERSION:
            raise JournalError(
                f"the journal {path} was written by another version of the agent: it has format "
                f"{version}, this one reads {SCHEMA_VERSION}; start that version, or stop the apps "
                "and begin with an empty --data"
            )
        self.journal_id: str = found[0]

    def _create(self, journal_id: str) -> None:
        self._db.executescript(f"BEGIN IMMEDIATE; {SCHEMA}")
        self._db.execute("INSERT INTO meta VALUES ('journal_id', ?)", (journal_id,))
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
                with contextlib.suppress(sqlite3.Error):  # what went wrong first is what is said
                    self._db.execute("ROLLBACK")
            raise JournalError(f"the journal cannot be written: {error}") from error

    def log_id(self) -> str:
        """Of the controller's event log that this agent has obeyed; empty: of none yet."""
        rows = self._read("SELECT value FROM meta WHERE key = 'log_id'")
        return str(rows[0][0]) if rows else ""

    def remember_log(self, log_id: str) -> None:
        self.write(("INSERT OR REPLACE INTO meta VALUES ('log_id', ?)", (log_id,)))

    def belong_to(self, node: str) -> None:
        """Take the first name for good: what the slots run was asked of that node alone. Raises
        `NotThisNode` under another one."""
        known = self._told().get("node")
        if known is None:
            self.write(("INSERT INTO meta VALUES ('node', ?)", (node,)))
        elif known != node:
            raise NotThisNode(known)

    def remember_address(self, controller: str) -> None:
        """Of the controller that the agent was told of, for `tidegate-agent doctor`."""
        if self._told().get("controller") != controller:
            self.write(("INSERT OR REPLACE INTO meta VALUES ('controller', ?)", (controller,)))

    def _told(self) -> dict[str, str]:
        return {str(key): str(value) for key, value in self._read(TOLD)}

    def forget_controller(self) -> None:
        """Its log, its fences and its commands; what the slots run is the node's own to know."""
        self.write(
            ("DELETE FROM meta WHERE key = 'log_id'", ()),
            ("DELETE FROM fences", ()),
            ("DELETE FROM commands", ()),
        )

    def _read(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(sql, tuple(parameters)).fetchall()
        except sqlite3.Error as error:
            raise JournalError(f"the journal cannot be read: {error}") from error

    # --- Commands -----------------------------------------------------------------------------

    def fence(self, app: str, environment: str) -> tuple[int, int]:
        """The highest (epoch, version) that was accepted; (0, 0) if none."""
        sql = "SELECT epoch, version FROM fences WHERE app = ? AND environment = ?"
        rows = self._read(sql, (app, environment))
        return (int(rows[0][0]), int(rows[0][1])) if rows else (0, 0)

    def fences(self) -> list[tuple[str, str, int, int]]:
        """App, environment, epoch and version of the highest of each."""
        rows = self._read("SELECT app, environment, epoch, version FROM fences")
        return [(str(row[0]), str(row[1]), int(row[2]), int(row[3])) for row in rows]

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

    def begin(self, command_id: str, script: str) -> None:
        """The command runs this script next, which must not be run twice."""
        self.write(("UPDATE commands SET begun = ? WHERE id = ?", (script, command_id)))

    def begun(self, command_id: str) -> str:
        """The script that was begun, in this life of the agent or an earlier one; empty: none."""
        sql = "SELECT begun FROM commands WHERE id = ? AND begun IS NOT NULL"
        rows = self._read(sql, (command_id,))
        return str(rows[0][0]) if rows else ""

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
        sql = "SELECT app, slot, environment, start, port, phase, token, handle FROM slots"
        return [_slot_record(*row) for row in self._read(f"{sql} ORDER BY app, slot")]

    def save_slot(self, record: SlotRecord) -> None:
        self.write(
            (
                "INSERT OR REPLACE INTO slots VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    record.app,
                    record.slot,
                    record.environment,
                    record.start.SerializeToString(),
                    record.port,
                    record.phase,
                    record.token,
                    None if record.handle is None else json.dumps(dict(record.handle)),
                ),
            )
        )


def _slot_record(
    app: str,
    slot: str,
    environment: str,
    start: bytes,
    port: int,
    phase: Literal["starting", "wanted", "ending"],
    token: str,
    handle: str | None,
) -> SlotRecord:
    parsed = pb.StartSlot.FromString(start)
    known = None if handle is None else json.loads(handle)
    return SlotRecord(app, slot, environment, parsed, port, phase, token, known)
