"""Draws on the terminal, again and again in place: rollouts that are followed, `status --watch`.

Imported only where somebody looks at a terminal, since rich takes its time.
"""

import signal
import time
from collections.abc import Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from tidegate_controller.cli import end_terminated
from tidegate_controller.cli.phrases import listed, tail
from tidegate_controller.cli.picture import Picture
from tidegate_controller.cli.terminal import say, say_wrapped
from tidegate_controller.cli.tree import MARKS, PLAIN_MARKS, Tree
from tidegate_controller.documents import FollowItem

DRAWN_EVERY_SECONDS = 0.1
HEIGHT_MAX = 10_000  # of what is left standing: no terminal bounds that
FAILURES_SHOWN = 3
TAIL_LINES = 10


class Screen:
    """A part of the terminal that is drawn anew in place. Lines are cut at its width."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._unicode = "utf" in self._console.encoding.lower()
        self._live = Live(console=self._console, auto_refresh=False, vertical_overflow="crop")
        self._drawn: list[Text] = []
        self._width = self._console.width
        self._before = signal.getsignal(signal.SIGTERM)
        signal.signal(signal.SIGTERM, end_terminated)  # so that the cursor comes back
        self._live.start()

    @property
    def unicode(self) -> bool:
        """Whether it can show more than ASCII."""
        return self._unicode

    @property
    def size(self) -> tuple[int, int]:
        """How many columns and lines there is room for."""
        return self._console.width, self._console.height - 1

    def draw(self, lines: Sequence[Text]) -> None:
        """Show these in place of what was shown last, if they are any different."""
        width = self._console.width
        if width < self._width:  # what stands there was wrapped, who knows how
            self._console.clear()
        elif width == self._width and list(lines) == self._drawn:
            return
        self._width, self._drawn = width, list(lines)
        self._live.update(self._group(lines), refresh=True)

    def close(self, lines: Sequence[Text] | None = None) -> None:
        """Leave these standing, or what was shown last."""
        if lines is not None:
            self._live.update(self._group(lines))
        self._live.stop()
        signal.signal(signal.SIGTERM, self._before)

    def _group(self, lines: Sequence[Text]) -> Group:
        for line in lines:
            line.no_wrap, line.overflow = True, "ellipsis" if self._unicode else "crop"
        return Group(*lines)


class LiveTree:
    """The rollout as a tree; in the end it is left standing, with what has failed."""

    stays = True

    def __init__(self, picture: Picture) -> None:
        self.picture = picture
        self._screen = Screen()
        self._tree = Tree(picture, MARKS if self._screen.unicode else PLAIN_MARKS)
        self._drawn_at = 0.0
        self._now = 0.0

    def took(self, item: FollowItem) -> None:
        """It is drawn at the next tick."""

    def tick(self, now: float, *, lost: bool) -> None:
        self._now = now
        if time.monotonic() - self._drawn_at >= DRAWN_EVERY_SECONDS:
            width, height = self._screen.size
            self._screen.draw(self._tree.lines(now, width, height, lost=lost))
            self._drawn_at = time.monotonic()

    def close(self) -> None:
        ended = self.picture.ended
        if ended is None:
            self._screen.close()
            return
        width, _ = self._screen.size
        self._screen.close(self._tree.lines(ended, width, HEIGHT_MAX))
        say_wrapped(self.picture.ending, indent=2)
        for line in failures(self.picture):
            say(line)


def failures(picture: Picture) -> list[str]:
    """What has failed where, with the last of its output; the first few in full. Above it stands
    how the rollout has ended, and why."""
    found = list(picture.failures())
    lines = []
    for doing in found[:FAILURES_SHOWN]:
        why = "" if doing.error and doing.error in picture.reason else f": {doing.error}"
        lines.append(f"{doing.where}: {doing.fate}{why}")
        last, before = tail(doing.output_tail, TAIL_LINES)
        if before:
            lines.append(f"  ({before} lines before: tidegate rollout show {picture.rollout})")
        lines += [f"  | {line}" for line in last]
    if rest := found[FAILURES_SHOWN:]:
        lines.append(f"and {len(rest)} more: {listed([doing.where for doing in rest], 10)}")
    return lines
