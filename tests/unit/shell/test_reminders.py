"""Who waits for a person is said again from time to time."""

import asyncio

import pytest
from without_doors import SILENT, Desk

from tidegate_controller.reminders import remind, reminder


async def test_a_paused_rollout_is_recalled_with_its_holder_and_since_when(desk: Desk) -> None:
    node = await desk.node("a")
    node.outcomes["start_slot"] = SILENT
    rollout = (await desk.deploy("1")).rollout
    assert reminder(desk.stream(), 0.0) == ""
    await desk.asked("pause", rollout, reason="odd")
    now = desk.state().rollout.paused.since + 300.0
    assert reminder(desk.stream(), now) == (
        f"{rollout} of shop@prod has waited for a person for 5 min: ada, who paused it: odd; "
        f"tidegate rollout show {rollout}"
    )


async def test_it_is_said_again_and_again(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    node = await desk.node("a")
    node.outcomes["start_slot"] = SILENT
    rollout = (await desk.deploy("1")).rollout
    await desk.asked("pause", rollout)
    task = asyncio.create_task(remind(desk.engine.streams, lambda: 0.0, every=0.001))
    await desk.until(lambda: caplog.text.count("has waited for a person") > 1)
    task.cancel()
