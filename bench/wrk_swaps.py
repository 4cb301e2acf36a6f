#!/usr/bin/env python3
"""What a swap costs: wrk at full speed against Caddy while releases are deployed and rolled back.

    .venv/bin/python bench/wrk_swaps.py --swaps 20

wrk keeps its connections open and counts every error. Four runs of it in a row: quiet; deployments
and rollbacks in turns, as fast as they go; rollbacks alone, for which nothing is started; quiet
again. So the ratios are of one machine at one time. Exits with 1 if a request was lost or a rollout
did not succeed.
"""

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from tidegate_controller import config
from tidegate_controller.cli.client import Client
from tidegate_controller.cli.phrases import seconds_between
from tidegate_controller.core.spec import Spec
from tidegate_controller.demo.local_fleet import LocalFleet
from tidegate_controller.demo.show import Act, build, deploy, example_app
from tidegate_controller.errors import TidegateError
from tidegate_protos.v1 import operator_pb2 as pb

NEEDS_WRK = "wrk is not on the PATH; on Debian and Ubuntu: apt install wrk"
PAUSE_SECONDS = 0.5  # between rollbacks
LONGEST_SECONDS = 3600  # wrk wants a length; it is interrupted long before
REPORT = """
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format(
    'RESULT {"requests": %d, "seconds": %f, "connect": %d, "read": %d, "write": %d, '
    .. '"timeout": %d, "status": %d, "p50_ms": %f, "p99_ms": %f}\\n',
    summary.requests, summary.duration / 1e6, e.connect, e.read, e.write, e.timeout, e.status,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
"""
CONFIG = """
app = "hello"
[environments.bench]
nodes = { role = "web" }
[service]
command = ["python3", "serve.py", "--port", "{port}"]
environment = { NODE = "{node}", SLOT = "{slot}" }
[health]
http = "http://127.0.0.1:{port}/health"
every = "1s"
healthy_after = "500ms"
deadline = "60s"
[rollout]
soak = "500ms"
drain = "500ms"
[traffic]
adapter = "caddy"
directory = "traffic"
"""


@dataclass(frozen=True)
class Run:
    """What wrk says of one run: errors are those of sockets; `status` are answers of 400 and up."""

    requests: int
    seconds: float
    connect: int
    read: int
    write: int
    timeout: int
    status: int
    p50_ms: float
    p99_ms: float

    @property
    def errors(self) -> int:
        return self.connect + self.read + self.write + self.timeout + self.status

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


class Wrk:
    """One run of wrk, from here until `stop`."""

    def __init__(self, url: str, connections: int, script: Path) -> None:
        self._process = subprocess.Popen(
            [
                *("wrk", "--threads", "1", "--connections", str(connections)),
                *("--duration", str(LONGEST_SECONDS), "--script", str(script), url),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )

    def stop(self) -> Run:
        self._process.send_signal(signal.SIGINT)
        output, _ = self._process.communicate()
        lines = [line for line in output.splitlines() if line.startswith("RESULT ")]
        if not lines:
            raise TidegateError(f"wrk has ended without a result: {output}")
        return Run(**json.loads(lines[0].removeprefix("RESULT ")))

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


class Bench:
    """A fleet with version 0 active, and wrk in front of it."""

    def __init__(self, folder: Path, nodes: int, connections: int, exits: ExitStack) -> None:
        self._exits = exits
        self._connections = connections
        self._fleet = LocalFleet(folder, nodes)
        self._app = folder / "app"
        self._app.mkdir()
        shutil.copy(example_app() / "serve.py", self._app)
        (self._app / "tidegate.toml").write_text(CONFIG)
        self._script = folder / "report.lua"
        self._script.write_text(REPORT)
        self._spec: Spec = config.load(self._app / "tidegate.toml").environment()
        exits.callback(self._fleet.stop)
        self._fleet.start(self._spec.traffic)
        self.rollout(deployed=0)

    def load(self) -> Wrk:
        wrk = Wrk(self._fleet.url, self._connections, self._script)
        self._exits.callback(wrk.end)
        return wrk

    def quiet(self, seconds: float) -> Run:
        wrk = self.load()
        time.sleep(seconds)
        return wrk.stop()

    def swaps(self, number: int) -> tuple[Run, list[float]]:
        """Deploy and roll back in turns under load; wrk's run, and the seconds of each rollout."""
        wrk = self.load()
        seconds = []
        for swap in range(1, number + 1):
            if swap % 2:
                seconds.append(self.rollout(deployed=swap))
                self.expect(swap)
            else:
                seconds.append(self.rollout(deployed=None))
                self.expect(0)
        return wrk.stop(), seconds

    def rollbacks(self, number: int) -> tuple[Run, list[float]]:
        """Roll back, and back again: both slots of each node run, so traffic is all that moves."""
        wrk = self.load()
        seconds = []
        for _ in range(number):
            seconds.append(self.rollout(deployed=None))
            time.sleep(PAUSE_SECONDS)
        return wrk.stop(), seconds

    def expect(self, version: int) -> None:
        """Raise unless it is this version that answers through the balancer."""
        with urllib.request.urlopen(self._fleet.url) as answer:  # noqa: S310 - our own URL
            found = answer.headers["X-Version"]
        if found != str(version):
            raise TidegateError(f"version {found} answers, not {version}")

    def rollout(self, *, deployed: int | None) -> float:
        """Bring a version, or go back (None), and follow it to its end; its seconds."""
        with Client(self._fleet.address) as client:
            if deployed is None:
                request = pb.RollbackRequest(request_id=uuid.uuid4().hex, app="hello")
                reply = client.rollback(request)
            else:
                version = str(deployed)
                artifact = build(self._app, Act("", version, ""))
                reply = deploy(client, self._spec, artifact, version)
            for _ in client.events(reply.seq, reply.rollout, follow=True):
                pass
            view = client.rollout(reply.rollout)
        if view.state != "succeeded":
            raise TidegateError(f"rollout {view.rollout} {view.state}: {view.reason}")
        return seconds_between(view.started_at, view.ended_at or "")


def say(name: str, run: Run, without: float) -> None:
    print(
        f"{name:40}  {run.requests:8,} requests  {run.seconds:5.1f} s  {run.per_second:7,.0f}/s "
        f"({run.per_second / without:.2f})  p50 {run.p50_ms:.1f} ms  p99 {run.p99_ms:.1f} ms  "
        f"{run.errors} errors"
    )
    if run.errors:
        print(f"  {asdict(run)}")


def main() -> int:
    parser = argparse.ArgumentParser(description="What a swap costs, by wrk.")
    parser.add_argument("--swaps", type=int, default=20, help="in each of the two runs with swaps")
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--quiet", type=float, default=15.0, help="seconds of each run without")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit(NEEDS_WRK)
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as folder, ExitStack() as exits:
        bench = Bench(Path(folder), options.nodes, options.connections, exits)
        before = bench.quiet(options.quiet)
        during, seconds = bench.swaps(options.swaps)
        moving, moves = bench.rollbacks(options.swaps)
        after = bench.quiet(options.quiet)
    without = (before.requests + after.requests) / (before.seconds + after.seconds)
    print(f"{options.nodes} nodes, {options.connections} connections")
    say("quiet", before, without)
    say(f"{len(seconds)} deployments and rollbacks in turns", during, without)
    say(f"{len(moves)} rollbacks alone", moving, without)
    say("quiet again", after, without)
    print(f"median: {median(seconds[::2]):.2f} s a deployment, {median(moves):.3f} s a rollback")
    lost = before.errors + during.errors + moving.errors + after.errors
    print(f"lost: {lost}")
    return 1 if lost else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except TidegateError as error:
        sys.exit(f"{error.message} {error.hint}")
