"""A local fleet under load, with a supervisor that restarts what was killed, for crash tests."""

import json
import os
import sqlite3
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from forked_fleet import ForkedFleet
from running_apps import running_beneath, slots_beneath

from tidegate_controller import config
from tidegate_controller.cli.client import Client
from tidegate_controller.core.spec import Spec
from tidegate_controller.demo.background_load import BackgroundLoad
from tidegate_controller.demo.show import Act, build, deploy, example_app
from tidegate_controller.documents import AppStatus, NodeStatus, RolloutView
from tidegate_controller.errors import Refused
from tidegate_protos.v1 import operator_pb2 as pb

HERE = Path(__file__).parent
CRASHING_CONTROLLER = (sys.executable, str(HERE / "crashing_controller.py"))
CRASHING_AGENT = (sys.executable, str(HERE / "crashing_agent.py"))
SETTLE_SECONDS = 60.0
POLL_SECONDS = 0.05
LINGERS = "LINGER_SECONDS = 0.5"
EXITS = 'if release.get("exits_at_once"):'
EXITS_ON = 'if "exits_at_once" in release or release.get("exits_on") == os.environ["NODE"]:'

CONFIG = """
app = "hello"
[environments.test]
nodes = { role = "web" }
[service]
command = ["python3", "serve.py", "--port", "{port}"]
environment = { NODE = "{node}", SLOT = "{slot}" }
stop_grace = "5s"
[health]
http = "http://127.0.0.1:{port}/health"
every = "100ms"
timeout = "500ms"
failures = 2
healthy_after = "100ms"
deadline = "30s"
[rollout]
soak = "{soak}"
drain = "50ms"
keep_old_for = "0s"
[traffic]
adapter = "caddy"
directory = "traffic"
lanes = 4
"""


class Stage:
    """Real controller, agents, Caddy and load in `folder`; parts that die are started again."""

    def __init__(
        self,
        folder: Path,
        soak: str,
        nodes: int = 2,
        chosen: Callable[[Spec], Spec] = lambda spec: spec,
    ) -> None:
        self.fleet = ForkedFleet(folder, nodes)
        self.app = folder / "app"
        self.app.mkdir()
        serve = (example_app() / "serve.py").read_text()
        assert LINGERS in serve
        assert EXITS in serve
        serve = serve.replace(LINGERS, "LINGER_SECONDS = 0.05").replace(EXITS, EXITS_ON)
        (self.app / "serve.py").write_text(serve)
        (self.app / "tidegate.toml").write_text(CONFIG.replace("{soak}", soak))
        self.spec = chosen(config.load(self.app / "tidegate.toml").environment())
        self.load = BackgroundLoad(self.fleet.url, 50, 4)
        self.active = ""  # the version that is to serve
        self._closing = threading.Event()
        self._looking = threading.Lock()  # held by who sees what has ended, or ends something
        self._supervisor = threading.Thread(target=self._supervise)

    @contextmanager
    def running(self) -> Iterator["Stage"]:
        """Everything up, version "first" active and under load."""
        fleet = self.fleet
        try:
            fleet.start_controller(CRASHING_CONTROLLER)
            for node in fleet.nodes:
                self._start(node)
            fleet.start_balancer(self.spec.traffic)
            fleet.wait_connected()
            self._supervisor.start()
            assert self.deploy("first").state == "succeeded"
            self.active = "first"
            self.load.start()
            yield self
            self.load.stop()
        finally:
            self._closing.set()
            self._supervisor.join()
            fleet.stop()

    def _supervise(self) -> None:
        """What systemd does on a real node: start again what has ended."""
        while not self._closing.wait(POLL_SECONDS):
            with self._looking:
                for name, process in list(self.fleet.processes.items()):
                    if process.poll() is not None and name != "caddy":
                        self._start(name)

    def _start(self, name: str) -> None:
        """Every other node is of one group, the rest of another."""
        if name == "controller":
            self.fleet.start_controller(CRASHING_CONTROLLER)
        else:
            group = "odd" if int(name.rpartition("-")[2]) % 2 else "even"
            self.fleet.start_agent(name, CRASHING_AGENT, [f"group={group}"])

    @contextmanager
    def down(self, *names: str) -> Iterator[None]:
        """These parts are killed, and started again after the block."""
        with self._looking:
            for name in names:
                self.fleet.kill(name)
        yield
        for name in names:
            self._start(name)

    def deploy(
        self,
        version: str,
        then: Callable[[Client, str], None] = lambda client, rollout: None,
        **behaviour: object,
    ) -> RolloutView:
        """Deploy, follow to the end, wait until the chores are done too. `then`: is called with
        the rollout when it has begun."""
        rollout = self.deploy_alone(version, then, **behaviour)
        self.settle()
        return rollout

    def deploy_alone(
        self,
        version: str,
        then: Callable[[Client, str], None] = lambda client, rollout: None,
        **behaviour: object,
    ) -> RolloutView:
        """Likewise, whatever is left to do afterwards."""
        artifact = build(self.app, Act("", version, "", behaviour))
        with Client(self.fleet.address).expect() as client:
            reply = self._ask(client, artifact, version)
            then(client, reply.rollout)
            return self._followed(client, reply)

    def rollback(self) -> RolloutView:
        """Likewise, to the release before."""
        with Client(self.fleet.address).expect() as client:
            request = pb.RollbackRequest(
                request_id=uuid.uuid4().hex, app="hello", requested_by="test"
            )
            rollout = self._followed(client, client.rollback(request))
        self.settle()
        return rollout

    def _followed(self, client: Client, reply: pb.RolloutReply) -> RolloutView:
        assert reply.rollout, reply.message
        for _ in client.events(reply.seq, reply.rollout, follow=True):
            pass
        return client.rollout(reply.rollout)

    def _ask(self, client: Client, artifact: Path, version: str) -> pb.RolloutReply:
        """An agent writes to its journal now and then, so it may die before anything was asked."""
        while True:
            try:
                return deploy(client, self.spec, artifact, version)
            except Refused as refused:
                if "is not connected" not in refused.message:
                    raise
                self.settle()

    def status(self) -> AppStatus:
        with Client(self.fleet.address).expect() as client:
            return client.status("hello").apps[0]

    def settle(self) -> None:
        """Wait until no action is open, no chore left, and all agents are back."""
        self.wait_for(
            lambda status: not status.unfinished and all(node.connected for node in status.nodes)
        )

    def wait_for(self, holds: Callable[[AppStatus], bool]) -> AppStatus:
        """The one of which it holds."""
        give_up = time.monotonic() + SETTLE_SECONDS
        while not holds(status := self.status()):
            assert time.monotonic() < give_up, status
            time.sleep(POLL_SECONDS)
        return status

    def kept_running(self) -> dict[tuple[str, str], list[int]]:
        """Node and slot of each app that its agent means to run on, by its journal; and its pids,
        by the machine. One that is just being started or stopped is none: it may well end."""
        found = {}
        for node in self.fleet.nodes:
            home = self.fleet.folder / "nodes" / node
            with closing(sqlite3.connect(f"file:{home}/journal.db?mode=ro", uri=True)) as journal:
                slots = journal.execute("SELECT slot FROM slots WHERE phase = 'wanted'").fetchall()
            slot_of = slots_beneath(home)
            for (slot,) in slots:
                found[node, slot] = sorted(pid for pid in slot_of if slot_of[pid] == slot)
        return found

    def last_seq(self) -> int:
        return int(self._logged("SELECT max(seq) FROM events"))

    def chores_left_to(self, node: str) -> int:
        """How many the last rollout that has ended has left to this node."""
        ended = json.loads(
            self._logged("SELECT data FROM events WHERE kind = 'Ended' ORDER BY seq DESC LIMIT 1")
        )
        return sum(chore["work"]["at"] == node for chore in ended["chores"])

    def _logged(self, sql: str) -> str | bytes:
        path = self.fleet.folder / "controller" / "events.db"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            return database.execute(sql).fetchone()[0]

    def _serving(self, status: AppStatus) -> list[NodeStatus]:
        """The nodes that are to serve."""
        return [node for node in status.nodes if node.active_slot or not self.spec.slots]

    def _is_known(self, status: AppStatus) -> bool:
        """Whether all that are to serve have said how they are."""
        slots = [view for node in self._serving(status) for view in node.slots.values()]
        return all(view.healthy is not None for view in slots)

    def assert_agreement(self, version: str) -> None:
        """Log, machines and balancer say the same: this version, in one slot of each node, or of
        each of the group that serves."""
        self.wait_for(lambda status: status.rollout is None and not status.unfinished)  # debts, too
        # To a controller that was killed at the end as well, or with an agent that was.
        status = self.wait_for(self._is_known)
        assert status.version == version
        addresses = set()
        serving = self._serving(status)
        assert len(serving) >= len(status.nodes) / 2
        for node in serving:
            assert node.active_slot, node
            for slot, view in node.slots.items():
                active = slot == node.active_slot
                assert view.running is active, (node.node, slot, view)
                assert view.healthy is active, (node.node, slot, view)
                assert not active or view.version == version
            addresses.add(node.slots[node.active_slot].address)
            home = self.fleet.folder / "nodes" / node.node / "apps" / "hello"
            assert os.readlink(home / "current") == f"slots/{node.active_slot}"
            release = json.loads((home / "current" / "release" / "release.json").read_text())
            assert release["version"] == version
            assert len(running_beneath(self.fleet.folder / "nodes" / node.node)) == 1
        lanes = Path(self.spec.traffic.directory).glob("lane-*")
        assert {lane.read_text() for lane in lanes} == addresses
