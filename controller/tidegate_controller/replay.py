"""Decisions made once more: does today's code decide as the log has it, from the same inputs?

Each decision is in the log with the input that led to it and the engine's time, so it can be made
again from the state at that point. Inputs that changed nothing are not in the log. Nothing is
written. Called by `operator_service` for one rollout, and by `cli/replay` on a log's file.
"""

import difflib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from tidegate_controller.core import events as ev
from tidegate_controller.core import inputs as i
from tidegate_controller.core import types as t
from tidegate_controller.core.decide import decide
from tidegate_controller.core.evolve import evolve
from tidegate_controller.documents import ReplayDifference, ReplayView
from tidegate_controller.errors import Refused, UsageError
from tidegate_controller.log import Record, decode_cause, encode, read_stream, verified
from tidegate_controller.log_index import OWN_STREAMS

CHUNK = 500  # records read from the log at a time
DIFFERENCES_SHOWN = 20
DIFF_LINES = 60  # of one difference
WHOLE_FILE = "all of it: --all"

Decide = Callable[[t.State, i.Input, float], tuple[ev.Event, ...]]


class StreamReplay:
    """Takes the records of one stream, from its first on. Of a `rollout`, if one is named, only the
    decisions from its beginning to its end are made again; `is_over` says that these are behind."""

    def __init__(self, rollout: str = "", decide_: Decide = decide) -> None:
        self.decisions = 0
        self.unrecorded = 0  # events, without the input that led to them
        self.differences: list[ReplayDifference] = []
        self.is_over = False
        self.has_waited = False  # for its turn
        self._rollout, self._decide = rollout, decide_
        self._within = not rollout
        self._state = t.State()
        self._group: list[Record] = []  # of one decision

    def take(self, record: Record) -> None:
        if record.cause is not None:
            self.finish()
        self._group.append(record)

    def finish(self) -> None:
        """The decision that was taken last is whole."""
        if not self._group:
            return
        records, self._group = self._group, []
        recorded = tuple(record.event for record in records)
        if any(isinstance(e, ev.Started) and e.rollout == self._rollout for e in recorded):
            self._within = True
        if any(isinstance(e, ev.Queued) and e.rollout == self._rollout for e in recorded):
            self.has_waited = True
        if self._within and not self.is_over:
            self._compare(records[0], recorded)
        for record, event in zip(records, recorded, strict=True):
            self._state = evolve(self._state, event, record.clock)
        if any(isinstance(e, ev.Ended) and e.rollout == self._rollout for e in recorded):
            self.is_over = True

    def refuse_if_unbegun(self, hint: str) -> None:
        """Raises `Refused` where the rollout has waited for its turn, and done no more."""
        if self._within or not self.has_waited:
            return
        waits = any(entry.rollout == self._rollout for entry in self._state.queue)
        began = "has not begun yet" if waits else "never began"
        raise Refused(f"rollout {self._rollout} {began}, so there is nothing to replay", hint)

    def _compare(self, first: Record, recorded: tuple[ev.Event, ...]) -> None:
        input_ = decode_cause(first)
        if input_ is None:
            self.unrecorded += len(recorded)
            return
        self.decisions += 1
        decided: tuple[ev.Event, ...] = ()
        instead = ""
        try:
            decided = self._decide(self._state, input_, first.clock)
        except Refused as refusal:
            instead = f"refused: {refusal.message}"
        except Exception as error:  # whatever today's code stumbles over is what is looked for
            instead = f"an error: {type(error).__name__}: {error}"
        if decided == recorded and not instead:
            return
        self.differences.append(
            ReplayDifference(
                seq=first.seq,
                stream=first.stream,
                version=first.version,
                at=first.at,
                input=type(input_).__name__,
                recorded=[_plain(event) for event in recorded],
                decided=[_plain(event) for event in decided],
                instead=instead or None,
                diff=_diff(recorded, decided, instead),
            )
        )


def replay_rollout(path: Path, stream: str, rollout: str, decide_: Decide = decide) -> ReplayView:
    """Blocking. Raises `LogError`, and `Refused` where the rollout has not begun."""
    one = StreamReplay(rollout, decide_)
    for record in _read(path, stream):
        one.take(record)
        if one.is_over:
            break
    else:
        one.finish()
    one.refuse_if_unbegun(f"what became of it: tidegate rollout show {rollout}")
    return _view([one], rollout)


def _read(path: Path, stream: str) -> Iterator[Record]:
    version = 0
    while records := read_stream(path, stream, version, CHUNK):
        yield from records
        version = records[-1].version


def replay_file(path: Path, rollout: str = "", decide_: Decide = decide) -> ReplayView:
    """Of a log's file or a backup: all streams, or one rollout. Blocking. Raises `LogError`,
    `UsageError` where there is no such rollout, and `Refused` where it has not begun."""
    return replay_records(verified(path), rollout, decide_)


def replay_records(
    records: Iterable[Record], rollout: str = "", decide_: Decide = decide
) -> ReplayView:
    streams: dict[str, StreamReplay] = {}
    for record in records:
        if record.stream not in OWN_STREAMS:
            one = streams.setdefault(record.stream, StreamReplay(rollout, decide_))
            one.take(record)
    for one in streams.values():
        one.finish()
        one.refuse_if_unbegun(WHOLE_FILE)
    view = _view(streams.values(), rollout)
    if rollout and not (view.decisions or view.unrecorded):
        raise UsageError(f"there is no rollout {rollout[:80]} in this log", WHOLE_FILE)
    return view


def _view(streams: Iterable[StreamReplay], rollout: str) -> ReplayView:
    found = sorted((one for each in streams for one in each.differences), key=lambda one: one.seq)
    return ReplayView(
        rollout=rollout or None,
        decisions=sum(one.decisions for one in streams),
        unrecorded=sum(one.unrecorded for one in streams),
        different=len(found),
        differences=found[:DIFFERENCES_SHOWN],
    )


def _plain(event: ev.Event) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.json.decode(encode(event))
    return plain


def _diff(recorded: Iterable[ev.Event], decided: Iterable[ev.Event], instead: str) -> list[str]:
    """As programmers read it: - what the log has, + what would be decided now."""
    if instead:
        return [*(f"-{type(event).__name__}" for event in recorded), f"+{instead}"]
    before = [line for event in recorded for line in _lines(event)]
    after = [line for event in decided for line in _lines(event)]
    lines = list(difflib.unified_diff(before, after, "recorded", "decided now", n=2, lineterm=""))
    more = len(lines) - DIFF_LINES
    return [*lines[:DIFF_LINES], *([f"... and {more} more lines"] if more > 0 else [])]


def _lines(event: ev.Event) -> list[str]:
    plain = _plain(event)
    return [f"{plain.pop('type')}", *json.dumps(plain, indent=1).splitlines()[1:-1]]
