"""Pause, resume and abort through the whole controller: what agents get, and what is answered."""

import asyncio
from collections.abc import Mapping

import pytest
from without_doors import SILENT, Agent, Desk

from tidegate_controller import views
from tidegate_controller.core.spec import Policy
from tidegate_controller.core.strategies import back
from tidegate_controller.documents import RolloutRef, RolloutView
from tidegate_controller.errors import Refused, TrafficError, UsageError
from tidegate_controller.history import find_rollout
from tidegate_controller.traffic.caddy import Caddy
from tidegate_protos.v1 import agent_pb2 as pb


async def starting(desk: Desk) -> tuple[Agent, str]:
    """Version 1 is being started on a, which has not answered; the rollout's id."""
    node = await desk.node("a")
    node.outcomes["start_slot"] = SILENT
    rollout = (await desk.deploy("1")).rollout
    await desk.until(lambda: "start_slot" in node.works())
    return node, rollout


def view(desk: Desk, rollout: str) -> RolloutView:
    place = desk.engine.place_of(rollout)
    return find_rollout(desk.log.path, place.stream, place.version)


async def test_a_paused_rollout_stands_still_until_it_is_resumed(desk: Desk) -> None:
    node, rollout = await starting(desk)
    reply = await desk.asked("pause", rollout, reason="odd")
    assert reply.rollout == rollout
    await node.answer(node.last("start_slot"))
    await desk.until(lambda: not desk.state().rollout.open)
    seen = node.works()
    shown = view(desk, rollout)
    assert (shown.state, shown.waiting_for) == ("paused", "ada, who paused it: odd")
    assert shown.answers == ["resume", "abort"]
    (app,) = views.status(desk.engine, "shop").apps
    assert (app.rollout.state, app.rollout.waiting_for) == ("paused", shown.waiting_for)
    await asyncio.sleep(0.05)
    assert node.works() == seen
    await desk.asked("resume", rollout)
    await desk.until(desk.endings)
    assert desk.endings() == ["succeeded"]
    ended = view(desk, rollout)
    assert ended.waiting_for is None
    assert [step.name for step in ended.steps if step.paused_seconds] == ["Start"]


async def test_a_move_back_that_is_refused_again_and_again_says_how_often_and_why(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = "the balancer refused"

    async def shift(caddy: Caddy, weights: Mapping[str, int]) -> None:
        raise TrafficError(refused)

    await desk.node("a")
    await desk.deployed("1")
    monkeypatch.setattr(back, "RETRY_SECONDS", 0.01)
    with monkeypatch.context() as while_it_refuses:
        while_it_refuses.setattr(Caddy, "shift", shift)
        rollout = (await desk.deploy("2")).rollout

        def seen() -> RolloutRef:
            (app,) = views.status(desk.engine, "shop").apps
            return app.rollout

        await desk.until(lambda: seen().last_error and seen().tries_failed > 1)
        assert (seen().state, seen().step) == ("rolling_back", "Shift back")
        assert refused in seen().last_error
    await desk.until(lambda: len(desk.endings()) == 2)
    (moved,) = [step for step in view(desk, rollout).steps if step.name == "Shift back"]
    assert (moved.state, moved.tries > 2) == ("ok", True)


async def test_it_stands_still_over_a_new_start_of_the_controller(desk: Desk) -> None:
    node, rollout = await starting(desk)
    await desk.asked("pause", rollout)
    await desk.stop()
    await desk.start()
    await node.join()
    assert desk.state().rollout.paused.by == "ada"
    assert desk.stream().timer is None
    assert node.last("start_slot").deadline_seconds > 60.0, "its time stands still as well"
    await node.answer(node.last("start_slot"))
    await desk.asked("resume", rollout)
    await desk.until(desk.endings)
    assert desk.endings() == ["succeeded"]


async def test_what_is_so_already_is_said(desk: Desk) -> None:
    _, rollout = await starting(desk)
    reply = await desk.asked("resume", rollout)
    assert (reply.rollout, reply.message) == ("", f"rollout {rollout} is not paused")
    await desk.asked("pause", rollout, requested_by="bob")
    reply = await desk.asked("pause", rollout)
    assert (reply.rollout, reply.message) == ("", f"rollout {rollout} is paused already, by bob")


async def test_an_aborted_start_is_stopped_at_once_by_a_higher_fence(desk: Desk) -> None:
    node, rollout = await starting(desk)
    start = node.last("start_slot")
    reply = await desk.asked("abort", rollout, reason="wrong version")
    assert reply.rollout == rollout
    await desk.until(lambda: "stop_slot" in node.works())
    assert node.last("stop_slot").fence.version > start.fence.version
    assert desk.endings() == ["failed"]
    assert "aborted by ada: wrong version" in view(desk, rollout).reason


async def test_an_abort_may_leave_all_as_it_is(desk: Desk) -> None:
    node, rollout = await starting(desk)
    await desk.asked("abort", rollout, no_rollback=True)
    assert desk.endings() == ["aborted"]
    assert view(desk, rollout).state == "aborted"
    await asyncio.sleep(0.05)
    assert "stop_slot" not in node.works()


async def test_two_operators_at_once_are_both_answered(desk: Desk) -> None:
    _, rollout = await starting(desk)
    replies = await asyncio.gather(
        desk.asked("pause", rollout, requested_by="ada"),
        desk.asked("pause", rollout, requested_by="bob"),
        desk.asked("abort", rollout, requested_by="eve"),
        return_exceptions=True,
    )
    assert [type(reply).__name__ for reply in replies] == ["RolloutReply"] * 3
    assert desk.kinds().count("Paused") == 1
    assert desk.kinds().count("Aborted") == 1


async def test_requests_about_what_is_not_there_are_refused(desk: Desk) -> None:
    await desk.node("a")
    reply = await desk.deployed("1")
    for what in ("pause", "resume", "abort"):
        with pytest.raises(Refused, match="has ended"):
            await desk.asked(what, reply.rollout)
        with pytest.raises(UsageError, match="there is no rollout r77"):
            await desk.asked(what, "r77")


async def test_a_rollback_is_offered_only_from_what_is_active_and_has_a_release_before(
    desk: Desk,
) -> None:
    node = await desk.node("a")

    async def offered(rollout: str) -> bool:
        with pytest.raises(Refused, match=f"rollout {rollout} has ended") as refused:
            await desk.asked("abort", rollout)
        assert refused.value.hint.startswith(f"how: tidegate rollout show {rollout}")
        return "tidegate rollback shop -e prod" in refused.value.hint

    first = (await desk.deployed("1")).rollout
    assert not await offered(first)
    second = (await desk.deployed("2")).rollout
    assert [await offered(rollout) for rollout in (first, second)] == [False, True]
    node.outcomes["start_slot"] = pb.OUTCOME_FAILED
    undone = (await desk.deployed("3")).rollout
    assert [await offered(rollout) for rollout in (undone, second)] == [False, True]
    node.outcomes["start_slot"] = SILENT
    await desk.deploy("4")
    assert not await offered(second)


async def test_whoever_deploys_meanwhile_is_told_that_it_is_paused(desk: Desk) -> None:
    _, rollout = await starting(desk)
    await desk.asked("pause", rollout, reason="odd")
    with pytest.raises(Refused, match="is paused by ada: odd") as refused:
        await desk.deploy("2")
    assert f"tidegate rollout resume {rollout}" in refused.value.hint


async def test_a_question_about_nodes_names_them_until_it_is_answered(desk: Desk) -> None:
    for name in ("a", "b"):
        await desk.node(name)
    desk.long_up()
    ask = Policy(on_failure="pause")
    await desk.deployed("1", nodes=("a", "b"), policy=ask)
    desk.agents["b"].outcomes["start_slot"] = pb.OUTCOME_FAILED
    reply = await desk.deploy("2", nodes=("a", "b"), policy=ask)
    await desk.until(lambda: desk.state().rollout.waiting is not None)
    asked = view(desk, reply.rollout)
    assert (asked.asks, asked.asks_about) == ("failure", ["b"])
    await desk.asked("abort", reply.rollout)
    assert (view(desk, reply.rollout).asks, view(desk, reply.rollout).asks_about) == ("", [])
