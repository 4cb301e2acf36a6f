"""What the controller says of a rollout, taken in beside the drawing of it. Used by `follow`."""

import queue
import threading
from collections.abc import Iterator

from tidegate_controller.cli.reading import Reading
from tidegate_controller.documents import FollowItem

QUEUE_MAX = 10_000  # items that the drawing may be behind
PUT_SECONDS = 0.5

Said = FollowItem | BaseException | None  # None: the stream has ended


class Feed:
    """Reads in a thread of its own, from `with` on. What goes wrong there is raised by `items`."""

    def __init__(self, reading: Reading[FollowItem]) -> None:
        self._reading = reading
        self._said: queue.Queue[Said] = queue.Queue(QUEUE_MAX)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._read, name="feed", daemon=True)

    def __enter__(self) -> "Feed":
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

    def items(self, tick_seconds: float) -> Iterator[FollowItem | None]:
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

    def _put(self, said: Said) -> None:
        while not self._closed.is_set():
            try:
                self._said.put(said, timeout=PUT_SECONDS)
            except queue.Full:
                continue
            return
