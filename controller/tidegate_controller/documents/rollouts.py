"""Documents about rollouts: what they are, what they would do, what happens to them."""

from typing import Any

import msgspec


class Document(msgspec.Struct, kw_only=True):
    """Base of all documents."""


class ReleaseView(Document, kw_only=True):
    version: str
    digest: str


class NodeStepView(Document, kw_only=True):
    state: str  # running, ok, or another outcome
    error: str = ""
    output_tail: str = ""
    tries: int = 1


class StepView(Document, kw_only=True):
    name: str
    id: str = ""
    state: str = "pending"  # running, ok, failed
    nodes: dict[str, NodeStepView] = {}
    started_at: str | None = None
    ended_at: str | None = None
    seconds: float | None = None
    paused_seconds: float = 0.0  # of these
    wave: int = 0  # 1 is the first; 0: of no wave

    @property
    def title(self) -> str:
        """Its name for people."""
        return f"{self.name}, wave {self.wave}" if self.wave else self.name

    @property
    def tries(self) -> int:
        """Of the work that has needed the most."""
        return max((node.tries for node in self.nodes.values()), default=1)


class RolloutSummary(Document, kw_only=True):
    """A rollout as `rollout list` has it.

    `waiting_for`: whom or what it waits for, in words for people. `awaits`: of what kind that is,
    "person" or "freeze", which ends by itself; "" where `waiting_for` is null. A person is awaited
    who has paused it, or one is asked a question: then a `RolloutView` has its kind in `asks`.
    """

    rollout: str
    app: str
    environment: str
    strategy: str
    kind: str
    state: str
    reason: str
    waiting_for: str | None
    awaits: str = ""
    release: ReleaseView
    previous: ReleaseView | None
    requested_by: str
    message: str = ""  # why, in the words of whoever asked
    commit: str = ""  # of the working directory that was deployed from; "-dirty": and changes
    differences: list[str] = []  # settings that are otherwise than in `previous`, a line each
    answers: list[str] = []  # what a person may answer, while one is waited for
    started_at: str
    ended_at: str | None


class ApprovalView(Document, kw_only=True):
    """A person has let a step pass."""

    step: str
    by: str
    comment: str
    at: str


class RolloutView(RolloutSummary, kw_only=True):
    """A rollout with its steps, as `rollout show` has it."""

    steps: list[StepView]
    question: int | None = None  # which one is asked: an answer may name it
    undoing: bool = False  # now, or it was in the end
    asks: str = ""  # of which kind that is: approval, promotion, question, failure, lost
    asks_about: list[str] = []  # nodes that `continue` goes on without
    approvals: list[ApprovalView] = []
    debts: dict[str, str] = {}  # node or place -> what it owed when this had ended
    dropped: dict[str, str] = {}  # node that it went on without -> why
    notes: list[str] = []  # what whoever asked may not have meant, a line each


class RolloutList(Document, kw_only=True):
    rollouts: list[RolloutSummary]


class ProgressView(Document, kw_only=True):
    """How an open action gets on: what it is at, or new lines of a script's output."""

    node: str
    action: str
    text: str = ""
    done_bytes: int = 0
    total_bytes: int = 0


class PlannedStep(Document, kw_only=True):
    name: str
    does: list[str]  # in words, a line a node or effect
    seconds_max: float
    wave: int = 0  # 1 is the first; 0: of no wave

    @property
    def title(self) -> str:
        """Its name for people."""
        return f"{self.name}, wave {self.wave}" if self.wave else self.name


class PlanView(Document, kw_only=True):
    """What a request would do, as a difference to now. `plan_id` ties a request to it."""

    plan_id: str
    app: str
    environment: str
    kind: str
    strategy: str
    release: ReleaseView
    previous: ReleaseView | None
    protected: bool
    differences: list[str]
    steps: list[PlannedStep]
    earlier: list[ReleaseView] = []  # of a rollback: all it could go back to, newest first


class EventView(Document, kw_only=True):
    seq: int
    stream: str
    version: int
    at: str
    kind: str
    data: dict[str, Any]
    cause: str | None = None  # the kind of input that led to the decision, at its first event


class FollowItem(Document, kw_only=True):
    """One of the two. `sent_at`: what time it was at the controller."""

    sent_at: str
    event: EventView | None = None
    progress: ProgressView | None = None
