"""The link `current`, which people and scripts on the node follow, after somebody or a crash broke
it."""

import logging
import os
import shutil

import pytest
from one_node import OneNode, service, start_slot

from tidegate_protos.v1 import agent_pb2 as pb


async def serving(node: OneNode) -> None:
    """Blue runs and is named by `current`."""
    started = await node.do(start_slot=start_slot(node.release(), service=service()))
    assert started.outcome == pb.OUTCOME_OK, started
    assert (await node.do(switch_slot=pb.SwitchSlot(slot="blue"))).outcome == pb.OUTCOME_OK


async def test_a_link_that_leads_nowhere_names_the_slot_that_runs_again(
    node: OneNode, caplog: pytest.LogCaptureFixture
) -> None:
    await serving(node)
    pid = node.pid()
    link = node.home / "current"
    link.unlink()
    link.symlink_to("slots/gone")
    with caplog.at_level(logging.WARNING):
        await node.start_anew()
    assert os.readlink(link) == "slots/blue"
    assert "current" in caplog.text
    assert "slots/gone" in caplog.text
    assert node.pid() == pid


async def test_a_slot_whose_release_is_gone_is_said_and_what_runs_goes_on(
    node: OneNode, caplog: pytest.LogCaptureFixture
) -> None:
    """The link leads to the slot, and the slot nowhere: nothing to name instead, so it is said."""
    await serving(node)
    pid = node.pid()
    shutil.rmtree(node.home / "slots" / "blue")
    with caplog.at_level(logging.WARNING):
        await node.start_anew()
    assert "current" in caplog.text
    assert node.pid() == pid


async def test_a_link_that_leads_nowhere_is_mended_by_the_next_switch_and_that_is_said(
    node: OneNode, caplog: pytest.LogCaptureFixture
) -> None:
    await serving(node)
    link = node.home / "current"
    link.unlink()
    link.symlink_to("slots/gone")
    with caplog.at_level(logging.WARNING):
        assert (await node.do(switch_slot=pb.SwitchSlot(slot="blue"))).outcome == pb.OUTCOME_OK
    assert os.readlink(link) == "slots/blue"
    assert "slots/gone" in caplog.text


async def test_where_both_slots_run_nobody_guesses_which_one_a_lost_link_has_named(
    node: OneNode, caplog: pytest.LogCaptureFixture
) -> None:
    await serving(node)
    green = start_slot(node.release("2"), "green", service=service())
    assert (await node.do(start_slot=green)).outcome == pb.OUTCOME_OK
    link = node.home / "current"
    link.unlink()
    link.symlink_to("slots/gone")
    with caplog.at_level(logging.WARNING):
        await node.start_anew()
    assert os.readlink(link) == "slots/gone"
    assert "the next switch mends it" in caplog.text
