"""A rollout drawn as a tree: its steps, and beneath the present one what each node does.

Imported only where somebody looks at a terminal, since rich takes its time.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich.text import Text

from tidegate_controller.cli.answers import answer_lines, asked_in
from tidegate_controller.cli.awaiting import away_words, time_left
from tidegate_controller.cli.phrases import amount, listed, natural, span
from tidegate_controller.cli.picture import Picture
from tidegate_controller.cli.terminal import clean, wrap
from tidegate_controller.cli.works import BALANCER, Doing, Stage, whom

NODES_MAX = 20  # beneath a step; more are condensed to totals and a few by name
NAMED_MAX = 5  # failures, and nodes that are slowest, in the condensed view
HEIGHT_MIN = 2

STYLES = {
    "pending": "dim",
    "running": "bold cyan",
    "ok": "green",
    "failed": "bold red",
    "warning": "yellow",
    "": "",
}


class Marks(NamedTuple):
    """What stands before a line, by its state; they say it without colours too."""

    pending: str
    running: str
    ok: str
    failed: str
    warning: str


MARKS = Marks("○", "●", "✓", "✗", "!")
PLAIN_MARKS = Marks(".", ">", "+", "x", "!")  # where the terminal's encoding has no others


RANKS = {"running": 1, "failed": 2, "pending": 4, "ok": 5}  # of steps


class Line(NamedTuple):
    """Where there is no room for all, those of the lowest ranks are shown."""

    rank: int
    text: Text


class Tree:
    """Draws a picture into lines that fit the terminal. `marks`: those that it can show."""

    def __init__(self, picture: Picture, marks: Marks = MARKS) -> None:
        self._picture = picture
        self._marks = marks

    def lines(self, now: float, width: int, height: int, *, lost: bool = False) -> list[Text]:
        """At most `height` lines; who prints them cuts off what does not fit the `width`, but for
        what is said in sentences."""
        picture = self._picture
        if not picture.begun:
            return [Text("asking the controller ...", style="dim")]
        head, foot = self._head(now, width, lost=lost), self._foot(width)
        undo = self._undo(width) if picture.undoing else []
        folds = folded(picture.stages)
        room = height - len(head) - len(folds) - len(undo) - len(foot)
        steps = [
            [Line(RANKS[fold[0].state], line) for line in self._fold(fold, now, room)]
            for fold in folds
        ]
        forth = sum(not fold[0].undoing for fold in folds)
        lines = [
            Line(0, head[0]),
            *(Line(3, line) for line in head[1:]),
            *(line for step in steps[:forth] for line in step),
            *(Line(2, line) for line in undo),
            *(line for step in steps[forth:] for line in step),
            *(Line(0, line) for line in foot),
        ]
        return _fitted(lines, max(HEIGHT_MIN, height))

    def _undo(self, width: int) -> list[Text]:
        picture = self._picture
        if picture.ended is not None and not any(stage.undoing for stage in picture.stages):
            return [
                Text("undone: no traffic was moved, so there was none to move back", style="yellow")
            ]
        return self._sentence("warning", f"undoing: {picture.reason}", width)

    def _head(self, now: float, width: int, *, lost: bool) -> list[Text]:
        picture, head = self._picture, self._picture.head
        nodes = amount(len(picture.nodes), "node")
        title = f"rollout {picture.rollout}: {picture.title}, {head['strategy']} on {nodes}"
        by = f"  by {head['requested_by']}, {span((picture.ended or now) - picture.started)}"
        lines = [Text(clean(title), style="bold"), Text(clean(by), style="dim")]
        if why := head.get("message"):
            lines.append(Text(f"  why: {clean(why)}", style="dim"))
        for note in head.get("notes", ()):
            lines += self._sentence("warning", f"{self._marks.warning} {note}", width)
        for node, why in sorted(picture.dropped.items())[:NAMED_MAX]:
            lines += self._sentence(
                "warning", f"{self._marks.warning} without {node}: {why}", width
            )
        if more := len(picture.dropped) - NAMED_MAX if len(picture.dropped) > NAMED_MAX else 0:
            lines.append(
                self._line("warning", f"  {self._marks.warning} without {more} more nodes")
            )
        if lost:
            what = "the controller does not answer; the rollout waits with it"
            lines.append(self._line("warning", f"  {self._marks.warning} {what}"))
        away = [node for node in picture.away if not self._is_at_work(node)]
        if away:
            words = listed([f"{node} {away_words(picture, node, now)}" for node in away], 2)
            lines.append(self._line("warning", f"  {self._marks.warning} {words}"))
        return lines

    def _is_at_work(self, node: str) -> bool:
        stage = self._picture.stage
        return stage is not None and any(doing.node == node for doing in stage.open)

    # --- Steps --------------------------------------------------------------------------------

    def _fold(self, fold: Sequence[Stage], now: float, room: int) -> list[Text]:
        """A step, or whole waves that are over or to come."""
        first, last = fold[0], fold[-1]
        if len(fold) == 1:
            return self._step(first, now, room)
        name = f"Wave {first.wave}" if first.wave == last.wave else f"Waves {first.wave} to "
        name += "" if first.wave == last.wave else str(last.wave)
        line = f"  {getattr(self._marks, first.state)} {name:{self._width()}}"
        if first.state == "pending":
            left_out = self._picture.ended or (self._picture.undoing and not first.undoing)
            words = f"{'':12}not reached" if left_out else ""
            return [self._line("pending", (line + words).rstrip())]
        return [
            self._line(
                first.state, f"{line}  {last.seconds(now) + last.since - first.since:6.1f} s"
            )
        ]

    def _width(self) -> int:
        return max(len(each.title) for each in self._picture.stages)

    def _step(self, stage: Stage, now: float, room: int) -> list[Text]:
        picture = self._picture
        mark = getattr(self._marks, stage.state)
        line = f"  {mark} {stage.title:{self._width()}}"
        if stage.state == "pending":
            hold = f"healthy for {span(stage.hold_seconds)}" if stage.hold_seconds else ""
            given_up = picture.ended or (picture.undoing and not stage.undoing)
            words = "not reached" if given_up else hold
            return [self._line("pending", f"{line}{'':12}{words}".rstrip())]
        if stage.state != "running":
            told = stage.reason or stage.remarks
            reason = f"  {clean(told)}" if told else ""
            return [self._line(stage.state, f"{line}  {stage.seconds(now):6.1f} s{reason}")]
        left = time_left(picture, stage, now)
        text = f"{line}  {span(stage.seconds(now)):>8}" + (f"  {left}" if left else "")
        return [self._line("running", text), *self._nodes(stage, now, room), *self._unwell()]

    def _unwell(self) -> list[Text]:
        unwell = self._picture.unwell
        return [
            self._line("warning", f"      {self._marks.warning} {place}: {clean(unwell[place])}")
            for place in sorted(unwell, key=natural)[:NAMED_MAX]
        ]

    # --- Nodes --------------------------------------------------------------------------------

    def _nodes(self, stage: Stage, now: float, room: int) -> list[Text]:
        doings = stage.sorted()
        if len(doings) > min(NODES_MAX, room):
            return self._condensed(stage, doings, now)
        width = max((len(doing.where) for doing in doings), default=0)
        return [self._doing(doing, width, now) for doing in doings]

    def _doing(self, doing: Doing, width: int, now: float) -> Text:
        where = f"{doing.where:{width}}"
        if not doing.outcome and doing.node in self._picture.away:
            away = away_words(self._picture, doing.node, now)
            return self._line("warning", f"      {self._marks.warning} {where}  {away}")
        state = _state(doing)
        words = {
            "running": f"{doing.what}: {doing.progress}" if doing.progress else doing.what,
            "failed": f"{doing.fate}: {doing.error}",
            "warning": f"{doing.what} is in doubt",
            "ok": "",
        }[state]
        until = now if doing.until is None else doing.until
        text = (
            f"      {getattr(self._marks, state)} {where}  {span(until - doing.since):>8}  {words}"
        )
        return self._line("" if state == "running" else state, text.rstrip())

    def _condensed(self, stage: Stage, doings: Sequence[Doing], now: float) -> list[Text]:
        failed = [doing for doing in doings if doing.failed]
        away = [d for d in stage.open if d.node in self._picture.away]
        under_way = [d for d in stage.open if d not in away]
        totals = {
            "done": sum(doing.outcome == "ok" for doing in doings),
            "under way": len(under_way),
            "failed": len(failed),
            "in doubt": sum(doing.in_doubt for doing in doings),
            "away": len(away),
            "to come": len(stage.rest),
        }
        counted = ", ".join(f"{count} {name}" for name, count in totals.items() if count)
        balancer = any(doing.where == BALANCER for doing in doings)
        whose = amount(len(stage.places) - balancer, "node") + " and the balancer" * balancer
        lines = [Text(f"      {whose}: {counted}")]
        slowest = sorted(under_way, key=lambda doing: (_share(doing), doing.since))
        named = [*failed[:NAMED_MAX], *away[:NAMED_MAX], *slowest[:NAMED_MAX]]
        width = max((len(doing.where) for doing in named), default=0)
        return lines + [self._doing(doing, width, now) for doing in named]

    # --- The end ------------------------------------------------------------------------------

    def _foot(self, width: int) -> list[Text]:
        picture = self._picture
        wait = picture.wait
        if not wait.awaits:
            return []
        found = answer_lines(picture.rollout, wait.answers, asked_in(picture))
        answers = [f"    {line}" for line in found]
        why = f"{self._marks.warning} waits for {whom(wait.awaits, wait.why)}"
        return [*self._sentence("warning", why, width), *map(Text, answers)]

    def _sentence(self, state: str, text: str, width: int) -> list[Text]:
        return [self._line(state, line) for line in wrap(clean(text), width - 1)]

    def _line(self, state: str, text: str) -> Text:
        return Text(clean(text), style=STYLES[state])


def folded(stages: Sequence[Stage]) -> list[list[Stage]]:
    """Steps that are drawn as one: those of a wave that is over, or of waves that are to come."""
    states: dict[tuple[int, bool], set[str]] = {}
    for stage in stages:
        states.setdefault((stage.wave, stage.undoing), set()).add(stage.state)
    folds: list[list[Stage]] = []
    for stage in stages:
        last = folds[-1][-1] if folds else stage
        whole = {stage.state} == states[stage.wave, stage.undoing] and stage.wave > 0
        alike = states[last.wave, last.undoing] == {stage.state} and last.undoing == stage.undoing
        same = last.wave == stage.wave or (last.wave and stage.state == "pending")
        if folds and whole and alike and same and stage.state in ("ok", "pending"):
            folds[-1].append(stage)
        else:
            folds.append([stage])
    return folds


def _fitted(lines: Sequence[Line], height: int) -> list[Text]:
    """So many of them, in their order."""
    by_rank = sorted(range(len(lines)), key=lambda index: lines[index].rank)
    return [lines[index].text for index in sorted(by_rank[:height])]


def _state(doing: Doing) -> str:
    if not doing.outcome:
        return "running"
    if doing.in_doubt:
        return "warning"
    return "failed" if doing.failed else "ok"


def _share(doing: Doing) -> float:
    """How far it has got, for what can be said to have."""
    return doing.done_bytes / doing.total_bytes if doing.total_bytes else 0.0


def plain(lines: Iterable[Text]) -> list[str]:
    """The lines as text alone."""
    return [line.plain for line in lines]
