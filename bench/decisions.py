#!/usr/bin/env python3
"""What the pure core costs: every decision of one deployment, by the number of nodes.

    .venv/bin/python bench/decisions.py

No disk, no network: `decide` and `evolve` alone, with every agent answering "ok". The ratio is the
cost of an input relative to the smallest fleet.
"""

import argparse
import time
from dataclasses import dataclass, field

from tidegate_controller.core import inputs as i
from tidegate_controller.core import types as t
from tidegate_controller.core.decide import decide
from tidegate_controller.core.draft import pending
from tidegate_controller.core.evolve import evolve
from tidegate_controller.core.spec import Health, HttpProbe, Service, Settings, Spec, Traffic
from tidegate_controller.log import encode

SETTINGS = Settings(
    service=Service(command=("./serve",)), health=Health(probe=HttpProbe(url="http://127.0.0.1/"))
)
REVISION = t.Revision(digest=f"sha256:{'1' * 64}", config=f"sha256:{'2' * 64}")
RELEASE = t.Release(version="1", revision=REVISION, size_bytes=1, settings=SETTINGS)
STARTED = t.Known(revision=REVISION, running=True, healthy=True, address="127.0.0.1:20000")


@dataclass
class Stream:
    """One stream whose agents answer at once."""

    state: t.State = field(default_factory=t.State)
    now: float = 0.0
    inputs: int = 0
    events: int = 0
    event_bytes: int = 0
    seconds: float = 0.0
    worst_seconds: float = 0.0

    def feed(self, input_: i.Input) -> None:
        began = time.perf_counter()
        events = decide(self.state, input_, self.now)
        for event in events:
            self.state = evolve(self.state, event, self.now)
        seconds = time.perf_counter() - began
        self.seconds += seconds
        self.worst_seconds = max(self.worst_seconds, seconds)
        self.inputs += 1
        self.events += len(events)
        self.event_bytes += sum(len(encode(event)) for event in events)

    def deploy(self, nodes: tuple[str, ...]) -> None:
        self.feed(
            i.ControllerStart(
                stream="a@e", epoch=1, log_id="bench", connected=nodes, grace_seconds=30.0
            )
        )
        members = tuple(i.Member(node=node, connected=True, journal_id="j") for node in nodes)
        traffic = Traffic(adapter="caddy", directory="/lanes")
        spec = Spec(app="a", environment="e", nodes=nodes, settings=SETTINGS, traffic=traffic)
        self.feed(
            i.Deploy(
                request_id="1",
                rollout="r1",
                release=RELEASE,
                spec=spec,
                members=members,
                requested_by="bench",
            )
        )
        while self.state.rollout is not None:
            opened = pending(self.state)
            if not opened:
                self.now += 1.0
                self.feed(i.Tick())
                continue
            known = STARTED if opened[0].work.verb == "start" else None
            self.feed(i.Result(action=opened[0].id, outcome="ok", known=known))


def main() -> None:
    parser = argparse.ArgumentParser(description="What the pure core costs, by number of nodes.")
    parser.add_argument("--nodes", type=int, nargs="+", default=[10, 100, 300, 1000])
    options = parser.parse_args()
    smallest = 0.0
    for number in options.nodes:
        stream = Stream()
        stream.deploy(tuple(f"web-{index}" for index in range(number)))
        each = stream.seconds / stream.inputs
        smallest = smallest or each
        print(
            f"{number:5} nodes  {stream.inputs:6} inputs  {stream.events:6} events  "
            f"{stream.event_bytes / 1e6:5.1f} MB  {stream.seconds:6.2f} s in all  "
            f"{each * 1000:6.3f} ms an input ({each / smallest:4.1f}x)  "
            f"longest {stream.worst_seconds * 1000:5.1f} ms"
        )


if __name__ == "__main__":
    main()
