#!/usr/bin/env python3
"""How long a swap takes: from the decision until all traffic has moved, many times in a row.

    .venv/bin/python bench/swap.py

Ten agents, each with both slots running, Caddy in front, and a load client that retries nothing.
Each swap is a rollback, for which nothing has to be started. Three times are taken of each:

  decided   from the request to the controller's answer: the decision is in its log
  moved     from the decision until the balancer's files have been written and read back
  served    from sending the request until an answer of the other release has come through Caddy

Exits with 1 if a request was lost, a swap failed, or the old release answered after the move.
"""

import argparse
import http.client
import shutil
import sys
import tempfile
import threading
import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median, quantiles

from tidegate_controller import config
from tidegate_controller.cli.client import Client
from tidegate_controller.demo.background_load import BackgroundLoad
from tidegate_controller.demo.local_fleet import LocalFleet
from tidegate_controller.demo.show import Act, build, deploy, example_app
from tidegate_controller.errors import TidegateError
from tidegate_protos.v1 import operator_pb2 as pb

CONNECTIONS = 8
WATCH_SECONDS = 0.002  # between two questions of the watcher
SEEN_SECONDS = 5.0  # for the other release to be seen
CONFIG = """
app = "hello"
[environments.bench]
nodes = { role = "web" }
[service]
command = ["python3", "serve.py", "--port", "{port}"]
environment = { NODE = "{node}", SLOT = "{slot}" }
[health]
http = "http://127.0.0.1:{port}/health"
healthy_after = "0s"
[rollout]
soak = "0s"
drain = "1s"
[traffic]
adapter = "caddy"
directory = "traffic"
"""


@dataclass(frozen=True)
class Swap:
    """Seconds, see above."""

    decided: float
    moved: float
    served: float


class Watcher:
    """Asks through Caddy all the time; knows when each release was first seen since `forget`, and
    how often one answered that `expect` had ruled out before it was asked."""

    def __init__(self, balancer: str) -> None:
        self.strays = 0
        self._balancer = balancer
        self._first: dict[str, float] = {}
        self._expected = ""
        self._problem: Exception | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def forget(self) -> None:
        self._first, self._expected = {}, ""

    def expect(self, version: str) -> None:
        """All traffic has moved there: from now on no other release may answer."""
        self._expected = version

    def seen_at(self, version: str) -> float:
        give_up = time.monotonic() + SEEN_SECONDS
        while (at := self._first.get(version)) is None:
            if self._problem is not None:
                raise TidegateError(f"the balancer does not answer: {self._problem}")
            if time.monotonic() > give_up:
                raise TidegateError(f"version {version} does not answer through the balancer")
            time.sleep(WATCH_SECONDS)
        return at

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        connection = http.client.HTTPConnection(self._balancer, timeout=SEEN_SECONDS)
        try:
            while not self._over.wait(WATCH_SECONDS):
                expected = self._expected
                connection.request("GET", "/")
                answer = connection.getresponse()
                answer.read()
                version = answer.headers["X-Version"]
                self._first.setdefault(version, time.monotonic())
                self.strays += version != expected != ""
        except (OSError, http.client.HTTPException) as error:
            self._problem = error
        finally:
            connection.close()


class Bench:
    """A fleet with both releases running on each node."""

    def __init__(self, folder: Path, nodes: int, exits: ExitStack) -> None:
        self.fleet = LocalFleet(folder, nodes)
        exits.callback(self.fleet.stop)
        app = folder / "app"
        app.mkdir()
        shutil.copy(example_app() / "serve.py", app)
        (app / "tidegate.toml").write_text(CONFIG)
        spec = config.load(app / "tidegate.toml").environment()
        self.fleet.start(spec.traffic)
        self.client = exits.enter_context(Client(self.fleet.address))
        for version in ("1", "2"):
            reply = deploy(self.client, spec, build(app, Act("", version, "")), version)
            self._follow(reply)

    def swap(self, watcher: Watcher, to: str) -> Swap:
        watcher.forget()
        began = time.monotonic()
        request = pb.RollbackRequest(request_id=uuid.uuid4().hex, app="hello", requested_by="bench")
        reply = self.client.rollback(request)
        decided = time.monotonic() - began
        moved = self._follow(reply)
        watcher.expect(to)
        return Swap(decided, moved, watcher.seen_at(to) - began)

    def _follow(self, reply: pb.RolloutReply) -> float:
        """To the end; seconds from `Started` to the end of the step that moves traffic."""
        started = moved = 0.0
        for event in self.client.events(reply.seq - 1, reply.rollout, follow=True):
            at = datetime.fromisoformat(event.at).timestamp()
            if event.kind == "Started":
                started = at
            elif event.kind == "StepEnded" and event.data["step"] == "shift":
                moved = at
        view = self.client.rollout(reply.rollout)
        if view.state != "succeeded":
            raise TidegateError(f"rollout {view.rollout} {view.state}: {view.reason}")
        return moved - started


def say(name: str, seconds: list[float]) -> None:
    p99 = quantiles(seconds, n=100, method="inclusive")[98] if len(seconds) > 1 else seconds[0]
    print(
        f"{name:8} p50 {median(seconds) * 1000:6.1f} ms   p99 {p99 * 1000:6.1f} ms   "
        f"longest {max(seconds) * 1000:6.1f} ms"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="How long a swap of all traffic takes.")
    parser.add_argument("--swaps", type=int, default=200)
    parser.add_argument("--nodes", type=int, default=10)
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second meanwhile")
    parser.add_argument("--pause", type=float, default=0.2, help="seconds between two swaps")
    parser.add_argument("--quick", action="store_true", help="two nodes, two swaps")
    options = parser.parse_args()
    if options.quick:
        options.nodes, options.swaps = 2, 2
    with ExitStack() as exits:
        folder = exits.enter_context(tempfile.TemporaryDirectory(prefix="tidegate-bench-"))
        bench = Bench(Path(folder), options.nodes, exits)
        watcher = Watcher(bench.fleet.balancer)
        exits.callback(watcher.stop)
        load = BackgroundLoad(bench.fleet.url, options.rate, CONNECTIONS)
        load.start()
        swaps = []
        for number in range(options.swaps):
            swaps.append(bench.swap(watcher, to="1" if number % 2 == 0 else "2"))
            time.sleep(options.pause)
        load.stop()
        count = load.count()
    print(f"{options.nodes} nodes, {options.swaps} swaps of all traffic")
    say("decided", [swap.decided for swap in swaps])
    say("moved", [swap.moved for swap in swaps])
    say("served", [swap.served for swap in swaps])
    print(f"requests: {count.served} served, {count.failed} failed")
    for failure in load.load.failures:
        print(f"  {failure}")
    print(f"answers of the old release after the move: {watcher.strays}")
    return 1 if count.failed or watcher.strays else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except TidegateError as error:
        sys.exit(f"{error.message} {error.hint}")
