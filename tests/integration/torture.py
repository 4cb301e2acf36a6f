"""`kill -9` at every point of every scene (crashes.py), one rollout for each: `make torture`.

Prints a line for each scene and side: how many points there were, and what became of the requests
meanwhile. Exits with 1 where a rollout did not end as it should, log, machines and balancer did not
agree, or a request was lost.
"""

import argparse
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from crashes import (
    BLUE_GREEN,
    LONGER,
    SCENES,
    Scene,
    kill_agent_after_every_entry,
    kill_controller_after_every_event,
)

from tidegate_controller.cli import client

CONTROLLER = "controller"
AT_ONCE = 4
ALL = {f"blue-green, {name}": scene for name, scene in BLUE_GREEN.items()} | SCENES | LONGER


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


def tortured(name: str, scene: Scene, victim: str) -> Row:
    """`victim`: the controller, or whose agent."""
    begun, points, problem = time.monotonic(), 0, ""
    with tempfile.TemporaryDirectory(prefix="tidegate-torture-") as folder:
        stage = scene.stage(Path(folder))
        try:
            with stage.running():
                if victim == CONTROLLER:
                    points = kill_controller_after_every_event(stage, scene)
                else:
                    points = kill_agent_after_every_entry(stage, scene, victim)
        except Exception:  # whatever it is, the other scenes go on
            problem = traceback.format_exc()
        count = stage.load.count()
        if count.failed and not problem:  # after an error nothing may have served any more
            problem = f"lost requests: {stage.load.load.failures}"
    seconds = time.monotonic() - begun
    return Row(name, victim, points, seconds, count.served, count.failed, problem)


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill everything everywhere.")
    parser.add_argument("--scene", choices=ALL, help="only this one")
    chosen = parser.parse_args().scene
    client.RETRY_SECONDS = 0.1  # hundreds of restarts are waited for
    scenes = {chosen: ALL[chosen]} if chosen else ALL
    print(
        f"{'scene':20}{'killed':12}{'points':>8}{'time':>10}{'served':>8}{'failed':>8}", flush=True
    )
    rows = []
    with ThreadPoolExecutor(AT_ONCE) as threads:
        running = [
            threads.submit(tortured, name, scene, victim)
            for name, scene in scenes.items()
            for victim in (CONTROLLER, *scene.witnesses)
        ]
        for future in as_completed(running):
            rows.append(row := future.result())
            print(row, flush=True)
    bad = sum(bool(row.problem) for row in rows)
    print(f"{sum(row.points for row in rows)} kills, {len(rows) - bad} of {len(rows)} ended well")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
