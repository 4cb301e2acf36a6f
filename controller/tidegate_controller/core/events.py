"""Events: what has happened. The event log is made of them, and the state is what they add up to.

Immutable data that survives a round trip through JSON. What each means: `core/evolve.py`.
"""

from collections.abc import Mapping
from typing import Literal

from tidegate_controller.core import types as t
from tidegate_controller.core.app_events import (
    CalendarRead as CalendarRead,
)
from tidegate_controller.core.app_events import (
    FreezeLifted as FreezeLifted,
)
from tidegate_controller.core.app_events import (
    FreezeSet as FreezeSet,
)
from tidegate_controller.core.app_events import (
    Frozen as Frozen,
)
from tidegate_controller.core.app_events import (
    Locked as Locked,
)
from tidegate_controller.core.app_events import (
    Quarantined as Quarantined,
)
from tidegate_controller.core.app_events import (
    QuarantineLifted as QuarantineLifted,
)
from tidegate_controller.core.app_events import (
    Queued as Queued,
)
from tidegate_controller.core.app_events import (
    Thawed as Thawed,
)
from tidegate_controller.core.app_events import (
    Unlocked as Unlocked,
)
from tidegate_controller.core.app_events import (
    Unqueued as Unqueued,
)
from tidegate_controller.core.cleaned import CleanedUp
from tidegate_controller.core.event import Event as Event
from tidegate_controller.core.freezes import Calendar
from tidegate_controller.core.spec import Spec


class ControllerStarted(Event, frozen=True, kw_only=True):
    """Another life of the controller. Open deadlines get at least `grace_seconds` more."""

    stream: str
    epoch: int
    log_id: str
    connected: tuple[str, ...]
    grace_seconds: float
    calendar: Calendar | None = None


class Started(Event, frozen=True, kw_only=True):
    rollout: str
    kind: t.Kind
    strategy: str
    release: t.Release
    previous: t.Release | None
    nodes: tuple[str, ...]
    journals: Mapping[str, str]
    plan: tuple[t.Step, ...]
    spec: Spec
    request_id: str
    requested_by: str
    absent: Mapping[str, str] = {}
    message: str = ""
    commit: str = ""
    notes: tuple[str, ...] = ()  # what whoever asked may not have meant, in words
    zones: Mapping[str, str] = {}  # of each member, where the strategy has a floor
    gone: tuple[str, ...] = ()  # members that are away: nobody knows how they are
    calendar: Calendar | None = None
    override_freeze: bool = False  # whoever asked has said that no freeze holds it up
    again: bool = False  # whoever asked wants it also where it is active already


class StepEntered(Event, frozen=True, kw_only=True):
    rollout: str
    step: str


class ActionIssued(Event, frozen=True, kw_only=True):
    action: t.Action


class ActionEnded(Event, frozen=True, kw_only=True):
    action: str
    outcome: t.Outcome
    error: str = ""
    output_tail: str = ""
    blame: t.Blame = ""
    known: t.Known | None = None  # of the action's place, as reported with the result
    cleaned: CleanedUp | None = None  # of a clean-up


class StepEnded(Event, frozen=True, kw_only=True):
    rollout: str
    step: str
    outcome: Literal["ok", "failed"]
    reason: str = ""


class NodeDropped(Event, frozen=True, kw_only=True):
    """The rollout goes on without the node, which owes what it was to do. `reroute`: added to the
    step that it is at, where the node has traffic that it must not keep."""

    rollout: str
    node: str
    why: str
    blame: t.Blame = ""
    lost: bool = False
    reroute: t.Work | None = None


class Replanned(Event, frozen=True, kw_only=True):
    """From here on the rollout is being undone by this plan."""

    rollout: str
    reason: str
    plan: tuple[t.Step, ...]
    blame: t.Blame = ""


class Waiting(Event, frozen=True, kw_only=True):
    """The rollout stands still until a person has answered. Comes again with another reason."""

    rollout: str
    why: str
    answers: tuple[t.Answer, ...]
    kind: t.WaitKind = "question"
    nodes: Mapping[str, t.Dropped] = {}  # that `continue` would go on without


class Answered(Event, frozen=True, kw_only=True):
    rollout: str
    answer: t.Answer
    request_id: str
    answered_by: str
    comment: str = ""


class Approved(Event, frozen=True, kw_only=True):
    """A person lets the step pass: a gate that waits for that, or a soak that is cut short."""

    rollout: str
    step: str
    answer: Literal["approve", "promote"]
    by: str
    comment: str
    request_id: str


class Paused(Event, frozen=True, kw_only=True):
    """An operator has the rollout stand still. What is under way ends; nothing new is issued."""

    rollout: str
    by: str
    reason: str
    request_id: str


class Resumed(Event, frozen=True, kw_only=True):
    """It goes on; whatever was to be done by a certain time has as much time as it had left."""

    rollout: str
    by: str
    reason: str
    request_id: str


class Aborted(Event, frozen=True, kw_only=True):
    """It is given up, to be undone (`undo`) or left as it is; or to make room (`superseded`)."""

    rollout: str
    by: str
    reason: str
    undo: bool
    request_id: str
    superseded: bool = False


class Configured(Event, frozen=True, kw_only=True):
    """A deployment left nothing to do but to take over what its spec says otherwise. `nodes`: the
    environment's from here on; empty: as before."""

    spec: Spec
    request_id: str
    requested_by: str
    nodes: tuple[str, ...] = ()


class NodeForgotten(Event, frozen=True, kw_only=True):
    """An operator has removed the node: nothing is awaited from it any more."""

    node: str


class ChoresAdded(Event, frozen=True, kw_only=True):
    """An operator asked for work that holds no lock."""

    chores: tuple[t.Chore, ...]
    request_id: str
    requested_by: str


class Committed(Event, frozen=True, kw_only=True):
    """The rollout has succeeded: from here on its release is the one to come back to."""

    rollout: str


class Ended(Event, frozen=True, kw_only=True):
    rollout: str
    state: t.Ending
    reason: str = ""
    chores: tuple[t.Chore, ...] = ()
    debts: Mapping[str, str] = {}
    owed: Mapping[str, t.Owed] = {}  # node -> when it pays


class DebtsPaid(Event, frozen=True, kw_only=True):
    """The nodes have all that they should, as it turns out."""

    nodes: tuple[str, ...]


class Observed(Event, frozen=True, kw_only=True):
    """A place changed by itself, or was found otherwise than thought."""

    place: t.Place
    known: t.Known
    current: bool
    detail: str = ""


class NodeLeft(Event, frozen=True, kw_only=True):
    node: str


class NodeReturned(Event, frozen=True, kw_only=True):
    node: str


class JournalReplaced(Event, frozen=True, kw_only=True):
    """The node's agent has a new journal: its disk was replaced or wiped. `owes`: what it owes
    since, in words; empty where it had no traffic."""

    node: str
    journal_id: str
    owes: str = ""


class EpochBegan(Event, frozen=True, kw_only=True):
    """Stream "controller": this life of the controller; all its fences carry the epoch."""

    epoch: int
    log_id: str


class Restored(Event, frozen=True, kw_only=True):
    """The log was restored from a backup of the log `former`, and is `log_id` since. In streams of
    apps nothing is begun any more until a person has decided what counts."""

    log_id: str
    former: str


class Adopted(Event, frozen=True, kw_only=True):
    """A person has decided, after a restore, that what runs is the truth. `release`: what serves,
    if anything does; `debts`: what nodes lack of it; `is_all`: no other place gets traffic;
    `journals`: of the nodes that are connected, so that a disk that is replaced later is seen."""

    request_id: str
    requested_by: str
    release: t.Release | None
    nodes: tuple[str, ...]
    weights: t.Weights
    routed: Mapping[t.Place, str]
    debts: Mapping[str, str]
    owed: Mapping[str, t.Owed] = {}  # of these debts: those that are paid without a return
    is_all: bool = True
    message: str = ""
    journals: Mapping[str, str] = {}


class NodeRemoved(Event, frozen=True, kw_only=True):
    """Stream "fleet": the node will not come back; if it does, it is a new one."""

    node: str
    removed_by: str


class NodeRegistered(Event, frozen=True, kw_only=True):
    """Stream "fleet": a node said who it is, for the first time or anew."""

    node: str
    labels: Mapping[str, str]
    address: str
    agent_version: str
    journal_id: str


AnyEvent = (
    ControllerStarted
    | Started
    | StepEntered
    | ActionIssued
    | ActionEnded
    | StepEnded
    | NodeDropped
    | Replanned
    | Waiting
    | Answered
    | Approved
    | Paused
    | Resumed
    | Aborted
    | Quarantined
    | QuarantineLifted
    | Locked
    | Unlocked
    | CalendarRead
    | FreezeSet
    | FreezeLifted
    | Frozen
    | Thawed
    | Queued
    | Unqueued
    | ChoresAdded
    | Configured
    | NodeForgotten
    | Committed
    | Ended
    | DebtsPaid
    | Observed
    | NodeLeft
    | NodeReturned
    | JournalReplaced
    | Restored
    | Adopted
    | EpochBegan
    | NodeRegistered
    | NodeRemoved
)
