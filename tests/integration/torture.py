"""`kill -9` at the points of every scene (crashes.py), one rollout for each: `make torture`.

Prints which points are tried and which are left out (--all: none are, which takes hours); how far
each scene is while it goes, so that a run that was cut off says what it has covered; then a line
for each scene and side: how many points there were, and what became of the requests meanwhile.
Exits with 1 where a rollout did not end as it should, log, machines and balancer did not agree, or
a request was lost.
"""

import argparse
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from crash_points import CONTROLLER
from crashes import (
    LONGER,
    SCENES,
    Scene,
    Told,
    kill_agent_after_every_entry,
    kill_controller_after_every_event,
    kill_once_at_each,
)
from stage import Stage

from tidegate_controller.cli import client

AT_ONCE = 6
SCENES_HERE = SCENES | LONGER
TELL_EVERY = 5  # points
TRIED = """\
Tried: of the events that differ in nothing but the node, in one step of one wave, the first; of one
agent in each wave, each kind of journal entry; where a rollout is undone, from there on.
Left out, and tried with --all: the others of these; what is of no rollout, such as that a node has
left; the ends of chores that the next rollout may or may not overtake.
"""
ALL_TRIED = """\
Tried: every event, and every journal entry of one agent in each wave.
"""


@dataclass(frozen=True)
class Row:
    """What came of one scene and side. `problem`: empty if all was well."""

    scene: str
    victim: str
    points: int
    seconds: float
    served: int
    failed: int
    problem: str

    def __str__(self) -> str:
        requests = f"{self.served:>8}{self.failed:>8}"
        line = f"{self.scene:20}{self.victim:12}{self.points:>8}{self.seconds:>8.0f} s{requests}"
        return f"{line}\n{self.problem}" if self.problem else line


class Progress:
    """Of one scene and side; printed now and then."""

    def __init__(self, name: str, victim: str) -> None:
        self.name, self.victim = name, victim
        self.done = 0

    def __call__(self, done: int, count: int) -> None:
        self.done = done
        if done % TELL_EVERY == 0 or done == count:
            print(f"  {self.name}, {self.victim}: {done} of {count}", flush=True)


def kill(stage: Stage, scene: Scene, victim: str, every: bool, told: Told) -> None:
    """`every`: at all points, whatever they are of."""
    if not every:
        kill_once_at_each(stage, scene, victim, told)
    elif victim == CONTROLLER:
        kill_controller_after_every_event(stage, scene, told)
    else:
        kill_agent_after_every_entry(stage, scene, victim, told)


def tortured(name: str, scene: Scene, victim: str, every: bool) -> Row:
    """`victim`: the controller, or whose agent."""
    begun, progress, problem = time.monotonic(), Progress(name, victim), ""
    with tempfile.TemporaryDirectory(prefix="tidegate-torture-") as folder:
        stage = scene.stage(Path(folder))
        try:
            with stage.running():
                kill(stage, scene, victim, every, progress)
        except Exception:  # whatever it is, the other scenes go on
            problem = traceback.format_exc()
        count = stage.load.count()
        if count.failed and not problem:  # after an error nothing may have served any more
            problem = f"lost requests: {stage.load.load.failures}"
    seconds = time.monotonic() - begun
    return Row(name, victim, progress.done, seconds, count.served, count.failed, problem)


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill everything everywhere.")
    parser.add_argument("--scene", choices=SCENES_HERE, help="only this one")
    parser.add_argument("--all", action="store_true", help="also points that are like others")
    arguments = parser.parse_args()
    client.RETRY_SECONDS = 0.1  # hundreds of restarts are waited for
    chosen = [arguments.scene] if arguments.scene else list(SCENES_HERE)
    print(ALL_TRIED if arguments.all else TRIED)
    print(f"{'scene':20}{'killed':12}{'points':>8}{'time':>10}{'served':>8}{'failed':>8}")
    rows = []
    with ThreadPoolExecutor(AT_ONCE) as threads:
        running = [
            threads.submit(tortured, name, SCENES_HERE[name], victim, arguments.all)
            for name in chosen
            for victim in (CONTROLLER, *SCENES_HERE[name].witnesses)
        ]
        for future in as_completed(running):
            rows.append(row := future.result())
            print(row, flush=True)
    bad = sum(bool(row.problem) for row in rows)
    print(f"{sum(row.points for row in rows)} kills, {len(rows) - bad} of {len(rows)} ended well")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
