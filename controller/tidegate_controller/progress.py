"""How open commands get on, passed from the agents' sessions to whoever follows a rollout.

Kept in memory only, and only the last word of each action: it is news, not history.
"""

import asyncio
import contextlib
from collections.abc import Container, Iterator

from tidegate_controller.documents import ProgressView

WAITING_MAX = 1000  # news that one slow follower has not taken yet; then the oldest are dropped
ACTIONS_MAX = 10_000  # last words that are kept


class Board:
    """Who follows is told all that comes; who comes later begins with the last words."""

    def __init__(self) -> None:
        self._last: dict[str, ProgressView] = {}  # by action
        self._followers: set[asyncio.Queue[ProgressView]] = set()

    def publish(self, news: ProgressView) -> None:
        self._last.pop(news.action, None)
        self._last[news.action] = news
        while len(self._last) > ACTIONS_MAX:
            del self._last[next(iter(self._last))]
        for queue in self._followers:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(news)

    def forget(self, action: str) -> None:
        """The action has ended: its events say the rest."""
        self._last.pop(action, None)

    @contextlib.contextmanager
    def following(self, opened: Container[str]) -> Iterator[asyncio.Queue[ProgressView]]:
        """A queue of all that comes while the block runs, begun with the last words of the actions
        that are open."""
        queue: asyncio.Queue[ProgressView] = asyncio.Queue(WAITING_MAX)
        for news in [news for news in self._last.values() if news.action in opened][-WAITING_MAX:]:
            queue.put_nowait(news)
        self._followers.add(queue)
        try:
            yield queue
        finally:
            self._followers.discard(queue)
