"""Hears of all that happens in a world, and asks the invariants whether it may.

What it keeps, it keeps of events, commands and effects alone: what the engine believes is not taken
on trust. `invariants.py` has the sentences; this is what they look at.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import invariants
from fake_machine import Machine, Running
from told import Freezes, Line, Lost, unwell_in

from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.inputs import Input
from tidegate_controller.core.settling import SETTLE, presumed
from tidegate_controller.log import Batch, Record
from tidegate_protos.v1 import agent_pb2 as pb

if TYPE_CHECKING:
    from world import World


@dataclass
class Past:
    """Of one stream, from its events."""

    rollout: str = ""
    open: dict[str, t.Action] = field(default_factory=dict)
    moves: list[t.Action] = field(default_factory=list)  # of traffic, all that were issued
    ended: dict[str, float] = field(default_factory=dict)  # when each of these had
    fence: tuple[int, int] = (0, 0)
    version: int = 0
    waiting: bool = False
    undoing: bool = False
    committed: list[t.Release] = field(default_factory=list)
    release: t.Release | None = None  # of the rollout that runs
    started: ev.Started | None = None  # of the rollout that runs
    served: t.Weights = field(default_factory=dict)  # before it
    dropped: set[str] = field(default_factory=set)  # nodes that it goes on without
    approved: set[str] = field(default_factory=set)  # ids of its steps that a person let pass
    paused: bool = False
    given_up: bool = False  # by a person
    continued: bool = False  # a person has said that it goes on all the same
    barred: set[tuple[str, str]] = field(default_factory=set)  # (digest, config or "" for any)
    lock: str = ""  # who holds it
    removed: set[str] = field(default_factory=set)  # nodes that were since they had it
    emptied: set[str] = field(default_factory=set)  # nodes whose disk was lost, until a start there
    asked: set[str] = field(default_factory=set)  # request ids of rollouts
    endings: list[str] = field(default_factory=list)
    proven: set[t.Place] = field(default_factory=set)  # passed since they were last touched
    prepared: set[tuple[str, int, str]] = field(default_factory=set)  # node, its disk, digest
    freezes: Freezes = field(default_factory=Freezes)
    line: Line = field(default_factory=Line)
    lost: Lost = field(default_factory=Lost)
    told: t.Weights = field(default_factory=dict)  # where it wanted traffic moved last,
    moved: t.Weights = field(default_factory=dict)  # and where it was by the last word of that
    late: set[str] = field(default_factory=set)  # addresses that only a late move sends to
    unwell: set[t.Place] = field(default_factory=set)  # known to be, when the last move was logged
    trusted: set[t.Place] = field(default_factory=set)  # proven then, and not touched since
    left: dict[str, float] = field(default_factory=dict)  # address -> when it last lost traffic
    entered: float = 0.0  # engine time when its step was

    @property
    def in_place(self) -> bool:
        """A rollout runs that treats nodes that serve one after the other, where they are."""
        rolling = self.started is not None and self.started.spec.strategy == "rolling"
        return rolling and any(self.served.values())

    @property
    def out_of_service(self) -> set[str]:
        """Nodes that it has taken traffic from to treat them where they are."""
        if not self.in_place:
            return set()
        return _nodes(self.served) - _nodes(self.moved) - self.dropped

    def only_leaves(self, action: t.Action) -> bool:
        """Whether it changes no more than what those nodes have that it goes on without, or whose
        disk was lost, and gives them nothing that they did not have before. A move that has failed
        counts as not made."""
        moved, weights = self.moved, action.work.weights or {}
        changed = {p for p in (*moved, *weights) if moved.get(p, 0) != weights.get(p, 0)}
        gained = {place for place in changed if weights.get(place)}
        others = {place.node for place in changed} - self.dropped - self.removed - self.emptied
        leaves = action.work.verb == "route" and bool(changed) and not others
        return leaves and all(self.served.get(place) for place in gained)

    def stays(self, action: t.Action) -> bool:
        """Whether it has traffic go where it goes by the last word of that. A move that has failed
        may have been made: what it takes back is only what those nodes had that it goes on without.
        """
        told, weights = self.told, action.work.weights or {}
        changed = {
            place for place in (*told, *weights) if told.get(place, 0) != weights.get(place, 0)
        }
        others = {place.node for place in changed} - self.dropped - self.removed
        return action.work.verb == "route" and weights == self.moved and not others

    def begin(self, event: ev.Started, served: t.Weights) -> None:
        self.rollout, self.release, self.started = event.rollout, event.release, event
        self.served, self.dropped, self.approved = served, set(), set()
        self.undoing = self.paused = self.given_up = self.continued = False
        self.told = self.moved = served
        self.asked.add(event.request_id)

    def answer(self, said: t.Answer) -> None:
        self.given_up |= said == "abort"
        if said == "continue":  # whoever says so has moved what had to be
            self.continued, self.moved = True, self.told

    def bar(self, event: ev.Committed) -> None:
        """Who goes back from a release does not want it again, but by a rollback."""
        started = self.started
        if started is None or started.kind != "rollback" or started.previous is None:
            return
        self.lift(started.release.revision.digest)
        if started.previous.revision.digest != started.release.revision.digest:
            self.barred.add((started.previous.revision.digest, ""))

    def lift(self, digest: str) -> None:
        self.barred = {known for known in self.barred if known[0] != digest}

    def touch(self, place: t.Place) -> None:
        """It is started, and has to pass its checks first."""
        self.proven.discard(place)
        self.trusted.discard(place)

    def forget(self, node: str) -> None:
        """What was on its disk may be gone."""
        self.proven = {place for place in self.proven if place.node != node}


def _nodes(weights: t.Weights) -> set[str]:
    return {place.node for place, share in weights.items() if share}


class Seen(Protocol):
    """Who is told of each decision as well: the coverage."""

    def decision(
        self, stream: str, state: t.State | None, cause: Input | None, events: Sequence[ev.Event]
    ) -> None: ...


class Judge:
    """A `fake_machine.Watcher`, and told of appends, commands and balancers by the world."""

    def __init__(self, world: "World", seen: Seen) -> None:
        self.world = world
        self.seen = seen
        self.pasts: dict[str, Past] = {}
        self.issued: dict[str, tuple[str, t.Action]] = {}  # every action of the log
        self.acted: dict[tuple[str, str], tuple[int, int]] = {}  # (node, stream) -> highest fence
        self.journals: dict[str, str] = {}  # node -> id of its agent's journal
        self.ended: list[str] = []  # rollouts
        self.scripts: dict[str, int] = {}  # command -> how often its migration began
        self.by_hand = False  # traffic is just moved by a person
        self.clock = 0.0
        self.seq = 0
        self.epoch = 0
        self.last_hash = ""  # of the log's last record: two runs of a seed end in the same one
        self._unlooked: set[str] = set()  # streams with a decision that was not looked at after

    def past(self, stream: str) -> Past:
        return self.pasts.setdefault(stream, Past())

    # --- The log --------------------------------------------------------------------------------

    def appended(self, batch: Batch, records: list[Record]) -> None:
        """These are durable now; the engine's state is that before them."""
        world, engine = self.world, self.world.controller.engine
        invariants.the_log_is_in_order(self, batch, records)
        stream = engine.streams.get(batch.stream)
        state = stream.state if stream is not None else None
        if state is not None:
            invariants.timers_never_fire_early(self, batch, state)
        self.seen.decision(batch.stream, state, batch.cause, batch.events)
        past, known = self.past(batch.stream), dict(state.places) if state is not None else {}
        for event in batch.events:
            if world.tracing:
                world.tell(f"{batch.stream:12s} {world.describe(event)}")
            self.take(batch.stream, past, event)
            if isinstance(event, ev.Observed):
                known[event.place] = event.known
            elif isinstance(event, ev.ActionIssued) and event.action.work.verb == "route":
                past.unwell, past.trusted = unwell_in(known), set(past.proven)
        self.last_hash = records[-1].hash
        self._unlooked.add(batch.stream)

    def take(self, stream: str, past: Past, event: ev.Event) -> None:
        past.version += 1
        if isinstance(event, ev.Started):
            invariants.one_rollout_at_a_time(self, stream, past, event)
            invariants.a_queued_deployment_begins_once_and_in_turn(self, stream, past, event)
            invariants.a_request_begins_one_rollout(self, stream, past, event)
            invariants.what_was_bad_does_not_come_back_by_itself(self, stream, past, event)
            invariants.a_lock_is_respected(self, stream, past, event)
            invariants.a_freeze_is_respected(self, stream, past, event)
            past.begin(event, presumed(self.world.state(stream)))
        elif isinstance(event, ev.ActionIssued):
            invariants.fences_rise(self, stream, past, event.action)
            invariants.a_paused_rollout_begins_nothing(self, stream, past, event.action)
            invariants.a_dropped_node_gets_no_new_traffic(self, stream, past, event.action)
            invariants.what_a_freeze_holds_up_waits(self, stream, past, event.action)
            self._issued(stream, past, event.action)
        elif isinstance(event, ev.ActionEnded):
            invariants.a_late_result_changes_nothing(self, stream, past, event)
            self._ended(stream, past, event)
        elif isinstance(event, ev.Replanned):
            invariants.what_stops_is_not_undone(self, stream, past)
            past.undoing, past.waiting = True, False
        elif isinstance(event, ev.Waiting):
            past.waiting = True
        elif isinstance(event, ev.Answered | ev.StepEnded | ev.Approved):
            past.waiting = False
            if isinstance(event, ev.Answered):
                past.answer(event.answer)
            elif isinstance(event, ev.Approved):
                past.approved.add(event.step)
            else:
                invariants.a_gate_waits_for_a_person(self, stream, past, event)
                invariants.a_soak_lasts(self, stream, past, event)
        elif isinstance(event, ev.Committed) and past.release is not None:
            past.prepared -= self.gone(stream)  # before anybody needed it
            past.committed.append(past.release)
            past.removed.difference_update(past.started.nodes if past.started else ())
            past.bar(event)
        elif isinstance(event, ev.Ended):
            past.rollout, past.release, past.waiting = "", None, False
            past.started, past.paused = None, False
            past.endings.append(event.state)
            self.ended.append(event.rollout)
        else:
            self._take_control(past, event)
        past.entered = self.clock if isinstance(event, ev.StepEntered) else past.entered
        past.waiting &= not past.lost.is_withdrawn(event)
        past.line.take(event)
        past.freezes.take(event, self.clock)

    def _take_control(self, past: Past, event: ev.Event) -> None:
        if isinstance(event, ev.Paused):
            past.paused = True
        elif isinstance(event, ev.Resumed):
            past.paused = False
        elif isinstance(event, ev.Aborted):
            past.given_up, past.paused = True, False
        elif isinstance(event, ev.Observed) and event.known.healthy:
            past.proven.add(event.place)
        elif isinstance(event, ev.NodeDropped):
            past.dropped.add(event.node)
        elif isinstance(event, ev.Quarantined):
            past.barred.add((event.quarantine.digest, event.quarantine.config))
        elif isinstance(event, ev.QuarantineLifted):
            past.lift(event.digest)
        elif isinstance(event, ev.Locked):
            past.lock = event.by
        elif isinstance(event, ev.Unlocked):
            past.lock = ""
        elif isinstance(event, ev.JournalReplaced):
            past.forget(event.node)
            past.emptied.add(event.node)
        elif isinstance(event, ev.NodeForgotten):
            past.removed.add(event.node)
            past.open = {k: a for k, a in past.open.items() if a.work.at != event.node}
        else:
            self._take_fleet(event)

    def _take_fleet(self, event: ev.Event) -> None:
        """A node may have been forgotten meanwhile: only by its journal is it known as the same."""
        if isinstance(event, ev.EpochBegan):
            invariants.epochs_rise(self, event)
            self.epoch = event.epoch
        elif not isinstance(event, ev.NodeRegistered):
            return
        elif self.journals.setdefault(event.node, event.journal_id) != event.journal_id:
            self.journals[event.node] = event.journal_id
            for past in self.pasts.values():
                if event.node in past.removed:  # others hear of it, a moment later
                    past.forget(event.node)

    def _issued(self, stream: str, past: Past, action: t.Action) -> None:
        self.issued[action.id] = (stream, action)
        past.open[action.id] = action
        past.fence = action.fence
        if action.work.verb == "route":
            past.moves.append(action)
            past.told = (action.work.weights or {}) if past.rollout else past.told

    def _ended(self, stream: str, past: Past, event: ev.ActionEnded) -> None:
        action = past.open.pop(event.action, None)
        if action is not None and action.work.verb == "route":
            past.ended[action.id] = self.world.now
        if action is None or event.outcome != "ok":
            return
        work = action.work
        if work.place is not None and event.known is not None and event.known.healthy:
            past.proven.add(work.place)  # as its agent says, who was asked
        if work.verb == "route" and past.rollout:
            past.moved = work.weights or {}
            lost = _nodes(past.served) <= past.removed | past.emptied
            if action.step == SETTLE and lost and any(past.moved.values()):
                past.served = past.moved  # nothing else is left to go back to
        elif work.verb == "start" and work.place is not None:
            past.proven.add(work.place)
            past.emptied.discard(work.at)
        elif work.verb == "prepare" and work.revision is not None:
            if machine := self.world.machines.get(work.at):
                past.prepared.add((work.at, machine.disks, work.revision.digest))
        elif work.verb == "cleanup":
            invariants.nothing_needed_is_deleted(self, stream, past, work.at)

    def gone(self, stream: str, only: str = "") -> set[tuple[str, int, str]]:
        """Of what nodes had prepared of the app, what is not on their disks any more."""
        found, app = set(), stream.partition("@")[0]
        for node, disk, digest in self.past(stream).prepared:
            machine = self.world.machines[node]
            releases = machine.folder / "apps" / app / "releases"
            parts = [releases / digest[7:], releases / f"{digest[7:]}.ok"]
            here = disk == machine.disks and all(part.exists() for part in parts)
            if only in ("", node) and not here:
                found.add((node, disk, digest))
        return found

    # --- What is between ------------------------------------------------------------------------

    def command(self, command: pb.Command) -> None:
        """It leaves the controller."""
        invariants.every_command_was_logged_first(self, command)

    def look(self) -> None:
        """At what decisions have left, once their events are in the state."""
        controller = self.world.controller
        if not controller.listens:
            self._unlooked.clear()
            return
        for name in sorted(self._unlooked):
            stream = controller.engine.streams.get(name)
            if stream is not None and not stream.lock.locked():
                self._unlooked.discard(name)
                invariants.every_wait_has_an_end(self, stream)

    # --- Machines and balancers -----------------------------------------------------------------

    def effect(self, machine: Machine, kind: str, what: str) -> None:
        task = asyncio.current_task()
        name = task.get_name() if task is not None else ""
        if self.world.tracing:
            self.world.tell(f"{machine.name:12s} {kind} {what}")
        if name in self.issued:
            invariants.an_overtaken_command_has_no_effect(self, machine, name, kind)
            invariants.no_agent_obeys_an_older_epoch(self, machine, name, kind)
            stream, action = self.issued[name]
            key = (machine.name, stream)
            self.acted[key] = max(self.acted.get(key, (0, 0)), action.fence)
            if kind == "start" and action.work.place is not None:
                self.past(stream).touch(action.work.place)
                invariants.one_release_runs_in_place(self, machine, stream, what)
            if kind == "script" and what.startswith("migrate"):
                invariants.a_migration_runs_once(self, machine, name)
        if kind == "start":
            invariants.a_slot_runs_one_process(self, machine, what)

    def is_stopping(self, machine: Machine, service: Running) -> None:
        if self.world.tracing:
            self.world.tell(f"{machine.name:12s} SIGTERM to {service.app} in {service.slot}")
        invariants.no_slot_is_stopped_under_traffic(self, machine, service)
        invariants.last_requests_have_time_to_end(self, machine, service)

    def has_ended(self, machine: Machine, service: Running) -> None:
        if self.world.tracing:
            how = service.ended.result()
            self.world.tell(f"{machine.name:12s} {service.app} in {service.slot} ended: {how}")
        stream = f"{service.app}@{service.environment}"
        truth = self.world.balancer(stream).truth
        if f"{machine.name}:{service.port}" in truth:
            invariants.no_request_fails(self, stream, truth)

    def moving(
        self, stream: str, before: dict[str, int], after: dict[str, int], late: bool
    ) -> None:
        """The balancer is about to do this. `late`: what it was told some time ago, by when it was
        right."""
        if self.world.tracing:
            self.world.tell(f"{stream:12s} traffic goes to {after}")
        past = self.past(stream)
        past.left.update(dict.fromkeys(before.keys() - after.keys(), self.world.now))
        if self.by_hand:
            past.late.clear()
            return
        invariants.every_move_was_logged_first(self, stream, after, late)
        invariants.no_request_fails(self, stream, after)
        if late:
            past.late = (past.late | after.keys() - before.keys()) & after.keys()
        else:
            invariants.no_traffic_to_what_did_not_pass(self, stream, before, after)
            invariants.enough_nodes_stay_in_service(self, stream, before, after)
            invariants.traffic_leads_somewhere(self, stream, before, after)
            invariants.a_converge_takes_nothing_from_others(self, stream, before, after)
            past.late.clear()
