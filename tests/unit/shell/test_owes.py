"""What nodes owe, as status says it."""

from typing import Any

import pytest
from without_doors import SETTINGS, Desk

from tidegate_controller import owes, views
from tidegate_controller.core import types as t
from tidegate_controller.core.changes import replace
from tidegate_controller.core.debts import may_converge
from tidegate_controller.core.spec import Policy, Spec, Traffic
from tidegate_controller.core.unpaid import why_unpaid
from tidegate_controller.reminders import reminder
from tidegate_controller.stream import Stream
from tidegate_protos.v1 import agent_pb2 as pb

NODES = ("a", "b", "c")
SPEC = Spec(
    app="shop", environment="prod", nodes=("a",), settings=SETTINGS, traffic=Traffic(adapter="none")
)
SERVES = t.Release(
    version="1",
    revision=t.Revision(digest="sha256:1", config=""),
    size_bytes=1,
    settings=SETTINGS,
)
BAD = t.Quarantine(digest="sha256:1", origin="hand", version="1", why="loses orders")


async def test_a_fleet_is_looked_through_once_however_many_nodes_it_has(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NODES:
        await desk.node(name)
    await desk.deployed("1", nodes=NODES)
    looks: list[str] = []
    strays, pending = owes.strays, views.pending
    monkeypatch.setattr(owes, "strays", lambda state: looks.append("owed") or strays(state))
    monkeypatch.setattr(views, "pending", lambda state: looks.append("open") or pending(state))
    (app,) = views.status(desk.engine, "").apps
    assert [node.node for node in app.nodes] == list(NODES)
    assert sorted(looks) == ["open", "owed"]


async def c_owes(desk: Desk) -> Stream:
    """Of an app of which 2 was deployed while the agent of c was away."""
    for name in NODES:
        await desk.node(name)
    desk.long_up()
    one = Policy(max_failed_nodes="1")
    await desk.deployed("1", nodes=NODES, policy=one)
    await desk.agents["c"].leave()
    await desk.deployed("2", nodes=NODES, policy=one)
    return desk.stream()


async def test_a_debt_that_cannot_be_paid_says_what_keeps_it(desk: Desk) -> None:
    stream = await c_owes(desk)
    assert reminder(stream, 0.0) == ""
    stream.state = replace(stream.state, lock=t.Lock(by="eve", reason="", since=0.0))
    assert reminder(stream, 0.0) == (
        "c owes a release of shop@prod, not paid while eve holds the lock; tidegate status"
    )
    (app,) = views.status(desk.engine, "").apps
    owed = {node.node: node.debt for node in app.nodes if node.debt}
    assert set(owed) == {"c"}
    assert owed["c"].endswith("; not paid while eve holds the lock")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"reconciling": True}, "until it is decided what counts after the restore"),
        ({"weights": None}, "while nobody knows where traffic goes"),
        ({}, ""),
        ({"committed": (replace(SERVES, incomplete=True),)}, "before 1 is deployed from its"),
        (
            {"committed": (replace(SERVES, never_succeeded=True),)},
            "is deployed or rolled back from",
        ),
        ({"quarantined": (BAD,)}, "while 1 is quarantined"),
    ],
)
def test_what_keeps_a_debt_from_being_paid_is_named(changes: dict[str, Any], said: str) -> None:
    state = replace(t.State(stream="shop@prod", committed=(SERVES,), spec=SPEC), **changes)
    assert may_converge(state) is (not said)
    assert said in why_unpaid(state)
    assert bool(why_unpaid(state)) is bool(said)


async def test_a_debt_that_is_paid_by_itself_says_when(desk: Desk) -> None:
    stream = await c_owes(desk)

    def owed(**changes: Any) -> str:
        stream.state = replace(stream.state, **changes)
        (debt,) = owes.owed_by_node(desk.engine, stream.state)["c"]
        return debt

    assert owed().endswith("until it has it; paid by itself once its agent is back")
    desk.engine.fleet.sessions["c"] = desk.engine.fleet.sessions["a"]
    assert owed().endswith("; paid by itself")
    later = desk.engine.now() + 60.0
    assert owed(owed={"c": t.Owed(not_before=later)}).endswith("; paid by itself, after a pause")
    again = owed(owed={"c": t.Owed(needs_return=True)})
    assert again.endswith("; paid once its agent was started anew, or by the next deployment")


async def test_a_slot_without_traffic_of_a_node_that_owes_goes_when_the_node_pays(
    desk: Desk,
) -> None:
    await desk.node("a")
    await desk.deployed("1")
    await desk.deployed("2")
    stream = desk.stream()
    serving = next(iter(stream.state.settled))
    state = replace(stream.state, settled={}, chores=(), weights={})
    paying = replace(state, debts={"a": "lost"}, owed={"a": t.Owed()})

    def said(state: t.State) -> dict[str, str]:
        debts = owes.owed_by_node(desk.engine, state)["a"]
        return {debt.split()[0]: debt for debt in debts if "runs without" in debt}

    assert set(said(state)) == {"blue", "green"}
    assert said(state)["blue"].endswith("the next deployment stops it")
    assert set(said(paying)) == {serving.other.slot}, "the other is what it will serve with"
    assert said(paying)[serving.other.slot].endswith("stopped once the node has what it owes")
    assert said(replace(state, reconciling=True)) == {}, "nobody knows where traffic goes"


async def test_what_a_late_move_may_still_send_to_is_told_with_when_that_is_settled(
    desk: Desk,
) -> None:
    await desk.node("a")
    await desk.deployed("1")
    stream = desk.stream()
    (serving,) = stream.state.settled
    late = frozenset({serving, serving.other})
    again = t.Work(verb="route", at=t.CONTROLLER, weights={serving: 100})

    def said(state: t.State) -> tuple[list[str], float | None]:
        stream.state = state
        (app,) = views.status(desk.engine, "").apps
        return app.unsettled, app.settles_in_seconds

    now = desk.engine.now()
    assert said(stream.state) == ([], None)
    unsettled = replace(stream.state, unsettled=late)
    assert said(unsettled) == ([str(serving.other)], None), "nothing was moved since"
    places, seconds = said(replace(unsettled, rewrite=again, rewrite_at=now + 100.0))
    assert places == [str(serving.other)]
    assert 0.0 < (seconds or 0.0) <= 100.0
    assert said(replace(unsettled, rewrite=again, rewrite_at=now))[1] == 0.0


async def test_a_stream_that_stands_still_or_waits_for_a_decision_is_recalled(desk: Desk) -> None:
    await desk.node("a")
    await desk.deployed("1")
    stream = desk.stream()
    stream.state = replace(stream.state, reconciling=True)
    assert reminder(stream, 0.0).endswith("tidegate controller reconcile shop -e prod")
    stream.fault = "KeyError"
    assert "shop@prod stands still" in reminder(stream, 0.0)


async def test_that_current_names_another_slot_is_said_once(desk: Desk) -> None:
    await desk.node("a")
    await desk.deployed("1")
    desk.agents["a"].outcomes["switch_slot"] = pb.OUTCOME_FAILED
    await desk.deployed("2", policy=Policy(on_failure="stop"))

    def said(state: t.State) -> list[str]:
        return [text for text in owes.owed_by_node(desk.engine, state)["a"] if "`current`" in text]

    (debt,) = said(desk.state())
    assert debt.endswith("as `current` does not name green; the next deploy or rollback mends that")
    (live,) = said(replace(desk.state(), debts={"a/green": "is slow"}))
    assert live == "`current` does not name green, which serves; the next deployment mends that"


async def test_what_a_rollout_had_started_that_was_superseded_is_told_until_it_is_stopped(
    desk: Desk,
) -> None:
    await desk.node("a")
    spec = replace(desk.spec(), approval=True)
    rollout = (await desk.requests.deploy(desk.request("1", spec))).rollout
    await desk.until(lambda: desk.state().rollout.waiting)
    assert owes.owed_by_node(desk.engine, desk.state())["a"] == [], "it is what the rollout is for"
    await desk.requests.deploy(desk.request("2", spec, supersede=True))
    await desk.until(lambda: desk.state().rollout.id != rollout and desk.state().rollout.waiting)
    said = "blue runs without traffic; it is stopped some time after rollout r2"
    assert owes.owed_by_node(desk.engine, desk.state())["a"] == [said]
    await desk.ended(desk.answered("r2", "approve"))
    assert owes.owed_by_node(desk.engine, desk.state())["a"] == []


async def test_an_ordinary_rollout_leaves_nothing_to_be_told_of_the_other_slots(desk: Desk) -> None:
    await desk.node("a")
    await desk.deployed("1")
    for version in "23":
        spec = replace(desk.spec(), approval=True)
        rollout = (await desk.requests.deploy(desk.request(version, spec))).rollout
        await desk.until(lambda: desk.state().rollout.waiting)
        assert owes.owed_by_node(desk.engine, desk.state())["a"] == []
        await desk.ended(desk.answered(rollout, "approve"))
