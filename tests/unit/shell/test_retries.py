"""A deployment that has ended badly is asked for again by its rollout alone."""

from typing import Any

import pytest
from without_doors import SILENT, Desk

from tidegate_controller.errors import Refused
from tidegate_controller.operator_service import OperatorService
from tidegate_protos.v1 import agent_pb2 as pb
from tidegate_protos.v1 import operator_pb2 as op


async def ended_badly(desk: Desk) -> str:
    """Version 2 was undone where 1 serves, since its start failed once; the rollout."""
    node = await desk.node("a")
    await desk.deployed("1")
    node.outcomes["start_slot"] = pb.OUTCOME_FAILED
    rollout = (await desk.deployed("2", timeout_seconds=7.0)).rollout
    del node.outcomes["start_slot"]
    return rollout


class Call:
    """The context of a call. One that goes wrong raises in any case."""

    async def abort(self, *_: Any) -> None:
        return


async def retried(
    desk: Desk, rollout: str, request_id: str = "retry", question: int = 0
) -> op.RolloutReply:
    service: Any = OperatorService(desk.engine, desk.nodes, desk.store)
    request = op.AnswerRequest(
        request_id=request_id,
        rollout=rollout,
        answer="retry",
        answered_by="bob",
        comment="again",
        question=question,
    )
    return await service.Answer(request, Call())


async def test_it_is_the_same_release_with_the_same_settings(desk: Desk) -> None:
    rollout = await ended_badly(desk)
    reply = await desk.ended(retried(desk, rollout))
    assert reply.rollout != rollout
    assert desk.endings()[-1] == "succeeded"
    first, _, again = (r.event for r in desk.records() if r.kind == "Started")
    assert again.release.version == "2"
    assert again.spec.traffic.timeout_seconds == 7.0
    assert (again.requested_by, again.message) == ("bob", f"retry of {rollout}: again")
    assert first.spec != again.spec


async def test_of_one_that_was_forced_it_is_forced_too(desk: Desk) -> None:
    node = await desk.node("a")
    await desk.deployed("1")
    assert not (await desk.requests.deploy(desk.request("1", desk.spec()))).rollout
    node.outcomes["start_slot"] = pb.OUTCOME_FAILED
    forced = desk.request("1", desk.spec(), again=True)
    rollout = (await desk.ended(desk.requests.deploy(forced))).rollout
    del node.outcomes["start_slot"]
    reply = await desk.ended(retried(desk, rollout))
    assert reply.rollout not in ("", rollout)
    assert desk.endings() == ["succeeded", "rolled_back", "succeeded"]


async def test_the_same_request_retries_once(desk: Desk) -> None:
    rollout = await ended_badly(desk)
    first = await desk.ended(retried(desk, rollout))
    assert (await retried(desk, rollout)).rollout == first.rollout


async def test_a_retry_whose_answer_was_lost_is_not_another_one_once_the_rollout_has_succeeded(
    desk: Desk,
) -> None:
    await desk.node("a")
    rollout = (await desk.deploy("1", adapter="none", directory="")).rollout
    await desk.until(lambda: desk.kinds().count("Waiting") == 1)
    await desk.until(lambda: desk.state().rollout.waiting)
    assert (await retried(desk, rollout)).rollout == rollout
    await desk.until(lambda: desk.kinds().count("Waiting") == 2)
    await desk.until(lambda: desk.state().rollout.waiting)
    await desk.ended(desk.answered(rollout, "continue"))
    assert desk.endings() == ["succeeded"]
    assert (await retried(desk, rollout)).rollout == rollout
    assert desk.kinds().count("Answered") == 2


async def test_an_answer_to_a_question_begins_nothing_where_the_rollout_has_ended_meanwhile(
    desk: Desk,
) -> None:
    await desk.node("a")
    rollout = (await desk.deploy("1", adapter="none", directory="")).rollout
    await desk.until(lambda: desk.state().rollout.waiting)
    question = desk.state().rollout.waiting.id
    await desk.ended(desk.asked("abort", rollout, no_rollback=True))
    with pytest.raises(Refused, match="not asked any more: rollout r1 has ended") as refused:
        await retried(desk, rollout, question=question)
    assert refused.value.hint.endswith("to deploy it again: tidegate rollout retry r1")
    assert desk.kinds().count("Started") == 1
    assert (await retried(desk, rollout, "another")).rollout not in ("", rollout)


async def test_what_has_succeeded_or_was_a_rollback_is_not_retried(desk: Desk) -> None:
    await ended_badly(desk)
    with pytest.raises(Refused, match="rollout r1 has succeeded: there is nothing to retry"):
        await retried(desk, "r1")
    await desk.deployed("3")
    back = await desk.ended(desk.rollback())
    with pytest.raises(Refused, match="was a rollback") as refused:
        await retried(desk, back.rollout)
    assert refused.value.hint == "go back once more: tidegate rollback shop -e prod --to 1"


async def test_while_another_runs_it_is_refused_without_the_choices_of_deploy(desk: Desk) -> None:
    rollout = await ended_badly(desk)
    desk.agents["a"].outcomes["start_slot"] = SILENT
    await desk.deploy("3")
    with pytest.raises(Refused, match="r3 to version 3 is running.*; asked for by ada") as refused:
        await retried(desk, rollout)
    assert refused.value.hint == "wait for its end: tidegate rollout show r3 --watch"
