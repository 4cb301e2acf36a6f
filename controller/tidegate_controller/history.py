"""Rollouts as people read them: folded from the events, and from nothing else.

Called by `history_keeper` for all of them, by `operator_service` and `control_requests` for one,
and by `log_check`. Blocking where it reads the log, so it is called in a thread.
"""

from collections.abc import Callable
from pathlib import Path

import msgspec

from tidegate_controller.config_spelled import differences
from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.facts import join_stream, split_stream
from tidegate_controller.documents import (
    ApprovalView,
    NodeStepView,
    RolloutSummary,
    RolloutView,
    StepView,
)
from tidegate_controller.log import Record, decoder_of, encode, read_log, read_stream
from tidegate_controller.node_history import NodeHistory, NodesPast
from tidegate_controller.queue_history import forgotten, not_begun, queued_view
from tidegate_controller.views import release_view, waiting_state

PAUSED_ANSWERS = ("resume", "abort")  # what can be said to a rollout that somebody has paused
FROZEN_ANSWERS = ("promote", "abort")  # and to one that waits for the end of a freeze
CHUNK = 500  # records read from the log at a time
PART = "history"  # its name in a snapshot


def find_rollout(
    path: Path, stream: str, started_version: int, heard: Callable[[str], str] = lambda _: ""
) -> RolloutView:
    """The rollout that the stream's event of this version has started, or queued. `heard`: the end
    of what an action's script was heard to write, where no result says it. Errors: `LogError`."""
    version, rollout = started_version - 1, ""
    fold: Fold | None = None
    waits: RolloutView | None = None
    while records := read_stream(path, stream, version, CHUNK):
        for record in records:
            event = record.event
            rollout = rollout or getattr(event, "rollout", "")
            if fold is not None:
                fold.take(record)
            elif isinstance(event, ev.Started) and event.rollout == rollout:
                fold = Fold(record, event)
            elif isinstance(event, ev.Queued) and event.rollout == rollout:
                waits = queued_view(record, event)
            elif isinstance(event, ev.Unqueued) and event.rollout == rollout and waits:
                not_begun(waits, event.state, event.reason, record.at)
                return waits
            elif isinstance(event, ev.Restored) and waits:
                forgotten(waits, record.at)
                return waits
            if fold is not None and fold.ended:
                return fold.view
        version = records[-1].version
    if fold is None:
        assert waits is not None, "no rollout was started there"
        return waits
    fold.fill_in(heard)
    return fold.view


class Past(msgspec.Struct, kw_only=True):
    """A history as a snapshot has it. `opened`: stream -> version of the Started of its rollout."""

    seq: int
    summaries: list[RolloutSummary]
    opened: dict[str, int]
    nodes: NodesPast


_past_decoder: msgspec.json.Decoder[Past] = decoder_of(Past)


class History:
    """Every rollout in short, oldest first, and what last changed on each node. It reads on where
    it was, so that asking again costs what is new; steps are kept of no rollout that has ended.

    `past`: what `past()` gave an earlier one on the same log, to go on from there."""

    def __init__(self, path: Path, past: bytes | None = None) -> None:
        self._path = path
        self._seq = 0
        self._summaries: dict[str, RolloutSummary] = {}
        self._open: dict[str, Fold] = {}  # by stream
        self.nodes = NodeHistory()
        if past is not None:
            self._go_on_from(_past_decoder.decode(past))

    def _go_on_from(self, past: Past) -> None:
        self._summaries = {summary.rollout: summary for summary in past.summaries}
        self.nodes = NodeHistory(past.nodes)
        for stream, version in past.opened.items():
            self._refold(stream, version - 1, past.seq)
        self._seq = past.seq

    def _refold(self, stream: str, version: int, until_seq: int) -> None:
        """Of a rollout that is open, which no snapshot holds."""
        while records := read_stream(self._path, stream, version, CHUNK):
            for record in records:
                if record.seq > until_seq:
                    return
                if isinstance(event := record.event, ev.Started):
                    self._open[stream] = Fold(record, event)
                else:
                    self._open[stream].take(record)
            version = records[-1].version

    def past(self) -> bytes:
        """All that it has read by now, for a snapshot."""
        opened = {stream: fold.version for stream, fold in self._open.items()}
        past = Past(
            seq=self._seq,
            summaries=list(self._as_they_are().values()),
            opened=opened,
            nodes=self.nodes.past(),
        )
        return encode(past)

    def catch_up(self) -> list[RolloutSummary]:
        """All of them, as the log has them now. One thread at a time. Errors: `LogError`."""
        while records := read_log(self._path, self._seq, CHUNK):
            for record in records:
                self.take(record)
        return list(self._as_they_are().values())

    def _as_they_are(self) -> dict[str, RolloutSummary]:
        """With those that are open."""
        self._summaries |= {fold.view.rollout: summary(fold.view) for fold in self._open.values()}
        return self._summaries

    def take(self, record: Record) -> None:
        """The record that follows."""
        self._seq, event = record.seq, record.event
        self.nodes.take(record, event)
        if isinstance(event, ev.Started):
            fold = self._open[record.stream] = Fold(record, event)
            self._summaries[event.rollout] = summary(fold.view)
        elif isinstance(event, ev.Queued):
            self._summaries[event.rollout] = summary(queued_view(record, event))
        elif isinstance(event, ev.Unqueued):
            not_begun(self._summaries[event.rollout], event.state, event.reason, record.at)
        elif isinstance(event, ev.Restored):
            self._forget_queue(record)
        elif fold_open := self._open.get(record.stream):
            fold_open.take(record)
            if fold_open.ended:
                view = self._open.pop(record.stream).view
                self._summaries[view.rollout] = summary(view)

    def _forget_queue(self, record: Record) -> None:
        for each in self._summaries.values():
            if each.state == "queued" and join_stream(each.app, each.environment) == record.stream:
                forgotten(each, record.at)


def summary(view: RolloutView) -> RolloutSummary:
    names = RolloutSummary.__struct_fields__
    return RolloutSummary(**{name: getattr(view, name) for name in names})


def _differences(previous: t.Release | None, release: t.Release) -> list[str]:
    return differences(previous.settings, release.settings) if previous else []


class Fold:
    """Adds up the events of one rollout, from its `Started` on, to its view."""

    def __init__(self, record: Record, event: ev.Started) -> None:
        self.ended = False
        self.version = record.version
        app, environment = split_stream(record.stream)
        self._steps: dict[str, StepView] = {}
        self._actions: dict[str, NodeStepView] = {}
        self._entered = 0.0
        self._question = ""  # what a person is asked
        self._kind = ""
        self._version: int | None = None  # of the event that asks it
        self._answers: tuple[str, ...] = ()
        self._left_out: set[str] = set()  # nodes that `continue` goes on without
        self._holder = ""  # who has paused it, and why
        self._paused_at = 0.0
        self._freeze = ""  # whose end it waits for
        self.view = RolloutView(
            rollout=event.rollout,
            app=app,
            environment=environment,
            strategy=event.strategy,
            kind=event.kind,
            state="running",
            reason="",
            waiting_for=None,
            release=release_view(event.release),
            previous=release_view(event.previous) if event.previous else None,
            steps=[],
            requested_by=event.requested_by,
            message=event.message,
            commit=event.commit,
            differences=_differences(event.previous, event.release),
            notes=list(event.notes),
            started_at=record.at,
            ended_at=None,
        )
        self._plan(event.plan)

    def _plan(self, plan: tuple[t.Step, ...]) -> None:
        self._steps = {
            step.id: StepView(name=step.name, id=step.id, wave=step.wave) for step in plan
        }
        self.view.steps += self._steps.values()

    def take(self, record: Record) -> None:
        at, clock, event = record.at, record.clock, record.event
        match event:
            case ev.StepEntered():
                step = self._steps[event.step]
                step.state, step.started_at = "running", at
                self._entered = clock
            case ev.ActionIssued() if event.action.step in self._steps:
                node = NodeStepView(state="running", tries=event.action.attempt)
                work = event.action.work
                name = f"check {work.check}" if work.check else work.at
                self._steps[event.action.step].nodes[name] = node
                self._actions[event.action.id] = node
            case ev.ActionEnded() if event.action in self._actions:
                ended = self._actions[event.action]
                ended.state, ended.error = event.outcome, event.error
                ended.output_tail = event.output_tail
            case ev.StepEnded():
                step = self._steps[event.step]
                step.state, step.ended_at = event.outcome, at
                step.seconds = round(clock - self._entered, 3)
                self._freeze = ""
                self._asks("", ())  # a node may have come back before a person answered
            case ev.Replanned():
                self.view.undoing, self._holder, self._freeze = True, "", ""
                self.view.reason = event.reason
                self._asks("", ())
                self._plan(event.plan)
            case ev.Waiting() | ev.Answered() | ev.Approved() | ev.Paused() | ev.Resumed():
                self._take_person(event, record)
            case ev.Ended():
                self.ended, self._holder, self._freeze = True, "", ""
                self._asks("", ())
                self.view.state, self.view.ended_at = event.state, at
                self.view.reason, self.view.debts = event.reason, dict(event.debts)
            case _:
                self._take_of_nodes(event)

    def _take_of_nodes(self, event: ev.Event) -> None:
        """A freeze holds it up, or not any more; a node is left out; or those are back for which
        alone a person was asked."""
        match event:
            case ev.Frozen():
                self._freeze = f"the {event.window.named}"
                self._asks(self._question, self._answers)
            case ev.Thawed():
                self._freeze = ""
                self._asks(self._question, self._answers)
                if event.by:
                    why = f"{event.by}: {event.reason}"
                    self.view.notes.append(f"went on in spite of a freeze, says {why}")
            case ev.NodeDropped():
                self.view.dropped[event.node] = event.why
            case ev.NodeReturned() if self._kind == "lost" and event.node in self._left_out:
                self._asks("", ())
            case ev.ControllerStarted() if self._kind == "lost":
                self._asks("", ())  # where they are still gone, it is asked anew
            case _:
                return

    def _take_person(
        self,
        event: ev.Waiting | ev.Answered | ev.Approved | ev.Paused | ev.Resumed,
        record: Record,
    ) -> None:
        """A person is asked, or has said something."""
        match event:
            case ev.Waiting():
                self._kind, self._version = event.kind, record.version
                self._left_out = set(event.nodes)
                self._asks(event.why, event.answers)
            case ev.Answered():
                self._asks("", ())
                self._settle(event)
            case ev.Approved():
                self._asks("", ())
                self.view.approvals.append(
                    ApprovalView(
                        step=self._steps[event.step].name,
                        by=event.by,
                        comment=event.comment,
                        at=record.at,
                    )
                )
            case ev.Paused():
                reason = f": {event.reason}" if event.reason else ""
                self._holder, self._paused_at = f"{event.by}, who paused it{reason}", record.clock
                self._asks(self._question, self._answers)
            case ev.Resumed():
                self._holder = ""
                for step in self.view.steps:
                    if step.state == "running":
                        step.paused_seconds += round(record.clock - self._paused_at, 3)
                self._asks(self._question, self._answers)

    def fill_in(self, heard: Callable[[str], str]) -> None:
        """Output that no result has brought, of what is open or in doubt."""
        for action, node in self._actions.items():
            if node.state in ("running", "unknown") and not node.output_tail:
                node.output_tail = heard(action)

    def _asks(self, question: str, answers: tuple[str, ...]) -> None:
        """What a person is asked from now on; while one has paused it, nothing else counts."""
        self._question, self._answers = question, answers
        self.view.waiting_for = self._holder or question or self._freeze or None
        self.view.awaits = "freeze" if self._freeze else ""
        if self._holder or question:
            self.view.awaits = "person"
        if self._freeze and not question:
            answers = FROZEN_ANSWERS
        self.view.answers = list(PAUSED_ANSWERS if self._holder else answers)
        self.view.state = "rolling_back" if self.view.undoing else "running"
        self.view.question = self._version if question and not self._holder else None
        asks = bool(question) and not self._holder
        self.view.asks = self._kind if asks else ""
        self.view.asks_about = sorted(self._left_out) if asks else []
        if self.view.waiting_for:
            self.view.state = waiting_state(self._kind if question and not self._holder else "")

    def _settle(self, answered: ev.Answered) -> None:
        """What was in doubt counts as done, if that is the answer."""
        running = [step for step in self.view.steps if step.state == "running"]
        for step in running if answered.answer == "continue" else ():
            for name, node in step.nodes.items():
                if name not in self._left_out and node.state not in ("ok", "running"):
                    node.error = f"{node.state}: {node.error}; done, says {answered.answered_by}"
                    node.state = "ok"
