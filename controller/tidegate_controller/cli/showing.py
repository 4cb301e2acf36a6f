"""Shows a rollout while it happens: what all ways to do so share, and those without a terminal.

The way for terminals is `cli.live`. Called by `cli.follow`.
"""

import time
from datetime import datetime
from typing import Protocol

from tidegate_controller.cli.client import Client
from tidegate_controller.cli.feed import Feed
from tidegate_controller.cli.narrate import Narrator
from tidegate_controller.cli.phrases import seconds_of
from tidegate_controller.cli.picture import Picture
from tidegate_controller.cli.terminal import clock_time, say
from tidegate_controller.documents import FollowItem

TICK_SECONDS = 0.25
BEHIND_SECONDS = 0.5  # so long a view may stand still while more comes than can be shown
TOLD_EVERY_SECONDS = 10.0  # what is awaited, where nothing else is told


class View(Protocol):
    """Shows its picture to somebody. `stays`: also while a person is awaited."""

    picture: Picture
    stays: bool

    def took(self, item: FollowItem) -> None:
        """The picture has taken the item in."""

    def tick(self, now: float, *, lost: bool) -> None:
        """Time has passed. `now` by the controller's clock; `lost`: it does not answer."""

    def close(self) -> None:
        """Nothing more comes, or nobody looks any more."""


def watch(client: Client, rollout: str, view: View) -> bool:
    """Show the rollout from its beginning to its end. True when it waits for a person, and the
    view does not stay for that."""
    picture, ahead_seconds = view.picture, 0.0  # of this machine's clock before the controller's
    shown_at = 0.0
    with Feed(client.follow(rollout)) as feed:
        try:
            for item in feed.items(TICK_SECONDS):
                if item is not None:
                    ahead_seconds = time.time() - seconds_of(item.sent_at)
                    _take(picture, item)
                    view.took(item)
                if feed.idle or time.monotonic() - shown_at >= BEHIND_SECONDS:
                    view.tick(time.time() - ahead_seconds, lost=feed.lost)
                    shown_at = time.monotonic()
                leaves = item is None and picture.wait.awaits and not view.stays
                if leaves and _still_waits(client, rollout):
                    return True
        finally:
            view.close()
    return False


def _take(picture: Picture, item: FollowItem) -> None:
    if item.event is not None:
        picture.take(item.event)
    if item.progress is not None:
        picture.hear(item.progress)


def _still_waits(client: Client, rollout: str) -> bool:
    """The picture may be of a moment ago, and somebody has answered since."""
    return client.rollout(rollout).waiting_for is not None


class Quiet:
    """Shows nothing, for whoever wants the outcome alone."""

    stays = False

    def __init__(self, picture: Picture) -> None:
        self.picture = picture

    def took(self, item: FollowItem) -> None:
        """Nothing is shown."""

    def tick(self, now: float, *, lost: bool) -> None:
        """Nothing is shown."""

    def close(self) -> None:
        """Nothing was shown."""


class Lines:
    """Time-stamped lines, of what came after the cursor."""

    stays = False

    def __init__(self, picture: Picture, after_seq: int) -> None:
        self.picture = picture
        self._after_seq = after_seq
        self._narrator = Narrator(picture)
        self._told_at = time.monotonic()
        self._lost = False

    def took(self, item: FollowItem) -> None:
        event, news = item.event, item.progress
        if event is not None:
            lines = self._narrator.lines(event)
            if event.seq > self._after_seq:
                self._tell(clock_time(event.at), lines)
        if news is not None and (doing := self.picture.doing(news.action)):
            self._tell(clock_time(item.sent_at), self._narrator.heard(doing, news))

    def tick(self, now: float, *, lost: bool) -> None:
        stamp = datetime.fromtimestamp(now).astimezone().strftime("%H:%M:%S")
        if lost and not self._lost:
            self._tell(stamp, ["the controller does not answer; waiting for it"])
        elif self._lost and not lost:
            self._tell(stamp, ["the controller answers again"])
        self._lost = lost
        if not lost and time.monotonic() - self._told_at >= TOLD_EVERY_SECONDS:
            self._tell(stamp, self._narrator.meanwhile(now))

    def close(self) -> None:
        """All was told."""

    def _tell(self, stamp: str, lines: list[str]) -> None:
        for line in lines:
            say(f"{stamp}  {line}")
        if lines:
            self._told_at = time.monotonic()
