"""Tidegate as deploy.py runs it: a controller and agents on this machine, and `tidegate deploy`.

Real processes, real gRPC, real files; only what waits on purpose is set to nothing.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from contenders import WAYS, Release
from tidegate_controller.cli.client import Client
from tidegate_controller.demo.local_fleet import LocalFleet

CLI = (sys.executable, "-m", "tidegate_controller")
CONFIG = """
app = "bench"
[environments.bench]
nodes = {{ role = "web" }}
[service]
command = ["{python}", "-I", "-S", "{service}", "{{port}}"]
[health]
tcp = "127.0.0.1:{{port}}"
every = "1m"
healthy_after = "0s"
[rollout]
soak = "0s"
drain = "0s"
keep_old_for = "0s"
[traffic]
adapter = "none"
manual = "warn"
"""


class Tidegate:
    """Nothing runs until `start`; what then runs in the group in which that was called."""

    name, groups = "Tidegate", ("client", "tidegate")

    def __init__(self, folder: Path, hosts: int) -> None:
        folder.mkdir(parents=True)
        self._config = folder / "tidegate.toml"
        self._config.write_text(CONFIG.format(python=sys.executable, service=WAYS / "service.py"))
        self.fleet = LocalFleet(folder, hosts)

    def start(self) -> None:
        self.fleet.start_controller()
        for node in self.fleet.nodes:
            self.fleet.start_agent(node)
        self.fleet.wait_connected()

    def roots(self) -> Sequence[Path]:
        nodes = self.fleet.folder / "nodes"
        return [nodes / node / "apps" / "bench" for node in self.fleet.nodes]

    def tree(self, root: Path) -> Path:
        return root / "current" / "release"

    def command(self, release: Release) -> tuple[Sequence[str | Path], Mapping[str, str]]:
        command = [*CLI, "deploy", "-c", self._config, "--artifact", release.archive]
        given = {"TIDEGATE_CONTROLLER": self.fleet.address}
        return [*command, "--version", release.version], given

    def steps(self) -> dict[str, float]:
        """Seconds of each step of the last rollout, as the controller has them."""
        with Client(self.fleet.address) as client:
            last = client.rollouts("bench", 1).rollouts[0].rollout
            return {step.name: step.seconds or 0.0 for step in client.rollout(last).steps}
