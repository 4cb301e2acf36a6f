"""The shell with a balancer that a command moves: whose word is taken, and what a failure tells."""

import asyncio
from pathlib import Path

import pytest
from core_values import SPEC, place

from tidegate_controller import balancer_look
from tidegate_controller.cli.client import CALL_SECONDS
from tidegate_controller.core import types as t
from tidegate_controller.core.changes import replace
from tidegate_controller.core.inputs import Input, Result
from tidegate_controller.core.spec import Traffic
from tidegate_controller.effects import Effects
from tidegate_controller.engine import RECONNECT_GRACE_SECONDS
from tidegate_controller.errors import Refused
from tidegate_controller.outside import WORLD

BLUE = place("a/blue")


def move(tmp_path: Path, name: str, text: str) -> Traffic:
    path = tmp_path / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return Traffic(adapter="exec", command=(str(path),))


async def ended(state: t.State, verb: t.Verb, traffic: Traffic) -> Result:
    """How an effect on the balancer ends that is to move traffic to `BLUE`."""
    results: list[Input] = []

    async def submit(_: str, input_: Input) -> t.State:
        results.append(input_)
        return state

    work = t.Work(verb=verb, at=t.CONTROLLER, weights={BLUE: 100}, traffic=traffic)
    action = t.Action(id="x", fence=(1, 1), step="s", index=0, work=work, deadline=60.0)
    async with asyncio.TaskGroup() as tasks:
        effects = Effects(submit)
        effects.use(tasks)
        effects.start("shop@prod", state, action)
    (result,) = results
    assert isinstance(result, Result)
    return result


def served_by(traffic: Traffic) -> t.State:
    """Traffic goes to `BLUE`, moved there by this command."""
    known = t.Known(running=True, healthy=True, address="127.0.0.1:8001")
    return t.State(
        spec=replace(SPEC, traffic=traffic),
        places={BLUE: known},
        settled={BLUE: 100},
        routed={BLUE: "127.0.0.1:8001"},
    )


def reads(answer: str) -> str:
    return f"[ $1 != read ] || echo '{answer}'"


async def test_a_look_at_a_balancer_leaves_its_command_the_time_that_it_may_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(balancer_look, "LOOK_SECONDS", 0.0)
    slow = move(tmp_path, "slow", "sleep 0.2; " + reads('{"127.0.0.1:8001": 1}'))
    assert await balancer_look.balancer_trouble(served_by(slow)) is None
    stuck = replace(move(tmp_path, "stuck", "sleep 60"), timeout_seconds=0.2)
    trouble = await balancer_look.balancer_trouble(served_by(stuck))
    assert trouble is not None
    assert "stuck read did not end within" in trouble.message


async def test_whoever_asks_does_not_wait_for_a_balancer_longer_than_for_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = balancer_look.LOOK_SECONDS_MAX + RECONNECT_GRACE_SECONDS / 2
    assert waited < CALL_SECONDS
    monkeypatch.setattr(balancer_look, "LOOK_SECONDS_MAX", 0.2)
    slow = replace(move(tmp_path, "slow", "sleep 60"), timeout_seconds=120.0)
    trouble = await balancer_look.balancer_trouble(served_by(slow))
    assert trouble is not None
    assert "the balancer did not answer within" in trouble.message
    with pytest.raises(Refused, match="so nobody knows where traffic goes"):
        await balancer_look.read_balancer(served_by(slow), WORLD)


@pytest.mark.parametrize("verb", ["query", "route"])
async def test_traffic_is_moved_by_a_command(tmp_path: Path, verb: t.Verb) -> None:
    traffic = move(tmp_path, "lb", reads('{"127.0.0.1:8001": 1}'))
    assert (await ended(served_by(traffic), verb, traffic)).outcome == "ok"


async def test_the_end_of_what_a_command_said_goes_with_its_failure(tmp_path: Path) -> None:
    traffic = move(tmp_path, "lb", "echo one >&2; echo two >&2; exit 3")
    result = await ended(served_by(traffic), "route", traffic)
    assert result.outcome == "failed"
    assert result.error == f"{traffic.command[0]} check 1 exited with 3; it said: two"
    assert result.output_tail == "one\ntwo\n"


async def test_another_command_may_move_traffic_that_it_reads_where_it_was_moved(
    tmp_path: Path,
) -> None:
    before = move(tmp_path, "lb", "exit 9")
    now = move(tmp_path, "lb2", reads('{"127.0.0.1:8001": 1, "127.0.0.1:9": 0}'))
    assert (await ended(served_by(before), "query", now)).outcome == "ok"


@pytest.mark.parametrize(
    ("answer", "said"), [("{}", "goes to nobody"), ('{"b:1": 1}', "goes to b:1")]
)
async def test_another_command_that_moves_something_else_is_refused(
    tmp_path: Path, answer: str, said: str
) -> None:
    before = move(tmp_path, "lb", "exit 9")
    now = move(tmp_path, "lb2", reads(answer))
    result = await ended(served_by(before), "query", now)
    assert result.outcome == "failed"
    assert f"traffic was moved by {before.command[0]} so far" in result.error
    assert said in result.error


async def test_a_command_that_stayed_the_same_may_have_lost_its_traffic(tmp_path: Path) -> None:
    traffic = move(tmp_path, "lb", reads("{}"))
    assert (await ended(served_by(traffic), "query", traffic)).outcome == "ok"
