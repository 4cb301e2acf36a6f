"""How open commands get on, passed from the agents' sessions to whoever follows a rollout.

Kept in memory only, the last word of each action and the end of its script's output: it is news,
not history.
"""

import asyncio
import contextlib
from collections.abc import Container, Iterator

from tidegate_controller.documents import ProgressView

WAITING_MAX = 1000  # news that one slow follower has not taken yet; then the oldest are dropped
ACTIONS_MAX = 10_000  # last words that are kept
SAID_CHARS = 2000  # of a script's output that are kept of each


class Board:
    """Who follows is told all that comes; who comes later begins with the last words."""

    def __init__(self) -> None:
        self._last: dict[str, ProgressView] = {}  # by action
        self._said: dict[str, str] = {}  # action -> the end of what its script wrote
        self._followers: set[asyncio.Queue[ProgressView]] = set()

    def publish(self, news: ProgressView) -> None:
        self._last.pop(news.action, None)
        self._last[news.action] = news
        if "\n" in news.text:  # lines of a script; else it is what the command is at
            self._said[news.action] = (self.said(news.action) + news.text)[-SAID_CHARS:]
        while len(self._last) > ACTIONS_MAX:
            oldest = next(iter(self._last))
            del self._last[oldest]
            self._said.pop(oldest, None)
        for queue in self._followers:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(news)

    def forget(self, action: str) -> None:
        """The action has ended: its events say the rest."""
        self._last.pop(action, None)
        self._said.pop(action, None)

    def said(self, action: str) -> str:
        """The end of what the action's script has written so far, as far as it was heard."""
        return self._said.get(action, "")

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
