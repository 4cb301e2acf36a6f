"""A node that will not come back is removed, and nothing waits for it any more."""

import asyncio

import pytest
from without_doors import SILENT, Desk

from tidegate_controller import views
from tidegate_controller.cli.nodes import traffic_to
from tidegate_controller.errors import Refused, UsageError
from tidegate_protos.v1 import operator_pb2 as op


async def remove(desk: Desk, node: str) -> str:
    return await desk.requests.remove_node(op.RemoveNodeRequest(node=node, requested_by="ada"))


async def away(desk: Desk, node: str) -> None:
    await desk.agents[node].leave()
    desk.long_up()


async def test_a_node_that_is_connected_cannot_be_removed(desk: Desk) -> None:
    await desk.node("a")
    with pytest.raises(Refused, match="a is connected"):
        await remove(desk, "a")
    assert "a" in desk.engine.fleet.registered


async def test_nor_one_that_never_was_there(desk: Desk) -> None:
    with pytest.raises(UsageError, match="there is no node 'zebra'"):
        await remove(desk, "zebra")


async def test_nor_one_that_a_rollout_is_about(desk: Desk) -> None:
    node = await desk.node("a")
    node.outcomes["inspect"] = SILENT
    await desk.deploy("1")
    await node.leave()
    with pytest.raises(Refused, match="rollout r1 of shop@prod is about a right now"):
        await remove(desk, "a")
    assert "a" in desk.engine.fleet.registered


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_deployment_by_labels_does_not_want_a_node_that_was_removed(
    desk: Desk, restarted: bool
) -> None:
    nodes = {"role": "web"}
    for name in "ab":
        await desk.node(name, role="web")
    await desk.deployed("1", nodes=nodes)
    await away(desk, "b")
    with pytest.raises(Refused, match="b is not connected"):
        await desk.deploy("2", nodes=nodes)
    assert "b is forgotten" in await remove(desk, "b")
    if restarted:
        await desk.stop()
        await desk.start()
        await desk.agents["a"].join()
    await desk.deployed("2", nodes=nodes)
    assert desk.endings() == ["succeeded", "succeeded"]
    assert desk.lead_to() == {desk.agents["a"].address("shop@prod", "green")}
    assert [node.node for node in views.nodes(desk.engine).nodes] == ["a"]
    assert dict(desk.state().debts) == {}


async def test_a_rollback_does_not_ask_for_a_node_that_was_removed(desk: Desk) -> None:
    for name in "ab":
        await desk.node(name)
    for version in "12":
        await desk.deployed(version, nodes=("a", "b"))
    await away(desk, "b")
    await remove(desk, "b")
    await desk.ended(desk.rollback())
    assert desk.endings()[-1] == "succeeded"
    assert desk.lead_to() == {desk.agents["a"].address("shop@prod", "blue")}
    assert dict(desk.state().debts) == {}


async def test_traffic_that_still_leads_to_a_node_that_was_removed_is_said(desk: Desk) -> None:
    await desk.node("a")
    await desk.deployed("1")
    await away(desk, "a")
    (line,) = traffic_to("a", views.status(desk.engine, "").apps)
    assert line == "traffic of shop in prod leads to a, and to no other node"
    await remove(desk, "a")
    (app,) = views.status(desk.engine, "").apps
    assert [(node.node, node.active_slot, node.debt) for node in app.nodes] == [
        ("a", "blue", "was removed; the next deployment takes its traffic away")
    ]


async def test_of_a_node_with_traffic_it_is_said_who_serves_beside_it(desk: Desk) -> None:
    for name in "ab":
        await desk.node(name)
    await desk.deployed("1", nodes=("a", "b"))
    assert traffic_to("b", views.status(desk.engine, "").apps) == []  # it cannot be removed
    await away(desk, "b")
    (line,) = traffic_to("b", views.status(desk.engine, "").apps)
    assert line == "traffic of shop in prod leads to b, and to a too"


async def test_a_node_that_comes_while_it_is_removed_comes_once_more(desk: Desk) -> None:
    node = await desk.node("a")
    await node.leave()
    async with desk.engine._own_lock:  # the log is busy
        removing = asyncio.create_task(remove(desk, "a"))
        await asyncio.sleep(0)
        await node.join()
    await removing
    assert node.session is not None
    assert node.session.ended
    await node.leave()
    await node.join()
    assert "a" in desk.engine.fleet.registered


async def test_it_is_not_removed_under_a_rollout_that_begins_meanwhile(desk: Desk) -> None:
    """Found by the simulation: a node came back, and was deployed to, while it was forgotten."""
    node = await desk.node("a")
    node.outcomes["inspect"] = SILENT
    await node.leave()
    async with desk.engine.admission:  # as whoever deploys has it
        removing = asyncio.create_task(remove(desk, "a"))
        await asyncio.sleep(0)
        await node.join()
        stream, deploy = await desk.requests._deploy_input(desk.request("1", desk.spec()))
        await desk.engine.submit(stream, deploy)
    with pytest.raises(Refused, match="is about a right now"):
        await removing
    assert "a" in desk.engine.fleet.registered


async def test_a_removed_node_that_comes_back_is_a_new_one(desk: Desk) -> None:
    node = await desk.node("a")
    await node.leave()
    await remove(desk, "a")
    await node.join()
    assert desk.kinds("fleet") == ["NodeRegistered", "NodeRemoved", "NodeRegistered"]


async def test_a_removal_that_was_cut_short_can_be_asked_for_again(desk: Desk) -> None:
    for name in "ab":
        await desk.node(name)
    await desk.deployed("1", nodes=("a", "b"))
    await away(desk, "b")
    await desk.engine._own_lock.acquire()  # the log is busy until the controller ends
    removing = asyncio.create_task(remove(desk, "b"))
    await desk.until(lambda: "NodeForgotten" in desk.kinds())
    removing.cancel()
    await desk.stop()
    await desk.start()
    assert "b" in desk.engine.fleet.registered
    await remove(desk, "b")
    assert "b" not in desk.engine.fleet.registered
    assert {place.node for place in desk.state().places} == {"a"}
