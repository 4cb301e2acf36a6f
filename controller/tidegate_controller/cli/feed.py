"""What the controller says as things happen, taken in beside the showing of it. Used by `showing`,
for a rollout, and by `cleaning`."""

import queue
import threading
from collections.abc import Iterator
from typing import Generic

from tidegate_controller.cli.reading import D, Reading

QUEUE_MAX = 10_000  # items that the drawing may be behind
PUT_SECONDS = 0.5


class Feed(Generic[D]):
    """Reads in a thread of its own, from `with` on. What goes wrong there is raised by `items`."""

    def __init__(self, reading: Reading[D]) -> None:
        self._reading = reading
        # None: the stream has ended.
        self._said: queue.Queue[D | BaseException | None] = queue.Queue(QUEUE_MAX)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._read, name="feed", daemon=True)

    def __enter__(self) -> "Feed[D]":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._reading.cancel()
        self._thread.join()

    @property
    def lost(self) -> bool:
        """Whether the controller is away right now."""
        return self._reading.lost

    @property
    def idle(self) -> bool:
        """Whether all that has come was taken."""
        return self._said.empty()

    def items(self, tick_seconds: float) -> Iterator[D | None]:
        """What comes, to the end; None where nothing has come for so long."""
        while True:
            try:
                said = self._said.get(timeout=tick_seconds)
            except queue.Empty:
                yield None
                continue
            if said is None:
                return
            if isinstance(said, BaseException):
                raise said
            yield said

    def _read(self) -> None:
        try:
            for item in self._reading:
                self._put(item)
        except Exception as error:
            self._put(error)
        else:
            self._put(None)

    def _put(self, said: D | BaseException | None) -> None:
        while not self._closed.is_set():
            try:
                self._said.put(said, timeout=PUT_SECONDS)
            except queue.Full:
                continue
            return
