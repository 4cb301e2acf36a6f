"""What may make something happen: the second argument of `decide`.

Each is recorded as the `cause` of the events that it led to, so that decisions can be replayed.
"""

from collections.abc import Mapping

from tidegate_controller.core import types as t
from tidegate_controller.core.cleaned import CleanedUp
from tidegate_controller.core.freezes import Calendar, Window
from tidegate_controller.core.spec import Spec, Struct


class Input(Struct, frozen=True, kw_only=True, tag=True):
    """Base of all inputs; recorded as the `cause` of the events that it led to."""


class Request(Input, frozen=True, kw_only=True):
    """What a client asks for. One that comes once more, by its id, leads to nothing."""

    request_id: str


class SlotReport(Struct, frozen=True, kw_only=True):
    """A slot as its agent sees it."""

    known: t.Known
    current: bool
    detail: str = ""


class Member(Struct, frozen=True, kw_only=True):
    """A node as the controller knows it at the time of a request. `slots`: what it holds of the
    app, for a stream that has never heard of it."""

    node: str
    connected: bool
    journal_id: str
    slots: Mapping[str, SlotReport] = {}
    labels: Mapping[str, str] = {}
    disk_free_bytes: int | None = None  # as it said last; None: not yet


def gone_of(members: tuple[Member, ...]) -> tuple[str, ...]:
    """Those that are away."""
    return tuple(member.node for member in members if not member.connected)


def labels_of(members: tuple[Member, ...]) -> dict[str, Mapping[str, str]]:
    """Of those that have any."""
    return {member.node: member.labels for member in members if member.labels}


class Deploy(Request, frozen=True, kw_only=True):
    rollout: str
    release: t.Release
    spec: Spec
    members: tuple[Member, ...]
    requested_by: str
    message: str = ""  # why, in the words of whoever asks
    commit: str = ""  # of the working directory that was deployed from
    again: bool = False  # also where the release is active already
    supersede: bool = False  # also in place of a rollout that stands still and has moved nothing
    balancer: Mapping[str, int] | None = None  # address -> share, as it says itself; None: unasked
    calendar: Calendar | None = None  # of the configuration that is asked for
    override_freeze: bool = False  # also while it is frozen; then `message` says why
    queue: bool = False  # it waits for its turn where it cannot begin at once


class BeginQueued(Input, frozen=True, kw_only=True):
    """It may be the turn of a deployment that waits: here are its nodes as they are now. `refused`:
    why it cannot be begun, as the shell has found."""

    rollout: str
    members: tuple[Member, ...] = ()
    balancer: Mapping[str, int] | None = None
    calendar: Calendar | None = None
    refused: str = ""


class Rollback(Request, frozen=True, kw_only=True):
    """Go back to the last committed release other than the active one, or to the one named `to`.
    A version may have been deployed with several settings: `revision` says which one is meant."""

    rollout: str
    members: tuple[Member, ...]
    requested_by: str
    message: str = ""
    to: str = ""  # a version; empty: the one before
    revision: t.Revision | None = None  # of that version; None: the last but the active one
    without_absent: bool = False  # also if nodes that take traffic are away


class Answer(Request, frozen=True, kw_only=True):
    """A person has decided how a rollout that waits goes on."""

    rollout: str
    answer: t.Answer
    answered_by: str
    comment: str = ""
    question: int = 0  # the `Wait.id` that it is meant for; 0: whatever is asked
    step: str = ""  # the id of the step that it is meant for; empty: any


class Pause(Request, frozen=True, kw_only=True):
    """The rollout is to stand still until it is resumed or aborted."""

    rollout: str
    requested_by: str
    reason: str = ""


class Resume(Request, frozen=True, kw_only=True):
    """A paused rollout is to go on."""

    rollout: str
    requested_by: str
    reason: str = ""


class Abort(Request, frozen=True, kw_only=True):
    """The rollout is to be given up: undone, or left as it is. `superseded`: to make room.
    `question`: that an undo asks, if whoever gives that up as well has seen it."""

    rollout: str
    requested_by: str
    reason: str = ""
    undo: bool = True
    superseded: bool = False
    question: int = 0


class Quarantine(Request, frozen=True, kw_only=True):
    """A release is not to be brought here. `release`: a version or a digest."""

    release: str
    requested_by: str
    reason: str = ""


class Unquarantine(Request, frozen=True, kw_only=True):
    """It may be brought here again."""

    release: str
    requested_by: str
    reason: str = ""


class Lock(Request, frozen=True, kw_only=True):
    """Nobody else is to begin a rollout here."""

    requested_by: str
    reason: str = ""


class Unlock(Request, frozen=True, kw_only=True):
    """Anybody may begin one again. `force`: whoever holds the lock."""

    requested_by: str
    reason: str = ""
    force: bool = False


class Freeze(Request, frozen=True, kw_only=True):
    """Nothing is to change for those who use the app. `window`: by hand, with who asks and why."""

    window: Window


class LiftFreeze(Request, frozen=True, kw_only=True):
    """The freeze by hand is over."""

    requested_by: str
    reason: str = ""


class ReadCalendar(Input, frozen=True, kw_only=True):
    """When freezes are, as the wall clock is now."""

    calendar: Calendar


class Converge(Input, frozen=True, kw_only=True):
    """Nodes that owe a release are here: bring them to it, if they still do and it is time.
    `members`: all nodes of the environment."""

    rollout: str
    nodes: tuple[str, ...]
    members: tuple[Member, ...]


class CleanUp(Request, frozen=True, kw_only=True):
    """Remove from these nodes the releases that need not be kept."""

    members: tuple[Member, ...]
    requested_by: str


class Result(Input, frozen=True, kw_only=True):
    """How an action ended. Late, duplicate and unknown ones change nothing."""

    action: str
    outcome: t.Outcome
    error: str = ""
    output_tail: str = ""
    blame: t.Blame = ""
    known: t.Known | None = None
    cleaned: CleanedUp | None = None


class Observation(Input, frozen=True, kw_only=True):
    """An agent said Hello (complete), reported a change of one slot, or went away."""

    node: str
    connected: bool
    journal_id: str = ""
    slots: Mapping[str, SlotReport] = {}
    complete: bool = False  # slots that are not named are empty


class NodeRemoved(Input, frozen=True, kw_only=True):
    """An operator says that the node will not come back."""

    node: str


class Tick(Input, frozen=True, kw_only=True):
    """Time has passed."""


class ControllerStart(Input, frozen=True, kw_only=True):
    """The controller has started; `connected` nodes are there already."""

    stream: str
    epoch: int
    log_id: str
    connected: tuple[str, ...]
    grace_seconds: float
    calendar: Calendar | None = None


class Restore(Input, frozen=True, kw_only=True):
    """The log was restored from a backup."""

    log_id: str
    former: str


class Reconcile(Request, frozen=True, kw_only=True):
    """After a restore, a person decides: what runs is the truth. `converge`: and then the fleet is
    brought to what the log has, by the rollout of that id; empty: it stays as it is."""

    members: tuple[Member, ...]
    requested_by: str
    message: str = ""
    balancer: Mapping[str, int] | None = None  # address -> share, as it says itself; None: unasked
    versions: Mapping[str, str] = {}  # artifact digest -> version, as agents say
    sizes: Mapping[str, int] = {}  # artifact digest -> bytes, of those that are stored here
    without_absent: bool = False  # also if nodes are away: what they run is not known
    converge: str = ""


AnyInput = (
    Deploy
    | Rollback
    | Answer
    | Pause
    | Resume
    | Abort
    | Quarantine
    | Unquarantine
    | Lock
    | Unlock
    | Freeze
    | LiftFreeze
    | ReadCalendar
    | BeginQueued
    | Converge
    | CleanUp
    | Result
    | Observation
    | NodeRemoved
    | Tick
    | ControllerStart
    | Restore
    | Reconcile
)
