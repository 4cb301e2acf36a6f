"""Writes golden_log.jsonl: events as this version has them in its log, at least one of each kind.

    python tests/unit/shell/make_golden_log.py

Lines that are there stay as they are: logs that people have look like that, and every later version
must read them. After a new kind of event, or a new field of one: add it to the end of STORY and run
this; its line is added. Where a line cannot be read any more, mend the reader, never the line.
"""

import json
from collections import Counter
from pathlib import Path

from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.changes import replace
from tidegate_controller.core.cleaned import CleanedUp, Stayed, Thing
from tidegate_controller.core.freezes import Calendar, Window
from tidegate_controller.core.spec import (
    Health,
    Hooks,
    HttpProbe,
    Keep,
    Pace,
    Service,
    Settings,
    Spec,
    Traffic,
)
from tidegate_controller.log import encode

FILE = Path(__file__).with_name("golden_log.jsonl")
BLUE, GREEN = t.Place("a/blue"), t.Place("a/green")
SETTINGS = Settings(
    service=Service(
        command=("./serve", "--port", "{port}"),
        environment={"GREETING": "hello"},
        ports={"blue": 8001, "green": 8002},
        stop_grace_seconds=7.0,
    ),
    health=Health(
        probe=HttpProbe(url="http://127.0.0.1:{port}/health"),
        every_seconds=1.0,
        timeout_seconds=1.5,
        failures=2,
        healthy_after_seconds=3.0,
        deadline_seconds=120.0,
    ),
    hooks=Hooks(install=False, install_seconds=60.0, migrate="every-node", migrate_seconds=90.0),
)
WINDOW = Window(
    begins=1000.0,
    ends=2000.0,
    until="Mon 2026-11-30 08:00 UTC",
    reason="the sale",
    by="ada",
    unix_until=1.8e9,
)
TRAFFIC = Traffic(adapter="caddy", directory="/srv/caddy/upstreams", manual="warn", lanes=8)
SPEC = Spec(
    app="shop",
    environment="prod",
    nodes={"role": "web"},
    protected=True,
    settings=SETTINGS,
    traffic=TRAFFIC,
    pace=Pace(
        prepare_seconds=500.0,
        soak_seconds=20.0,
        drain_seconds=6.0,
        keep_old_seconds=300.0,
        away_seconds=45.0,
    ),
    keep=Keep(releases=3, age_seconds=86400.0),
)


def release(version: str) -> t.Release:
    revision = t.Revision(digest=f"sha256:{version * 64}", config=f"sha256:{'c' * 64}")
    return t.Release(version=version, revision=revision, size_bytes=1234, settings=SETTINGS)


ONE, TWO = release("1"), release("2")
RUNS_ONE = t.Known(revision=ONE.revision, running=True, healthy=True, address="a:8001")
MIGRATE = t.Work(
    verb="task", at="a", place=BLUE, revision=ONE.revision, task="migrate", on_unknown="ask"
)
START = t.Work(verb="start", at="a", place=BLUE, revision=ONE.revision)
SHIFT = t.Work(
    verb="route",
    at="controller",
    weights={BLUE: 100},
    traffic=TRAFFIC,
    prove=True,
    on_unknown="observe",
)
PLAN = (
    t.Step(id="migrate", name="Migrate", works=(MIGRATE,), parallel=5, deadline_seconds=105.0),
    t.Step(
        id="start",
        name="Start",
        works=(START,),
        guards=(t.Guard(kind="no_traffic"),),
        failures_allowed=1,
        deadline_seconds=180.0,
    ),
    t.Step(
        id="shift",
        name="Shift",
        works=(SHIFT,),
        guards=(t.Guard(kind="proven"),),
        retry_seconds=2.0,
        deadline_seconds=75.0,
    ),
    t.Step(id="soak", name="Soak", hold_seconds=20.0, deadline_seconds=185.0),
)
STARTED = ev.Started(
    rollout="r1",
    kind="deploy",
    strategy="blue-green",
    release=ONE,
    previous=None,
    nodes=("a",),
    journals={"a": "journal-of-a"},
    plan=PLAN,
    spec=SPEC,
    request_id="request-1",
    requested_by="ada",
    absent={"b": "away when 1 came"},
)
STOP = t.Chore(
    id="r2/stop/a/green",
    work=t.Work(verb="stop", at="a", place=GREEN),
    not_before=1300.0,
    guards=(t.Guard(kind="no_traffic"),),
)
CLEANUP = t.Chore(id="x/cleanup/b", work=t.Work(verb="cleanup", at="b"), not_before=1400.0)


CLEANED = CleanedUp(
    removed=(Thing(kind="release", name="sha256:" + "3" * 64, bytes=4096),),
    count=1,
    bytes=4096,
    made=(Thing(kind="backup", name="/var/backups/shop/1.tar.gz", bytes=512),),
    stayed=(Stayed(kind="release", why="held by a slot", count=2, bytes=8192),),
)


def issued(version: int, step: str, work: t.Work, journal_id: str = "") -> ev.ActionIssued:
    return ev.ActionIssued(
        action=t.Action(
            id=f"0123456789ab-shop@prod-1-{version}",
            fence=(1, version),
            step=step,
            index=0,
            work=work,
            deadline=1200.0,
            attempt=1,
            journal_id=journal_id,
        )
    )


def ended(version: int, outcome: t.Outcome, **more: object) -> ev.ActionEnded:
    action = f"0123456789ab-shop@prod-1-{version}"
    return ev.ActionEnded(action=action, outcome=outcome, **more)  # type: ignore[arg-type]


STORY: list[tuple[str, ev.Event]] = [
    ("controller", ev.EpochBegan(epoch=1, log_id="0123456789ab")),
    (
        "fleet",
        ev.NodeRegistered(
            node="a",
            labels={"role": "web"},
            address="10.0.0.1",
            agent_version="0.1.0",
            journal_id="journal-of-a",
        ),
    ),
    (
        "shop@prod",
        ev.ControllerStarted(
            stream="shop@prod",
            epoch=1,
            log_id="0123456789ab",
            connected=("a",),
            grace_seconds=30.0,
        ),
    ),
    (
        "shop@prod",
        ev.Observed(
            place=GREEN,
            known=t.Known(revision=TWO.revision, running=False, healthy=False),
            current=True,
            detail="exited with code 1",
        ),
    ),
    ("shop@prod", STARTED),
    ("shop@prod", ev.StepEntered(rollout="r1", step="migrate")),
    ("shop@prod", issued(5, "migrate", MIGRATE, "journal-of-a")),
    ("shop@prod", ev.NodeLeft(node="a")),
    ("shop@prod", ev.NodeReturned(node="a")),
    ("shop@prod", ev.JournalReplaced(node="a", journal_id="another-journal-of-a")),
    (
        "shop@prod",
        ended(
            5,
            "unknown",
            error="nobody knows whether migrate.sh has run",
            output_tail="added a column",
            blame="environment",
        ),
    ),
    (
        "shop@prod",
        ev.Waiting(
            rollout="r1",
            why="nobody knows whether migrate.sh has run",
            answers=("retry", "continue", "abort"),
        ),
    ),
    (
        "shop@prod",
        ev.Answered(rollout="r1", answer="continue", request_id="request-2", answered_by="bob"),
    ),
    ("shop@prod", ev.StepEnded(rollout="r1", step="migrate", outcome="ok")),
    ("shop@prod", ev.StepEntered(rollout="r1", step="start")),
    ("shop@prod", issued(14, "start", START, "another-journal-of-a")),
    ("shop@prod", ended(14, "ok", known=RUNS_ONE)),
    ("shop@prod", ev.StepEnded(rollout="r1", step="start", outcome="ok")),
    ("shop@prod", ev.StepEntered(rollout="r1", step="shift")),
    ("shop@prod", issued(18, "shift", SHIFT)),
    ("shop@prod", ended(18, "ok")),
    ("shop@prod", ev.StepEnded(rollout="r1", step="shift", outcome="ok")),
    ("shop@prod", ev.Committed(rollout="r1")),
    ("shop@prod", ev.Ended(rollout="r1", state="succeeded")),
    (
        "shop@prod",
        replace(
            STARTED,
            rollout="r2",
            release=TWO,
            previous=ONE,
            journals={"a": "another-journal-of-a"},
            absent={},
            request_id="request-3",
        ),
    ),
    (
        "shop@prod",
        ev.StepEnded(rollout="r2", step="migrate", outcome="failed", reason="a: disk full"),
    ),
    (
        "shop@prod",
        ev.Replanned(rollout="r2", reason="Migrate failed: a: disk full", plan=PLAN[2:3]),
    ),
    (
        "shop@prod",
        ev.Ended(
            rollout="r2",
            state="rolled_back",
            reason="Migrate failed: a: disk full",
            chores=(STOP,),
            debts={"a/green": "stop a/green: no answer"},
        ),
    ),
    (
        "shop@prod",
        ev.Configured(
            spec=replace(SPEC, protected=False), request_id="request-4", requested_by="ada"
        ),
    ),
    (
        "shop@prod",
        ev.ChoresAdded(chores=(CLEANUP,), request_id="request-5", requested_by="ada"),
    ),
    ("shop@prod", ev.NodeForgotten(node="b")),
    ("fleet", ev.NodeRemoved(node="b", removed_by="ada")),
    ("blog@prod", ev.Restored(log_id="ba9876543210", former="0123456789ab")),
    (
        "blog@prod",
        ev.Adopted(
            request_id="request-6",
            requested_by="ada",
            message="what runs is right",
            release=None,
            nodes=("a",),
            weights={GREEN: 100},
            routed={GREEN: "a:8002"},
            debts={"b": "away when the log was reconciled"},
        ),
    ),
    ("till@prod", ev.Paused(rollout="r3", by="ada", reason="odd", request_id="request-6")),
    ("till@prod", ev.Resumed(rollout="r3", by="bob", reason="", request_id="request-7")),
    (
        "till@prod",
        ev.Aborted(rollout="r3", by="ada", reason="wrong", undo=False, request_id="request-8"),
    ),
    (
        "till@prod",
        ev.Approved(
            rollout="r3",
            step="approve",
            answer="approve",
            by="bob",
            comment="looked at it",
            request_id="request-9",
        ),
    ),
    ("shop@prod", ended(30, "ok", cleaned=CLEANED)),
    (
        "till@prod",
        ev.Quarantined(
            quarantine=t.Quarantine(
                digest="sha256:2", config="c", origin="failure", version="2", why="it failed"
            ),
            rollout="r3",
        ),
    ),
    (
        "till@prod",
        ev.QuarantineLifted(
            digest="sha256:2", version="2", by="ada", reason="it was me", request_id="request-10"
        ),
    ),
    ("till@prod", ev.Locked(by="ada", reason="looking", request_id="request-11")),
    ("till@prod", ev.Unlocked(by="bob", reason="", request_id="request-12")),
    (
        "shop@prod",
        ev.NodeDropped(
            rollout="r2", node="a", why="a/blue: disk full", blame="environment", reroute=SHIFT
        ),
    ),
    ("shop@prod", ev.DebtsPaid(nodes=("b",))),
    (
        "till@prod",
        ev.Waiting(
            rollout="r3",
            why="a was lost",
            answers=("continue", "retry", "abort"),
            kind="lost",
            nodes={"a": t.Dropped(why="went away", blame="environment", lost=True)},
        ),
    ),
    ("till@prod", ev.Replanned(rollout="r3", reason="a is full", plan=(), blame="environment")),
    (
        "till@prod",
        ev.Ended(
            rollout="r3",
            state="rolled_back",
            debts={"a": "does not have 2"},
            owed={"a": t.Owed(tries=1, not_before=1100.0, needs_return=True)},
        ),
    ),
    ("till@prod", ev.CalendarRead(calendar=Calendar(windows=(WINDOW,)))),
    ("till@prod", ev.FreezeSet(window=WINDOW, request_id="request-13")),
    ("till@prod", ev.FreezeLifted(by="ada", reason="sold out", request_id="request-14")),
    ("till@prod", ev.Frozen(rollout="r3", window=WINDOW)),
    (
        "till@prod",
        ev.Thawed(rollout="r3", by="ada", reason="it is urgent", request_id="request-15"),
    ),
    (
        "till@prod",
        ev.Queued(
            rollout="r4",
            deployment=t.Queued(
                rollout="r4",
                release=TWO,
                spec=SPEC,
                request_id="request-16",
                requested_by="ada@laptop",
                since=1050.0,
                message="the next one",
                override_freeze=True,
            ),
        ),
    ),
    (
        "till@prod",
        ev.Unqueued(
            rollout="r4", state="aborted", reason="given up", by="ada", request_id="request-17"
        ),
    ),
    (
        "till@prod",
        ev.Adopted(
            request_id="request-18",
            requested_by="ada",
            release=None,
            nodes=("a", "b"),
            weights={GREEN: 100},
            routed={GREEN: "a:8002"},
            debts={"b": "holds nothing; takes no traffic until it has 2"},
            owed={"b": t.Owed()},
            journals={"a": "journal-of-a", "b": "journal-of-b"},
        ),
    ),
    (
        "till@prod",
        ev.Configured(
            spec=SPEC, request_id="request-19", requested_by="ada@laptop", nodes=("a", "b")
        ),
    ),
]


def main() -> None:
    lines = FILE.read_text().splitlines() if FILE.exists() else []
    there = [json.loads(line) for line in lines]
    written = [(line["kind"], set(line["data"])) for line in there]
    versions = Counter(line["stream"] for line in there)
    for stream, event in STORY:
        kind, data = type(event).__name__, json.loads(encode(event))
        given = {name for name, value in data.items() if value}
        if any(kind == other and given <= names for other, names in written):
            continue
        written.append((kind, set(data)))
        versions[stream] += 1
        place = {"stream": stream, "version": versions[stream], "clock": 1000.0 + len(lines)}
        place |= {"at": f"2026-11-25T12:00:{len(lines):02d}.000Z", "kind": kind}
        lines.append(json.dumps({**place, "data": data}))
    FILE.write_text("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    main()
