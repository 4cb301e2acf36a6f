"""When what a slot runs is started again, with a clock that jumps instead of tests that wait."""

import asyncio
import errno
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
from one_node import until

from tidegate_agent import keeper
from tidegate_agent.errors import AgentError, NodeError
from tidegate_agent.health import Check
from tidegate_agent.health.tcp import Tcp
from tidegate_agent.keeper import Keeper
from tidegate_agent.managers import Ended

CHECK = Check(
    kind=Tcp("127.0.0.1:1"),
    every_seconds=1e6,
    timeout_seconds=1.0,
    failures=1,
    healthy_after_seconds=0.0,
    deadline_seconds=1.0,
)


class Fake:
    """Something that runs until `crash`, and is healthy as long as that."""

    def __init__(self) -> None:
        self.running = asyncio.Event()
        self.running.set()
        self.ended = asyncio.Event()
        self.restarts = 0
        self.fails = False
        self.returns = False
        self.said: list[str] = []
        self.keeper = Keeper(self, True)

    async def runs(self) -> bool:
        return self.running.is_set()

    async def wait(self) -> Ended:
        await self.ended.wait()
        return Ended("exited with code 7", returns=self.returns)

    async def restart(self) -> None:
        self.restarts += 1
        if self.fails:
            raise OSError("no such luck")
        self.ended.clear()
        self.running.set()

    def check(self) -> Check:
        return CHECK

    def changed(self, healthy: bool | None, detail: str) -> None:
        self.said.append(detail)


@pytest.fixture
async def jump(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets the loop's time go on by so many seconds at once."""
    loop, passed = asyncio.get_running_loop(), [0.0]
    usual = loop.time
    monkeypatch.setattr(loop, "time", lambda: usual() + passed[0], raising=False)

    def go_on(seconds: float) -> None:
        passed[0] += seconds

    return go_on


async def crash(kept: Fake, jump: Callable[[float], None], healthy_seconds: float) -> str:
    """It is healthy for so long, then ends; what is said then. It runs again afterwards."""
    kept.keeper._flip(True, "healthy again")
    jump(healthy_seconds)
    restarts = kept.restarts
    kept.running.clear()
    kept.ended.set()
    await until(lambda: "exited" in kept.said[-1])
    said = kept.said[-1]
    jump(100.0)
    await until(lambda: kept.restarts > restarts)
    return said.rpartition(" in ")[2]


@pytest.fixture
async def kept() -> AsyncIterator[Fake]:
    fake = Fake()
    task = asyncio.create_task(fake.keeper.run())
    await asyncio.sleep(0)
    yield fake
    task.cancel()


async def test_the_pause_grows_and_goes_back_after_a_long_healthy_time(
    kept: Fake, jump: Callable[[float], None]
) -> None:
    said = [await crash(kept, jump, 5.0) for _ in range(7)]
    assert said == ["1 s", "2 s", "4 s", "8 s", "16 s", "30 s", "30 s"]
    assert await crash(kept, jump, keeper.RESTART_SECONDS_MAX + 1) == "1 s"
    assert await crash(kept, jump, 5.0) == "2 s"


async def test_time_in_ill_health_does_not_count_as_healthy(
    kept: Fake, jump: Callable[[float], None]
) -> None:
    assert await crash(kept, jump, 5.0) == "1 s"
    kept.keeper._flip(False, "GET http://x/ answered 500")
    jump(1000.0)
    assert await crash(kept, jump, 0.0) == "2 s"


async def test_a_restart_that_fails_is_tried_again(
    kept: Fake, jump: Callable[[float], None]
) -> None:
    kept.fails = True
    await crash(kept, jump, 5.0)
    await until(lambda: kept.said[-1] == "no such luck")
    jump(100.0)
    await until(lambda: kept.restarts == 2)


async def test_what_its_manager_starts_again_is_gone_on_with_and_no_pause_grows(
    kept: Fake, jump: Callable[[float], None]
) -> None:
    kept.returns = True
    for restarts in (1, 2, 3):
        kept.running.clear()
        kept.ended.set()
        await until(lambda: "exited" in "".join(kept.said[-1:]))
        assert kept.said[-1] == "exited with code 7; its manager starts it again"
        jump(keeper.RESTART_SECONDS_MIN + 0.1)
        await until(lambda: kept.restarts == restarts)  # noqa: B023
        kept.said.append("on it goes")
    kept.returns = False
    assert await crash(kept, jump, 5.0) == "1 s"


@pytest.mark.parametrize(
    "error",
    [
        NodeError("systemd cannot be asked on this node"),
        OSError(errno.EMFILE, "Too many open files"),
    ],
)
async def test_what_cannot_be_told_is_asked_again_and_not_taken_for_an_end(
    jump: Callable[[float], None], monkeypatch: pytest.MonkeyPatch, error: AgentError | OSError
) -> None:
    fake, asked = Fake(), 0

    async def fails() -> bool:
        nonlocal asked
        asked += 1
        raise error

    monkeypatch.setattr(fake, "runs", fails)
    task = asyncio.create_task(fake.keeper.run())
    await until(lambda: asked == 1)
    jump(keeper.RESTART_SECONDS_MIN + 0.1)
    await until(lambda: asked == 2)
    task.cancel()
    assert fake.said[0] == str(error)
    assert fake.restarts == 0


async def test_what_could_not_be_seen_for_a_while_is_known_to_be_well_again(
    jump: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the first check after that fails by itself."""
    fake, asked = Fake(), 0

    async def fails(_: float) -> str | None:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise OSError(errno.EMFILE, "Too many open files")
        return None

    async def unseen() -> bool:
        raise OSError(errno.EMFILE, "Too many open files")

    kind = Tcp("127.0.0.1:1")
    object.__setattr__(kind, "ask", fails)
    monkeypatch.setattr(fake, "check", lambda: replace(CHECK, kind=kind, failures=3))
    monkeypatch.setattr(fake, "runs", unseen)
    task = asyncio.create_task(fake.keeper.run())
    await until(lambda: len(fake.said) == 1)
    monkeypatch.setattr(fake, "runs", Fake().runs)
    jump(keeper.RESTART_SECONDS_MIN + 0.1)
    await until(lambda: asked == 1)
    jump(CHECK.every_seconds + 0.1)
    await until(lambda: fake.said[-1] == "healthy")
    task.cancel()
    assert fake.restarts == 0
