"""What became otherwise on each node, folded from the events; only the last of it is kept.

Called by `history`, for `tidegate node show`.
"""

from collections import deque
from collections.abc import Mapping

import msgspec

from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.facts import split_stream
from tidegate_controller.documents import NodeChange
from tidegate_controller.log import Record

CHANGES_KEPT = 50  # of a node
RELEASES_KEPT = 100  # whose versions a stream remembers

Kept = deque[NodeChange]


class NodesPast(msgspec.Struct, kw_only=True):
    """It all, as a snapshot has it."""

    changes: dict[str, list[NodeChange]] = {}
    opened: dict[str, t.Work] = {}
    versions: dict[str, list[tuple[t.Revision, str]]] = {}


class NodeHistory:
    """Changes by node, oldest first. Takes every record of the log, in order; those that `past`
    is made of aside."""

    def __init__(self, past: NodesPast | None = None) -> None:
        past = past or NodesPast()
        self._changes: dict[str, Kept] = {
            node: deque(changes, maxlen=CHANGES_KEPT) for node, changes in past.changes.items()
        }
        self._open: dict[str, t.Work] = past.opened  # starts and stops under way, by action
        self._versions: dict[str, dict[t.Revision, str]] = {  # by stream
            stream: dict(known) for stream, known in past.versions.items()
        }

    def past(self) -> NodesPast:
        return NodesPast(
            changes={node: list(changes) for node, changes in self._changes.items()},
            opened=self._open,
            versions={stream: list(known.items()) for stream, known in self._versions.items()},
        )

    def of(self, node: str) -> list[NodeChange]:
        return list(self._changes.get(node, ()))

    def take(self, record: Record, event: ev.Event) -> None:
        match event:
            case ev.Started():
                known = self._versions.setdefault(record.stream, {})
                known[event.release.revision] = event.release.version
                while len(known) > RELEASES_KEPT:
                    del known[next(iter(known))]
            case ev.Observed():
                what = self._state_words(record.stream, event.known)
                self._note(record, event.place, what, event.detail)
            case ev.ActionIssued() if event.action.work.verb in ("start", "stop"):
                self._open[event.action.id] = event.action.work
            case ev.ActionEnded() if event.action in self._open:
                self._ended(record, event, self._open.pop(event.action))
            case ev.NodeLeft():
                self._note(record, event.node, "away", "")
            case ev.NodeReturned():
                self._note(record, event.node, "back", "")
            case ev.JournalReplaced():
                self._note(record, event.node, "came back with an empty journal", "")
            case ev.NodeDropped():
                self._note(record, event.node, f"left out of {event.rollout}", event.why)
            case ev.NodeRegistered():
                self._note(record, event.node, "registered", _labels(event.labels))
            case _:
                self._forget(event)

    def _forget(self, event: ev.Event) -> None:
        if isinstance(event, ev.NodeForgotten):
            self._open = {a: work for a, work in self._open.items() if work.at != event.node}
        elif isinstance(event, ev.NodeRemoved):
            self._changes.pop(event.node, None)

    def _ended(self, record: Record, event: ev.ActionEnded, work: t.Work) -> None:
        place = work.place or work.at
        version = self._version(record.stream, work.revision)
        if event.outcome != "ok":
            of = f" of {version}" if version else ""
            self._note(record, place, f"{work.verb}{of} {event.outcome}", event.error)
        elif work.verb == "stop":
            self._note(record, place, "stopped", "by command")
        else:
            self._note(record, place, f"{version} started".strip(), "healthy")

    def _state_words(self, stream: str, known: t.Known) -> str:
        version = self._version(stream, known.revision)
        if known.running is False:
            state = "stopped" if known.revision else "empty"
        elif known.healthy is None:
            state = "running, health unknown" if known.running else "unknown"
        else:
            state = "healthy" if known.healthy else "unhealthy"
        return f"{version} {state}".strip()

    def _version(self, stream: str, revision: t.Revision | None) -> str:
        known = self._versions.get(stream, {})
        return known.get(revision, "") if revision else ""

    def _note(self, record: Record, where: str, what: str, detail: str) -> None:
        """`where`: a place, or a node as a whole."""
        place = t.Place(where)
        app, environment = split_stream(record.stream) if place.slot else ("", "")
        change = NodeChange(
            at=record.at,
            app=app,
            environment=environment,
            slot=place.slot,
            what=what,
            detail=detail,
        )
        self._changes.setdefault(place.node, deque(maxlen=CHANGES_KEPT)).append(change)


def _labels(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(labels.items()))
