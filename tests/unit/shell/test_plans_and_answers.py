"""Operators look at plans, tie requests to them, and answer rollouts that wait."""

from typing import Any

import msgspec
import pytest
from without_doors import PACE, SETTINGS, SILENT, Desk

from tidegate_controller import views
from tidegate_controller.cli.status import health_words
from tidegate_controller.documents import PlanView
from tidegate_controller.errors import Refused, UsageError
from tidegate_controller.history import find_rollout
from tidegate_protos.v1 import agent_pb2 as pb
from tidegate_protos.v1 import operator_pb2 as op

BY_HAND = {"adapter": "none", "directory": ""}


async def plan(desk: Desk, version: str, **choices: Any) -> PlanView:
    request = desk.request(version, desk.spec(**choices))
    return await desk.requests.plan(op.PlanRequest(deploy=request))


def told(view: PlanView) -> dict[str, list[str]]:
    return {step.name: step.does for step in view.steps}


# --- Plans ---------------------------------------------------------------------------------------


async def test_a_plan_says_what_would_be_done(desk: Desk) -> None:
    await desk.node("a")
    view = await plan(desk, "1")
    assert (view.app, view.environment, view.kind, view.previous) == (
        "shop",
        "prod",
        "deploy",
        None,
    )
    assert view.release.version == "1"
    assert view.differences == ["1 is the first release here"]
    assert told(view) == {
        "Preflight": [
            "look whether traffic can be moved",
            "a/blue: look at disk, port and what the service needs",
        ],
        "Prepare": ["a: fetch and unpack 1, run its install.sh if it has one"],
        "Migrate": ["a: run migrate.sh, if 1 has one"],
        "Start": ["a/blue: start 1"],
        "Shift": ["all traffic to a/blue"],
        "Switch": ["a: current -> blue"],
    }


async def test_a_plan_is_a_difference_to_now(desk: Desk) -> None:
    await desk.node("a")
    await desk.deployed("1")
    view = await plan(desk, "2")
    assert view.previous is not None
    assert view.previous.version == "1"
    assert view.differences[0] == "version: 1 -> 2"
    assert told(view)["Start"] == ["a/green: start 2"]


async def test_a_plan_of_what_is_active_has_no_steps(desk: Desk) -> None:
    await desk.node("a")
    await desk.deployed("1")
    assert (await plan(desk, "1")).steps == []


async def test_a_rollback_can_be_planned(desk: Desk) -> None:
    await desk.node("a")
    for version in "12":
        await desk.deployed(version)
    asked = op.PlanRequest(rollback=op.RollbackRequest(app="shop"))
    view = await desk.requests.plan(asked)
    assert (view.kind, view.release.version) == ("rollback", "1")
    assert told(view)["Shift"] == ["all traffic to a/blue"]


async def test_a_plan_records_nothing_and_sends_nothing(desk: Desk) -> None:
    node = await desk.node("a")
    before = desk.log.last_seq
    await plan(desk, "1")
    await node.leave()
    await node.join()
    assert desk.log.last_seq == before
    assert node.sent == []
    assert not desk.lanes().exists()


async def test_a_plan_that_cannot_be_begun_is_refused_like_the_deployment(desk: Desk) -> None:
    node = await desk.node("a")
    await node.leave()
    desk.long_up()
    with pytest.raises(Refused, match="a is not connected"):
        await plan(desk, "1")


async def test_a_plan_knows_what_nodes_hold_that_a_new_log_has_never_heard_of(desk: Desk) -> None:
    """Whatever serves there goes on serving: the other slot is meant."""
    node = await desk.node("a")
    await node.leave()
    former = pb.Revision(digest="sha256:former", config="sha256:former")
    await node.runs("shop@prod", "blue", former, current=True)
    await node.join()
    view = await plan(desk, "1")
    assert told(view)["Start"] == ["a/green: start 1"]
    await desk.ended(desk.requests.deploy(desk.request("1", desk.spec(), plan_id=view.plan_id)))
    assert node.last("start_slot").start_slot.slot == "green"


async def test_an_artifact_that_runs_in_the_idle_slot_is_started_anew_under_another_version(
    desk: Desk,
) -> None:
    """What runs there was told the version that it was started as, and would go on saying so."""
    node = await desk.node("a")
    await desk.deployed("1")
    await desk.deployed("2")
    digest = desk.state().committed[0].revision.digest
    await desk.ended(desk.requests.deploy(desk.request("3", desk.spec(), digest=digest)))
    assert desk.endings() == ["succeeded"] * 3
    start = node.last("start_slot").start_slot
    assert (start.slot, start.version) == ("blue", "3")


async def test_a_plan_takes_no_notice_of_what_nodes_hold_of_other_apps(desk: Desk) -> None:
    node = await desk.node("a")
    await node.leave()
    revision = pb.Revision(digest="sha256:other", config="sha256:other")
    await node.runs("blog@prod", "blue", revision, current=True)
    await node.join()
    assert told(await plan(desk, "1"))["Start"] == ["a/blue: start 1"]


async def test_a_deployment_by_its_plan_is_the_plan(desk: Desk) -> None:
    await desk.node("a")
    view = await plan(desk, "1")
    await desk.ended(desk.requests.deploy(desk.request("1", desk.spec(), plan_id=view.plan_id)))
    assert desk.endings() == ["succeeded"]
    started = next(r.event for r in desk.records() if r.kind == "Started")
    assert [step.name for step in started.plan] == list(told(view))


async def test_a_plan_is_refused_once_the_world_has_moved(desk: Desk) -> None:
    await desk.node("a")
    await desk.deployed("1")
    view = await plan(desk, "3")
    await desk.deployed("2")
    before = desk.log.last_seq
    with pytest.raises(Refused, match="the world has moved since that plan was made"):
        await desk.requests.deploy(desk.request("3", desk.spec(), plan_id=view.plan_id))
    assert desk.log.last_seq == before


async def test_a_plan_for_other_nodes_is_another_plan(desk: Desk) -> None:
    for name in "ab":
        await desk.node(name)
    view = await plan(desk, "1", nodes=("a",))
    other = desk.request("1", desk.spec(nodes=("a", "b")), plan_id=view.plan_id)
    with pytest.raises(Refused, match="the world has moved"):
        await desk.requests.deploy(other)


async def test_a_rollback_is_tied_to_its_plan_as_well(desk: Desk) -> None:
    await desk.node("a")
    for version in "12":
        await desk.deployed(version)
    asked = op.PlanRequest(rollback=op.RollbackRequest(app="shop"))
    view = await desk.requests.plan(asked)
    await desk.ended(desk.rollback(plan_id=view.plan_id))
    assert desk.endings() == ["succeeded"] * 3
    with pytest.raises(Refused, match="the world has moved"):
        await desk.rollback(plan_id=view.plan_id)


async def test_a_repeated_request_is_not_held_against_its_plan(desk: Desk) -> None:
    """It has moved the world itself."""
    node = await desk.node("a")
    node.outcomes["inspect"] = SILENT
    view = await plan(desk, "1")
    request = desk.request("1", desk.spec(), plan_id=view.plan_id)
    first = await desk.requests.deploy(request)
    assert (await desk.requests.deploy(request)).rollout == first.rollout != ""


# --- Answers -------------------------------------------------------------------------------------


async def waiting(desk: Desk, version: str = "1") -> str:
    """A rollout that waits for a person to switch traffic; its id."""
    if "a" not in desk.agents:
        await desk.node("a")
    rollout = (await desk.deploy(version, **BY_HAND)).rollout
    await desk.until(lambda: desk.state().rollout is None or desk.state().rollout.waiting)
    assert desk.state().rollout is not None
    return rollout


async def test_traffic_by_hand_waits_and_goes_on_when_it_is_done(desk: Desk) -> None:
    rollout = await waiting(desk)
    address = desk.agents["a"].address("shop@prod", "blue")
    assert desk.state().rollout.waiting.why == f"switch all traffic to {address} by hand"
    (app,) = views.status(desk.engine, "shop").apps
    assert app.rollout is not None
    assert app.rollout.waiting_for == f"switch all traffic to {address} by hand"
    assert app.notes == []
    reply = await desk.answered(rollout, "continue")
    assert (reply.rollout, reply.stream) == (rollout, "shop@prod")
    await desk.until(desk.endings)
    assert desk.endings() == ["succeeded"]
    assert list(desk.state().settled) == ["a/blue"]


async def test_traffic_by_hand_that_is_only_warned_of_waits_for_nobody(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    node = await desk.node("a")
    await desk.deployed("1", **BY_HAND, manual="warn")
    assert desk.endings() == ["succeeded"]
    assert "Waiting" not in desk.kinds()
    assert f"switch all traffic to {node.address('shop@prod', 'blue')}" in caplog.text


async def test_two_apps_may_have_their_traffic_switched_by_hand(desk: Desk) -> None:
    await desk.node("a")
    for app in ("shop", "blog"):
        await desk.deployed("1", app=app, **BY_HAND, manual="warn")
        assert desk.endings(f"{app}@prod") == ["succeeded"]


async def test_a_rollout_that_waits_can_be_asked_to_try_again(desk: Desk) -> None:
    rollout = await waiting(desk)
    await desk.answered(rollout, "retry")
    await desk.until(lambda: desk.kinds().count("Waiting") == 2)
    await desk.until(lambda: desk.state().rollout.waiting is not None)  # in the log first
    routes = [
        r.event.action
        for r in desk.records()
        if r.kind == "ActionIssued" and r.event.action.work.verb == "route"
    ]
    assert [action.attempt for action in routes] == [1, 2]
    assert desk.state().rollout.waiting is not None


async def test_a_rollout_that_waits_can_be_aborted(desk: Desk) -> None:
    rollout = await waiting(desk)
    await desk.answered(rollout, "abort")
    await desk.until(lambda: desk.state().rollout is None or desk.state().rollout.undoing)
    assert "Replanned" in desk.kinds()
    assert desk.state().committed == ()


async def test_an_undo_that_was_given_up_says_that_nobody_knows_where_traffic_goes(
    desk: Desk,
) -> None:
    rollout = await waiting(desk)
    await desk.answered(rollout, "abort")
    await desk.until(lambda: desk.state().rollout.undoing and desk.state().rollout.waiting)
    await desk.answered(rollout, "abort")
    await desk.until(desk.endings)
    assert desk.endings() == ["failed"]
    (app,) = views.status(desk.engine, "shop").apps
    assert app.notes == [
        "nobody knows where traffic goes; the next deploy or rollback settles that first"
    ]


async def test_an_answer_that_is_none_is_refused(desk: Desk) -> None:
    rollout = await waiting(desk)
    with pytest.raises(UsageError, match="'maybe' is no answer"):
        await desk.answered(rollout, "maybe")
    with pytest.raises(UsageError, match="there is no rollout r77"):
        await desk.answered("r77", "continue")
    assert desk.state().rollout.waiting is not None


async def test_nobody_answers_a_rollout_that_waits_for_nobody(desk: Desk) -> None:
    node = await desk.node("a")
    node.outcomes["inspect"] = SILENT
    rollout = (await desk.deploy("1")).rollout
    before = desk.kinds()
    with pytest.raises(Refused, match="rollout r1 does not wait for anybody"):
        await desk.answered(rollout, "continue")
    assert "Answered" not in desk.kinds()
    assert desk.kinds()[: len(before)] == before


async def test_a_repeated_answer_is_given_once(desk: Desk) -> None:
    rollout = await waiting(desk)
    request = op.AnswerRequest(request_id="answer", rollout=rollout, answer="continue")
    for _ in range(2):
        assert (await desk.control.answer(request)).rollout == rollout
    await desk.until(desk.endings)
    assert desk.kinds().count("Answered") == 1


async def test_a_rollout_goes_on_waiting_after_a_new_start(desk: Desk) -> None:
    rollout = await waiting(desk)
    await desk.stop()
    await desk.start()
    await desk.agents["a"].join()
    assert desk.state().rollout.waiting is not None
    await desk.answered(rollout, "continue")
    await desk.until(desk.endings)
    assert desk.endings() == ["succeeded"]


async def test_a_plan_says_that_traffic_has_to_be_settled_first(desk: Desk) -> None:
    await desk.node("a")
    await desk.deployed("1")
    assert (await plan(desk, "1")).steps == []
    (desk.lanes() / "lane-01").unlink()
    view = await plan(desk, "1")
    assert [step.name for step in view.steps][:3] == ["Preflight", "Settle", "Shift"]
    assert "traffic is not where it was last moved to" in view.differences[-1]


# --- Configuration alone -------------------------------------------------------------------------


async def test_what_a_configuration_says_otherwise_is_taken_over_without_a_rollout(
    desk: Desk,
) -> None:
    await desk.node("a")
    await desk.deployed("1")
    reply = await desk.deploy("1", timeout_seconds=6.0)
    assert reply.rollout == ""
    assert "is already active on all 1 nodes of prod" in reply.message
    assert "was taken over" in reply.message
    assert desk.state().spec.traffic.timeout_seconds == 6.0


async def test_nothing_to_do_is_said(desk: Desk) -> None:
    await desk.node("a")
    await desk.deployed("1")
    before = desk.log.last_seq
    reply = await desk.deploy("1")
    assert reply.message == "shop 1 is already active on all 1 nodes of prod"
    assert desk.log.last_seq == before


# --- Meanwhile ----------------------------------------------------------------------------------


async def test_a_slot_that_is_being_started_is_said_to_be(desk: Desk) -> None:
    node = await desk.node("a")
    node.outcomes["start_slot"] = SILENT
    await desk.deploy("1")
    await desk.until(lambda: "start_slot" in node.works())
    (app,) = views.status(desk.engine, "").apps
    (slot,) = app.nodes[0].slots.values()
    assert (slot.running, slot.under_way) == (None, "starting")
    assert health_words(slot) == "starting"
    await node.answer(node.last("start_slot"))
    await desk.until(desk.endings)
    (app,) = views.status(desk.engine, "").apps
    assert [slot.under_way for slot in app.nodes[0].slots.values()] == [None]


async def test_what_only_the_configuration_says_otherwise_is_in_plan_and_history(
    desk: Desk,
) -> None:
    await desk.node("a")
    await desk.deployed("1")
    service = msgspec.structs.replace(SETTINGS.service, environment={"MODE": "fast"})
    spec = msgspec.structs.replace(
        desk.spec(),
        settings=msgspec.structs.replace(SETTINGS, service=service),
        pace=msgspec.structs.replace(PACE, soak_seconds=0.01),
    )
    request = desk.request("1", spec)
    view = await desk.requests.plan(op.PlanRequest(deploy=request))
    mode = 'service.environment.MODE: not given -> "fast"'
    assert view.differences == [mode, "rollout.soak: 0s -> 10ms"]
    await desk.ended(desk.requests.deploy(request))
    place = desk.engine.place_of("r2")
    assert find_rollout(desk.log.path, place.stream, place.version).differences == [mode]


async def test_what_is_refused_or_has_nothing_to_do_uses_no_number_up(desk: Desk) -> None:
    await desk.node("a")
    first = await desk.deployed("1")
    with pytest.raises(Refused, match="no release 99 has succeeded here"):
        await desk.rollback(to="99")
    assert (await desk.deploy("1")).rollout == "", "it is active already"
    node = desk.agents["a"]
    node.outcomes["start_slot"] = SILENT
    second = await desk.deploy("2")
    with pytest.raises(Refused):
        await desk.deploy("3")
    queued = await desk.requests.deploy(desk.request("3", desk.spec(), queue=True))
    assert queued.rollout == "r3"
    assert (first.rollout, second.rollout) == ("r1", "r2")
    await desk.asked("abort", "r2")
