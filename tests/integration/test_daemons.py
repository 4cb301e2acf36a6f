"""Real controllers and agents: what they log, and an agent that changes its controller."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from running_apps import running_beneath

from tidegate_controller import config
from tidegate_controller.cli.client import Client
from tidegate_controller.core.spec import Hooks, Spec
from tidegate_controller.demo.local_fleet import AGENT, NO_FILES, LocalFleet
from tidegate_controller.demo.show import Act, build, deploy, example_app
from tidegate_controller.documents import RolloutView

PATIENCE_SECONDS = 60.0
SECRET = "planted-c2a9e1"

CONFIG = f"""
app = "hello"
[environments.test]
nodes = {{ role = "web" }}
[service]
command = ["python3", "serve.py", "--port", "{{port}}"]
environment = {{ NODE = "{{node}}", SLOT = "{{slot}}", TOKEN = "{SECRET}" }}
stop_grace = "5s"
[health]
http = "http://127.0.0.1:{{port}}/health"
every = "50ms"
healthy_after = "0s"
deadline = "30s"
[rollout]
soak = "0s"
drain = "0s"
keep_old_for = "0s"
[traffic]
adapter = "caddy"
directory = "traffic"
lanes = 4
"""


class House(LocalFleet):
    """A controller and one agent, web-1; no balancer, since lanes are files."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder, 1)
        self.app = folder / "app"
        self.app.mkdir()
        (self.app / "serve.py").write_bytes((example_app() / "serve.py").read_bytes())
        (self.app / "tidegate.toml").write_text(CONFIG)

    @property
    def spec(self) -> Spec:
        spec = config.load(self.app / "tidegate.toml").environment()
        settings = msgspec.structs.replace(spec.settings, hooks=Hooks(migrate="never"))
        return msgspec.structs.replace(spec, settings=settings)

    def deploy(self, version: str, **behaviour: object) -> RolloutView:
        with Client(self.address).expect() as client:
            artifact = build(self.app, Act("", version, "", behaviour))
            reply = deploy(client, self.spec, artifact, version)
            assert reply.rollout, reply.message
            for _ in client.events(reply.seq, reply.rollout, follow=True):
                pass
            return client.rollout(reply.rollout)

    def answers(self) -> str:
        """What the active slot says."""
        with Client(self.address) as client:
            (node,) = client.status("hello").apps[0].nodes
        address = node.slots[node.active_slot or ""].address
        with urllib.request.urlopen(f"http://{address}/", timeout=PATIENCE_SECONDS) as answer:
            return str(answer.read().decode())

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path / "house")
    yield house
    house.stop()


def until(house: LocalFleet, name: str, words: str) -> str:
    """What a part has said, once these words are among it."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while words not in (said := (house.folder / f"{name}.log").read_text()):
        assert time.monotonic() < give_up, said
        time.sleep(0.05)
    return said


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_both_logs_say_what_was_done_about_what_and_no_secret(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    for program in ("CONTROLLER", "AGENT"):
        file = house.folder / "logs" / f"{program.lower()}.json"
        monkeypatch.setenv(f"TIDEGATE_{program}_LOG_FILE", str(file))
        monkeypatch.setenv(f"TIDEGATE_{program}_LOG_LEVEL", "debug, tidegate_agent.fetch=error")
    house.start_controller()
    house.start_agent("web-1")
    house.wait_connected()
    assert house.deploy("1").state == "succeeded"
    assert house.deploy("2", exits_at_once=True).state == "rolled_back"
    for pid in app_pids(house):
        os.kill(pid, signal.SIGKILL)
    until(house, "web-1", "slot blue of hello is ")
    house.stop()
    controller = lines(house.folder / "logs" / "controller.json")
    agent = lines(house.folder / "logs" / "agent.json")
    ours = [line for line in controller if line.get("rollout") == "r1"]
    assert {line["app"] for line in ours} == {"hello"}
    assert {line["environment"] for line in ours} == {"test"}
    told = [line["message"] for line in ours if line["level"] == "info"]
    assert [told[0][:33], told[1:]] == ["r1 begins: deploy of hello in tes", ["r1 succeeded"]]
    (failed,) = (line for line in controller if ": failed: exited with" in line["message"])
    assert failed["level"] == "warning"
    assert failed["action"].startswith(tuple("0123456789abcdef"))
    (connected,) = (line for line in controller if line["message"] == "node web-1 connected")
    assert connected["node"] == "web-1"
    assert {line["node"] for line in agent} == {"web-1"}
    starts = [line for line in agent if line["message"].endswith(": start_slot")]
    assert [line["app"] for line in starts] == ["hello", "hello"]
    assert [line["environment"] for line in starts] == ["test", "test"]
    assert all(line["action"] in line["message"] for line in starts)
    (exited, *_) = (line for line in agent if line["message"].startswith("slot blue of hello is "))
    assert (exited["app"], exited["environment"]) == ("hello", "test")
    files = [path for path in house.folder.rglob("*") if path.suffix in (".log", ".json")]
    logs = [path for path in files if "apps" not in path.parts and path.name != "release.json"]
    assert len(logs) >= 4
    assert [path for path in logs if SECRET in path.read_text()] == []


def test_an_agent_obeys_a_second_controller_only_when_it_is_told_that_the_first_is_gone(
    house: House, tmp_path: Path
) -> None:
    house.start_controller()
    house.start_agent("web-1")
    house.wait_connected()
    assert house.deploy("1").state == "succeeded"
    served = house.answers()
    (pid,) = app_pids(house)
    house.kill("controller")
    second = House(tmp_path / "second")
    try:
        second.start_controller()
        until(second, "controller", "controller ready")
        restart(house, second.address)
        said = until(house, "web-1", "this agent has obeyed another controller, of log ")
        assert "start the agent once with --new-controller" in said
        listed = typed("node", "list", controller=second.address)
        assert "web-1" in listed
        assert "this agent has obeyed another controller, of log " in listed
        with Client(second.address) as client:
            assert client.nodes().nodes == []
        restart(house, second.address, "--new-controller")
        second.wait_connected()
        assert "forgetting the controller of log " in house.said("web-1")
        assert app_pids(house) == [pid], "it was neither stopped nor started"
        with Client(second.address) as client:
            assert client.status("").apps == [], "the new log knows nothing of it"
        address = json.loads(typed("node", "list", "--json", controller=second.address))
        assert [node["node"] for node in address["nodes"]] == ["web-1"]
        assert second.deploy("2").state == "succeeded"
        assert second.answers() != served
        restart(house, second.address)  # without the flag: it has a controller again
        second.wait_connected()
    finally:
        second.stop()


def restart(house: House, controller: str, *options: str) -> None:
    """The agent ends, and another begins, for that controller; what it has said before is gone."""
    process = house.processes.pop("web-1")
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_SECONDS) == 0
    (house.folder / "web-1.log").unlink()
    house._spawn(
        "web-1",
        *(*AGENT, "run", "--node", "web-1", "--data", str(house.folder / "nodes" / "web-1")),
        *("--controller", controller, "--label", "role=web", *NO_FILES, *options),
    )


def typed(*words: str, controller: str) -> str:
    command = [sys.executable, "-m", "tidegate_controller", *words]
    environment = {**os.environ, "TIDEGATE_CONTROLLER": controller}
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return answer.stdout


def app_pids(house: House) -> list[int]:
    return running_beneath(house.folder / "nodes" / "web-1")


def test_the_controller_keeps_what_an_environment_needs_and_removes_other_old_artifacts(
    house: House,
) -> None:
    """At its start; the one that is active was asked for as long ago as the other."""
    store = house.folder / "controller" / "artifacts"
    house.start_controller()
    house.start_agent("web-1")
    house.wait_connected()
    assert house.deploy("1").state == "succeeded"
    house.kill("controller")
    (needed,) = (path for path in store.iterdir() if not path.suffix)
    other = store / ("ab" * 32)
    other.write_bytes(b"nobody needs it")
    for path in (needed, other):
        os.utime(path, (0, 0))
    house.start_controller()
    until(house, "controller", f"removed the artifact sha256:{other.name}")
    assert needed.exists()
    assert not other.exists()
