"""Apps share nodes, agents and a log, and nothing else."""

import asyncio

from without_doors import SILENT, Desk

from tidegate_protos.v1 import agent_pb2 as pb


async def test_two_apps_deployed_at_once_on_one_node_are_both_served(desk: Desk) -> None:
    node = await desk.node("a")
    await asyncio.gather(desk.deployed("1", app="shop"), desk.deployed("1", app="blog"))
    assert desk.endings("shop@prod") == desk.endings("blog@prod") == ["succeeded"]
    ids = [command.id for command in node.sent]
    assert len(ids) == len(set(ids))
    assert desk.lead_to("shop") == {node.address("shop@prod", "blue")}
    assert desk.lead_to("blog") == {node.address("blog@prod", "blue")}


async def test_actions_of_two_apps_at_the_same_version_have_ids_of_their_own(desk: Desk) -> None:
    node = await desk.node("a")
    node.outcomes["inspect"] = SILENT
    await asyncio.gather(desk.deploy("1", app="shop"), desk.deploy("1", app="blog"))
    await desk.until(lambda: len(node.sent) == 2)
    shop, blog = sorted(node.sent, key=lambda command: command.app, reverse=True)
    assert shop.fence == blog.fence
    assert shop.id != blog.id


async def test_a_result_ends_the_action_of_its_own_app_alone(desk: Desk) -> None:
    node = await desk.node("a")
    node.outcomes |= {"inspect shop": SILENT, "inspect blog": SILENT}
    await asyncio.gather(desk.deploy("1", app="shop"), desk.deploy("1", app="blog"))
    await desk.until(lambda: len(node.sent) == 2)
    shop, blog = sorted(node.sent, key=lambda command: command.app, reverse=True)
    await node.answer(blog, pb.OUTCOME_FAILED)
    await desk.until(lambda: desk.endings("blog@prod"))
    assert desk.endings("blog@prod") == ["failed"]
    await node.answer(shop)
    await desk.until(lambda: desk.endings("shop@prod"))
    assert desk.endings("shop@prod") == ["succeeded"]


async def test_an_app_that_is_undone_leaves_the_balancer_work_of_another_alone(
    desk: Desk,
) -> None:
    """Both look at their balancers at the same place of their streams; one gives up at once."""
    node = await desk.node("a")
    node.outcomes["inspect blog"] = pb.OUTCOME_FAILED
    await asyncio.gather(desk.deployed("1", app="shop"), desk.deployed("1", app="blog"))
    assert desk.endings("blog@prod") == ["failed"]
    assert desk.endings("shop@prod") == ["succeeded"]
    assert desk.lead_to("shop") == {node.address("shop@prod", "blue")}
    assert desk.lead_to("blog") == set()
