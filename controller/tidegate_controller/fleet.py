"""The nodes: who has registered (from the log), who is connected now, and how they are.

Heartbeats stay in memory. Sessions belong to transports; the engine sends through `Session.send`
and does not know which transport it is.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tidegate_controller.core import events as ev
from tidegate_controller.core.facts import join_stream
from tidegate_controller.core.inputs import Member, SlotReport
from tidegate_controller.core.spec import Spec
from tidegate_controller.errors import Refused, UsageError
from tidegate_controller.wire import to_report
from tidegate_protos.v1 import agent_pb2 as pb

REFUSALS_KEPT = 100
SLOTS_MAX = 1000  # that one agent may speak of
QUEUE_MAX = 1000  # instructions waiting for one slow agent


@dataclass
class Session:
    """One live connection of an agent. `send` never blocks; a full queue ends the session."""

    hello: pb.Hello
    transport: str
    last_seen: str
    queue: asyncio.Queue[pb.Instruction | None] = field(
        default_factory=lambda: asyncio.Queue(QUEUE_MAX)
    )
    heartbeat: pb.Heartbeat = field(default_factory=pb.Heartbeat)
    slots: dict[tuple[str, str], pb.SlotState] = field(default_factory=dict)  # (stream, slot)
    ended: bool = False
    observed: bool = False  # whether what its Hello says of its slots has reached every stream

    def __post_init__(self) -> None:
        for slot in self.hello.slots:
            self.holds(slot)

    def holds(self, slot: pb.SlotState) -> None:
        """Remember what the agent last said of a slot."""
        key = (join_stream(slot.app, slot.environment), slot.slot)
        if key in self.slots or len(self.slots) < SLOTS_MAX:
            self.slots[key] = slot

    def send(self, instruction: pb.Instruction) -> None:
        try:
            self.queue.put_nowait(instruction)
        except asyncio.QueueFull:
            self.end()

    def end(self) -> None:
        """Close it; what was not sent is sent again when the agent is back."""
        self.ended = True
        while not self.queue.empty():
            self.queue.get_nowait()
        self.queue.put_nowait(None)


class Refusal(NamedTuple):
    """An agent that was turned away, and why."""

    at: str
    why: str


class Fleet:
    """All nodes that ever registered, by name."""

    def __init__(self) -> None:
        self.registered: dict[str, ev.NodeRegistered] = {}
        self.sessions: dict[str, Session] = {}
        self.last_seen: dict[str, str] = {}  # of those that have left since the controller's start
        self.refused: dict[str, Refusal] = {}  # by name, of those that are not let in

    def fold(self, event: ev.NodeRegistered | ev.NodeRemoved) -> None:
        if isinstance(event, ev.NodeRegistered):
            self.registered[event.node] = event
        else:
            self.registered.pop(event.node, None)
            self.last_seen.pop(event.node, None)

    def registration(self, hello: pb.Hello) -> ev.NodeRegistered | None:
        """The event that records this Hello; None when nothing about the node is new."""
        event = ev.NodeRegistered(
            node=hello.node,
            labels=dict(sorted(hello.labels.items())),
            address=hello.address,
            agent_version=hello.agent_version,
            journal_id=hello.journal_id,
        )
        return None if self.registered.get(hello.node) == event else event

    def join(self, session: Session) -> None:
        """Take the session as the node's own. Refuses a second agent under the same name."""
        present = self.sessions.get(session.hello.node)
        if present is not None and present.hello.journal_id != session.hello.journal_id:
            raise Refused(
                f"another agent is connected as {session.hello.node}",
                "give each agent a --node name of its own",
            )
        if present is not None:
            present.end()  # the same agent came back before its old connection was seen to end
        self.sessions[session.hello.node] = session
        self.refused.pop(session.hello.node, None)

    def turn_away(self, node: str, why: str, at: str) -> None:
        """Remember it for whoever looks for a node that does not come; the latest few."""
        self.refused.pop(node, None)
        self.refused[node] = Refusal(at, why)
        while len(self.refused) > REFUSALS_KEPT:
            del self.refused[next(iter(self.refused))]

    def leave(self, session: Session) -> bool:
        """False when a newer session of the same node has taken its place."""
        if self.sessions.get(session.hello.node) is not session:
            return False
        del self.sessions[session.hello.node]
        self.last_seen[session.hello.node] = session.last_seen
        return True

    def connected(self) -> tuple[str, ...]:
        return tuple(sorted(self.sessions))

    def members(self, names: Sequence[str], stream: str = "") -> tuple[Member, ...]:
        """The nodes as they are now, with what they hold of the stream if one is named."""
        return tuple(
            Member(
                node=name,
                connected=name in self.sessions,
                journal_id=self.registered[name].journal_id if name in self.registered else "",
                slots=self._slots(name, stream),
                labels=dict(self.registered[name].labels) if name in self.registered else {},
                disk_free_bytes=self.disk_free_bytes(name),
            )
            for name in sorted(set(names))
        )

    def disk_free_bytes(self, name: str) -> int | None:
        """Where the node's releases live, as it said last; None where it has not yet."""
        session = self.sessions.get(name)
        beat = session.heartbeat if session is not None else pb.Heartbeat()
        return beat.disk_free_bytes if beat.memory_total_bytes else None

    def _slots(self, name: str, stream: str) -> dict[str, SlotReport]:
        session = self.sessions.get(name)
        if session is None:
            return {}
        address = session.hello.address
        return {
            slot: to_report(state, address)
            for (of, slot), state in session.slots.items()
            if of == stream
        }

    def select(self, spec: Spec) -> list[str]:
        """Names of the environment's nodes. `UsageError` when none, or an unknown one, matches."""
        if not spec.nodes:
            raise UsageError(f"environment {spec.environment} selects no node at all")
        if isinstance(spec.nodes, Mapping):
            return self._by_labels(spec.environment, spec.nodes)
        unknown = [name for name in spec.nodes if name not in self.registered]
        if unknown:
            raise UsageError(
                f"no agent has ever connected as {', '.join(unknown)}",
                f"known nodes: {', '.join(sorted(self.registered)) or 'none'}; "
                "start the agent there: tidegate-agent run --node NAME …",
            )
        return list(spec.nodes)

    def _by_labels(self, environment: str, labels: Mapping[str, str]) -> list[str]:
        names = [
            name
            for name, node in self.registered.items()
            if all(node.labels.get(key) == value for key, value in labels.items())
        ]
        if not names:
            wanted = ", ".join(f"{key}={value}" for key, value in labels.items())
            raise UsageError(
                f"no node matches {wanted}, which environment {environment} asks for",
                "see the labels that nodes have: tidegate node list; "
                "an agent gets its labels by --label key=value",
            )
        return names
