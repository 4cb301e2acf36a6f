"""Each strategy with real processes behind Caddy, under load: forth, undone, back; no request is
lost."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import psutil
import pytest
from running_apps import running_beneath
from stage import Stage

from tidegate_controller.cli.client import Client
from tidegate_controller.core.spec import Spec, Waves
from tidegate_controller.documents import RolloutView

NODES = 4
SECONDS_MAX = 60.0  # of a wait; only ever reached where a test fails
BAD = {"turns_unhealthy_after_requests": 10}
SERVER_GROUPS = {"blue": {"group": "odd"}, "green": {"group": "even"}}
STRATEGIES: dict[str, dict[str, object]] = {
    "canary": {"strategy": "canary", "waves": Waves(sizes=("1", "50%", "100%"))},
    "groups": {"slots": SERVER_GROUPS},
    "rolling": {
        "strategy": "rolling",
        "waves": Waves(max_parallel="2", min_in_service="50%", rehearse=True),
    },
}


@pytest.fixture(params=STRATEGIES)
def strategy(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def stage(tmp_path: Path, strategy: str) -> Iterator[Stage]:
    def chosen(spec: Spec) -> Spec:
        return msgspec.structs.replace(spec, **STRATEGIES[strategy])

    with Stage(tmp_path, soak="1s", nodes=NODES, chosen=chosen).running() as stage:
        yield stage


def wave_begins(number: int, step_id: str = "") -> Callable[[Client, str], None]:
    """Waits until a step of this wave has begun, or this one."""

    def waiting(client: Client, rollout: str) -> None:
        give_up = time.monotonic() + SECONDS_MAX
        while True:
            view = client.rollout(rollout)
            steps = [s for s in view.steps if s.wave == number and s.id.startswith(step_id)]
            if any(step.state != "pending" for step in steps):
                return
            assert time.monotonic() < give_up, view
            time.sleep(0.02)

    return waiting


def waves(rollout: RolloutView) -> list[int]:
    return sorted({step.wave for step in rollout.steps if step.wave})


def test_forth_undone_and_back_under_load_lose_no_request(stage: Stage, strategy: str) -> None:
    second = stage.deploy("second")
    assert second.state == "succeeded", second.reason
    assert waves(second) == {"canary": [1, 2, 3], "groups": [], "rolling": [1, 2]}[strategy]
    stage.assert_agreement("second")

    bad = stage.deploy("bad", **BAD)
    assert bad.state == "rolled_back", bad.reason
    stage.assert_agreement("second")

    third = stage.deploy("third")
    assert third.state == "succeeded", third.reason
    back = stage.rollback()
    assert back.state == "succeeded", back.reason
    assert waves(back) == ([1, 2] if strategy == "rolling" else [])
    stage.assert_agreement("second")
    assert stage.load.count().failed == 0, stage.load.load.failures
    assert stage.load.count().served > 100


@pytest.mark.parametrize("strategy", ["canary", "rolling"])
def test_an_app_that_dies_in_the_second_wave_has_all_undone(stage: Stage, strategy: str) -> None:
    def kill(client: Client, rollout: str) -> None:
        """The new release on the first node, which takes traffic already."""
        wave_begins(2)(client, rollout)
        active = next(node for node in stage.status().nodes if node.node == "web-1")
        apps = map(psutil.Process, running_beneath(stage.fleet.folder / "nodes" / "web-1"))
        (app,) = (app for app in apps if app.environ()["SLOT"] == active.active_slot)
        app.kill()

    rollout = stage.deploy("second", kill)
    assert rollout.state == "rolled_back", rollout
    assert "web-1" in rollout.reason
    stage.assert_agreement("first")
    third = stage.deploy("third")
    assert third.state == "succeeded", third.reason
    stage.assert_agreement("third")
