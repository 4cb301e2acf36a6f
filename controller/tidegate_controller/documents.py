"""What people and scripts read: the JSON documents that `--json` promises.

The controller fills them (`views`), the command line draws them. Fields may be added, none taken
away. Times are RFC 3339 in UTC.
"""

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


class StepView(Document, kw_only=True):
    name: str
    id: str = ""
    state: str = "pending"  # running, ok, failed
    nodes: dict[str, NodeStepView] = {}
    started_at: str | None = None
    ended_at: str | None = None
    seconds: float | None = None
    wave: int = 0  # 1 is the first; 0: of no wave

    @property
    def title(self) -> str:
        """Its name for people."""
        return f"{self.name}, wave {self.wave}" if self.wave else self.name


class RolloutSummary(Document, kw_only=True):
    """A rollout as `rollout list` has it."""

    rollout: str
    app: str
    environment: str
    strategy: str
    kind: str
    state: str
    reason: str
    waiting_for: str | None
    release: ReleaseView
    previous: ReleaseView | None
    requested_by: str
    message: str = ""  # why, in the words of whoever asked
    commit: str = ""  # of the working directory that was deployed from; "-dirty": and changes
    differences: list[str] = []  # settings that are otherwise than in `previous`, a line each
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
    answers: list[str] = []  # what a person may answer, while one is waited for
    question: int | None = None  # which one is asked: an answer may name it
    approvals: list[ApprovalView] = []
    debts: dict[str, str] = {}  # node or place -> what it owed when this had ended
    dropped: dict[str, str] = {}  # node that it went on without -> why
    notes: list[str] = []  # what whoever asked may not have meant, a line each


class RolloutList(Document, kw_only=True):
    rollouts: list[RolloutSummary]


class SlotView(Document, kw_only=True):
    version: str | None
    digest: str | None
    running: bool | None
    healthy: bool | None
    address: str | None
    under_way: str | None = None  # starting or stopping: until then nobody knows how it is


class NodeStatus(Document, kw_only=True):
    node: str
    connected: bool
    active_slot: str | None
    slots: dict[str, SlotView]
    debt: str | None
    disk_free_bytes: int | None = None  # where its releases live


class RolloutRef(Document, kw_only=True):
    id: str
    state: str
    version: str = ""  # that it brings
    step: str | None = None  # the name of the one that it is at
    waiting_for: str | None = None
    waiting_seconds: float | None = None  # for how long already


class TrafficTrouble(Document, kw_only=True):
    """Why requests do not go where they were moved to, and how to mend it."""

    what: str
    mend: str


class AppStatus(Document, kw_only=True):
    app: str
    environment: str
    version: str | None
    digest: str | None
    rollout: RolloutRef | None
    nodes: list[NodeStatus]
    unfinished: int  # actions and chores still to be done
    stands_still: str | None = None  # that an error of the controller's own has stopped it
    notes: list[str] = []  # what nobody would see from the rest, a line each
    locked_by: str | None = None
    lock_reason: str | None = None
    traffic_trouble: TrafficTrouble | None = None  # where balancers were asked, as by `doctor`


class Status(Document, kw_only=True):
    apps: list[AppStatus]


class ControllerView(Document, kw_only=True):
    """The controller itself."""

    version: str
    log_id: str
    epoch: int
    events: int
    now: str
    seconds_up: float


class ReplayDifference(Document, kw_only=True):
    """A decision that today's code would not make as the log has it. `instead`: a refusal or an
    error in its place; `diff`: both events, as lines."""

    seq: int
    stream: str
    version: int
    at: str
    input: str
    recorded: list[dict[str, Any]]
    decided: list[dict[str, Any]]
    instead: str | None
    diff: list[str]


class ReplayView(Document, kw_only=True):
    """Decisions made once more; `unrecorded`: events whose input the log does not have."""

    rollout: str | None
    decisions: int
    unrecorded: int
    different: int
    differences: list[ReplayDifference]  # the first 20


class NodeDifference(Document, kw_only=True):
    """What a restored log has of a node, and what the node says, in words."""

    node: str
    log: str
    now: str


class UndecidedApp(Document, kw_only=True):
    """An app that waits for a decision after a restore. `version`, `digest`: as the log has it."""

    app: str
    environment: str
    version: str | None
    digest: str | None
    differences: list[NodeDifference]


class UnknownApp(Document, kw_only=True):
    """An app that nodes hold and a restored log knows nothing of."""

    app: str
    environment: str
    nodes: list[str]


class ReconcileView(Document, kw_only=True):
    """What a restored log says beside what runs. `former_logs`: those that it is a copy of."""

    log_id: str
    former_logs: list[str]
    undecided: list[UndecidedApp]
    unknown: list[UnknownApp]


class NodeView(Document, kw_only=True):
    node: str
    connected: bool
    labels: dict[str, str]
    transport: str | None
    agent_version: str
    last_seen: str | None  # None: not since the controller's start
    address: str
    cpu_percent: float | None = None
    memory_used_bytes: int | None = None
    disk_free_bytes: int | None = None


class RefusedAgent(Document, kw_only=True):
    """An agent that was turned away: it is not among the nodes, or another has its name."""

    node: str
    at: str
    why: str


class NodeList(Document, kw_only=True):
    nodes: list[NodeView]
    refused: list[RefusedAgent] = []


class NodeSlotView(SlotView, kw_only=True):
    """A slot as `node show` has it."""

    app: str
    environment: str
    slot: str
    active: bool


class NodeChange(Document, kw_only=True):
    """Something that became otherwise on a node; `slot` is "" where it is about all of it."""

    at: str
    app: str
    environment: str
    slot: str
    what: str  # in a word or a few: healthy, unhealthy, stopped, away, …
    detail: str


class NodeDetail(NodeView, kw_only=True):
    """A node as `node show` has it: all that is known of it."""

    facts: dict[str, str]
    load_1m: float | None = None
    uptime_seconds: float | None = None
    memory_total_bytes: int | None = None
    slots: list[NodeSlotView]
    debts: list[str]
    changes: list[NodeChange]  # the last 50, oldest first
    refused: RefusedAgent | None = None  # the last agent of this name that was turned away


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


class ListedRelease(Document, kw_only=True):
    """A release as `release list` has it. One that was only pushed has no environment."""

    app: str | None
    environment: str | None
    version: str | None
    digest: str
    state: str  # active, in rollout, former, undone, pushed
    active_on: list[str]  # places that take traffic with it, as NODE/SLOT
    held_by: list[str]  # places that hold it
    at: str | None  # when it was last deployed; of one that was only pushed: when that was
    stored: bool  # the controller still has its artifact
    size_bytes: int  # of the artifact
    url: str | None  # where it was fetched from
    quarantined: str | None = None  # why it may not be brought there


class ReleaseList(Document, kw_only=True):
    releases: list[ListedRelease]


class ThingView(Document, kw_only=True):
    """Something on a node's disk."""

    kind: str  # release, copy (a slot's own tree), download, backup
    name: str  # a digest, or the path of a backup
    version: str | None = None  # of what has a digest, where it is known
    bytes: int


class StayedView(Document, kw_only=True):
    """So many things were left, and why."""

    kind: str
    why: str
    count: int
    bytes: int


class NodeCleanup(Document, kw_only=True):
    """What a clean-up has done on a node. `removed` names the first things, where they are very
    many; count and bytes are of all."""

    node: str
    state: str  # ok, owed, waiting (not heard from in time), removed (the node), or an outcome
    said: str = ""  # by its agent, where something could not be done
    removed: list[ThingView] = []
    removed_count: int = 0
    removed_bytes: int = 0
    made: list[ThingView] = []  # backups
    stayed: list[StayedView] = []


class CleanupView(Document, kw_only=True):
    """`cleanup --json`."""

    message: str
    removed_bytes: int = 0
    nodes: list[NodeCleanup] = []


class QuarantineView(Document, kw_only=True):
    """What came of a request about a release's quarantine."""

    app: str
    environment: str
    release: str  # as it was named
    quarantined: bool
    changed: bool  # False: it was so before


class LockView(Document, kw_only=True):
    """What came of a request about the lock of an app in an environment."""

    app: str
    environment: str
    locked: bool
    by: str | None
    reason: str | None
    changed: bool  # False: it was so before


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
