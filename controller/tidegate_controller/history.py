"""Rollouts as people read them: folded from the events, and from nothing else.

Called by `operator_service`. Blocking where it reads the log, so it is called in a thread.
"""

from collections.abc import Callable
from pathlib import Path

from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.documents import NodeStepView, RolloutSummary, RolloutView, StepView
from tidegate_controller.log import Record, read_log, read_stream
from tidegate_controller.node_history import NodeHistory
from tidegate_controller.views import release_view
from tidegate_controller.wire import split_stream

CHUNK = 500  # records read from the log at a time


def find_rollout(
    path: Path, stream: str, started_version: int, heard: Callable[[str], str] = lambda _: ""
) -> RolloutView:
    """The rollout that the stream's event of this version has started. `heard`: the end of what an
    action's script was heard to write, where no result says it. Errors: `LogError`."""
    version = started_version - 1
    fold: Fold | None = None
    while records := read_stream(path, stream, version, CHUNK):
        for record in records:
            event = record.event
            if fold is not None:
                fold.take(record)
            elif isinstance(event, ev.Started):
                fold = Fold(record, event)
            if fold is not None and fold.ended:
                return fold.view
        version = records[-1].version
    assert fold is not None, "no rollout was started there"
    fold.fill_in(heard)
    return fold.view


class History:
    """Every rollout in short, oldest first, and what last changed on each node. It reads on where
    it was, so that asking again costs what is new; steps are kept of no rollout that has ended."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seq = 0
        self._summaries: dict[str, RolloutSummary] = {}
        self._open: dict[str, Fold] = {}  # by stream
        self.nodes = NodeHistory()

    def catch_up(self) -> list[RolloutSummary]:
        """All of them, as the log has them now. One thread at a time. Errors: `LogError`."""
        while records := read_log(self._path, self._seq, CHUNK):
            for record in records:
                self._take(record)
            self._seq = records[-1].seq
        self._summaries |= {fold.view.rollout: summary(fold.view) for fold in self._open.values()}
        return list(self._summaries.values())

    def _take(self, record: Record) -> None:
        event = record.event
        self.nodes.take(record, event)
        if isinstance(event, ev.Started):
            fold = self._open[record.stream] = Fold(record, event)
            self._summaries[event.rollout] = summary(fold.view)
        elif fold_open := self._open.get(record.stream):
            fold_open.take(record)
            if fold_open.ended:
                view = self._open.pop(record.stream).view
                self._summaries[view.rollout] = summary(view)


def summary(view: RolloutView) -> RolloutSummary:
    names = RolloutSummary.__struct_fields__
    return RolloutSummary(**{name: getattr(view, name) for name in names})


class Fold:
    """Adds up the events of one rollout, from its `Started` on, to its view."""

    def __init__(self, record: Record, event: ev.Started) -> None:
        self.ended = False
        app, environment = split_stream(record.stream)
        self._steps: dict[str, StepView] = {}
        self._actions: dict[str, NodeStepView] = {}
        self._entered = 0.0
        self._before_wait = "running"
        self._lost: set[str] = set()  # nodes whose return ends the wait
        self._left_out: set[str] = set()  # nodes that `continue` goes on without
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
            notes=list(event.notes),
            started_at=record.at,
            ended_at=None,
        )
        self._plan(event.plan)

    def _plan(self, plan: tuple[t.Step, ...]) -> None:
        self._steps = {step.id: StepView(name=step.name) for step in plan}
        self.view.steps += self._steps.values()

    def take(self, record: Record) -> None:
        at, clock, event = record.at, record.clock, record.event
        match event:
            case ev.StepEntered():
                step = self._steps[event.step]
                step.state, step.started_at = "running", at
                self._entered = clock
            case ev.ActionIssued() if event.action.step in self._steps:
                node = NodeStepView(state="running")
                self._steps[event.action.step].nodes[event.action.work.at] = node
                self._actions[event.action.id] = node
            case ev.ActionEnded() if event.action in self._actions:
                ended = self._actions[event.action]
                ended.state, ended.error = event.outcome, event.error
                ended.output_tail = event.output_tail
            case ev.StepEnded():
                step = self._steps[event.step]
                step.state, step.ended_at = event.outcome, at
                step.seconds = round(clock - self._entered, 3)
                if self.view.waiting_for is not None:  # a node came back before a person answered
                    self.view.state = self._before_wait
                    self._waits(None, ())
            case ev.Replanned():
                self.view.state, self.view.reason = "rolling_back", event.reason
                self._waits(None, ())
                self._plan(event.plan)
            case ev.Ended():
                self.ended = True
                self._waits(None, ())
                self.view.state, self.view.ended_at = event.state, at
                self.view.reason, self.view.debts = event.reason, dict(event.debts)
            case _:
                self._take_of_people(event)

    def _take_of_people(self, event: ev.Event) -> None:
        """What a person is asked, and what answers it."""
        match event:
            case ev.NodeDropped():
                self.view.dropped[event.node] = event.why
            case ev.Waiting():
                if self.view.waiting_for is None:  # else only the question has changed
                    self._before_wait = self.view.state
                self.view.state = "paused"
                self._waits(event.why, event.answers)
                self._left_out = set(event.nodes)
                self._lost = self._left_out if event.kind == "lost" else set()
            case ev.NodeReturned() if event.node in self._lost:
                self.view.state = self._before_wait
                self._waits(None, ())
            case ev.Answered():
                self.view.state = self._before_wait
                self._waits(None, ())
                self._settle(event)
            case _:
                return

    def fill_in(self, heard: Callable[[str], str]) -> None:
        """Output that no result has brought, of what is open or in doubt."""
        for action, node in self._actions.items():
            if node.state in ("running", "unknown") and not node.output_tail:
                node.output_tail = heard(action)

    def _waits(self, why: str | None, answers: tuple[t.Answer, ...]) -> None:
        self._lost = set()
        self.view.waiting_for, self.view.answers = why, list(answers)

    def _settle(self, answered: ev.Answered) -> None:
        """What was in doubt counts as done, if that is the answer."""
        running = [step for step in self.view.steps if step.state == "running"]
        for step in running if answered.answer == "continue" else ():
            for name, node in step.nodes.items():
                if name not in self._left_out and node.state not in ("ok", "running"):
                    node.error = f"{node.state}: {node.error}; done, says {answered.answered_by}"
                    node.state = "ok"
