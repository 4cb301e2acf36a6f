"""Decisions are made once more from what the log has, and whatever would differ now is shown."""

from pathlib import Path
from typing import Any

import pytest
from test_golden_log import RECORDS
from without_doors import Desk

from tidegate_controller.cli.replay import replay_lines
from tidegate_controller.core import events as ev
from tidegate_controller.core import inputs as i
from tidegate_controller.core import types as t
from tidegate_controller.core.changes import replace
from tidegate_controller.core.decide import decide
from tidegate_controller.errors import Refused, UsageError
from tidegate_controller.log import read_log
from tidegate_controller.replay import replay_file, replay_records, replay_rollout
from tidegate_protos.v1 import agent_pb2 as pb


async def with_a_past(desk: Desk) -> None:
    """r1, r2 and r4 succeeded, r3 was undone, r5 is a rollback; another app has r6."""
    for name in "ab":
        await desk.node(name)
    for version in "12":
        await desk.deployed(version, nodes=("a", "b"))
    desk.agents["b"].outcomes["start_slot"] = pb.OUTCOME_FAILED
    await desk.deployed("3", nodes=("a", "b"))
    desk.agents["b"].outcomes.clear()
    await desk.deployed("4", nodes=("a", "b"))
    await desk.ended(desk.rollback())
    await desk.deployed("7", app="blog", nodes=("b",))
    assert desk.endings() == ["succeeded", "succeeded", "rolled_back", "succeeded", "succeeded"]


def otherwise(state: t.State, input_: i.Input, now: float) -> tuple[ev.Event, ...]:
    """A tomorrow in which every action has ten seconds more."""

    def later(event: ev.Event) -> ev.Event:
        if not isinstance(event, ev.ActionIssued):
            return event
        return ev.ActionIssued(action=replace(event.action, deadline=event.action.deadline + 10.0))

    return tuple(map(later, decide(state, input_, now)))


async def test_code_that_has_not_changed_decides_as_it_did(desk: Desk) -> None:
    await with_a_past(desk)
    view = replay_file(desk.log.path)
    assert (view.different, view.unrecorded, view.differences) == (0, 0, [])
    causes = [record for record in read_log(desk.log.path, 0, 10_000) if record.cause]
    assert view.decisions == len(causes) > 50


async def test_that_holds_over_lives_of_the_controller(desk: Desk) -> None:
    node = await desk.node("a")
    await desk.deployed("1")
    for version in "23":
        await desk.stop()
        await desk.start()
        await node.join()
        await desk.deployed(version)
    assert replay_file(desk.log.path).different == 0


def test_a_log_without_inputs_leaves_nothing_to_decide() -> None:
    view = replay_records(RECORDS)
    assert (view.decisions, view.different) == (0, 0)
    own = sum(record.stream in ("controller", "fleet") for record in RECORDS)
    assert view.unrecorded == len(RECORDS) - own


async def test_one_rollout_is_only_its_own_decisions(desk: Desk) -> None:
    await with_a_past(desk)
    place = desk.engine.place_of("r3")
    view = replay_rollout(desk.log.path, place.stream, "r3", otherwise)
    assert view.rollout == "r3"
    assert 0 < view.different < view.decisions
    versions = [difference.version for difference in view.differences]
    next_one = desk.engine.place_of("r4").version
    assert place.version <= versions[0] <= versions[-1] < next_one
    assert {difference.stream for difference in view.differences} == {"shop@prod"}
    whole = replay_file(desk.log.path, decide_=otherwise)
    assert whole.different > view.different
    assert replay_file(desk.log.path, "r3", otherwise) == view


async def test_a_rollout_that_goes_on_is_looked_at_as_far_as_it_is(desk: Desk) -> None:
    node = await desk.node("a")
    node.outcomes["start_slot"] = None
    await desk.deploy("1")
    await desk.until(lambda: "start_slot" in node.works())
    view = replay_rollout(desk.log.path, "shop@prod", "r1")
    assert view.decisions > 2
    assert view.different == 0


async def test_of_one_that_has_only_waited_for_its_turn_there_is_nothing_to_replay(
    desk: Desk,
) -> None:
    node = await desk.node("a")
    node.outcomes["start_slot"] = None
    await desk.deploy("1")
    await desk.requests.deploy(desk.request("2", desk.spec(), queue=True))

    def refused() -> list[tuple[str, str]]:
        found = []
        for ask in (
            lambda: replay_rollout(desk.log.path, "shop@prod", "r2"),
            lambda: replay_file(desk.log.path, "r2"),
        ):
            with pytest.raises(Refused) as why:
                ask()
            found.append((why.value.message, why.value.hint))
        return found

    waits = "rollout r2 has not begun yet, so there is nothing to replay"
    never = "rollout r2 never began, so there is nothing to replay"
    hints = ["what became of it: tidegate rollout show r2", "all of it: --all"]
    assert refused() == [(waits, hint) for hint in hints]
    await desk.asked("abort", "r2")
    assert refused() == [(never, hint) for hint in hints]


async def test_a_decision_that_would_be_another_is_shown_to_be_read(desk: Desk) -> None:
    await with_a_past(desk)
    view = replay_rollout(desk.log.path, "shop@prod", "r1", otherwise)
    first = view.differences[0]
    assert first.input == "Deploy"
    assert [event["type"] for event in first.recorded][:2] == ["Started", "StepEntered"]
    assert first.recorded != first.decided
    lines = replay_lines(view)
    assert lines[0].startswith(f"{view.decisions} decisions of rollout r1 made once more: ")
    said = [line.strip() for line in lines]
    assert any(line.startswith('-  "deadline": ') for line in said)
    assert any(line.startswith('+  "deadline": ') for line in said)


@pytest.mark.parametrize(
    ("error", "said"),
    [(Refused("not today", "tomorrow"), "refused: not today"), (KeyError("x"), "an error: KeyEr")],
)
async def test_a_refusal_or_an_error_in_its_place_is_a_difference(
    desk: Desk, error: Exception, said: str
) -> None:
    await desk.node("a")
    await desk.deployed("1")

    def fails(state: t.State, input_: i.Input, now: float) -> tuple[ev.Event, ...]:
        if isinstance(input_, i.Deploy):
            raise error
        return decide(state, input_, now)

    view = replay_rollout(desk.log.path, "shop@prod", "r1", fails)
    (difference,) = view.differences
    assert difference.instead is not None
    assert difference.instead.startswith(said)
    assert any(said in line for line in difference.diff)


async def test_of_many_differences_only_the_first_are_shown(desk: Desk) -> None:
    await with_a_past(desk)

    def nothing(*_: Any) -> tuple[ev.Event, ...]:
        return ()

    view = replay_file(desk.log.path, decide_=nothing)
    assert view.different == view.decisions
    assert len(view.differences) == 20
    assert replay_lines(view)[-1] == f"and {view.different - 20} more"


async def test_a_rollout_that_there_is_not_is_said(desk: Desk, tmp_path: Path) -> None:
    await desk.node("a")
    await desk.deployed("1")
    with pytest.raises(UsageError, match="there is no rollout r9"):
        replay_file(desk.log.path, "r9")
