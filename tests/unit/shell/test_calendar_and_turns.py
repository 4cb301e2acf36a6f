"""Freezes and deployments that wait, through the whole controller without its doors."""

import asyncio
from dataclasses import replace

import msgspec
import pytest
from test_retries import retried
from without_doors import SILENT, Desk

from tidegate_controller import views
from tidegate_controller.core.spec import Freeze
from tidegate_controller.errors import Refused, UsageError
from tidegate_controller.freeze_clock import FreezeClock
from tidegate_controller.history import History, find_rollout
from tidegate_controller.turns import Turns
from tidegate_protos.v1 import operator_pb2 as pb

ALWAYS = Freeze(begin="2020-01-01 00:00", until="2120-01-01 00:00", reason="no more")


def frozen_request(desk: Desk, **more: object) -> pb.DeployRequest:
    spec = msgspec.structs.replace(desk.spec(), freeze=(ALWAYS,))
    return desk.request("2", spec, **more)


async def held(desk: Desk) -> str:
    """Version 2 is being started on a, which has not answered; version 3 waits: its id."""
    node = await desk.node("a")
    await desk.deployed("1")
    node.outcomes["start_slot"] = SILENT
    await desk.deploy("2")
    await desk.until(lambda: "start_slot" in node.works()[2:])
    reply = await desk.requests.deploy(desk.request("3", desk.spec(), queue=True))
    assert reply.queued
    return reply.rollout


def state_of(desk: Desk, rollout: str) -> str:
    place = desk.engine.place_of(rollout)
    return find_rollout(desk.log.path, place.stream, place.version).state


async def test_a_freeze_of_the_configuration_that_is_deployed_counts(desk: Desk) -> None:
    await desk.node("a")
    await desk.deployed("1")
    with pytest.raises(Refused, match="freeze until Mon 2120-01-01 00:00 UTC: no more"):
        await desk.requests.deploy(frozen_request(desk))
    with pytest.raises(UsageError, match="needs a reason"):
        await desk.requests.deploy(frozen_request(desk, override_freeze=True))
    asked = frozen_request(desk, override_freeze=True, message="urgent")
    await desk.ended(desk.requests.deploy(asked))
    assert desk.endings() == ["succeeded", "succeeded"]
    (app,) = views.status(desk.engine, "shop").apps
    assert app.freeze == "freeze until Mon 2120-01-01 00:00 UTC: no more"


async def test_one_by_hand_is_shown_and_lifted(desk: Desk) -> None:
    await desk.node("a")
    await desk.deployed("1")
    request = pb.FreezeRequest(request_id="f1", requested_by="ada", reason="sale", seconds=3600.0)
    view = await desk.control.freeze("shop@prod", request)
    assert (view.frozen, view.by, view.reason, view.changed) == (True, "ada", "sale", True)
    with pytest.raises(Refused, match="by ada: sale"):
        await desk.deploy("2")
    await desk.stop()
    await desk.start()
    await desk.agents["a"].join()
    with pytest.raises(Refused, match="by ada: sale"):
        await desk.deploy("2")
    lift = pb.FreezeRequest(request_id="f2", requested_by="bob", lift=True)
    assert not (await desk.control.freeze("shop@prod", lift)).frozen
    await desk.deployed("2")


async def test_a_rollout_under_way_says_that_it_waits_for_the_end_of_one(desk: Desk) -> None:
    node = await desk.node("a")
    await desk.deployed("1")
    node.outcomes["start_slot"] = SILENT
    rollout = (await desk.deploy("2")).rollout
    await desk.until(lambda: "start_slot" in node.works()[2:])
    request = pb.FreezeRequest(request_id="f1", requested_by="ada", reason="sale", seconds=3600.0)
    await desk.control.freeze("shop@prod", request)
    await node.answer(node.last("start_slot"))
    await desk.until(lambda: desk.state().rollout.frozen)
    place = desk.engine.place_of(rollout)
    shown = find_rollout(desk.log.path, place.stream, place.version)
    assert (shown.state, shown.awaits, shown.asks) == ("paused", "freeze", "")
    assert shown.waiting_for.endswith(", by ada: sale")
    history = History(desk.log.path)
    assert history.catch_up()[-1].awaits == "freeze"
    assert History(desk.log.path, history.past()).catch_up()[-1].awaits == "freeze"
    (app,) = views.status(desk.engine, "shop").apps
    assert (app.rollout.awaits, app.rollout.waiting_for) == ("freeze", shown.waiting_for)
    await desk.asked("pause", rollout, reason="odd")
    (app,) = views.status(desk.engine, "shop").apps
    assert app.rollout.awaits == "person"


async def test_windows_that_have_moved_are_told_to_the_core(desk: Desk) -> None:
    await desk.node("a")
    asked = frozen_request(desk, override_freeze=True, message="urgent")
    await desk.ended(desk.requests.deploy(asked))
    before = desk.state().calendar.windows[0].ends
    desk.engine.outside = replace(desk.engine.outside, wall_seconds=lambda: 1.8e9)
    clock = asyncio.create_task(FreezeClock(desk.engine).run(every=0.01))
    await desk.until(lambda: desk.state().calendar.windows[0].ends != before)
    clock.cancel()


async def test_a_deployment_waits_for_its_turn_and_begins_by_itself(desk: Desk) -> None:
    turns = asyncio.create_task(Turns(desk.engine).run())
    rollout = await held(desk)
    node = desk.agents["a"]
    assert state_of(desk, rollout) == "queued"
    assert History(desk.log.path).catch_up()[-1].state == "queued"
    (app,) = views.status(desk.engine, "shop").apps
    assert [(each.id, each.version) for each in app.queue] == [(rollout, "3")]
    assert app.queue[0].waiting_for.startswith("the end of rollout r2")
    node.outcomes.clear()
    await node.answer(node.last("start_slot"))
    await desk.until(lambda: desk.endings() == ["succeeded"] * 3)
    assert state_of(desk, rollout) == "succeeded"
    turns.cancel()


async def test_it_is_kept_over_a_new_start_of_the_controller(desk: Desk) -> None:
    rollout = await held(desk)
    await desk.stop()
    await desk.start()
    node = await desk.agents["a"].join()
    turns = asyncio.create_task(Turns(desk.engine).run())
    assert [entry.rollout for entry in desk.state().queue] == [rollout]
    node.outcomes.clear()
    await node.answer(node.last("start_slot"))
    await desk.until(lambda: desk.endings() == ["succeeded"] * 3)
    turns.cancel()


async def test_one_that_waits_is_given_up(desk: Desk) -> None:
    rollout = await held(desk)
    reply = await desk.asked("abort", rollout, reason="not today")
    assert reply.rollout == rollout
    assert state_of(desk, rollout) == "aborted"
    assert History(desk.log.path).catch_up()[-1].state == "aborted"
    assert desk.state().rollout is not None


async def test_one_that_waits_is_not_retried(desk: Desk) -> None:
    rollout = await held(desk)
    with pytest.raises(Refused, match=f"{rollout} waits for its turn, and begins by itself"):
        await retried(desk, rollout)


@pytest.mark.parametrize("overrides", [False, True])
async def test_one_that_was_given_up_before_it_had_begun_is_retried_as_it_was_asked_for(
    desk: Desk, overrides: bool
) -> None:
    node = await desk.node("a")
    await desk.deployed("1")
    node.outcomes["start_slot"] = SILENT
    await desk.deploy("2")
    await desk.until(lambda: "start_slot" in node.works()[2:])
    spec = msgspec.structs.replace(desk.spec(), freeze=(ALWAYS,))
    request = desk.request(
        "2",
        spec,
        queue=True,
        again=True,
        override_freeze=overrides,
        message="urgent",
        commit="c0ffee1",
    )
    rollout = (await desk.requests.deploy(request)).rollout
    await desk.asked("abort", rollout)
    node.outcomes.clear()
    await node.answer(node.last("start_slot"))
    await desk.until(lambda: desk.endings() == ["succeeded"] * 2)
    if not overrides:
        with pytest.raises(Refused, match="freeze until"):
            await retried(desk, rollout)
        return
    await desk.ended(retried(desk, rollout))
    started = [r.event for r in desk.records() if r.kind == "Started"][-1]
    assert (started.release.version, started.spec) == ("2", spec)
    assert (started.commit, started.again, started.override_freeze) == ("c0ffee1", True, True)
    assert (started.requested_by, started.message) == ("bob", f"retry of {rollout}: again")
    assert desk.endings() == ["succeeded"] * 3


async def test_to_wait_and_to_take_the_place_of_another_is_wrong_usage(desk: Desk) -> None:
    await desk.node("a")
    request = desk.request("1", desk.spec(), queue=True, supersede=True)
    with pytest.raises(UsageError, match="cannot both wait for another and take its place"):
        await desk.requests.deploy(request)


async def test_the_plan_of_one_that_takes_anothers_place_is_shown(desk: Desk) -> None:
    node = await desk.node("a")
    await desk.deployed("1")
    node.outcomes["start_slot"] = SILENT
    rollout = (await desk.deploy("2")).rollout
    await desk.asked("pause", rollout)
    request = desk.request("3", desk.spec(), supersede=True)
    view = await desk.requests.plan(pb.PlanRequest(deploy=request))
    assert view.release.version == "3"
    assert view.steps
    assert desk.state().rollout.id == rollout, "nothing was given up for it"
