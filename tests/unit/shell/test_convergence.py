"""The engine brings nodes to what they owe once they are here, and not again and again."""

import pytest
from without_doors import Desk

from tidegate_controller.core import types as t
from tidegate_controller.core.changes import replace
from tidegate_controller.core.debts import BACKOFF_SECONDS
from tidegate_controller.core.spec import Policy
from tidegate_controller.stream import Stream
from tidegate_protos.v1 import agent_pb2 as pb

NODES = ("a", "b", "c")
ONE = Policy(max_failed_nodes="1")


async def three(desk: Desk) -> None:
    for name in NODES:
        await desk.node(name)
    desk.long_up()
    await desk.deployed("1", nodes=NODES, policy=ONE)


async def deployed_without_c(desk: Desk) -> None:
    await three(desk)
    await desk.agents["c"].leave()
    await desk.deployed("2", nodes=NODES, policy=ONE)
    assert set(desk.state().debts) == {"c"}


def serving(desk: Desk) -> set[str]:
    """Nodes with traffic."""
    return {place.node for place, share in desk.state().settled.items() if share}


async def test_a_node_that_was_away_converges_by_itself_when_it_returns(desk: Desk) -> None:
    await deployed_without_c(desk)
    assert serving(desk) == {"a", "b"}
    before = {name: len(desk.agents[name].sent) for name in ("a", "b")}
    await desk.agents["c"].join()
    await desk.until(lambda: desk.state().debts == {})
    await desk.until(lambda: desk.state().rollout is None)
    assert serving(desk) == {"a", "b", "c"}
    assert desk.endings() == ["succeeded"] * 3
    changing = {"prepare_slot", "start_slot", "switch_slot", "stop_slot"}
    for name, sent in before.items():
        assert not changing.intersection(desk.agents[name].works()[sent:])


async def test_a_node_that_returns_in_the_middle_of_the_next_rollout_converges_after_it(
    desk: Desk,
) -> None:
    await deployed_without_c(desk)
    desk.agents["a"].outcomes["start_slot"] = None
    reply = await desk.deploy("3", nodes=NODES, policy=ONE)
    await desk.until(lambda: "start_slot" in desk.agents["a"].works()[-1:])
    await desk.agents["c"].join()
    assert desk.state().rollout.id == reply.rollout
    desk.agents["a"].outcomes.clear()
    await desk.agents["a"].answer(desk.agents["a"].last("start_slot"))
    await desk.until(lambda: desk.state().debts == {} and desk.state().rollout is None)
    assert serving(desk) == {"a", "b", "c"}
    assert [r.event.kind for r in desk.records() if r.kind == "Started"][-1] == "converge"
    assert desk.agents["c"].last("start_slot").start_slot.version == "3"


async def test_a_node_whose_disk_was_wiped_converges_all_the_same(desk: Desk) -> None:
    await deployed_without_c(desk)
    agent = desk.agents["c"]
    agent.journal_id, agent.slots = "another-journal-of-c", {}
    await agent.join()
    await desk.until(lambda: desk.state().debts == {} and desk.state().rollout is None)
    assert serving(desk) == {"a", "b", "c"}
    assert agent.last("start_slot").journal_id == "another-journal-of-c"


async def test_a_converge_that_fails_is_not_tried_again_until_the_node_returns(desk: Desk) -> None:
    await deployed_without_c(desk)
    agent = desk.agents["c"]
    agent.outcomes["start_slot"] = pb.OUTCOME_FAILED
    await agent.join()
    await desk.until(lambda: len(desk.endings()) == 3 and desk.state().rollout is None)
    assert desk.endings()[-1] == "rolled_back"
    assert serving(desk) == {"a", "b"}
    owed = desk.state().owed["c"]
    assert (owed.tries, owed.needs_return) == (1, True)
    await desk.agents["b"].leave()  # whatever else happens
    await desk.agents["b"].join()
    assert desk.state().rollout is None
    agent.outcomes.clear()
    await agent.leave()
    await agent.join()
    assert desk.state().rollout is None  # not so soon after it has failed
    desk.engine._clock._now += BACKOFF_SECONDS
    desk.engine.news.set()
    await desk.until(lambda: desk.state().debts == {} and desk.state().rollout is None)
    assert serving(desk) == {"a", "b", "c"}


async def test_a_node_that_failed_by_its_release_is_left_alone_until_it_returns(
    desk: Desk,
) -> None:
    await three(desk)
    desk.agents["c"].outcomes["start_slot"] = pb.OUTCOME_FAILED
    await desk.deployed("2", nodes=NODES, policy=ONE)
    assert set(desk.state().debts) == {"c"}
    assert serving(desk) == {"a", "b", "c"}
    assert desk.state().rollout is None
    assert desk.state().owed["c"].needs_return


async def test_a_controller_that_starts_anew_takes_up_what_is_owed(desk: Desk) -> None:
    await deployed_without_c(desk)
    await desk.stop()
    await desk.start()
    for name in NODES:
        await desk.agents[name].join()
    await desk.until(lambda: desk.state().debts == {} and desk.state().rollout is None)
    assert serving(desk) == {"a", "b", "c"}


async def test_a_node_that_cannot_be_admitted_keeps_no_other_from_what_it_owes(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    await three(desk)
    for name in ("b", "c"):
        await desk.agents[name].leave()
    await desk.deployed("2", nodes=NODES, policy=Policy(max_failed_nodes="2"))
    assert set(desk.state().debts) == {"b", "c"}
    other = desk.engine.streams.setdefault("shop@staging", Stream("shop@staging"))
    other.state = replace(other.state, settled={t.Place("b/blue"): 100})
    await desk.agents["b"].join()
    await desk.agents["c"].join()
    await desk.until(lambda: set(desk.state().debts) == {"b"} and desk.state().rollout is None)
    assert serving(desk) == {"a", "c"}
    desk.engine.news.set()
    await desk.until(lambda: not desk.engine.news.is_set())
    assert caplog.text.count("b cannot converge: b already serves shop in staging") == 1
