"""`kill -9` after every kind of event of a rollout and of journal entry of an agent: each rollout
goes on by itself after the restart, ends, and leaves log, machines and balancer in agreement.

Some are killed in each rollout here; in `make torture` (torture.py) one, in each wave.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from crash_points import AGENT, CONTROLLER, SIDES
from crashes import SCENES, Scene, kill_at_each, kinds, points, step_of, without_waves
from stage import POLL_SECONDS, Stage
from test_strategies import wave_begins

from tidegate_controller.cli import client
from tidegate_controller.cli.client import Client

FORWARD = {"Started", "StepEntered", "StepEnded", "ActionIssued", "ActionEnded", "Committed"}
UNDO = {"Replanned", "StepEntered", "StepEnded", "ActionIssued", "ActionEnded"}
ENTRIES = {"accept", "finish", "forget", "starting", "wanted", "ending"}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever follows a rollout comes back at once."""
    monkeypatch.setattr(client, "RETRY_SECONDS", 0.1)


@pytest.fixture
def stage(tmp_path: Path, scene: Scene) -> Iterator[Stage]:
    with scene.stage(tmp_path).running() as stage:
        yield stage


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_each_strategy_survives_a_kill_at_every_kind_of_point(stage: Stage, scene: Scene) -> None:
    """Events that are of no rollout (a node left, a place was found otherwise) are no points."""
    scene.play(stage)
    found = points(stage, scene)
    of_controller, of_agents = (without_waves(kinds(scene, found, side)) for side in SIDES)
    missing = scene.steps - {step_of(kind) for kind in of_controller}
    assert not missing, found

    events = kill_at_each(stage, scene, CONTROLLER, of_controller)
    entries = kill_at_each(stage, scene, AGENT, of_agents)

    undone = scene.phase.endswith("undo")
    assert (UNDO if undone else FORWARD) | {"Ended"} <= events
    assert ENTRIES - ({"starting", "wanted"} if undone else set()) <= entries
    assert stage.load.count().failed == 0, stage.load.load.failures


@pytest.mark.parametrize("scene", [SCENES["canary"], SCENES["rolling"]], ids=["canary", "rolling"])
def test_apps_serve_on_while_all_else_is_dead_in_the_middle_of_a_wave(
    stage: Stage, scene: Scene
) -> None:
    """For fifty requests neither controller nor agents are there; then the rollout goes on."""
    survived = []

    def kill_all(client: Client, rollout: str) -> None:
        wave_begins(2, "start")(client, rollout)
        with stage.down("controller", *stage.fleet.nodes):
            before, served = stage.kept_running(), stage.load.count().served
            while stage.load.count().served < served + 50:
                time.sleep(POLL_SECONDS)
            survived.append((before, stage.kept_running()))

    rollout = stage.deploy("second", kill_all)
    assert rollout.state == "succeeded", rollout
    stage.assert_agreement("second")
    ((before, after),) = survived
    assert len(before) >= 2
    assert all(len(pids) == 1 for pids in before.values()), before
    assert after == before
    assert stage.load.count().failed == 0, stage.load.load.failures
