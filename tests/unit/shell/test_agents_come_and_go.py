"""Agents come, go and speak: what their streams make of it, and whose word counts."""

import asyncio

import msgspec
import pytest
from without_doors import PACE, SILENT, Agent, Desk

from tidegate_controller import views
from tidegate_controller.cli.status import health_words
from tidegate_controller.core import types as t
from tidegate_controller.core.inputs import Result
from tidegate_controller.fleet import QUEUE_MAX
from tidegate_controller.history import find_rollout
from tidegate_protos.v1 import agent_pb2 as pb

HASTE = msgspec.structs.replace(PACE, away_seconds=0.05)


async def opened(desk: Desk, works: int) -> Agent:
    """An agent with that many commands that it does not answer, of shop and of blog."""
    node = await desk.node("a")
    node.outcomes["inspect"] = SILENT
    for app in ("shop", "blog")[:works]:
        await desk.deploy("1", app=app)
    await desk.until(lambda: len(node.sent) == works)
    return node


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


async def test_an_agent_that_was_lost_in_a_migration_says_what_became_of_it_when_it_is_back(
    desk: Desk,
) -> None:
    node = await desk.node("a")
    node.outcomes["run_task"] = SILENT
    request = desk.request("1", msgspec.structs.replace(desk.spec(), pace=HASTE))
    reply = await desk.requests.deploy(request)
    await desk.until(lambda: "run_task" in node.works())
    await node.leave()
    await desk.until(lambda: desk.state().rollout.waiting is not None)
    del node.outcomes["run_task"]
    await node.join()
    await desk.until(desk.endings)
    assert desk.endings() == ["succeeded"]
    first, second = (each for each in node.sent if each.HasField("run_task"))
    assert (first.id, first.fence) == (second.id, second.fence)
    place = desk.engine.place_of(reply.rollout)
    view = find_rollout(desk.log.path, place.stream, place.version)
    assert (view.state, view.waiting_for, view.answers) == ("succeeded", None, [])


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


async def test_what_an_old_connection_still_says_of_a_slot_is_older_than_the_new_hello(
    desk: Desk,
) -> None:
    node = await desk.node("a")
    await desk.deployed("1")
    slot = node.slots["shop@prod", "blue"]
    was = pb.SlotState()
    was.CopyFrom(slot)
    old = node.session
    assert old is not None
    await node.cut()
    slot.healthy = pb.TRI_NO
    await node.join()
    await desk.nodes.changed(old, was)
    assert desk.state().places[t.Place("a/blue")].healthy is False


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


def how_it_is(desk: Desk) -> list[tuple[bool | None, bool | None, str]]:
    """The slots of a, as `status` and `node show` have them, which say the same."""
    (app,) = views.status(desk.engine, "").apps
    shown = [(s.running, s.healthy, health_words(s)) for s in app.nodes[0].slots.values()]
    slots = views.node_detail(desk.engine, "a", []).slots
    assert [(s.running, s.healthy, health_words(s)) for s in slots] == shown
    return shown


async def test_a_slot_of_a_node_that_is_away_is_not_said_to_be_well(desk: Desk) -> None:
    node = await desk.node("a")
    await desk.deployed("1")
    assert how_it_is(desk) == [(True, True, "healthy")]
    await node.leave()
    assert how_it_is(desk) == [(None, None, "unknown")]
    await desk.stop()
    await desk.start()
    assert how_it_is(desk) == [(None, None, "unknown")], "its agent has not said Hello yet"
    await node.join()
    assert how_it_is(desk) == [(True, True, "healthy")]


async def test_what_was_bad_when_its_node_went_away_is_still_said(desk: Desk) -> None:
    node = await desk.node("a")
    await desk.deployed("1")
    node.slots["shop@prod", "blue"].healthy = pb.TRI_NO
    await node.leave()
    await node.join()
    await node.leave()
    assert how_it_is(desk) == [(True, False, "unhealthy")]


async def test_a_slot_of_a_node_that_goes_during_a_rollout_is_not_said_to_run(desk: Desk) -> None:
    node = await desk.node("a")
    await desk.deployed("1")
    node.outcomes["prepare_slot"] = SILENT
    await desk.deploy("2")
    await desk.until(lambda: node.works().count("prepare_slot") == 2)
    await node.leave()
    assert how_it_is(desk)[0] == (None, None, "unknown")


async def test_a_node_that_is_away_owes_the_stop_of_what_it_had_begun(desk: Desk) -> None:
    """It was killed while it started the release, and the rollout was undone without it."""
    node = await desk.node("a")
    await desk.deployed("1")
    node.outcomes["start_slot"] = SILENT
    await desk.deploy("2")
    await desk.until(lambda: node.works().count("start_slot") == 2)
    await node.runs("shop@prod", "green", node.last("start_slot").start_slot.revision)
    await node.leave()
    action = next(iter(desk.state().rollout.open))
    await desk.engine.submit(
        "shop@prod", Result(action=action, outcome="failed", error="killed", known=None)
    )
    await desk.until(lambda: not desk.state().rollout)
    (app,) = views.status(desk.engine, "").apps
    assert app.nodes[0].debt == "green is to be stopped, once the agent is back"
    await node.join()
    await desk.until(lambda: not desk.state().chores)
    (app,) = views.status(desk.engine, "").apps
    assert app.nodes[0].debt is None
