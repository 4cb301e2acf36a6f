"""Real agents under load: a rollout goes on without a node that is away, which converges later."""

import shutil
from pathlib import Path

import pytest
from stage import CONFIG, LINGERS

from tidegate_controller import config
from tidegate_controller.cli.client import Client
from tidegate_controller.demo.background_load import BackgroundLoad
from tidegate_controller.demo.local_fleet import LocalFleet
from tidegate_controller.demo.show import Act, build, deploy, example_app
from tidegate_controller.documents import AppStatus

ONE_MAY_FAIL = "[failures]\nmax_failed_nodes = 1\n"


class Land:
    """Three nodes, a balancer and a steady load; nobody starts again what ends."""

    def __init__(self, folder: Path) -> None:
        self.fleet = LocalFleet(folder, 3)
        self.app = folder / "app"
        self.app.mkdir()
        serve = (example_app() / "serve.py").read_text()
        (self.app / "serve.py").write_text(serve.replace(LINGERS, "LINGER_SECONDS = 0.05"))
        text = CONFIG.replace("{soak}", "500ms") + ONE_MAY_FAIL
        (self.app / "tidegate.toml").write_text(text)
        self.spec = config.load(self.app / "tidegate.toml").environment()
        self.load = BackgroundLoad(self.fleet.url, 50, 4)

    def deploy(self, version: str) -> str:
        """How the rollout ended."""
        artifact = build(self.app, Act("", version, "", {}))
        with Client(self.fleet.address).expect() as client:
            reply = deploy(client, self.spec, artifact, version)
            for _ in client.events(reply.seq, reply.rollout, follow=True):
                continue
            return client.rollout(reply.rollout).state

    def status(self) -> AppStatus:
        with Client(self.fleet.address).expect() as client:
            return client.status("hello").apps[0]

    def debts(self) -> dict[str, str]:
        return {node.node: node.debt for node in self.status().nodes if node.debt}

    def kinds(self) -> list[tuple[str, str]]:
        with Client(self.fleet.address).expect() as client:
            return [(r.kind, r.state) for r in client.rollouts("hello", 10).rollouts]


@pytest.fixture
def land(tmp_path: Path):
    land = Land(tmp_path)
    try:
        land.fleet.start(land.spec.traffic)
        assert land.deploy("1") == "succeeded"
        land.load.start()
        yield land
    finally:
        land.fleet.stop()


def converged(land: Land) -> None:
    """Wait until nothing is owed, and see that all serve version 2."""
    status = land.status

    def paid() -> bool:
        return not land.debts() and status().rollout is None and not status().unfinished

    land.fleet.wait_until(paid, "what is owed to be paid")
    nodes = status().nodes
    assert [n.slots[n.active_slot].version for n in nodes] == ["2", "2", "2"]
    assert land.kinds()[0] == ("converge", "succeeded")
    land.load.stop()
    assert land.load.count().served > 0
    assert land.load.count().failed == 0


def away(land: Land) -> None:
    """web-3's agent is gone, and 2 comes without it."""
    land.fleet.kill("web-3")
    land.fleet.wait_until(
        lambda: any(not node.connected for node in land.status().nodes), "web-3 to be away"
    )
    assert land.deploy("2") == "succeeded"
    assert set(land.debts()) == {"web-3"}
    assert land.kinds()[0] == ("deploy", "succeeded")


def test_a_node_that_was_away_converges_when_it_returns_and_no_request_is_lost(land: Land) -> None:
    away(land)
    land.fleet.start_agent("web-3")
    converged(land)


def test_so_does_one_whose_disk_was_wiped_meanwhile(land: Land) -> None:
    away(land)
    shutil.rmtree(land.fleet.folder / "nodes" / "web-3")
    land.fleet.start_agent("web-3")
    converged(land)
