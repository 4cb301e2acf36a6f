"""Documents about the controller and its log."""

from typing import Any

from tidegate_controller.documents.rollouts import Document


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
    traffic: bool | None = None  # whether the balancer sends it any; None: nobody can say


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
