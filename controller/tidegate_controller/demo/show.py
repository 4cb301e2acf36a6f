"""What `tidegate demo` does: six rollouts under load, two of them bad, and what came of it."""

import json
import shutil
import tarfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tidegate_controller import config
from tidegate_controller.artifacts import digest_of
from tidegate_controller.cli.client import Client
from tidegate_controller.cli.phrases import seconds_between
from tidegate_controller.config_traffic import LISTEN
from tidegate_controller.core.spec import Spec
from tidegate_controller.demo.background_load import BackgroundLoad, Count
from tidegate_controller.demo.local_fleet import LocalFleet
from tidegate_controller.documents import RolloutView
from tidegate_controller.errors import TidegateError
from tidegate_protos.v1 import operator_pb2 as pb

REQUESTS_PER_SECOND = 250.0
CONNECTIONS = 10
ENVIRONMENT = "demo"

Tell = Callable[[Client, str, int], bool]


@dataclass(frozen=True)
class Act:
    """One rollout of the demo and how it has to end."""

    title: str
    version: str  # "" for a rollback
    expected: str
    behaviour: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Scene:
    """What came of an act: the rollout, and the requests while it ran."""

    rollout: RolloutView
    expected: str
    requests: Count

    @property
    def seconds(self) -> float:
        return seconds_between(self.rollout.started_at, self.rollout.ended_at or "")


def acts(nodes: int) -> tuple[Act, ...]:
    second_of_requests = max(5, round(REQUESTS_PER_SECOND / nodes))
    return (
        Act("version 1, the first", "1", "succeeded"),
        Act("version 2, a good one, while requests come in", "2", "succeeded"),
        Act(
            "version 3, which turns unhealthy once it has traffic",
            "3",
            "rolled_back",
            {"turns_unhealthy_after_requests": second_of_requests},
        ),
        Act("version 4, which dies at once", "4", "rolled_back", {"exits_at_once": True}),
        Act("rollback, by hand, to the release before", "", "succeeded"),
        Act("rollback of the rollback: forward again, at once", "", "succeeded"),
    )


class Show:
    """Plays the acts on a fleet. `say` prints a line, `tell` follows a rollout."""

    def __init__(self, fleet: LocalFleet, say: Callable[[str], None], tell: Tell) -> None:
        self._fleet = fleet
        self._say = say
        self._tell = tell
        self._load = BackgroundLoad(fleet.url, REQUESTS_PER_SECOND, CONNECTIONS)

    def run(self) -> tuple[list[Scene], Count]:
        """All scenes, and the requests over the whole show."""
        app = self._prepare_app()
        spec = config.load(app / "tidegate.toml").environment(ENVIRONMENT)
        self._say(f"starting a controller, {len(self._fleet.nodes)} agents and a load balancer")
        self._fleet.start(spec.traffic)
        scenes = []
        try:
            for act in acts(len(self._fleet.nodes)):
                self._say("")
                self._say(f"== {act.title}")
                scenes.append(self._play(act, spec, app))
                if len(scenes) == 1:
                    self._say(f"now {REQUESTS_PER_SECOND:.0f} requests/s to {self._fleet.url}")
                    self._load.start()
        finally:
            if scenes:
                self._load.stop()
        return scenes, self._load.count()

    @property
    def failures(self) -> list[str]:
        """The first requests that failed, in words."""
        return self._load.load.failures

    def _prepare_app(self) -> Path:
        app = self._fleet.folder / "app"
        shutil.copytree(example_app(), app, ignore=shutil.ignore_patterns("__pycache__"))
        file = app / "tidegate.toml"
        file.write_text(file.read_text().replace(LISTEN, self._fleet.balancer))
        return app

    def _play(self, act: Act, spec: Spec, app: Path) -> Scene:
        before = self._load.count()
        with Client(self._fleet.address) as client:
            if act.version:
                reply = deploy(client, spec, build(app, act), act.version)
            else:
                request = pb.RollbackRequest(
                    request_id=uuid.uuid4().hex, app=spec.app, requested_by="demo"
                )
                reply = client.rollback(request)
            self._tell(client, reply.rollout, reply.seq)
            view = client.rollout(reply.rollout)
        after = self._load.count()
        requests = Count(after.served - before.served, after.failed - before.failed)
        return Scene(view, act.expected, requests)


def example_app() -> Path:
    """The example app: beside this module in an installation, in `examples/` in a checkout."""
    here = Path(__file__).resolve().parent
    for candidate in (here / "hello", here.parents[2] / "examples" / "hello"):
        if (candidate / "serve.py").exists():
            return candidate
    raise TidegateError("the example app is missing from this installation")


def build(app: Path, act: Act) -> Path:
    """The act's release as a .tar.gz, as a build pipeline would make it."""
    release = {"version": act.version, **act.behaviour}
    (app / "release.json").write_text(json.dumps(release))
    artifact = app.parent / f"hello-{act.version}.tar.gz"
    with tarfile.open(artifact, "w:gz") as archive:
        for name in ("serve.py", "release.json"):
            archive.add(app / name, name)
    return artifact


def deploy(client: Client, spec: Spec, artifact: Path, version: str) -> pb.RolloutReply:
    """Upload and deploy, as `tidegate deploy` does."""
    digest = digest_of(artifact)
    if not client.artifact(digest).present:
        client.upload(artifact, digest)
    return client.deploy(
        pb.DeployRequest(
            request_id=uuid.uuid4().hex,
            version=version,
            digest=digest,
            spec=msgspec.json.encode(spec),
            requested_by="demo",
        )
    )
