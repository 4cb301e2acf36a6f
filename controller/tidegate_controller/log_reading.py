"""The log as it is read by whoever follows it: from a cursor on, and as it grows.

Called by `operator_service`.
"""

import asyncio
from collections.abc import AsyncIterator

from tidegate_controller.core import events as ev
from tidegate_controller.documents import ProgressView
from tidegate_controller.engine import Engine
from tidegate_controller.log import Record, read_log, read_stream

CHUNK = 500  # records read from the log at a time


async def of_all(engine: Engine, after_seq: int, *, follow: bool) -> AsyncIterator[Record]:
    """Of all streams; with `follow` it goes on as they come."""
    path, cursor = engine.log.path, after_seq
    while True:
        records = await asyncio.to_thread(read_log, path, cursor, CHUNK)
        for record in records:
            yield record
            cursor = record.seq
        if not records:
            if not follow:
                return
            await engine.wait_for_append(cursor)


async def of_rollout(
    engine: Engine, rollout: str, after_seq: int, *, follow: bool
) -> AsyncIterator[Record]:
    """From its Started to its Ended, and what else happened in its stream meanwhile. While it
    waits for its turn that is nothing of others, but a restore, which ends it."""
    place = engine.place_of(rollout)
    path, version, begun = engine.log.path, place.version - 1, False
    while True:
        last_seq = engine.log.last_seq
        records = await asyncio.to_thread(read_stream, path, place.stream, version, CHUNK)
        for record in records:
            version, event = record.version, record.event
            about = getattr(event, "rollout", "") == rollout
            begun = begun or (about and isinstance(event, ev.Started))
            dropped = not begun and isinstance(event, ev.Restored)
            if record.seq > after_seq and (begun or about or dropped):
                yield record
            if dropped or (about and isinstance(event, ev.Ended | ev.Unqueued)):
                return
        if not records:
            if not follow:
                return
            await engine.wait_for_append(last_seq)


async def interleaved(
    records: AsyncIterator[Record], news: asyncio.Queue[ProgressView]
) -> AsyncIterator[Record | ProgressView]:
    """Both as they come, until the records end."""
    reading = asyncio.ensure_future(anext(records, None))
    hearing = asyncio.ensure_future(news.get())
    try:
        while True:
            await asyncio.wait({reading, hearing}, return_when=asyncio.FIRST_COMPLETED)
            if hearing.done():
                yield hearing.result()
                hearing = asyncio.ensure_future(news.get())
            if reading.done():
                record = reading.result()
                if record is None:
                    return
                yield record
                reading = asyncio.ensure_future(anext(records, None))
    finally:
        for task in (reading, hearing):
            task.cancel()
        await asyncio.gather(reading, hearing, return_exceptions=True)
