"""Agents come, go and speak: who is let in, whose word counts, who is forgotten."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from without_doors import SILENT, Agent, Desk

from tidegate_controller import views
from tidegate_controller.agent_service import AgentService
from tidegate_controller.core import types as t
from tidegate_controller.core.inputs import Result
from tidegate_controller.errors import Refused, UsageError
from tidegate_controller.fleet import QUEUE_MAX
from tidegate_protos.v1 import agent_pb2 as pb
from tidegate_protos.v1 import operator_pb2 as op


class TurnedAway(Exception):
    """What the agent's call ends with."""


class Call:
    """The context of an agent's call."""

    async def abort(self, code: object, details: str) -> None:
        raise TurnedAway(details)


async def connect(desk: Desk, hello: pb.Hello) -> pb.Instruction:
    """The first answer to a Hello over the service itself. Raises `TurnedAway`."""

    async def reports() -> AsyncIterator[pb.Report]:
        yield pb.Report(hello=hello)
        await asyncio.Event().wait()

    service: Any = AgentService(desk.engine, desk.nodes)
    answers = service.Connect(reports(), Call())
    try:
        return await anext(answers)
    finally:
        await answers.aclose()


async def opened(desk: Desk, works: int) -> Agent:
    """An agent with that many commands that it does not answer, of shop and of blog."""
    node = await desk.node("a")
    node.outcomes["inspect"] = SILENT
    for app in ("shop", "blog")[:works]:
        await desk.deploy("1", app=app)
    await desk.until(lambda: len(node.sent) == works)
    return node


# --- Who is let in -------------------------------------------------------------------------------


async def test_a_hello_is_welcomed_with_the_epoch_and_the_log(desk: Desk) -> None:
    welcome = (await connect(desk, Agent(desk, "a", {"role": "web"}).hello())).welcome
    assert (welcome.epoch, welcome.log_id) == (1, desk.log.log_id)
    assert desk.kinds("fleet") == ["NodeRegistered"]
    assert desk.engine.fleet.connected() == ()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"node": "controller"}, "no node can be called 'controller'"),
        ({"node": "../a"}, "is not of the form"),
        ({"node": ""}, "is not of the form"),
        ({"log_id": "another"}, "has obeyed another controller, of log another; this is"),
        ({"highest_epoch": 2}, "has obeyed this controller at epoch 2, and now it is at 1"),
        ({"journal_id": ""}, "carries no journal id"),
        ({"journal_id": "j" * 65}, "carries no journal id"),
        ({"address": "http://a"}, "is not a host name or an IP address"),
        ({"labels": {"role": "a b"}}, "is not of the form"),
        ({"labels": {f"label-{n}": "x" for n in range(1000)}}, "more than 100 labels"),
        ({"agent_version": "9" * 1000}, "the agent's version"),
        ({"slots": [pb.SlotState(app="shop", environment="prod", slot="../x")]}, "a slot with"),
        ({"slots": [pb.SlotState(app="a", environment="b", slot="c")] * 1001}, "more than 1000"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_hello_that_is_not_accepted_says_why_and_records_nothing(
    desk: Desk, changes: dict[str, Any], reason: str
) -> None:
    hello = Agent(desk, "a", {}).hello(**changes)
    with pytest.raises(TurnedAway, match=reason):
        await connect(desk, hello)
    assert desk.kinds("fleet") == []
    assert [reason in said.why for said in desk.engine.fleet.refused.values()] == [True]


async def test_a_hello_of_this_log_at_this_epoch_is_accepted(desk: Desk) -> None:
    hello = Agent(desk, "a", {}).hello(log_id=desk.log.log_id, highest_epoch=1)
    assert (await connect(desk, hello)).WhichOneof("kind") == "welcome"


async def test_a_second_agent_of_the_same_name_is_refused_and_remembered(desk: Desk) -> None:
    first = await desk.node("a")
    with pytest.raises(TurnedAway, match="another agent is connected as a; give each"):
        await connect(desk, first.hello(journal_id="of-another-disk"))
    assert desk.engine.fleet.sessions["a"] is first.session
    assert [said.node for said in views.nodes(desk.engine).refused] == ["a"]
    assert "another agent is connected as a" in views.nodes(desk.engine).refused[0].why
    assert desk.kinds("fleet") == ["NodeRegistered"]


async def test_who_is_let_in_at_last_is_no_longer_among_those_turned_away(desk: Desk) -> None:
    agent = Agent(desk, "a", {})
    with pytest.raises(TurnedAway, match="epoch 7"):
        await connect(desk, agent.hello(highest_epoch=7))
    await agent.join()
    assert views.nodes(desk.engine).refused == []
    await agent.close()


async def test_a_node_is_recorded_again_only_when_something_about_it_is_new(desk: Desk) -> None:
    node = await desk.node("a", role="web")
    await node.leave()
    await node.join()
    assert desk.kinds("fleet") == ["NodeRegistered"]
    await node.leave()
    node.labels = {"role": "db"}
    await node.join()
    assert desk.kinds("fleet") == ["NodeRegistered"] * 2
    assert dict(desk.engine.fleet.registered["a"].labels) == {"role": "db"}


# --- Presence ------------------------------------------------------------------------------------


async def test_a_node_that_leaves_is_away_for_all_its_rollouts_until_it_is_back(
    desk: Desk,
) -> None:
    node = await opened(desk, works=2)
    await node.leave()
    assert [list(desk.state(f"{app}@prod").away) for app in ("shop", "blog")] == [["a"], ["a"]]
    await node.join()
    assert [list(desk.state(f"{app}@prod").away) for app in ("shop", "blog")] == [[], []]


async def test_a_node_that_is_back_at_once_is_away_for_none(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its leaving waits in one stream while the new Hello has been to the other already."""
    node = await opened(desk, works=2)
    orders = [["blog@prod", "shop@prod"], ["shop@prod", "blog@prod"]]
    monkeypatch.setattr(desk.nodes, "_streams_with", lambda _: orders.pop())
    async with desk.stream("shop@prod").lock:
        leaving = asyncio.create_task(node.leave())
        await desk.until(lambda: len(orders) == 1)
        joining = asyncio.create_task(node.join())
        await desk.until(lambda: not orders)
        await asyncio.sleep(0.05)
    await asyncio.gather(leaving, joining)
    assert desk.engine.fleet.connected() == ("a",)
    assert [dict(desk.state(f"{app}@prod").away) for app in ("shop", "blog")] == [{}, {}]


async def test_the_end_of_an_old_connection_means_nothing_once_there_is_a_new_one(
    desk: Desk,
) -> None:
    node = await opened(desk, works=1)
    old = node.session
    assert old is not None
    await node.cut()
    await node.join()
    assert old.ended
    await desk.nodes.left(old)
    assert desk.engine.fleet.connected() == ("a",)
    assert dict(desk.state().away) == {}


async def test_what_waits_for_a_node_is_sent_when_it_comes(desk: Desk) -> None:
    node = await opened(desk, works=1)
    await node.leave()
    (first,) = node.sent
    await node.join()
    await desk.until(lambda: len(node.sent) == 2)
    assert (node.sent[1].id, node.sent[1].fence) == (first.id, first.fence)


async def test_an_agent_that_takes_nothing_is_cut_off_and_gets_it_all_anew(desk: Desk) -> None:
    node = await opened(desk, works=1)
    await node.cut()
    session = node.session
    assert session is not None
    for _ in range(QUEUE_MAX + 1):
        session.send(pb.Instruction(acknowledge=pb.Acknowledge(command_id="x")))
    assert session.ended
    assert session.queue.qsize() == 1
    assert session.queue.get_nowait() is None
    await node.join()
    await desk.until(lambda: len(node.sent) == 2)
    assert node.sent[0].id == node.sent[1].id


async def test_a_slot_that_changes_by_itself_is_known_to_its_stream_and_to_the_session(
    desk: Desk,
) -> None:
    node = await desk.node("a")
    await desk.deployed("1")
    slot = node.slots["shop@prod", "blue"]
    slot.healthy, slot.detail = pb.TRI_NO, "answered 500"
    assert node.session is not None
    await desk.nodes.changed(node.session, slot)
    assert desk.state().places[t.Place("a/blue")].healthy is False
    (member,) = desk.engine.fleet.members(["a"], "shop@prod")
    assert member.slots["blue"].known.healthy is False


async def test_what_an_agent_says_of_apps_that_the_log_does_not_know_is_not_recorded(
    desk: Desk,
) -> None:
    node = await desk.node("a")
    assert node.session is not None
    for stream in range(2000):
        slot = pb.SlotState(app=f"app-{stream}", environment="prod", slot="blue")
        await desk.nodes.changed(node.session, slot)
    assert set(desk.engine.streams) == set()
    assert len(node.session.slots) <= 1000


# --- Whose word counts ---------------------------------------------------------------------------


async def test_a_result_of_another_nodes_action_is_ignored(desk: Desk) -> None:
    node = await opened(desk, works=1)
    await desk.node("b")
    await desk.nodes.finished("b", Result(action=node.sent[0].id, outcome="ok"))
    assert node.sent[0].id in desk.state().rollout.open


async def test_a_node_cannot_end_what_the_controller_does_itself(desk: Desk) -> None:
    node = await desk.node("a")
    node.answers_probes.clear()
    await desk.deploy("1")
    await desk.until(lambda: desk.state().weights is None)  # the move is under way
    (move,) = desk.state().rollout.open
    await desk.nodes.finished("a", Result(action=move, outcome="ok"))
    assert move in desk.state().rollout.open


@pytest.mark.parametrize("of", ["{log}-shop@prod-1-999", "{log}-other@prod-1-4", "x-shop@prod-1-4"])
async def test_results_of_actions_that_there_are_not_change_nothing(desk: Desk, of: str) -> None:
    await opened(desk, works=1)
    before = desk.log.last_seq
    await desk.nodes.finished("a", Result(action=of.format(log=desk.log.log_id), outcome="failed"))
    assert desk.log.last_seq == before
    assert set(desk.engine.streams) == {"shop@prod"}


async def test_a_result_counts_once(desk: Desk) -> None:
    node = await opened(desk, works=1)
    for _ in range(2):
        await node.answer(node.sent[0])
    await desk.until(lambda: "prepare_slot" in node.works())
    ended = [r.event.action for r in desk.records() if r.kind == "ActionEnded"]
    assert ended.count(node.sent[0].id) == 1


# --- Removal -------------------------------------------------------------------------------------


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
    node = await opened(desk, works=1)
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


async def test_a_removed_node_that_comes_back_is_a_new_one(desk: Desk) -> None:
    node = await desk.node("a")
    await node.leave()
    await remove(desk, "a")
    await node.join()
    assert desk.kinds("fleet") == ["NodeRegistered", "NodeRemoved", "NodeRegistered"]
