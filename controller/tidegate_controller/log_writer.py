"""Appends from many streams, grouped into one transaction while the disk is busy with the last;
and snapshots, between two of these."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from tidegate_controller.log import Batch, EventLog, Record
from tidegate_controller.snapshots import Snapshot

GROUP_MAX = 500  # decisions in one transaction


class LogWriter:
    """The only user of `EventLog.append`. After a failed append nothing is written any more."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._thread = ThreadPoolExecutor(1, "event-log")
        self._queue: asyncio.Queue[tuple[Batch, asyncio.Future[list[Record]]]] = asyncio.Queue()

    async def append(self, batch: Batch) -> list[Record]:
        """The records, durable. Cancelling the caller does not take back what was queued."""
        future: asyncio.Future[list[Record]] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait((batch, future))
        return await asyncio.shield(future)

    async def keep(self, snapshot: Snapshot) -> None:
        """Store it between two appends, while `run` does. Errors: `LogError`."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._log.keep, snapshot)

    async def run(self) -> None:
        """Write until cancelled. A failed append ends this with its `LogError`: a controller
        that cannot write must stop."""
        loop = asyncio.get_running_loop()
        with self._thread as thread:
            while True:
                group = [await self._queue.get()]
                while not self._queue.empty() and len(group) < GROUP_MAX:
                    group.append(self._queue.get_nowait())
                batches = [batch for batch, _ in group]
                try:
                    made = await loop.run_in_executor(thread, self._log.append, batches)
                except BaseException as error:
                    for _, future in group:
                        if not future.done():
                            future.set_exception(error)
                            future.exception()  # it is raised here, once; not again as a warning
                    await asyncio.sleep(0)  # who waits hears why, before all is taken down
                    raise
                for (_, future), records in zip(group, made, strict=True):
                    if not future.done():
                        future.set_result(records)
