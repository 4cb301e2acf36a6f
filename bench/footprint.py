#!/usr/bin/env python3
"""What Tidegate takes when nothing happens: memory and processor time of agent and controller.

    .venv/bin/python bench/footprint.py

First how long each takes from its start until it is of use: a controller that answers, an agent
that the controller calls connected. Then both are left alone, without an app and with one that is
asked for its health every two seconds, as is the default. Memory is resident, with all libraries (a
part of these is shared with other programs); processor time is the kernel's count for all threads.
"""

import argparse
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import msgspec

from tidegate_controller import config
from tidegate_controller.artifacts import digest_of
from tidegate_controller.cli.client import Client
from tidegate_controller.demo.local_fleet import LocalFleet
from tidegate_controller.demo.show import Act, build, example_app
from tidegate_controller.errors import NotReachable
from tidegate_protos.v1 import operator_pb2 as pb

POLL_SECONDS = 0.01
GIVE_UP_SECONDS = 60.0
SETTLE_SECONDS = 5.0  # at most, between the last thing that happened and the look
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
[traffic]
adapter = "none"
manual = "warn"
"""


@dataclass(frozen=True)
class Rest:
    """Of one process: MiB resident, of these its own alone, threads, share of a core."""

    resident: float
    private: float
    threads: int
    share: float


def rest(pids: list[int], seconds: float) -> list[Rest]:
    """Let so much time pass, then look."""
    time.sleep(min(SETTLE_SECONDS, seconds))
    before = {pid: _cpu_seconds(pid) for pid in pids}
    began = time.monotonic()
    time.sleep(seconds)
    passed = time.monotonic() - began
    return [
        Rest(
            resident=_kilobytes(pid, "Rss:") / 1024,
            private=(_kilobytes(pid, "Private_Clean:") + _kilobytes(pid, "Private_Dirty:")) / 1024,
            threads=len(list(Path(f"/proc/{pid}/task").iterdir())),
            share=(_cpu_seconds(pid) - before[pid]) / passed,
        )
        for pid in pids
    ]


def _cpu_seconds(pid: int) -> float:
    """Of all threads that live, in the kernel's nanoseconds and not in its ticks."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def _kilobytes(pid: int, key: str) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1])
    raise SystemExit(f"the kernel does not say {key} of process {pid}")


def seconds_until(holds: Callable[[], bool]) -> float:
    began = time.monotonic()
    while time.monotonic() - began < GIVE_UP_SECONDS:
        try:
            if holds():
                return time.monotonic() - began
        except NotReachable:
            pass
        time.sleep(POLL_SECONDS)
    raise SystemExit(f"waited {GIVE_UP_SECONDS:.0f} s in vain")


def starts(fleet: LocalFleet, times: int) -> tuple[list[float], list[float]]:
    """Seconds of so many starts, of the controller and of an agent; in the end all of them run."""
    of_controller, of_agent = [], []
    for _ in range(times):
        if "controller" in fleet.processes:
            fleet.kill("controller")
        fleet.start_controller()
        with Client(fleet.address, call_seconds=1.0) as client:
            of_controller.append(seconds_until(lambda: bool(client.controller().epoch)))
    with Client(fleet.address) as client:
        first = fleet.nodes[0]

        def is_there() -> bool:
            return any(node.node == first and node.connected for node in client.nodes().nodes)

        for _ in range(times):
            if first in fleet.processes:
                fleet.kill(first)
                seconds_until(lambda: not is_there())
            fleet.start_agent(first)
            of_agent.append(seconds_until(is_there))
    for node in fleet.nodes[1:]:
        fleet.start_agent(node)
    fleet.wait_connected()
    return of_controller, of_agent


def deploy_an_app(fleet: LocalFleet) -> None:
    app = fleet.folder / "app"
    app.mkdir()
    shutil.copy(example_app() / "serve.py", app)
    (app / "tidegate.toml").write_text(CONFIG)
    spec = config.load(app / "tidegate.toml").environment()
    artifact = build(app, Act("", "1", ""))
    digest = digest_of(artifact)
    with Client(fleet.address) as client:
        client.upload(artifact, digest)
        request = pb.DeployRequest(
            request_id=uuid.uuid4().hex,
            version="1",
            digest=digest,
            spec=msgspec.json.encode(spec),
            requested_by="bench",
        )
        reply = client.deploy(request)
        for _ in client.events(reply.seq, reply.rollout, follow=True):
            pass
        view = client.rollout(reply.rollout)
    if view.state != "succeeded":
        raise SystemExit(f"the app could not be deployed: {view.reason}")


def say(name: str, found: list[Rest]) -> None:
    resident = median(one.resident for one in found)
    private = median(one.private for one in found)
    share = median(one.share for one in found)
    most = max(one.share for one in found)
    print(
        f"{name:34} {resident:5.1f} MiB resident ({private:4.1f} its own)  "
        f"{found[0].threads:2} threads  {share:6.3%} of a core (at most {most:.3%})",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="What Tidegate takes when nothing happens.")
    parser.add_argument("--nodes", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each look")
    parser.add_argument("--starts", type=int, default=10)
    parser.add_argument("--quick", action="store_true", help="one node, a moment, one start")
    options = parser.parse_args()
    if options.quick:
        options.nodes, options.seconds, options.starts = 1, 0.1, 1
    with ExitStack() as exits:
        folder = exits.enter_context(tempfile.TemporaryDirectory(prefix="tidegate-bench-"))
        fleet = LocalFleet(Path(folder), options.nodes)
        exits.callback(fleet.stop)
        for name, found in zip(
            ("controller: start to its first answer", "agent: start to connected"),
            starts(fleet, options.starts),
            strict=True,
        ):
            print(f"{name:39} min {min(found):.2f} s  median {median(found):.2f} s", flush=True)
        pids = [fleet.processes[name].pid for name in ("controller", *fleet.nodes)]
        for what in ("no app", "an app"):
            if what == "an app":
                deploy_an_app(fleet)
            controller, *agents = rest(pids, options.seconds)
            say(f"agent, {what}", agents)
            say(f"controller of {options.nodes} agents, {what}", [controller])
    return 0


if __name__ == "__main__":
    sys.exit(main())
