"""Documents about nodes."""

from tidegate_controller.documents.apps import SlotView
from tidegate_controller.documents.rollouts import Document


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
