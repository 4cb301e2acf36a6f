"""What may make something happen: the second argument of `decide`.

Each is recorded as the `cause` of the events that it led to, so that decisions can be replayed.
"""

from collections.abc import Mapping

from tidegate_controller.core import types as t
from tidegate_controller.core.spec import Spec, Struct


class Input(Struct, frozen=True, kw_only=True, tag=True):
    """Base of all inputs; recorded as the `cause` of the events that it led to."""


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
    disk_free_bytes: int | None = None  # as it said last; None: not yet


class Deploy(Input, frozen=True, kw_only=True):
    request_id: str
    rollout: str
    release: t.Release
    spec: Spec
    members: tuple[Member, ...]
    requested_by: str
    message: str = ""  # why, in the words of whoever asks
    commit: str = ""  # of the working directory that was deployed from
    again: bool = False  # also where the release is active already
    balancer: Mapping[str, int] | None = None  # address -> share, as it says itself; None: unasked


class Rollback(Input, frozen=True, kw_only=True):
    """Go back to the last committed release other than the active one, or to the one named `to`."""

    request_id: str
    rollout: str
    members: tuple[Member, ...]
    requested_by: str
    message: str = ""
    to: str = ""  # a version; empty: the one before
    without_absent: bool = False  # also if nodes that take traffic are away


class Answer(Input, frozen=True, kw_only=True):
    """A person has decided how a rollout that waits goes on."""

    request_id: str
    rollout: str
    answer: t.Answer
    answered_by: str


class Converge(Input, frozen=True, kw_only=True):
    """Nodes that owe a release are here: bring them to it, if they still do and it is time."""

    rollout: str
    members: tuple[Member, ...]


class CleanUp(Input, frozen=True, kw_only=True):
    """Remove from these nodes the releases that need not be kept."""

    request_id: str
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


AnyInput = (
    Deploy
    | Rollback
    | Answer
    | Converge
    | CleanUp
    | Result
    | Observation
    | NodeRemoved
    | Tick
    | ControllerStart
)
