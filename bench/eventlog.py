#!/usr/bin/env python3
"""What the event log costs: appends beside SQLite alone and the disk alone, folding, opening.

    .venv/bin/python bench/eventlog.py

Appends are decisions of deployments to ten nodes, the same ones for all three: by the log; into the
same table by bare sqlite3, with the same pragmas and no hash; and the same bytes into a file, with
fdatasync. They take turns, so the ratios are of one moment of the disk. Then a log is written that
is a million events long, and opened: from the beginning, and from a snapshot. The folder is in
TMPDIR: it should be on the disk that is meant.
"""

import argparse
import os
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import count, islice
from pathlib import Path

from tidegate_controller import history, log_check
from tidegate_controller.core import inputs as i
from tidegate_controller.core import types as t
from tidegate_controller.core.decide import decide
from tidegate_controller.core.draft import pending
from tidegate_controller.core.evolve import evolve
from tidegate_controller.core.spec import Health, HttpProbe, Service, Settings, Spec, Traffic
from tidegate_controller.history import History
from tidegate_controller.log import COLUMNS, Batch, EventLog, Record, read_log
from tidegate_controller.snapshot_keeper import SnapshotKeeper, load, parts_of
from tidegate_controller.snapshots import Snapshot

SETTINGS = Settings(
    service=Service(command=("./serve",)), health=Health(probe=HttpProbe(url="http://127.0.0.1/"))
)
NODES = tuple(f"web-{number}" for number in range(10))
APPS = 20
AT = "2026-11-25T12:00:00.000Z"
INSERT = f"INSERT INTO events VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608


class App:
    """One stream that is deployed to again and again, with agents that answer at once."""

    def __init__(self, name: str, numbers: Iterator[int]) -> None:
        self.name = f"{name}@prod"
        self.state = t.State()
        self.now = 0.0
        self._numbers = numbers
        self._spec = Spec(
            app=name,
            environment="prod",
            nodes=NODES,
            settings=SETTINGS,
            traffic=Traffic(adapter="caddy", directory=f"/lanes/{name}"),
        )

    def batches(self) -> Iterator[Batch]:
        """Decisions without end."""
        yield from self._feed(
            i.ControllerStart(
                stream=self.name, epoch=1, log_id="bench", connected=NODES, grace_seconds=30.0
            )
        )
        while True:
            yield from self._deployment(next(self._numbers))

    def _deployment(self, number: int) -> Iterator[Batch]:
        members = tuple(i.Member(node=node, connected=True, journal_id="j") for node in NODES)
        revision = t.Revision(digest=f"sha256:{number:064x}", config=f"sha256:{'c' * 64}")
        release = t.Release(version=str(number), revision=revision, size_bytes=1, settings=SETTINGS)
        yield from self._feed(
            i.Deploy(
                request_id=f"request-{number}",
                rollout=f"r{number}",
                release=release,
                spec=self._spec,
                members=members,
                requested_by="ada@laptop",
            )
        )
        while self.state.rollout is not None:
            for action in pending(self.state):
                known = self._known(action.work)
                yield from self._feed(i.Result(action=action.id, outcome="ok", known=known))
            self.now += 1.0
            yield from self._feed(i.Tick())

    def _known(self, work: t.Work) -> t.Known | None:
        if work.verb == "start":
            address = f"10.0.0.1:{t.SLOTS.index(work.place.slot if work.place else 'blue') + 8001}"
            return t.Known(revision=work.revision, running=True, healthy=True, address=address)
        return None

    def _feed(self, input_: i.Input) -> Iterator[Batch]:
        events = decide(self.state, input_, self.now)
        version = self.state.version
        for event in events:
            self.state = evolve(self.state, event, self.now)
        if events:
            yield Batch(self.name, version, AT, self.now, events, input_)


def decisions() -> Iterator[Batch]:
    """Of all apps in turns."""
    numbers = count(1)
    streams = [App(f"app-{number}", numbers).batches() for number in range(APPS)]
    while True:
        yield from (next(stream) for stream in streams)


# --- Appends -------------------------------------------------------------------------------------


class Ways:
    """The same rows, written in three ways. Each takes a list of decisions, durable on return."""

    def __init__(self, folder: Path) -> None:
        self.log = EventLog(folder / "log.db")
        self._records: list[list[Record]] = []
        self._bare = sqlite3.connect(folder / "bare.db", isolation_level=None)
        self._bare.execute("PRAGMA synchronous=FULL")
        self._bare.execute("PRAGMA journal_mode=WAL")
        with closing(sqlite3.connect(folder / "log.db")) as database:
            tables = "SELECT sql FROM sqlite_master WHERE tbl_name = 'events' AND sql NOT NULL"
            for (sql,) in database.execute(tables):
                self._bare.execute(sql)
        self._file = os.open(folder / "bytes", os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def by_log(self, batches: Sequence[Batch]) -> float:
        began = time.perf_counter()
        self._records = self.log.append(batches)
        return time.perf_counter() - began

    def by_sqlite(self) -> float:
        """What `by_log` has written last. Its rows are made before the clock runs."""
        rows = [_row(record) for records in self._records for record in records]
        began = time.perf_counter()
        self._bare.execute("BEGIN")
        self._bare.executemany(INSERT, rows)
        self._bare.execute("COMMIT")
        return time.perf_counter() - began

    def by_disk(self) -> float:
        data = b"".join(
            record.data + (record.cause or b"") for records in self._records for record in records
        )
        began = time.perf_counter()
        os.write(self._file, data)
        os.fdatasync(self._file)
        return time.perf_counter() - began

    def close(self) -> None:
        self.log.close()
        self._bare.close()
        os.close(self._file)


def _row(record: Record) -> tuple[object, ...]:
    cause = None if record.cause is None else record.cause.decode()
    return (*record[:6], record.data.decode(), cause, record.hash)


def measure_appends(folder: Path, rounds: int, group: int) -> None:
    ways, stream = Ways(folder), decisions()
    took: dict[str, list[float]] = {"the log": [], "bare sqlite3": [], "fdatasync": []}
    events = 0
    for _ in range(rounds):
        batches = list(islice(stream, group))
        events += sum(len(batch.events) for batch in batches)
        took["the log"].append(ways.by_log(batches))
        took["bare sqlite3"].append(ways.by_sqlite())
        took["fdatasync"].append(ways.by_disk())
    ways.close()
    each = "one decision" if group == 1 else f"{group} decisions"
    print(f"append {each} in a transaction, {events / rounds:.1f} events; {rounds} in turns")
    ours = statistics.median(took["the log"])
    for name, seconds in took.items():
        median, p99 = statistics.median(seconds), sorted(seconds)[int(len(seconds) * 0.99)]
        print(
            f"  {name:13} p50 {median * 1000:7.3f} ms  p99 {p99 * 1000:7.3f} ms  "
            f"{events / rounds / median:9,.0f} events/s  ({ours / median:5.2f})"
        )


# --- A long log ----------------------------------------------------------------------------------


def timed(what: str, do: Callable[[], object], events: int = 0) -> float:
    began = time.perf_counter()
    do()
    seconds = time.perf_counter() - began
    speed = f"  {events / seconds:9,.0f} events/s" if events else ""
    print(f"  {what:46} {seconds:8.3f} s{speed}")
    return seconds


def write_long(path: Path, events: int, group: int) -> None:
    stream, written = decisions(), 0
    with closing(EventLog(path)) as log:
        while written < events:
            batches = list(islice(stream, group))
            log.append(batches)
            written += sum(len(batch.events) for batch in batches)


def snapshot(path: Path, after: int) -> None:
    """Keep one of all but the last events, as a controller that was killed leaves it."""
    with closing(EventLog(path)) as log:
        found = load(log)
        past = History(path)
        past.catch_up()
        log.keep(
            Snapshot(log.last_seq, {**parts_of(found, log.last_clock), history.PART: past.past()})
        )
    stream = decisions()
    batches: list[Batch] = []
    while sum(len(batch.events) for batch in batches) < after:
        batches.append(next(stream))
    with closing(EventLog(path)) as log:
        load(log)
        log.append([batch._replace(stream=f"new-{batch.stream}") for batch in batches])


def open_log(path: Path) -> None:
    """As a controller's start does, and the first `tidegate rollout list` after it."""
    with closing(EventLog(path)) as log:
        keeper = SnapshotKeeper(log, None, None)  # type: ignore[arg-type]
        load(log, keeper)
        past = keeper.loaded.parts[history.PART] if keeper.loaded else None
        History(path, past).catch_up()


def measure_long(folder: Path, events: int, after: int) -> None:
    path = folder / "long.db"
    timed(f"written, 500 decisions at a time: {events:,}", lambda: write_long(path, events, 500))
    written = read_log(path, events, 1)[0].seq if read_log(path, events, 1) else events
    size = path.stat().st_size
    print(f"  {size / 1e6:,.0f} MB, {size / written:,.0f} bytes an event")
    timed("opened from the first event, with its history", lambda: open_log(path), written)
    timed("checked by `log verify`", lambda: log_check.check(path), written)
    timed("snapshot made", lambda: snapshot(path, after))
    opened = [
        timed(f"opened from a snapshot, {after:,} events after it", lambda: open_log(path))
        for _ in range(3)
    ]
    print(f"  opened from a snapshot, median {statistics.median(opened):.3f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description="What the event log costs.")
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--group", type=int, default=100)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--after", type=int, default=2_500)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="tidegate-bench-"))
    try:
        for group in (1, options.group):
            place = folder / f"by-{group}"
            place.mkdir()
            measure_appends(place, max(1, options.rounds // (1 if group == 1 else 10)), group)
        print(f"a log of {options.events:,} events: {APPS} apps on {len(NODES)} nodes")
        measure_long(folder, options.events, options.after)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
