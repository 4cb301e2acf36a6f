"""Monday's backup and Tuesday's fleet, with real processes: nothing is undone by itself."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running_apps import running_beneath
from test_daemons import House

from tidegate_controller.cli.client import Client
from tidegate_controller.demo.local_fleet import NO_FILES


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path / "house")
    yield house
    house.stop()


def typed(house: House, *words: str) -> "subprocess.CompletedProcess[str]":
    """`tidegate WORDS --json`."""
    command = [sys.executable, "-m", "tidegate_controller", *words, "--json"]
    environment = {**os.environ, "TIDEGATE_CONTROLLER": house.address}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def told(house: House, *words: str) -> Any:
    """What a command that succeeds prints."""
    done = typed(house, *words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def on_the_folder(house: House, *words: str) -> Any:
    return told(house, *words, *NO_FILES, "--data", str(house.folder / "controller"))


def serving(house: House) -> tuple[str, str]:
    """What the controller believes, and what really answers."""
    (app,) = told(house, "status", "hello")["apps"]
    return app["version"], house.answers()


def with_monday_and_tuesday(house: House, *backup: str) -> tuple[Path, dict[str, Any]]:
    """Version 1 is in Monday's backup, version 2 came on Tuesday, and then the disk is lost."""
    house.start_controller()
    house.start_agent("web-1")
    house.wait_connected()
    assert house.deploy("1").state == "succeeded"
    file = house.folder / "monday.backup"
    kept = on_the_folder(house, "controller", "backup", str(file), *backup)
    for _ in range(2):  # so that Tuesday's epochs are above those that the backup knows
        house.kill("controller")
        house.start_controller()
        house.wait_connected()
    assert house.deploy("2").state == "succeeded"
    with Client(house.address) as client:
        house.wait_until(lambda: not client.status("hello").apps[0].unfinished, "the chores")
    house.kill("controller")
    return file, kept


def restored(house: House, file: Path) -> dict[str, Any]:
    done = on_the_folder(house, "controller", "restore", str(file), "--replace")
    house.start_controller()
    house.wait_connected()
    return dict(done)


def test_a_fleet_newer_than_the_backup_is_adopted_and_deployments_go_on(house: House) -> None:
    file, kept = with_monday_and_tuesday(house)
    before, answered = running_beneath(house.folder / "nodes" / "web-1"), house.folder / "traffic"
    lanes = {lane.name: lane.read_text() for lane in answered.glob("lane-*")}
    done = restored(house, file)
    assert done["former_log"] == kept["log_id"]
    assert done["head"] == kept["head"]
    anew = "the controller has another event log than before"
    house.wait_until(lambda: anew in house.said("web-1"), "what the agent says of the new log")
    assert house.said("web-1").count(anew) == 1

    view = told(house, "controller", "reconcile")
    (app,) = view["undecided"]
    assert (app["app"], app["version"]) == ("hello", "1")
    differs = {"node": "web-1", "log": "1 in blue", "now": "2 in green", "traffic": True}
    assert app["differences"] == [differs]
    refused = typed(house, "rollback", "hello", "--yes")
    assert refused.returncode == 4
    assert "tidegate controller reconcile hello -e test --adopt" in refused.stderr
    assert running_beneath(house.folder / "nodes" / "web-1") == before
    assert {lane.name: lane.read_text() for lane in answered.glob("lane-*")} == lanes

    adopted = told(house, "controller", "reconcile", "hello", "--adopt")
    assert adopted["reason"] == (
        "hello@test: what runs is what counts: version 2, with traffic to 1 node"
    )
    version, answer = serving(house)
    assert version == "2"
    assert answer.startswith("hello from 2 on web-1 (green)")
    assert running_beneath(house.folder / "nodes" / "web-1") == before
    assert house.deploy("3").state == "succeeded"
    assert house.answers().startswith("hello from 3 on web-1 (blue)")
    assert told(house, "rollback", "hello", "--yes")["state"] == "succeeded"
    assert house.answers().startswith("hello from 2 on web-1 (green)")

    on_the_folder(house, "log", "verify", "--head", kept["head"], "--seq", str(kept["seq"]))
    for rollout in told(house, "rollout", "list")["rollouts"]:
        assert told(house, "rollout", "replay", rollout["rollout"])["different"] == 0


def test_converged_the_fleet_is_brought_back_to_what_the_backup_has(house: House) -> None:
    """On another machine's disk: the artifact of version 1 comes with the backup."""
    file, _ = with_monday_and_tuesday(house, "--artifacts")
    (house.folder / "controller").rename(house.folder / "lost")
    done = restored(house, file)
    assert done["artifacts"] == 1
    rollout = told(house, "controller", "reconcile", "hello", "--converge")
    assert (rollout["state"], rollout["release"]["version"]) == ("succeeded", "1")
    version, answer = serving(house)
    assert version == "1"
    assert answer.startswith("hello from 1 on web-1")
    assert house.deploy("3").state == "succeeded"
