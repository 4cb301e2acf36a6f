"""A controller ends and another begins on its log: it waits for its agents and goes on."""

import asyncio

import pytest
from without_doors import SILENT, Desk

from tidegate_controller import views
from tidegate_controller.core import events as ev
from tidegate_controller.errors import Refused


async def new_life(desk: Desk) -> None:
    """The controller ends and starts anew; its agents have not found it yet."""
    await desk.stop()
    await desk.start()


async def serving_two_releases(desk: Desk, *nodes: str) -> None:
    for node in nodes:
        await desk.node(node)
    await desk.deployed("1", nodes=nodes)
    await desk.deployed("2", nodes=nodes)


async def test_what_was_pending_is_sent_again_with_the_same_id_and_fence(desk: Desk) -> None:
    node = await desk.node("a")
    node.outcomes["start_slot"] = SILENT
    await desk.deploy("1")
    await desk.until(lambda: "start_slot" in node.works())
    first = node.last("start_slot")
    await new_life(desk)
    node.sent.clear()
    del node.outcomes["start_slot"]
    await node.join()
    await desk.until(desk.endings)
    assert desk.endings() == ["succeeded"]
    again = node.sent[0]
    assert (again.id, again.fence, again.attempt) == (first.id, first.fence, first.attempt)
    assert desk.engine.epoch == 2
    assert [c.fence.epoch for c in node.sent[1:]] == [2] * len(node.sent[1:])


async def test_a_move_of_traffic_that_was_cut_short_is_done_again(desk: Desk) -> None:
    node = await desk.node("a")
    node.answers_probes.clear()
    await desk.deploy("1")
    await desk.until(lambda: desk.state().weights is None)  # the move is under way
    await new_life(desk)
    assert desk.lead_to() == set()
    node.answers_probes.set()
    await desk.until(lambda: desk.state().weights)  # it takes no agent to go on
    assert desk.lead_to() == {node.address("shop@prod", "blue")}


async def test_each_life_has_an_epoch_of_its_own(desk: Desk) -> None:
    await desk.node("a")
    await desk.deployed("1")
    for _ in range(2):
        await new_life(desk)
    assert desk.engine.epoch == 3
    events = [record.event for record in desk.records("controller")]
    assert events == [ev.EpochBegan(epoch=n, log_id=desk.log.log_id) for n in (1, 2, 3)]


async def test_when_a_node_was_last_seen_is_not_taken_from_when_it_first_came(desk: Desk) -> None:
    """Heartbeats are not in the log, so after a start nobody knows."""
    node = await desk.node("a")
    assert node.session is not None
    node.session.last_seen = "2026-11-24T09:14:02Z"
    await node.leave()
    assert [view.last_seen for view in views.nodes(desk.engine).nodes] == ["2026-11-24T09:14:02Z"]
    await desk.stop()
    await desk.start()
    (view,) = views.nodes(desk.engine).nodes
    assert (view.connected, view.last_seen) == (False, None)


async def test_rollouts_are_numbered_on_from_those_in_the_log(desk: Desk) -> None:
    node = await desk.node("a")
    first = await desk.deployed("1")
    await new_life(desk)
    await node.join()
    second = await desk.deployed("2")
    assert (first.rollout, second.rollout) == ("r1", "r2")
    assert desk.engine.place_of("r1").version < desk.engine.place_of("r2").version


async def test_a_rollback_right_after_a_start_waits_for_its_nodes(desk: Desk) -> None:
    await serving_two_releases(desk, "a", "b")
    await new_life(desk)
    asked = asyncio.create_task(desk.ended(desk.rollback()))
    await desk.agents["a"].join()
    await asyncio.sleep(0)
    assert not asked.done()
    await desk.agents["b"].join()
    await asked
    assert desk.endings()[-1] == "succeeded"
    assert desk.lead_to() == {desk.agents[n].address("shop@prod", "blue") for n in "ab"}


async def test_a_deployment_right_after_a_start_waits_for_its_nodes(desk: Desk) -> None:
    for name in "ab":
        await desk.node(name, role="web")
    await new_life(desk)
    asked = asyncio.create_task(desk.deployed("1", nodes={"role": "web"}))
    await desk.agents["a"].join()
    await asyncio.sleep(0)
    assert not asked.done()
    await desk.agents["b"].join()
    await asked
    assert desk.endings() == ["succeeded"]


async def test_agents_that_were_never_here_have_a_moment_to_come(desk: Desk) -> None:
    asked = asyncio.create_task(desk.deployed("1", nodes={"role": "web"}))
    await asyncio.sleep(0)
    assert not asked.done()
    await desk.node("a", role="web")
    await asked
    assert desk.endings() == ["succeeded"]


async def test_a_rollback_is_refused_while_a_node_that_serves_is_away(desk: Desk) -> None:
    await serving_two_releases(desk, "a", "b")
    await new_life(desk)
    await desk.agents["a"].join()
    desk.long_up()
    before = desk.kinds()
    with pytest.raises(Refused, match="b is not connected and would lose its traffic"):
        await desk.rollback()
    assert desk.kinds() == before


async def test_a_rollback_goes_on_without_the_absent_if_told_to(desk: Desk) -> None:
    await serving_two_releases(desk, "a", "b")
    await desk.agents["b"].leave()
    desk.long_up()
    await desk.ended(desk.rollback(without_absent=True))
    assert desk.endings()[-1] == "succeeded"
    assert desk.lead_to() == {desk.agents["a"].address("shop@prod", "blue")}
    assert list(desk.state().debts) == ["b"]
