"""A desk to type at: a fleet on this machine, apps for it, commands as people type them."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec
from names import Names
from pseudo_terminal import PseudoTerminal
from running_apps import running_beneath

from tidegate_controller.cli.client import Client
from tidegate_controller.demo.local_fleet import MARK, LocalFleet
from tidegate_controller.demo.show import example_app
from tidegate_controller.documents import Document
from tidegate_controller.errors import UsageError
from tidegate_controller.log import read_stream

TIDEGATE = str(Path(sys.executable).with_name("tidegate"))
AGENT = str(Path(sys.executable).with_name("tidegate-agent"))
PATIENCE_SECONDS = 60.0  # of every wait; only ever reached where a test fails
FORMER = ("TIDEGATE_", "XDG_RUNTIME_DIR")  # what the person who runs the tests has set

# The example app, but it waits for a file where its release.json names one.
WAITING = (
    "import json, os, runpy, sys, time; "
    "awaited = json.load(open('release.json')).get('waits_for'); "
    "missing = lambda: awaited is not None and not os.path.exists(awaited); "
    "[time.sleep(0.02) for _ in iter(missing, False)]; "
    "sys.argv = ['serve.py', '--port', sys.argv[1]]; "
    "runpy.run_path('serve.py', run_name='__main__')"
)

SETTINGS: dict[str, dict[str, object]] = {
    "service": {"command": ["python3", "serve.py", "--port", "{port}"], "stop_grace": "5s"},
    "health": {
        "http": "http://127.0.0.1:{port}/health",
        "every": "1s",
        "timeout": "20s",  # on a machine that has too much to do, an app may be slow to answer
        "failures": 2,
        "healthy_after": "0s",
        "deadline": "20s",
    },
    "rollout": {"soak": "0s", "drain": "0s", "keep_old_for": "0s"},
    "traffic": {"adapter": "caddy", "directory": "traffic", "lanes": 4},
}


@dataclass(frozen=True)
class Answer:
    """What a command has left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on stdout."""
        return json.loads(self.out)


class Desk:
    """Types commands in `folder`. The fleet runs while `running()` does. `names`: of
    a desk that tests share."""

    def __init__(self, folder: Path, nodes: int = 2, names: Names | None = None) -> None:
        self.folder = folder
        self.names = names
        self.fleet = LocalFleet(folder, nodes)
        self.agents: dict[str, subprocess.Popen[bytes]] = {}

    @contextmanager
    def running(self) -> Iterator["Desk"]:
        try:
            self.fleet.start_controller((TIDEGATE,))
            for node in self.fleet.nodes:
                self.fleet.start_agent(node, (AGENT,))
            self.fleet.wait_connected()
            yield self
        finally:
            self.fleet.stop()
            for agent in self.agents.values():
                agent.wait()

    # --- What is typed ------------------------------------------------------------------------

    def environment(self, **more: str) -> dict[str, str]:
        given = {name: os.environ[name] for name in os.environ if not name.startswith(FORMER)}
        return {**given, "TIDEGATE_CONTROLLER": self.fleet.address, MARK: str(self.folder), **more}

    def sit_down(
        self, *words: str, cwd: Path | None = None, columns: int = 80, rows: int = 40, **more: str
    ) -> PseudoTerminal:
        """`tidegate WORDS`, at a terminal."""
        variables = self.environment(
            **{"TERM": "xterm-256color", "COLUMNS": "", "LINES": "", **more}
        )
        return PseudoTerminal(
            [TIDEGATE, *words], cwd or self.folder, variables, columns=columns, rows=rows
        )

    def start(self, *words: str, cwd: Path | None = None, **more: str) -> subprocess.Popen[str]:
        """A command that is left to itself for now. `more`: variables; an empty one is not set."""
        return subprocess.Popen(
            words,
            cwd=cwd or self.folder,
            env={name: value for name, value in self.environment(**more).items() if value},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def type(self, *words: str, cwd: Path | None = None, **more: str) -> Answer:
        """`tidegate WORDS`, to its end. Whatever it says, it is never a traceback."""
        return answer_of(self.start(TIDEGATE, *words, cwd=cwd, **more))

    def run_agent(self, node: str, *labels: str, before: Sequence[str] = ()) -> None:
        """Another agent, and wait until it is connected. `before`: in front of its command."""
        if self.names is not None:
            self.names.claim(f"node-{node}")
        options = [word for label in labels for word in ("--label", label)]
        data = self.folder / "nodes" / node
        with (self.folder / f"{node}.log").open("ab") as output:
            self.agents[node] = subprocess.Popen(
                [
                    *(*before, AGENT, "run", "--node", node, "--data", str(data)),
                    *("--controller", self.fleet.address, *options),
                ],
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        until(lambda: self.is_connected(node), f"{node} to connect")

    def end_agent(self, node: str, number: int) -> None:
        """End one that `run_agent` has started, and wait until the controller knows."""
        self.agents[node].send_signal(number)
        self.agents.pop(node).wait(PATIENCE_SECONDS)
        until(lambda: not self.is_connected(node), f"{node} to be missed")

    def is_connected(self, node: str) -> bool:
        with Client(self.fleet.address) as client:
            return any(each.node == node and each.connected for each in client.nodes().nodes)

    def app(
        self, name: str, nodes: object = None, owner: str = "", **settings: dict[str, object]
    ) -> "AppFolder":
        """A folder with the example app and its `tidegate.toml`; `settings` by table, of which
        `environment` is the one for `test`; a setting that is None is left out. Without `nodes` it
        is for the first node alone. `owner`: of the name, where more than one test uses it."""
        if self.names is not None:
            self.names.claim(f"app-{name}", owner)
        return AppFolder(self, name, nodes or ["web-1"], settings)

    def held(self, name: str, **settings: dict[str, object]) -> "AppFolder":
        """The same, but a rollout stays in its step Start until `let_go`."""
        settings["health"] = {"deadline": "300s"} | settings.get("health", {})
        command = ["python3", "-c", WAITING, "{port}"]
        app = self.app(name, service={"command": command}, **settings)
        app.gate = app.folder / "go"
        return app


class AppFolder:
    """The folder of an app on the desk: what a person has who deploys it."""

    def __init__(
        self, desk: Desk, name: str, nodes: object, settings: Mapping[str, dict[str, object]]
    ) -> None:
        self.desk = desk
        self.name = name
        self.folder = desk.folder / "apps" / name
        self.folder.mkdir(parents=True)
        self.gate: Path | None = None
        shutil.copy(example_app() / "serve.py", self.folder)
        names = [name for name in (*SETTINGS, *settings) if name != "environment"]
        tables = {name: {**SETTINGS.get(name, {}), **settings.get(name, {})} for name in names}
        environment = {"nodes": nodes, **settings.get("environment", {})}
        tables = {"environments.test": environment, **tables}
        lines = [f'app = "{name}"']
        for table, values in tables.items():
            given = {key: value for key, value in values.items() if value is not None}
            lines += [f"[{table}]", *(f"{key} = {toml(value)}" for key, value in given.items())]
        (self.folder / "tidegate.toml").write_text("\n".join(lines) + "\n")

    def build(self, version: str, **behaviour: object) -> Path:
        """The release as a .tar.gz, as a build pipeline makes it."""
        if self.gate is not None:
            behaviour = {"waits_for": str(self.gate), **behaviour}
        (self.folder / "release.json").write_text(json.dumps({"version": version, **behaviour}))
        artifact = self.folder / f"{self.name}-{version}.tar.gz"
        with tarfile.open(artifact, "w:gz") as archive:
            for name in ("serve.py", "release.json"):
                archive.add(self.folder / name, name)
        return artifact

    def words(self, version: str, artifact: Path | None = None, **behaviour: object) -> list[str]:
        path = artifact or self.build(version, **behaviour)
        return ["deploy", "--artifact", str(path), "--version", version]

    def deploy(self, version: str, *options: str, **behaviour: object) -> Answer:
        return self.desk.type(*self.words(version, **behaviour), *options, cwd=self.folder)

    def deployed(self, version: str) -> "AppFolder":
        answer = self.deploy(version)
        assert answer.code == 0, answer
        return self

    def sit_down(self, version: str, *options: str, **more: Any) -> PseudoTerminal:
        """`tidegate deploy`, at a terminal. `more`: see `Desk.sit_down`, and how it behaves."""
        behaviour = more.pop("behaviour", {})
        words = [*self.words(version, **behaviour), *options]
        return self.desk.sit_down(*words, cwd=self.folder, **more)

    def follow(self, version: str, *options: str, **behaviour: object) -> subprocess.Popen[str]:
        """`tidegate deploy`, left to itself while it follows the rollout."""
        words = [*self.words(version, **behaviour), *options]
        return self.desk.start(TIDEGATE, *words, cwd=self.folder)

    def let_go(self) -> None:
        assert self.gate is not None
        self.gate.touch()

    # --- What came of it ----------------------------------------------------------------------

    def events(self) -> list[str]:
        """The kinds of all events of the app in the log; none where nothing was begun."""
        path = self.desk.fleet.folder / "controller" / "events.db"
        return [record.kind for record in read_stream(path, f"{self.name}@test", 0, 10_000)]

    def traces(self) -> list[Path]:
        """What nodes and balancer have on disk of the app; nothing where nothing was begun."""
        homes = self.desk.folder.glob(f"nodes/*/apps/{self.name}")
        return [*homes, *self.folder.glob("traffic")]

    # Asked in this process: what the commands print of it is for test_json.py, and a new process
    # for each look is most of what a test costs.

    def rollouts(self) -> list[dict[str, Any]]:
        """In short, newest first; none where the app is not known."""
        try:
            with Client(self.desk.fleet.address) as client:
                return list(document(client.rollouts(self.name, 1000))["rollouts"])
        except UsageError:
            return []

    def newest(self) -> dict[str, Any]:
        """With its steps."""
        newest = self.rollouts()[0]["rollout"]
        with Client(self.desk.fleet.address) as client:
            return document(client.rollout(newest))

    def status(self) -> dict[str, Any]:
        """The app's part of `tidegate status --json`."""
        with Client(self.desk.fleet.address) as client:
            (app,) = document(client.status(self.name))["apps"]
        return dict(app)

    def slot(self, node: str = "web-1") -> dict[str, Any]:
        """The active slot of the node."""
        (status,) = (each for each in self.status()["nodes"] if each["node"] == node)
        return dict(status["slots"][status["active_slot"]])

    def wait_for_success(self) -> None:
        """Until the newest rollout has succeeded."""
        until(lambda: self.newest()["state"] == "succeeded", "the rollout to succeed")

    def wait_for_step(self, name: str) -> None:
        """Until the newest rollout is in this step."""

        def entered() -> bool:
            steps = self.newest()["steps"] if self.rollouts() else []
            return any(step["name"] == name and step["state"] == "running" for step in steps)

        until(entered, f"the step {name}")

    def assert_serving(self, version: str) -> None:
        """Every node's active slot answers, where the balancer would ask, as this version."""
        nodes = self.status()["nodes"]
        assert nodes
        for node in nodes:
            slot = node["slots"][node["active_slot"]]
            assert ask(f"http://{slot['address']}/").startswith(f"hello from {version} on ")

    def processes(self, node: str = "web-1") -> list[int]:
        """Pids of the app on the node, by what the machine says."""
        return running_beneath(self.desk.folder / "nodes" / node / "apps" / self.name)


def document(view: Document) -> dict[str, Any]:
    """As `--json` prints it."""
    return dict(json.loads(msgspec.json.encode(view)))


def answer_of(process: subprocess.Popen[str]) -> Answer:
    """What the command says and how it ends."""
    try:
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
    finally:
        process.kill()
    return _judged(process.returncode, out, err)


def read_until(stream: IO[str] | None, words: str) -> str:
    """What a command says on this stream, up to the line with these words."""
    assert stream is not None
    said = ""
    while words not in said:
        line = stream.readline()
        assert line, said
        said += line
    return said


def rest_of(process: subprocess.Popen[str], said: str = "") -> Answer:
    """The same as `answer_of`, of a command whose stdout has been read up to here."""
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        out, err = said + process.stdout.read(), process.stderr.read()
    return _judged(process.wait(PATIENCE_SECONDS), out, err)


def _judged(code: int, out: str, err: str) -> Answer:
    assert "Traceback" not in out + err, out + err
    return Answer(code, out, err)


def until(holds: Callable[[], bool], what: str) -> None:
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < give_up, f"waited {PATIENCE_SECONDS} s for {what}, in vain"
        time.sleep(0.05)


def ask(url: str) -> str:
    with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as answer:  # noqa: S310
        return str(answer.read().decode())


def toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(each)}" for key, each in value.items()) + " }"
    return json.dumps(value)
