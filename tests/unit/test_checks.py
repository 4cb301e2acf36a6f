"""Checks from the controller: pass, fail, or no verdict, which is never taken for a pass."""

import asyncio
import os
from pathlib import Path

import pytest
from small_servers import Server, answer_of

from tidegate_controller import checks
from tidegate_controller.core import types as t
from tidegate_controller.core.changes import replace
from tidegate_controller.core.spec import (
    Check,
    Health,
    Service,
    Settings,
    Spec,
    Traffic,
    UnitProbe,
)
from tidegate_controller.errors import AskPerson, CheckFailed

SETTINGS = Settings(service=Service(command=("serve",)), health=Health(probe=UnitProbe()))
ONCE = {"every_seconds": 1.0, "deadline_seconds": 0.5}
AGAIN = {"every_seconds": 0.01, "deadline_seconds": 5.0}


def state(check: Check) -> t.State:
    release = t.Release(
        version="2",
        revision=t.Revision(digest="sha256:2", config="c"),
        size_bytes=1,
        settings=SETTINGS,
    )
    spec = Spec(
        app="shop",
        environment="prod",
        nodes=("a", "b"),
        settings=SETTINGS,
        traffic=Traffic(adapter="none"),
        checks={"smoke": check},
    )
    rollout = t.Rollout(
        id="r7",
        kind="deploy",
        strategy="blue-green",
        release=release,
        previous=None,
        nodes=("a", "b"),
        absent={},
        spec=spec,
        before={},
        plan=(),
        dropped={"b": t.Dropped(why="away")},
    )
    return t.State(rollout=rollout)


async def put(**check: object) -> None:
    await checks.run("shop@prod", state(Check(**{**ONCE, **check})), "smoke")


def script(tmp_path: Path, text: str) -> tuple[str, ...]:
    path = tmp_path / "smoke"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return (str(path),)


# --- Programs ------------------------------------------------------------------------------------


async def test_a_program_is_told_which_nodes_serve_with_the_release_by_now(tmp_path: Path) -> None:
    told = tmp_path / "told"
    check = Check(
        command=script(tmp_path, f'echo "$TIDEGATE_NODES: $TIDEGATE_DONE_NODES" > {told}')
    )
    before = state(check)
    assert before.rollout is not None
    new = t.Known(revision=before.rollout.release.revision, running=True)
    old = t.Known(revision=t.Revision(digest="sha256:1", config="c"), running=True)
    places = {t.Place("a/green"): new, t.Place("b/blue"): old, t.Place("c/green"): new}
    rollout = replace(before.rollout, nodes=("a", "b", "c", "d"), dropped={})
    settled = {t.Place("a/green"): 100, t.Place("b/blue"): 100}
    after = replace(before, rollout=rollout, places=places, settled=settled)
    await checks.run("shop@prod", after, "smoke")
    assert told.read_text() == "a b c d: a\n"


async def test_a_program_that_exits_with_0_is_a_pass(tmp_path: Path) -> None:
    await put(command=script(tmp_path, "exit 0"))


async def test_a_program_that_exits_with_1_is_a_fail_with_the_end_of_what_it_said(
    tmp_path: Path,
) -> None:
    with pytest.raises(CheckFailed, match="smoke exited with 1; it said: 3 of 20 orders lost") as e:
        await put(command=script(tmp_path, "echo looking; echo '3 of 20 orders lost' >&2; exit 1"))
    assert e.value.output_tail == "looking\n3 of 20 orders lost\n"


@pytest.mark.parametrize("text", ["exit 2", "kill -9 $$", "exec sleep 60"])
async def test_any_other_end_is_no_verdict(tmp_path: Path, text: str) -> None:
    with pytest.raises(AskPerson, match="the check smoke gave no verdict"):
        await put(command=script(tmp_path, text), timeout_seconds=0.5)


async def test_a_program_that_is_not_there_is_no_verdict() -> None:
    with pytest.raises(AskPerson, match="there is no program '/nowhere/smoke'"):
        await put(command=("/nowhere/smoke",))


async def test_no_verdict_is_asked_for_again_until_there_is_one(tmp_path: Path) -> None:
    count = tmp_path / "count"
    text = f'echo x >> {count}; [ "$(wc -l < {count})" -ge 3 ] && exit 0; exit 75'
    await put(command=script(tmp_path, text), **AGAIN)
    assert count.read_text() == "x\n" * 3


async def test_a_fail_is_not_asked_for_again(tmp_path: Path) -> None:
    count = tmp_path / "count"
    with pytest.raises(CheckFailed):
        await put(command=script(tmp_path, f"echo x >> {count}; exit 1"), **AGAIN)
    assert count.read_text() == "x\n"


async def test_a_program_is_told_what_it_is_about(tmp_path: Path) -> None:
    told = tmp_path / "told"
    await put(command=script(tmp_path, f"env | grep ^TIDEGATE_ | sort > {told}"))
    assert told.read_text().splitlines() == [
        "TIDEGATE_APP=shop",
        "TIDEGATE_DIGEST=sha256:2",
        "TIDEGATE_DONE_NODES=",
        "TIDEGATE_ENVIRONMENT=prod",
        "TIDEGATE_NODES=a",
        "TIDEGATE_PREVIOUS=",
        "TIDEGATE_ROLLOUT=r7",
        "TIDEGATE_VERSION=2",
    ]


async def test_nothing_of_a_program_goes_on_once_its_check_was_given_up(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    text = f"sleep 300 & echo $! > {pids}.tmp; mv {pids}.tmp {pids}; wait"
    check = {"command": script(tmp_path, text), "timeout_seconds": 300.0}
    asking = asyncio.create_task(put(**check))
    async with asyncio.timeout(10):
        while not pids.exists():
            await asyncio.sleep(0.01)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    with pytest.raises(ProcessLookupError):
        os.kill(int(pids.read_text()), 0)


# --- Requests ------------------------------------------------------------------------------------


async def test_an_answer_that_is_wanted_is_a_pass() -> None:
    async with Server(answer_of("all is well")).running() as server:
        await put(http=server.url)
        await put(http=server.url, body="is well")


async def test_an_answer_without_what_it_has_to_hold_is_a_fail() -> None:
    async with Server(answer_of("maintenance")).running() as server:
        with pytest.raises(CheckFailed, match="answered 200, without 'is well' in it") as raised:
            await put(http=server.url, body="is well")
    assert raised.value.output_tail == "maintenance"


async def test_what_an_answer_has_to_hold_may_come_in_a_later_piece_of_it() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nall \r\n"
    async with Server(head, later=b"7\r\nis well\r\n0\r\n\r\n").running() as server:
        await put(http=server.url, body="is well")


@pytest.mark.parametrize("status", ["500 Oh", "404 Not Found", "302 Found"])
async def test_an_answer_that_is_not_wanted_is_a_fail(status: str) -> None:
    async with Server(answer_of("", status)).running() as server:
        with pytest.raises(CheckFailed, match=f"answered {status[:3]}"):
            await put(http=server.url)


@pytest.mark.parametrize("status", ["503 Later", "429 Slow down", "504 Late"])
async def test_who_cannot_say_at_the_moment_gives_no_verdict(status: str) -> None:
    async with Server(answer_of("", status)).running() as server:
        with pytest.raises(AskPerson, match=f"answered {status[:3]}"):
            await put(http=server.url)


async def test_a_status_that_is_wanted_is_a_pass_whatever_it_says_otherwise() -> None:
    async with Server(answer_of("", "503 Later")).running() as server:
        await put(http=server.url, status=("503",))


async def test_silence_is_no_verdict() -> None:
    async with Server(b"", hold=True).running() as server:
        with pytest.raises(AskPerson, match="did not answer"):
            await put(http=server.url, timeout_seconds=0.2)
    with pytest.raises(AskPerson, match="did not answer"):
        await put(http=server.url)  # nobody is there any more


# --- What is said of them ------------------------------------------------------------------------


async def test_what_a_query_holds_is_said_nowhere() -> None:
    """It may be a token, and what is said goes into the log."""
    for said in (answer_of("", "500 Oh"), answer_of("", "503 Later"), b"nonsense\r\n\r\n"):
        async with Server(said).running() as server:
            with pytest.raises((CheckFailed, AskPerson)) as raised:
                await put(http=f"{server.url}?token=s3cret#s3cret")
        assert f"{server.url} " in str(raised.value)
        assert "s3cret" not in str(raised.value)
    with pytest.raises(AskPerson) as unasked:
        await put(http="http://[::1?token=s3cret")
    assert "s3cret" not in str(unasked.value)


@pytest.mark.parametrize("text", ["exit 1", "exit 2", "sleep 9"])
async def test_what_a_program_is_given_is_said_nowhere(tmp_path: Path, text: str) -> None:
    (program,) = script(tmp_path, text)
    with pytest.raises((CheckFailed, AskPerson)) as raised:
        await put(command=(program, "--token", "s3cret"), timeout_seconds=0.5)
    assert f"{program} " in str(raised.value)
    assert "s3cret" not in str(raised.value)
