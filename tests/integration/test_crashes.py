"""`kill -9` after every event of a rollout and after every journal entry of an agent: each rollout
goes on by itself after the restart, ends, and leaves log, machines and balancer in agreement.

Blue-green is killed at every point here. Of the other strategies every kind of point is tried once;
`make torture` (torture.py) tries all of their points.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from crashes import (
    BLUE_GREEN,
    SCENES,
    Scene,
    kill_agent_after_every_entry,
    kill_at_each,
    kill_controller_after_every_event,
    kinds_of_points,
)
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


@pytest.mark.parametrize("scene", BLUE_GREEN.values(), ids=BLUE_GREEN)
def test_a_controller_killed_after_any_event_goes_on_and_ends(stage: Stage, scene: Scene) -> None:
    assert kill_controller_after_every_event(stage, scene) >= 8
    assert stage.load.count().failed == 0, stage.load.load.failures


@pytest.mark.parametrize("scene", BLUE_GREEN.values(), ids=BLUE_GREEN)
def test_an_agent_killed_after_any_journal_entry_goes_on_and_ends(
    stage: Stage, scene: Scene
) -> None:
    assert kill_agent_after_every_entry(stage, scene, "web-1") >= 8
    assert stage.load.count().failed == 0, stage.load.load.failures


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_each_strategy_survives_a_kill_at_every_kind_of_point(stage: Stage, scene: Scene) -> None:
    """Events that are of no rollout (a node left, a place was found otherwise) are no points."""
    scene.play(stage)
    kinds = kinds_of_points(stage, scene)
    missing = scene.steps - {kind.rpartition(" ")[2] for kind in kinds["controller"]}
    assert not missing, kinds

    events = kill_at_each(stage, scene, "controller", kinds["controller"])
    entries = kill_at_each(stage, scene, "agent", kinds["agent"])

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
