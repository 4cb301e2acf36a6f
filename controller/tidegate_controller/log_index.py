"""What the whole log adds up to: the streams' states, and what the controller knows beside them.

Folded record by record, from the first one or from a snapshot on. Used by `engine` at its start,
by `log_check`, and by whatever works on a log that no controller has open.
"""

import msgspec

from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.evolve import evolve
from tidegate_controller.log import RESTORE, LogError, Record
from tidegate_controller.stream import RolloutPlace

CONTROLLER_STREAM = "controller"
FLEET_STREAM = "fleet"
OWN_STREAMS = (CONTROLLER_STREAM, FLEET_STREAM)  # that no rollout lives in


class Index(msgspec.Struct, kw_only=True):
    """What is known beside the states. `versions`: of the streams that no rollout lives in."""

    epoch: int = 0
    log_id: str = ""  # of the last life
    former_logs: list[str] = []  # those of which this is a restored copy, oldest first
    registered: dict[str, ev.NodeRegistered] = {}
    rollouts: dict[str, RolloutPlace] = {}
    versions: dict[str, int] = {}


class LogIndex:
    """The fold. A record that it has had already, by its version, changes nothing."""

    def __init__(
        self, index: Index | None = None, states: dict[str, t.State] | None = None
    ) -> None:
        self.index = index or Index()
        self.states = states or {}

    def version(self, stream: str) -> int:
        if stream in OWN_STREAMS:
            return self.index.versions.get(stream, 0)
        return self.states[stream].version if stream in self.states else 0

    def versions(self) -> dict[str, int]:
        return {**self.index.versions, **{name: s.version for name, s in self.states.items()}}

    def fold(self, record: Record) -> None:
        """Raises `LogError` for a record that cannot be read, or that does not follow."""
        version = self.version(record.stream)
        if record.version <= version:
            return
        if record.version != version + 1:
            raise LogError(
                f"event {record.seq} is version {record.version} of {record.stream}, after "
                f"version {version}: what lies between is missing",
                RESTORE,
            )
        event = record.event
        if record.stream in OWN_STREAMS:
            self.index.versions[record.stream] = record.version
            self._fold_own(event)
        else:
            state = self.states.get(record.stream, t.State())
            self.states[record.stream] = evolve(state, event, record.clock)
            if isinstance(event, ev.Started | ev.Queued):
                self.index.rollouts[event.rollout] = rollout_place(event, record)

    def _fold_own(self, event: ev.Event) -> None:
        index = self.index
        if isinstance(event, ev.EpochBegan):
            index.epoch, index.log_id = event.epoch, event.log_id
        elif isinstance(event, ev.Restored):
            index.log_id = event.log_id
            index.former_logs.append(event.former)
        elif isinstance(event, ev.NodeRegistered):
            index.registered[event.node] = event
        elif isinstance(event, ev.NodeRemoved):
            index.registered.pop(event.node, None)


def rollout_place(event: ev.Started | ev.Queued, record: Record) -> RolloutPlace:
    """Where the rollout is in the log that this record of it stands in: where it has begun, and
    until then where it was told to wait."""
    asked = event.deployment if isinstance(event, ev.Queued) else event
    return RolloutPlace(
        record.stream,
        record.version,
        record.seq,
        record.at,
        asked.requested_by,
        asked.message,
    )
