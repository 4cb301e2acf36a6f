"""`kill -9` after every event of a rollout and after every journal entry of an agent: each rollout
goes on by itself after the restart, ends, and leaves log, machines and balancer in agreement."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from stage import Stage

from tidegate_controller.cli import client

BAD = {"turns_unhealthy_after_requests": 10}


@pytest.fixture(params=[False, True], ids=["forward", "undo"])
def bad(request: pytest.FixtureRequest) -> bool:
    """Whether the release turns unhealthy under traffic."""
    return bool(request.param)


@pytest.fixture
def stage(tmp_path: Path, bad: bool, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A bad release must have the time to turn out bad; a good one need not wait for it."""
    monkeypatch.setattr(client, "RETRY_SECONDS", 0.1)
    with Stage(tmp_path, soak="1s" if bad else "100ms").running() as stage:
        yield stage


def kill_controller_after_every_event(stage: Stage, *, bad: bool) -> int:
    """One rollout for each point at which the log grows; how many points there were."""
    active, points, offset = "first", 0, 1
    while True:
        start = stage.last_seq()
        kill_at = stage.fleet.folder / "kill-at"
        kill_at.write_text(str(start + offset))
        version = f"v{points}"
        rollout = stage.deploy(version, **(BAD if bad else {}))
        assert rollout.state == ("rolled_back" if bad else "succeeded"), rollout
        active = active if bad else version
        stage.assert_agreement(active)
        if kill_at.exists():
            kill_at.unlink()
            return points
        points += 1
        offset = int((stage.fleet.folder / "killed-at").read_text()) - start + 1


def kill_agent_after_every_entry(stage: Stage, *, bad: bool) -> int:
    """One rollout for each entry of one agent's journal; how many entries there were."""
    active, entry = "first", 1
    kill = stage.fleet.folder / "kill-web-1"
    while True:
        kill.write_text(str(entry))
        version = f"v{entry}"
        rollout = stage.deploy(version, **(BAD if bad else {}))
        assert rollout.state == ("rolled_back" if bad else "succeeded"), rollout
        active = active if bad else version
        stage.assert_agreement(active)
        if kill.exists():
            kill.unlink()
            return entry - 1
        entry += 1


def test_a_controller_killed_after_any_event_goes_on_and_ends(stage: Stage, bad: bool) -> None:
    points = kill_controller_after_every_event(stage, bad=bad)
    assert points >= 8
    assert stage.load.count().failed == 0, stage.load.load.failures


def test_an_agent_killed_after_any_journal_entry_goes_on_and_ends(stage: Stage, bad: bool) -> None:
    entries = kill_agent_after_every_entry(stage, bad=bad)
    assert entries >= 8
    assert stage.load.count().failed == 0, stage.load.load.failures
