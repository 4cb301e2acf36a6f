"""The load client in a thread of its own, so that it goes on whatever the demo waits for."""

import asyncio
import threading
from typing import NamedTuple

from tidegate_controller.demo.load import Load


class Count(NamedTuple):
    served: int
    failed: int


class BackgroundLoad:
    """Starts on `start`, counts until `stop`."""

    def __init__(self, url: str, requests_per_second: float, connections: int) -> None:
        self.load = Load(url, requests_per_second, connections)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self.load.stop)
        self._thread.join()

    def count(self) -> Count:
        return Count(self.load.served, self.load.failed)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self.load.run())
