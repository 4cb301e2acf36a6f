"""Many streams append through one writer: grouped, in order, and all or nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from tidegate_controller.core import events as ev
from tidegate_controller.log import Batch, EventLog, LogError, read_log
from tidegate_controller.log_writer import GROUP_MAX, LogWriter


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[EventLog]:
    log = EventLog(tmp_path / "events.db")
    yield log
    log.close()


@pytest.fixture
async def writer(log: EventLog) -> AsyncIterator[LogWriter]:
    writer = LogWriter(log)
    running = asyncio.create_task(writer.run())
    yield writer
    running.cancel()
    with suppress(asyncio.CancelledError, LogError):
        await running


def batch(stream: str, node: str, expected_version: int = 0) -> Batch:
    return Batch(stream, expected_version, "now", 1.0, (ev.NodeLeft(node=node),), None)


async def test_each_gets_its_own_records(writer: LogWriter) -> None:
    batches = [batch(f"shop-{number}@prod", f"n{number}") for number in range(GROUP_MAX + 10)]
    made = await asyncio.gather(*map(writer.append, batches))
    assert [records[0].stream for records in made] == [batch.stream for batch in batches]
    assert [records[0].seq for records in made] == list(range(1, GROUP_MAX + 11))


async def test_who_is_cancelled_takes_nothing_back(writer: LogWriter, log: EventLog) -> None:
    asked = asyncio.create_task(writer.append(batch("shop@prod", "a")))
    await asyncio.sleep(0)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    await writer.append(batch("shop@prod", "b", expected_version=1))
    assert [record.event.node for record in read_log(log.path, 0, 10)] == ["a", "b"]


async def test_a_failure_reaches_all_who_wait_and_ends_the_writer(log: EventLog) -> None:
    writer = LogWriter(log)
    asked = [
        asyncio.create_task(writer.append(batch("shop@prod", "a", expected_version=5))),
        asyncio.create_task(writer.append(batch("blog@prod", "b"))),
    ]
    await asyncio.sleep(0)
    with pytest.raises(LogError, match="shop@prod is at version 0, not at 5"):
        await writer.run()
    heard = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(error) for error in heard] == [LogError, LogError]
    assert read_log(log.path, 0, 10) == []
