"""The words of the engine: values, and the state that events add up to.

Everything here is immutable data that survives a round trip through JSON, because the event log
is made of it. Times are engine seconds (see `tidegate_controller.clock`) unless a name says else.
"""

from collections.abc import Mapping
from typing import Literal

from tidegate_controller.core.away import Away
from tidegate_controller.core.freezes import Calendar, Window
from tidegate_controller.core.spec import Keep, Pace, Policy, Settings, Spec, Struct, Traffic

Outcome = Literal["ok", "failed", "refused", "superseded", "cancelled", "expired", "unknown"]
Kind = Literal["deploy", "rollback", "converge"]
Ending = Literal["succeeded", "rolled_back", "failed", "aborted", "interrupted"]
Verb = Literal["query", "prepare", "task", "start", "route", "switch", "stop", "cleanup", "check"]
Answer = Literal["retry", "continue", "abort", "approve", "promote"]
Gate = Literal["approval", "promotion"]
WaitKind = Literal["question", "approval", "promotion", "failure", "lost"]
Blame = Literal["", "release", "environment"]  # for a failure, as far as it is known

CONTROLLER = "controller"
SLOTS = ("blue", "green")


class Place(str):
    """Where a release can run: "NODE/SLOT". A string, so that it can be a key in the log."""

    __slots__ = ()

    @classmethod
    def of(cls, node: str, slot: str) -> "Place":
        return cls(f"{node}/{slot}")

    @property
    def node(self) -> str:
        return self.partition("/")[0]

    @property
    def slot(self) -> str:
        return self.partition("/")[2]

    @property
    def other(self) -> "Place":
        """The node's other slot."""
        return Place.of(self.node, "green" if self.slot == "blue" else "blue")


Weights = Mapping[Place, int]  # absolute and complete: a place that is not named gets nothing
FULL = 100  # the share of a place that is to have as much traffic as any other


class Revision(Struct, frozen=True, kw_only=True):
    """What a place runs: artifact digest plus digest of version and settings."""

    digest: str
    config: str


class Release(Struct, frozen=True, kw_only=True):
    """A version of an app with what it takes to run it again, so that a rollback needs no file."""

    version: str
    revision: Revision
    size_bytes: int
    settings: Settings
    url: str = ""  # where agents fetch the artifact; empty: from the controller
    incomplete: bool = False  # adopted as it ran: what it takes to bring it anywhere is not known
    never_succeeded: bool = False  # adopted since nodes ran it, which does not show that it is good


class Known(Struct, frozen=True, kw_only=True):
    """What is known of a place; None is "unknown". Nothing there: no revision, not running."""

    revision: Revision | None = None
    running: bool | None = None
    healthy: bool | None = None
    address: str | None = None


class Guard(Struct, frozen=True, kw_only=True):
    """A condition that must hold whenever an action of the step is issued."""

    kind: Literal["no_traffic", "proven", "alone", "floor", "unfrozen"]


class Work(Struct, frozen=True, kw_only=True):
    """One unit of outside work. `at` is a node's name or "controller"."""

    verb: Verb
    at: str
    place: Place | None = None
    revision: Revision | None = None
    weights: Weights | None = None
    prove: bool = False  # route: what gains traffic must answer first; query: the place must
    traffic: Traffic | None = None  # query and route: the balancer that is meant
    task: str = ""  # task: which of the release's own scripts
    check: str = ""  # check: its name in the spec
    # Where nobody knows whether it was done: sent again to an agent, which knows; done again
    # after a look at a balancer; or a person is asked, since a script may not run twice.
    on_unknown: Literal["resend", "observe", "ask"] = "resend"


class Step(Struct, frozen=True, kw_only=True):
    """A part of a plan: its works run together; it ends when they have and the hold is over."""

    id: str
    name: str
    works: tuple[Work, ...] = ()
    guards: tuple[Guard, ...] = ()
    parallel: int = 50
    failures_allowed: int = 0
    retry_seconds: float | None = None  # a work that failed is tried again, without end
    hold_seconds: float = 0.0  # all places that passed must stay healthy this long
    gate: Gate | Literal[""] = ""  # done only once a person has said so
    deadline_seconds: float
    wave: int = 0  # 1 is the first; 0: of no wave
    rehearses: bool = False  # the way back is tried, which is worth nothing if it fails

    @property
    def title(self) -> str:
        """Its name for people."""
        return f"{self.name}, wave {self.wave}" if self.wave else self.name


class Action(Struct, frozen=True, kw_only=True):
    """A work that was issued. `fence` is (epoch, stream version of its ActionIssued)."""

    id: str
    fence: tuple[int, int]
    step: str  # of the step or chore it belongs to
    index: int  # of the work in its step
    work: Work
    deadline: float
    attempt: int = 1
    journal_id: str = ""  # of the agent it is meant for


class Done(Struct, frozen=True, kw_only=True):
    """How a work of the current step ended, and when. `again`: an operator wants it repeated."""

    outcome: Outcome
    error: str
    blame: Blame
    at: float
    attempt: int
    again: bool = False


class Dropped(Struct, frozen=True, kw_only=True):
    """Why a rollout goes on without a node. `lost`: it had gone, which is all that is known."""

    why: str
    blame: Blame = ""
    lost: bool = False


class Wait(Struct, frozen=True, kw_only=True):
    """A person is awaited: why, what may be answered, since when. Its step is not late meanwhile.
    `id`: of its event, by which an answer can say which question it is meant for."""

    why: str
    answers: tuple[Answer, ...]
    since: float
    kind: WaitKind = "question"
    id: int = 0
    nodes: Mapping[str, Dropped] = {}  # that `continue` would go on without


class Pause(Struct, frozen=True, kw_only=True):
    """An operator has the rollout stand still: nothing new is issued and no time passes for it.
    `counted_from`: until then its deadlines have run; a restart of the controller sets it anew."""

    by: str
    reason: str
    since: float
    counted_from: float


class Chore(Struct, frozen=True, kw_only=True):
    """Work after a rollout that holds no lock; waits for its node as long as it takes."""

    id: str
    work: Work
    not_before: float
    guards: tuple[Guard, ...] = ()


class Owed(Struct, frozen=True, kw_only=True):
    """When a node that owes a release is brought to it."""

    tries: int = 0  # that have failed
    not_before: float = 0.0
    needs_return: bool = False  # only once its agent has come back


class Goal(Struct, frozen=True, kw_only=True):
    """What a plan is to reach: this release on these nodes. `again`: also where it is active.
    `members`: all nodes of the environment, also those that are away or have what they should."""

    kind: Kind
    release: Release
    nodes: tuple[str, ...]
    spec: Spec
    again: bool = False
    balancer: Mapping[str, int] | None = None  # address -> share, as it says itself; None: unasked
    members: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()  # members that are away
    labels: Mapping[str, Mapping[str, str]] = {}  # of each member


class Rollout(Struct, frozen=True, kw_only=True):
    """One attempt to bring an environment from one release to another."""

    id: str
    kind: Kind
    strategy: str
    release: Release
    previous: Release | None
    nodes: tuple[str, ...]
    absent: Mapping[str, str]  # node -> what it will owe once this has succeeded without it
    spec: Spec
    before: Weights  # what had traffic, which an undo gives it back to
    plan: tuple[Step, ...]
    cursor: int = 0
    entered_at: float | None = None  # of the step at the cursor
    open: Mapping[str, Action] = {}
    done: Mapping[int, Done] = {}  # works of the step at the cursor
    prepared: frozenset[str] = frozenset()  # nodes that were told to prepare the release
    zones: Mapping[str, str] = {}  # of each member, where the strategy has a floor
    below_floor: bool = False  # a person has said that the floor does not matter any more
    begun: frozenset[Place] = frozenset()  # places whose start was issued
    halted: frozenset[Place] = frozenset()  # places it has stopped, and not seen healthy since
    passed: frozenset[Place] = frozenset()  # places that became healthy and must stay so
    healthy_since: float | None = None  # all that passed have been healthy since then
    waiting: Wait | None = None
    paused: Pause | None = None
    frozen: Window | None = None  # the freeze that it waits for the end of
    unfrozen_by: str = ""  # who has said that it goes on in spite of any freeze
    approved: Mapping[str, str] = {}  # steps that a person has let pass -> who
    undoing: bool = False
    superseded: bool = False  # it is undone to make room for another
    reason: str = ""
    requested_by: str = ""
    message: str = ""  # why, in the words of whoever asked
    blame: Blame = ""  # of what it is undone for
    dropped: Mapping[str, Dropped] = {}  # nodes that it goes on without

    @property
    def pace(self) -> Pace:
        return self.spec.pace

    @property
    def policy(self) -> Policy:
        return self.spec.policy

    @property
    def standing(self) -> tuple[str, ...]:
        """The nodes that it is still about."""
        return tuple(node for node in self.nodes if node not in self.dropped)


class Quarantine(Struct, frozen=True, kw_only=True):
    """A release that is not brought to the environment, and why."""

    digest: str
    config: str = ""  # with these settings; empty: with any
    origin: Literal["failure", "rollback", "hand"]  # of these a rollback may bring back the second
    version: str  # empty where only the digest was ever known
    why: str


class Lock(Struct, frozen=True, kw_only=True):
    """Nobody else begins a rollout while somebody holds it. `since`: engine time."""

    by: str
    reason: str
    since: float


class Queued(Struct, frozen=True, kw_only=True):
    """A deployment that waits for its turn. `rollout`: its id, now and when it has begun. Which
    nodes it is about is seen then. `since`: engine time."""

    rollout: str
    release: Release
    spec: Spec
    request_id: str
    requested_by: str
    since: float
    message: str = ""
    commit: str = ""
    again: bool = False
    override_freeze: bool = False


class State(Struct, frozen=True, kw_only=True):
    """One stream, "app@environment": at most one rollout at a time, which is the lock."""

    stream: str = ""
    version: int = 0
    epoch: int = 0
    log_id: str = ""
    places: Mapping[Place, Known] = {}
    weights: Weights | None = {}  # None while a move is under way, or of unknown outcome
    settled: Weights = {}  # the last that read back as written
    routed: Mapping[Place, str] = {}  # the addresses that these led to
    idle_since: Mapping[Place, float] = {}  # when a place last lost its traffic
    unsettled: frozenset[Place] = frozenset()  # a move of unknown outcome may send to these, late
    may_empty: bool = False  # a move to nobody of unknown outcome may be done late
    rewrite: Work | None = None  # while there is any: what is written once more, see `settling`
    rewrite_at: float = 0.0
    rewrites: int = 0  # that have failed
    may_stop: frozenset[Place] = frozenset()  # a stop that has not succeeded may come there, late
    stopped: frozenset[Place] = frozenset()  # by command, so that nothing starts them again
    current: Mapping[str, str | None] = {}  # node -> slot that its `current` names
    journals: Mapping[str, str] = {}  # node -> journal id
    away: Mapping[str, Away] = {}  # nodes that have gone; only during a rollout
    committed: tuple[Release, ...] = ()
    committed_on: tuple[tuple[str, ...], ...] = ()  # the nodes of each of these
    undone: tuple[Release, ...] = ()  # of rollouts that failed: what their slots ran
    left: frozenset[Place] = frozenset()  # got traffic by rollouts that failed, and kept it
    rollout: Rollout | None = None
    chores: tuple[Chore, ...] = ()
    chores_open: Mapping[str, Action] = {}
    debts: Mapping[str, str] = {}  # node or place -> what it still owes, in words
    owed: Mapping[str, Owed] = {}  # node -> when it pays what it owes
    spec: Spec | None = None  # what was asked for when a deployment last succeeded
    members: tuple[str, ...] = ()  # nodes of the last deployment that succeeded
    lock: Lock | None = None
    calendar: Calendar = Calendar()  # the freezes that its configuration asks for
    freeze: Window | None = None  # that somebody has asked for by hand
    queue: tuple[Queued, ...] = ()  # the first of them is the next
    quarantined: tuple[Quarantine, ...] = ()  # oldest first
    requests: Mapping[str, str] = {}  # request id -> rollout, of the last ones
    reconciling: bool = False  # restored from a backup: a person decides first what counts

    @property
    def pace(self) -> Pace:
        """How long to wait, as the spec has it: where there is none yet, as usual."""
        return self.spec.pace if self.spec else Pace()

    @property
    def traffic(self) -> Traffic | None:
        return self.spec.traffic if self.spec else None

    @property
    def keep(self) -> Keep:
        return self.spec.keep if self.spec else Keep()
