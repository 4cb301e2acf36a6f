"""When a slot counts as healthy: the wait after a start, and the watch ever after."""

import asyncio
import dataclasses
from typing import Any

import pytest
from small_servers import BROKEN, OK, Server, free_port

from tidegate_agent.errors import ServiceError
from tidegate_agent.health import Check, Monitor, wait_healthy, watch
from tidegate_agent.health.http import Http


def check(url: str, **changes: Any) -> Check:
    usual = Check(
        Http(url),
        every_seconds=0.02,
        timeout_seconds=20,
        failures=3,
        healthy_after_seconds=0,
        deadline_seconds=30,
    )
    return dataclasses.replace(usual, **changes)


@pytest.mark.parametrize(
    "change",
    [
        {"every_seconds": 0},
        {"timeout_seconds": float("nan")},
        {"deadline_seconds": float("inf")},
        {"failures": 0},
        {"healthy_after_seconds": -1},
        {"start_grace_seconds": -1},
        {"start_grace_seconds": float("nan")},
    ],
)
def test_a_check_with_senseless_numbers_is_refused_by_name(change: dict[str, float]) -> None:
    with pytest.raises(ServiceError, match=next(iter(change))):
        check("http://127.0.0.1/", **change)


# --- The wait after a start ------------------------------------------------------------------


async def never() -> str:
    await asyncio.Event().wait()
    return ""


async def test_an_app_that_is_slow_to_listen_becomes_healthy() -> None:
    port = free_port()
    waiting = asyncio.create_task(wait_healthy(check(f"http://127.0.0.1:{port}/"), never()))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    server = await asyncio.start_server(Server().answer, "127.0.0.1", port)
    async with server:
        await waiting


async def test_it_must_stay_healthy_for_as_long_as_asked() -> None:
    loop = asyncio.get_running_loop()
    async with Server().running() as server:
        started = loop.time()
        await wait_healthy(check(server.url, healthy_after_seconds=0.3), never())
        assert loop.time() - started >= 0.3
    assert len(server.requests) >= 2


async def test_a_failure_in_between_starts_the_healthy_time_anew() -> None:
    class FailsOnce(Server):
        async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.data = BROKEN if len(self.requests) == 1 else OK
            times.append(loop.time())
            await super().answer(reader, writer)

    loop = asyncio.get_running_loop()
    times: list[float] = []
    async with FailsOnce().running() as server:
        await wait_healthy(check(server.url, healthy_after_seconds=0.3), never())
    assert loop.time() - times[2] >= 0.3


async def test_a_long_interval_delays_neither_the_first_success_nor_the_last() -> None:
    async with Server().running() as server:
        asked = check(server.url, every_seconds=3600, healthy_after_seconds=0.1)
        waiting = wait_healthy(asked, never())
        await asyncio.wait_for(waiting, 10)


async def test_an_app_that_never_gets_healthy_fails_at_the_deadline_with_the_last_reason() -> None:
    async with Server(BROKEN).running() as server:
        with pytest.raises(ServiceError) as failure:
            await wait_healthy(check(server.url, deadline_seconds=1), never())
    text = str(failure.value)
    assert text == f"not healthy within 1 s: last: GET {server.url} answered 500"


async def test_healthy_but_not_long_enough_is_said_at_the_deadline() -> None:
    async with Server().running() as server:
        asked = check(server.url, deadline_seconds=1, healthy_after_seconds=60)
        with pytest.raises(ServiceError, match=r"healthy, but for \d\.\d s of 60 s only"):
            await wait_healthy(asked, never())


async def test_a_first_probe_that_hangs_past_the_deadline_is_said() -> None:
    async with Server(b"", hold=True).running() as server:
        with pytest.raises(ServiceError, match="last: no check has ended yet"):
            await wait_healthy(check(server.url, deadline_seconds=0.3), never())


async def test_an_app_that_exits_fails_at_once_and_in_its_managers_words() -> None:
    async def exits() -> str:
        await asyncio.sleep(0.1)
        return "exited with code 3"

    async with Server(b"", hold=True).running() as server:
        with pytest.raises(ServiceError, match=r"^exited with code 3 after \d+\.\d s$"):
            await asyncio.wait_for(wait_healthy(check(server.url), exits()), 10)


async def test_a_task_given_as_exited_is_left_running_and_a_coroutine_is_not() -> None:
    cancelled = asyncio.Event()

    async def watch() -> str:
        try:
            return await never()
        finally:
            cancelled.set()

    async with Server().running() as server:
        given = asyncio.create_task(watch())
        await wait_healthy(check(server.url), given)
        assert not cancelled.is_set()
        given.cancel()
        await asyncio.wait({given})
        cancelled.clear()
        await wait_healthy(check(server.url, healthy_after_seconds=0.1), watch())
        assert cancelled.is_set()


async def test_a_cancelled_wait_leaves_no_task_behind() -> None:
    before = asyncio.all_tasks()
    url = f"http://127.0.0.1:{free_port()}/"
    waiting = asyncio.create_task(wait_healthy(check(url), never()))
    await asyncio.sleep(0.1)
    waiting.cancel()
    await asyncio.wait({waiting})
    assert waiting.cancelled()
    assert asyncio.all_tasks() == before


# --- The grace after a start -----------------------------------------------------------------


class Asked:
    """A kind that notes when it was asked, in the loop's seconds, and has one answer."""

    def __init__(self, problem: str | None = None) -> None:
        self.problem = problem
        self.times: list[float] = []

    async def ask(self, timeout_seconds: float) -> str | None:
        self.times.append(asyncio.get_running_loop().time())
        return self.problem


async def test_nothing_is_asked_before_the_start_grace_has_passed() -> None:
    kind, started = Asked(), asyncio.get_running_loop().time()
    await wait_healthy(check("http://x/", kind=kind, start_grace_seconds=0.3), never())
    assert kind.times[0] - started >= 0.3


async def test_the_start_grace_is_a_part_of_the_deadline() -> None:
    kind = Asked()
    asked = check("http://x/", kind=kind, start_grace_seconds=60, deadline_seconds=0.3)
    with pytest.raises(ServiceError, match="not healthy within 0.3 s: last: nothing was asked yet"):
        await wait_healthy(asked, never())
    assert kind.times == []


async def test_an_app_that_exits_in_its_start_grace_fails_at_once() -> None:
    async def exits() -> str:
        return "exited with code 3"

    asked = check("http://x/", start_grace_seconds=3600, deadline_seconds=7200)
    with pytest.raises(ServiceError, match="^exited with code 3 after"):
        await asyncio.wait_for(wait_healthy(asked, exits()), 10)


async def recovery(just_started: bool, start_grace_seconds: float) -> Asked:
    kind, recovered = Asked(), asyncio.Event()
    asked = check("http://x/", kind=kind, start_grace_seconds=start_grace_seconds)
    monitor = Monitor(asked, lambda *_: recovered.set(), healthy=False)
    running = asyncio.create_task(monitor.run(just_started))
    await asyncio.wait_for(recovered.wait(), 10)
    running.cancel()
    await asyncio.wait({running})
    return kind


async def test_the_monitor_of_an_app_that_was_started_again_leaves_it_its_grace_too() -> None:
    started = asyncio.get_running_loop().time()
    kind = await recovery(just_started=True, start_grace_seconds=0.3)
    assert kind.times[0] - started >= 0.3


async def test_the_monitor_of_an_app_that_runs_leaves_it_no_grace() -> None:
    kind = await recovery(just_started=False, start_grace_seconds=3600)
    assert len(kind.times) == 2


# --- The watch ever after --------------------------------------------------------------------


def noted(healthy: bool = True) -> tuple[Monitor, list[tuple[bool, str]]]:
    flips: list[tuple[bool, str]] = []
    asked = check("http://127.0.0.1/")
    return Monitor(asked, lambda now, detail: flips.append((now, detail)), healthy), flips


def test_only_as_many_failures_in_a_row_as_asked_make_it_unhealthy() -> None:
    monitor, flips = noted()
    for problem in ("a", "b", None, "c", "d"):
        monitor.note(problem)
    assert (monitor.healthy, flips) == (True, [])
    monitor.note("e")
    monitor.note("f")
    assert (monitor.healthy, flips) == (False, [(False, "e")])


def test_two_successes_in_a_row_make_it_healthy_again() -> None:
    monitor, flips = noted(healthy=False)
    for problem in (None, "a", None):
        monitor.note(problem)
    assert flips == []
    monitor.note(None)
    monitor.note(None)
    assert (monitor.healthy, flips) == (True, [(True, "healthy again")])


async def test_the_monitor_reports_both_flips_of_a_real_server() -> None:
    flips: asyncio.Queue[tuple[bool, str]] = asyncio.Queue()
    async with Server(BROKEN).running() as server:
        monitor = Monitor(check(server.url), lambda *flip: flips.put_nowait(flip))
        running = asyncio.create_task(monitor.run())
        assert await asyncio.wait_for(flips.get(), 10) == (
            False,
            f"GET {server.url} answered 500",
        )
        server.data = OK
        assert await asyncio.wait_for(flips.get(), 10) == (True, "healthy again")
        running.cancel()
        await asyncio.wait({running})
    assert running.cancelled()
    assert flips.empty()


async def test_errors_of_probe_and_callback_do_not_end_the_monitor(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    flips: asyncio.Queue[tuple[bool, str]] = asyncio.Queue()
    outcomes: list[Exception | None] = [RuntimeError("bug"), RuntimeError("bug")]

    async def fake(_check: Check) -> str | None:
        if outcomes and (outcome := outcomes.pop(0)) is not None:
            raise outcome
        return None

    def report(now: bool, detail: str) -> None:
        flips.put_nowait((now, detail))
        raise RuntimeError("nobody listens")

    monkeypatch.setattr(watch, "probe", fake)
    monitor = Monitor(check("http://127.0.0.1/", failures=2), report)
    running = asyncio.create_task(monitor.run())
    first = await asyncio.wait_for(flips.get(), 10)
    assert first == (False, "the check itself failed: RuntimeError('bug')")
    assert await asyncio.wait_for(flips.get(), 10) == (True, "healthy again")
    assert not running.done()
    running.cancel()
    await asyncio.wait({running})
    assert "failed by itself" in caplog.text
