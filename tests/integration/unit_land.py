"""Where apps are units: a controller, and a machine with a real systemd and an agent under its own
unit, from systemd/tidegate-agent.service; and an app whose unit is that of systemd/README.md.

For test_apps_as_units.py.
"""

import json
import re
import shutil
import sqlite3
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from systemd_node import REPOSITORY, SystemdNode

from tidegate_controller import config
from tidegate_controller.cli.client import Client
from tidegate_controller.demo.local_fleet import LocalFleet
from tidegate_controller.demo.show import Act, build, deploy
from tidegate_controller.documents import NodeStatus, NodeStepView, RolloutView
from tidegate_protos.v1 import operator_pb2 as pb

PATIENCE_SECONDS = 30.0
DATA = "/var/lib/tidegate/agent"

# Says to systemd when it is ready. release.json says what it does.
SERVE = (
    f"#!{sys.executable}\n"
    + """\
import http.server, json, os, signal, socket, sys, time
release = json.load(open("release.json"))
print("hello from", release["version"], flush=True)
if release.get("exits_at_once"):
    print("FATAL: required setting DATABASE_URL is not set", flush=True)
    sys.exit(3)
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        text = f"{release['version']} {os.environ['TIDEGATE_SLOT']} {os.environ['GREETING']}"
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text.encode())
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Answer)
if release.get("stubborn"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(release.get("ready_after", 0))
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
    manager.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
server.serve_forever()
"""
)
# The unit of systemd/README.md, with this app's name and program in place of the shop's.
README = (REPOSITORY / "systemd/README.md").read_text()
UNIT, ROOT = re.findall(r"^```ini\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
UNIT = UNIT.replace("/serve --port ${PORT}", "/serve.py").replace("shop", "hello")
UNIT = UNIT.replace("RestartSec=1s", "RestartSec=200ms")
CONFIG = """
app = "hello"
[environments.test]
nodes = { role = "web" }
[service]
manager = "systemd"
unit = "hello@{slot}.service"
environment = { GREETING = 'it costs $5, "they" say \\ `so`' }
stop_grace = "300ms"
[health]
http = "http://127.0.0.1:{port}/"
every = "100ms"
timeout = "10s"
healthy_after = "200ms"
deadline = "20s"
[hooks]
migrate = "never"
[rollout]
soak = "200ms"
drain = "0s"
[traffic]
adapter = "caddy"
directory = "traffic"
lanes = 4
"""
GREETING = 'it costs $5, "they" say \\ `so`'
# The agent's unit as it is, but for the way to this checkout's code and the rights over units.
DROP_IN = f"""\
[Service]
ProtectHome=read-only
Environment=PYTHONPATH={REPOSITORY}/agent:{REPOSITORY}/protos
RestartSec=100ms
"""
# The same for one that is not root: then polkit has to allow it, and systemd-journal shows why.
RULES = (REPOSITORY / "systemd/tidegate-agent-units.rules").read_text()
MORE = (REPOSITORY / "systemd/tidegate-agent-units.conf").read_text()
POLKIT = Path("/usr/lib/polkit-1/polkitd")
AGENT = f'#!/bin/sh\nexec {sys.executable} -m tidegate_agent "$@"\n'


class Land:
    """The machine, the controller, and the app that is deployed from here to there."""

    def __init__(self, folder: Path) -> None:
        (folder / "fleet").mkdir()
        self.fleet = LocalFleet(folder / "fleet", 1)
        self.machine = SystemdNode(folder / "machine")
        self.app = folder / "app"
        self.app.mkdir()
        (self.app / "serve.py").write_text(SERVE)
        (self.app / "serve.py").chmod(0o755)
        (self.app / "tidegate.toml").write_text(CONFIG)
        self._furnish(self.machine.root)

    def _furnish(self, root: Path) -> None:
        units = root / "etc/systemd/system"
        shutil.copy(REPOSITORY / "systemd/tidegate-agent.service", units)
        (units / "multi-user.target.wants").mkdir()
        wanted = units / "multi-user.target.wants/tidegate-agent.service"
        wanted.symlink_to("../tidegate-agent.service")
        (units / "tidegate-agent.service.d").mkdir()
        (units / "tidegate-agent.service.d/code.conf").write_text(DROP_IN)
        (units / "tidegate-agent.service.d/units.conf").write_text(ROOT)
        (units / "hello@.service").write_text(UNIT)
        program = root / "opt/tidegate/bin/tidegate-agent"
        program.parent.mkdir(parents=True)
        program.write_text(AGENT)
        program.chmod(0o755)
        (root / "etc/tidegate").mkdir()
        (root / "etc/tidegate/agent.toml").write_text(
            f'node = "web-1"\nlabel = {{ role = "web" }}\ncontroller = "{self.fleet.address}"\n'
        )
        with (root / "etc/passwd").open("a") as users, (root / "etc/group").open("a") as groups:
            for number, user in enumerate(("tidegate-agent", "hello"), 990):
                users.write(f"{user}:x:{number}:{number}::/:/bin/false\n")
                groups.write(f"{user}:x:{number}:\n")

    def start(self) -> None:
        self.fleet.start_controller()
        self.machine.boot()
        self.fleet.wait_connected()

    # --- The controller's side ----------------------------------------------------------------

    def begin(self, version: str, **behaviour: object) -> pb.RolloutReply:
        spec = config.load(self.app / "tidegate.toml").environment()
        artifact = build(self.app, Act("", version, "", behaviour))
        with Client(self.fleet.address).expect() as client:
            reply = deploy(client, spec, artifact, version)
        assert reply.rollout, reply.message
        return reply

    def end(self, reply: pb.RolloutReply) -> RolloutView:
        with Client(self.fleet.address).expect() as client:
            for _ in client.events(reply.seq, reply.rollout, follow=True):
                pass
            return client.rollout(reply.rollout)

    def deploy(self, version: str, **behaviour: object) -> RolloutView:
        return self.end(self.begin(version, **behaviour))

    def roll_back(self) -> RolloutView:
        with Client(self.fleet.address).expect() as client:
            asked = pb.RollbackRequest(request_id=uuid.uuid4().hex, app="hello", requested_by="t")
            reply = client.rollback(asked)
        assert reply.rollout, reply.message
        return self.end(reply)

    def status(self) -> NodeStatus:
        with Client(self.fleet.address).expect() as client:
            (node,) = client.status("hello").apps[0].nodes
        return node

    def active(self) -> str:
        return self.status().active_slot or ""

    def answers(self) -> str:
        """What the active slot says."""
        node = self.status()
        address = node.slots[node.active_slot or ""].address
        with urllib.request.urlopen(f"http://{address}/", timeout=PATIENCE_SECONDS) as answer:
            return str(answer.read().decode())

    def served(self) -> str:
        """What the active slot says; a release is deployed first if there is none."""
        with Client(self.fleet.address).expect() as client:
            apps = client.status("").apps
        if not apps or apps[0].version is None:
            first = self.deploy("0")
            assert first.state == "succeeded", first
        return self.answers()

    @contextmanager
    def configured(self, text: str) -> Iterator[None]:
        file = self.app / "tidegate.toml"
        file.write_text(text)
        try:
            yield
        finally:
            file.write_text(CONFIG)

    # --- The machine's side -------------------------------------------------------------------

    def show(self, unit: str, key: str) -> str:
        said = self.machine.run("systemctl", "show", f"--property={key}", "--value", "--", unit)
        return said.strip()

    def run_of(self, slot: str) -> str:
        """The invocation id of what runs in the slot; empty where nothing does."""
        unit = f"hello@{slot}.service"
        active = self.show(unit, "ActiveState") == "active"
        return self.show(unit, "InvocationID") if active else ""

    @property
    def journal(self) -> Path:
        return self.machine.root / DATA.lstrip("/") / "journal.db"

    def handle(self, slot: str) -> dict[str, str]:
        """What the agent's journal knows the run by."""
        with sqlite3.connect(self.journal) as database:
            sql = "SELECT handle FROM slots WHERE slot = ?"
            ((handle,),) = database.execute(sql, (slot,)).fetchall()
        found = json.loads(handle or "{}")
        assert isinstance(found, dict)
        return found

    def kill_agent(self) -> None:
        self.machine.run("systemctl", "kill", "--signal=KILL", "tidegate-agent")

    def agent_pid(self) -> str:
        return self.show("tidegate-agent", "MainPID")

    def said_by_the_agent(self) -> str:
        return self.machine.run("journalctl", "-q", "-o", "cat", "-u", "tidegate-agent")


def until(condition: Callable[[], bool], what: str) -> None:
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < give_up, f"waited in vain until {what}"
        time.sleep(0.05)


def other(slot: str) -> str:
    return {"blue": "green", "green": "blue"}[slot]


def failed(rollout: RolloutView, step: str) -> NodeStepView:
    (found,) = (each for each in rollout.steps if each.name == step)
    (view,) = (node for node in found.nodes.values() if node.error)
    return view
