"""A whole Tidegate on this machine, as real processes on loopback: controller, agents, Caddy.

Used by `tidegate demo` and by the integration tests, which also kill its parts. Everything lives
beneath one folder and is found again by it, so that nothing is ever left behind.
"""

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from tidegate_controller.cli.client import Client
from tidegate_controller.core.spec import Traffic
from tidegate_controller.demo import caddy_server
from tidegate_controller.errors import NotReachable, TidegateError

MARK = "TIDEGATE_DEMO"  # in the environment of each process, with the folder as its value
START_SECONDS = 60.0
STOP_SECONDS = 10.0
STOP_ROUNDS = 3  # an agent may start an app while others are being stopped
POLL_SECONDS = 0.1
PORTS = range(10_000, 20_000)

CONTROLLER = (sys.executable, "-m", "tidegate_controller")
AGENT = (sys.executable, "-m", "tidegate_agent")
NO_FILES = ("--settings", os.devnull)  # whatever is set for the daemons of this machine


class LocalFleet:
    """`folder` holds everything. Nothing runs until a `start_…` method is called."""

    def __init__(self, folder: Path, nodes: int) -> None:
        self.folder = folder.resolve()
        self.nodes = tuple(f"web-{number}" for number in range(1, nodes + 1))
        self.address = f"127.0.0.1:{free_port()}"
        self.balancer = f"127.0.0.1:{free_port()}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        return f"http://{self.balancer}/"

    def start(self, traffic: Traffic) -> None:
        """Start everything and return when all agents are connected."""
        self.start_controller()
        for node in self.nodes:
            self.start_agent(node)
        self.start_balancer(traffic)
        self.wait_connected()

    def start_controller(self, program: Sequence[str] = CONTROLLER) -> None:
        self._spawn(
            "controller",
            *(*program, "controller", "run", "--data", str(self.folder / "controller")),
            *("--listen", self.address, "--socket", str(self.folder / "controller.sock")),
            *NO_FILES,
        )

    def start_agent(
        self, node: str, program: Sequence[str] = AGENT, labels: Sequence[str] = ()
    ) -> None:
        """`labels`: beside `role=web`."""
        self._spawn(
            node,
            *(*program, "run", "--node", node, "--data", str(self.folder / "nodes" / node)),
            *("--controller", self.address, "--label", "role=web"),
            *(word for label in labels for word in ("--label", label)),
            *NO_FILES,
        )

    def start_balancer(self, traffic: Traffic) -> None:
        Path(traffic.directory).mkdir(parents=True, exist_ok=True)
        config = self.folder / "Caddyfile"
        caddy_server.write_config(config, self.balancer, traffic)
        self._spawn("caddy", *caddy_server.command(config), more=caddy_server.environment(config))

    def wait_connected(self) -> None:
        """Return when the controller answers and every agent is connected."""

        def connected() -> bool:
            with Client(self.address) as client:
                nodes = client.nodes().nodes
            return sum(node.connected for node in nodes) >= len(self.nodes)

        self.wait_until(connected, "the agents to connect")

    def wait_until(self, holds: Callable[[], bool], what: str) -> None:
        """Poll until it holds; a part that has ended meanwhile is an error that shows its log."""
        give_up = time.monotonic() + START_SECONDS
        while True:
            if _already(holds):
                return
            for name, process in self.processes.items():
                if process.poll() is not None:
                    raise TidegateError(f"{name} ended while waiting for {what}", self.log(name))
            if time.monotonic() > give_up:
                raise TidegateError(f"waited {START_SECONDS:.0f} s for {what}, in vain")
            time.sleep(POLL_SECONDS)

    def log(self, name: str) -> str:
        """The last of what a part has said."""
        return (self.folder / f"{name}.log").read_text(errors="replace")[-2000:]

    def kill(self, name: str) -> None:
        """End one part with SIGKILL; what it started goes on."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def stop(self) -> None:
        stop(self.folder)
        for process in self.processes.values():
            process.wait()
        self.processes.clear()

    def _spawn(self, name: str, *command: str, more: object = None) -> None:
        environment = {**os.environ, **(more if isinstance(more, dict) else {})}
        environment[MARK] = str(self.folder)
        with (self.folder / f"{name}.log").open("ab") as output:
            self.processes[name] = subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )


def _already(holds: Callable[[], bool]) -> bool:
    try:
        return holds()
    except NotReachable:
        return False


def free_port() -> int:
    """A TCP port on loopback that nobody listens on now. It is none that the system gives to
    outgoing connections, one of which might take it before the controller does; nor one of those
    that agents pick for apps."""
    while True:
        port = PORTS.start + secrets.randbelow(len(PORTS))
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def stop(folder: Path) -> int:
    """End every process of the fleet in `folder`; how many there were. Leaves the files."""
    ended: set[int] = set()
    for _ in range(STOP_ROUNDS):
        found = list(_processes(folder.resolve()))
        if not found:
            break
        ended |= {process.pid for process in found}
        for process in found:
            _signal(process, process.terminate)
        _, left = psutil.wait_procs(found, timeout=STOP_SECONDS)
        for process in left:
            _signal(process, process.kill)
        psutil.wait_procs(left, timeout=STOP_SECONDS)
    return len(ended)


def _processes(folder: Path) -> Iterator[psutil.Process]:
    """The parts carry a mark; the apps that agents started have their slots as working folder."""
    for process in psutil.process_iter():
        try:
            environment = process.environ()
            mine = environment.get(MARK) == str(folder)
            app = "TIDEGATE_INSTANCE" in environment and folder in Path(process.cwd()).parents
        except (psutil.Error, OSError):
            continue  # ended meanwhile, or another user's
        if (mine or app) and process.pid != os.getpid():
            yield process


def _signal(process: psutil.Process, send: Callable[[], None]) -> None:
    try:
        send()
    except psutil.NoSuchProcess:
        return
