"""Documents about apps and their releases."""

from tidegate_controller.documents.rollouts import Document, ReleaseView


class SlotView(Document, kw_only=True):
    version: str | None
    digest: str | None
    running: bool | None  # None: nobody knows, such as while its agent is away,
    healthy: bool | None  # though not where it was seen to be bad before
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
    awaits: str = ""  # as in RolloutSummary: person, freeze
    undoing: bool = False
    waiting_seconds: float | None = None  # for how long already
    tries_failed: int = 0  # of the step, where it is tried until it succeeds
    last_error: str = ""  # of the last of these; while another try runs that is not known


class QueuedRef(Document, kw_only=True):
    """A deployment that waits for its turn."""

    id: str
    version: str
    requested_by: str
    message: str
    waiting_seconds: float
    waiting_for: str | None = None  # of the next one


class TrafficTrouble(Document, kw_only=True):
    """Why requests do not go where they were moved to, and how to mend it."""

    what: str
    mend: str
    redeploy: bool = False  # by deploying what is active, which is to be typed after `mend`


class AppStatus(Document, kw_only=True):
    app: str
    environment: str
    version: str | None
    digest: str | None
    url: str | None = None  # where nodes fetch it themselves; `?…` stands for its query
    rollback_to: ReleaseView | None = None  # what a rollback would bring; None: it is refused
    rollout: RolloutRef | None
    nodes: list[NodeStatus]
    unfinished: int  # actions and chores still to be done
    stands_still: str | None = None  # that an error of the controller's own has stopped it
    frozen_until: str | None = None  # for people
    freeze: str | None = None  # in words: until when, by whom, why
    queue: list["QueuedRef"] = []  # deployments that wait for their turn, the next one first
    notes: list[str] = []  # what nobody would see from the rest, a line each
    undecided: bool = False  # since a restore: what is said of traffic and debts is the log's word
    unsettled: list[str] = []  # places that have no traffic, but for a move that comes late
    settles_in_seconds: float | None = None  # when the balancer is written once more, for that
    locked_by: str | None = None
    lock_reason: str | None = None
    traffic_trouble: TrafficTrouble | None = None  # as far as is known; `doctor` asks balancers


class Status(Document, kw_only=True):
    apps: list[AppStatus]


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


class FreezeView(Document, kw_only=True):
    """What came of a request about the freeze of an app in an environment."""

    app: str
    environment: str
    frozen: bool
    until: str | None  # for people
    by: str | None  # None: the configuration
    reason: str | None
    changed: bool  # False: it was so before


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
    """`cleanup APP --json`. `app` and `environment` are given where it is one of all."""

    message: str
    removed_bytes: int = 0
    nodes: list[NodeCleanup] = []
    app: str = ""
    environment: str = ""
    refused: bool = False  # nothing was asked of any node: `message` says why


class CleanupList(Document, kw_only=True):
    """`cleanup --json`, of all apps."""

    apps: list[CleanupView]
