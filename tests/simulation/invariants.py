"""What must hold, whatever happens: one function an invariant, its sentence first.

Called by `judge.py` at the moment when it could be broken, and by `final` at the end of a world.
None stops the world by itself: it says what is wrong, and the world ends there.
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING

from fake_machine import Machine, Running
from told import unwell_in

from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.chores import chore_opens_at
from tidegate_controller.core.deadline import next_deadline
from tidegate_controller.core.evolve import evolve
from tidegate_controller.core.freezing import HELD_UP
from tidegate_controller.core.inputs import Tick
from tidegate_controller.core.releases import active_release, previous_release, quarantine_of
from tidegate_controller.core.settling import REWRITE, SETTLE, rewrite_now
from tidegate_controller.core.shares import rounded_up
from tidegate_controller.log import Batch, Record
from tidegate_controller.stream import Stream
from tidegate_protos.v1 import agent_pb2 as pb

if TYPE_CHECKING:
    from judge import Judge, Past
    from world import World

EARLY_SECONDS = 1e-6  # what floating point may lose
TELLING_SECONDS = 0.05  # from what is durable to what is told of it
SLOWEST = 0.97  # of the time that the controller takes for so long, that may have passed


# --- The log -------------------------------------------------------------------------------------


def the_log_is_in_order(judge: "Judge", batch: Batch, records: list[Record]) -> None:
    """Numbers rise by one, versions by one in their stream, and engine time never goes back."""
    past = judge.past(batch.stream)
    for offset, record in enumerate(records, 1):
        judge.seq += 1
        if record.seq != judge.seq or record.version != past.version + offset:
            judge.world.fail(the_log_is_in_order, f"{record[:3]}, expected {judge.seq}")
    if batch.clock < judge.clock:
        judge.world.fail(the_log_is_in_order, f"clock {batch.clock} after {judge.clock}")
    judge.clock = batch.clock


def one_rollout_at_a_time(judge: "Judge", stream: str, past: "Past", event: ev.Started) -> None:
    """At most one rollout acts on an app and environment."""
    if past.rollout:
        judge.world.fail(one_rollout_at_a_time, f"{stream}: {event.rollout} in {past.rollout}")


def a_request_begins_one_rollout(
    judge: "Judge", stream: str, past: "Past", event: ev.Started
) -> None:
    """However often a request comes, it begins one rollout."""
    if event.request_id and event.request_id in past.asked:
        judge.world.fail(a_request_begins_one_rollout, f"{stream}: {event.request_id}")


def what_was_bad_does_not_come_back_by_itself(
    judge: "Judge", stream: str, past: "Past", event: ev.Started
) -> None:
    """A release that was rolled back from, or is quarantined, is not brought back but by a person
    who rolls back to it, or has lifted that."""
    revision = event.release.revision
    barred = past.barred.intersection([(revision.digest, ""), (revision.digest, revision.config)])
    if barred and event.kind != "rollback":
        detail = f"{stream}: {event.rollout} {event.kind} {event.release.version}"
        judge.world.fail(what_was_bad_does_not_come_back_by_itself, detail)


def a_lock_is_respected(judge: "Judge", stream: str, past: "Past", event: ev.Started) -> None:
    """While somebody holds the lock, nobody else begins a rollout, nor does the engine."""
    if past.lock and event.requested_by != past.lock:
        detail = f"{stream}: {event.rollout} by {event.requested_by}, locked by {past.lock}"
        judge.world.fail(a_lock_is_respected, detail)


def a_freeze_is_respected(judge: "Judge", stream: str, past: "Past", event: ev.Started) -> None:
    """In a freeze nothing is deployed, nor does the engine pay what is owed, unless whoever asks
    says that it is to be; to go back is always allowed."""
    if event.kind == "rollback" or event.override_freeze:
        return
    if window := past.freezes.at(judge.clock, event.calendar):
        detail = f"{stream}: {event.rollout} {event.kind} in the {window.named}"
        judge.world.fail(a_freeze_is_respected, detail)


def what_a_freeze_holds_up_waits(
    judge: "Judge", stream: str, past: "Past", action: t.Action
) -> None:
    """In a freeze, as the controller knows it, a rollout under way moves no traffic and starts and
    stops nothing, but to go back, to bring nodes that it has taken out of service back to it, or
    for nodes that it goes on without."""
    started, work = past.started, action.work
    if started is None or started.kind == "rollback" or past.undoing or past.freezes.overridden:
        return
    if work.verb not in HELD_UP or action.step == SETTLE or "/" in action.step:
        return
    window = past.freezes.at(judge.clock)
    leaves = past.only_leaves(action) or past.stays(action)
    if window is not None and not (past.out_of_service or leaves):
        detail = f"{stream}: {work.verb} at {action.step} in the {window.named}"
        judge.world.fail(what_a_freeze_holds_up_waits, detail)


def a_queued_deployment_begins_once_and_in_turn(
    judge: "Judge", stream: str, past: "Past", event: ev.Started
) -> None:
    """A deployment that waits for its turn begins once, and after those that waited before it."""
    line = past.line
    if event.rollout in line.left or event.rollout in line.waiting[1:]:
        detail = f"{stream}: {event.rollout}, while {line.waiting} wait"
        judge.world.fail(a_queued_deployment_begins_once_and_in_turn, detail)


def what_stops_is_not_undone(judge: "Judge", stream: str, past: "Past") -> None:
    """Where a failure is to stop a rollout, nothing is undone, unless a person says so."""
    started = past.started
    if started is None or past.undoing or past.given_up or started.kind == "converge":
        return
    if started.spec.policy.on_failure == "stop":
        judge.world.fail(what_stops_is_not_undone, f"{stream}: {started.rollout}")


def fences_rise(judge: "Judge", stream: str, past: "Past", action: t.Action) -> None:
    """A later action has a higher fence, and an id of its own."""
    if action.fence <= past.fence or action.id in judge.issued:
        judge.world.fail(fences_rise, f"{action.id}: {action.fence} after {past.fence}")


def epochs_rise(judge: "Judge", event: ev.EpochBegan) -> None:
    """Each life of the controller has a higher epoch than all before."""
    if event.epoch <= judge.epoch:
        judge.world.fail(epochs_rise, f"{event.epoch} after {judge.epoch}")


def a_late_result_changes_nothing(
    judge: "Judge", stream: str, past: "Past", event: ev.ActionEnded
) -> None:
    """Only an action that is open ends, and it ends once."""
    if event.action not in past.open:
        judge.world.fail(a_late_result_changes_nothing, f"{stream}: {event.action} was not open")


def a_paused_rollout_begins_nothing(
    judge: "Judge", stream: str, past: "Past", action: t.Action
) -> None:
    """A rollout that is paused issues nothing new, nor does what is left of those before. One that
    waits for a person does not either; but moving traffic back goes on, and so does taking it away
    from a node that has failed meanwhile and is dropped."""
    chore = action.step.count("/") > 0
    if past.paused:
        judge.world.fail(a_paused_rollout_begins_nothing, f"{stream}: paused: {action.work.verb}")
    if past.waiting and not (past.undoing or chore or past.only_leaves(action)):
        judge.world.fail(a_paused_rollout_begins_nothing, f"{stream}: {action.work.verb}")


def a_gate_waits_for_a_person(
    judge: "Judge", stream: str, past: "Past", event: ev.StepEnded
) -> None:
    """An approval or a promotion that is asked for is never taken as given. The way back asks
    nobody."""
    if past.started is None or past.undoing or event.outcome != "ok" or event.step in past.approved:
        return
    if any(step.gate for step in past.started.plan if step.id == event.step):
        judge.world.fail(a_gate_waits_for_a_person, f"{stream}: {event.rollout} {event.step}")


def a_soak_lasts(judge: "Judge", stream: str, past: "Past", event: ev.StepEnded) -> None:
    """A release is watched for as long as the spec says, unless a person has cut that short."""
    if past.started is None or event.outcome != "ok" or event.step in past.approved:
        return
    seconds = max((s.hold_seconds for s in past.started.plan if s.id == event.step), default=0.0)
    if not past.undoing and judge.clock < past.entered + seconds - EARLY_SECONDS:
        detail = f"{stream}: {event.rollout} {event.step} since {past.entered}"
        judge.world.fail(a_soak_lasts, detail)


def timers_never_fire_early(judge: "Judge", batch: Batch, state: t.State) -> None:
    """What a Tick leads to was due. That a freeze has begun is seen at whatever comes next."""
    frozen = all(
        isinstance(event, ev.Frozen) and event.window.begins <= batch.clock
        for event in batch.events
    )
    if not isinstance(batch.cause, Tick) or frozen:
        return
    due = next_deadline(state)
    if due is None or batch.clock < due - EARLY_SECONDS:
        judge.world.fail(timers_never_fire_early, f"{batch.stream}: {batch.clock} before {due}")


def every_wait_has_an_end(judge: "Judge", stream: Stream) -> None:
    """Every wait has a deadline, and a timer for it, or waits for a person."""
    state = stream.state
    due = next_deadline(state)
    person = state.rollout is not None and (state.rollout.waiting or state.rollout.paused)
    if state.rollout is not None and not person and due is None:
        judge.world.fail(every_wait_has_an_end, f"{stream.name}: no deadline in {state.rollout.id}")
    if due is not None and not stream.fault and (stream.timer is None or stream.timer.cancelled()):
        judge.world.fail(every_wait_has_an_end, f"{stream.name}: due at {due}, and no timer")


# --- Commands and what they do -------------------------------------------------------------------


def every_command_was_logged_first(judge: "Judge", command: pb.Command) -> None:
    """Every command sent was first in the log, as it is."""
    known = judge.issued.get(command.id)
    fence = (command.fence.epoch, command.fence.version)
    if known is None or known[1].fence != fence or known[1].work.at != command.node:
        judge.world.fail(every_command_was_logged_first, command.id)


def an_overtaken_command_has_no_effect(
    judge: "Judge", machine: Machine, command: str, kind: str
) -> None:
    """No command that a later one has overtaken on its node has an effect any more."""
    stream, action = judge.issued[command]
    highest = judge.acted.get((machine.name, stream), (0, 0))
    if action.fence < highest and action.fence[0] == highest[0]:
        detail = f"{machine.name}: {kind} by {command} after {highest}"
        judge.world.fail(an_overtaken_command_has_no_effect, detail)


def no_agent_obeys_an_older_epoch(
    judge: "Judge", machine: Machine, command: str, kind: str
) -> None:
    """Once a node has obeyed an epoch, nothing of an older one has an effect there."""
    stream, action = judge.issued[command]
    if action.fence[0] < judge.acted.get((machine.name, stream), (0, 0))[0]:
        detail = f"{machine.name}: {kind} by {command}"
        judge.world.fail(no_agent_obeys_an_older_epoch, detail)


def a_migration_runs_once(judge: "Judge", machine: Machine, command: str) -> None:
    """The script of a command that must not be done twice begins once, whatever dies."""
    judge.scripts[command] = judge.scripts.get(command, 0) + 1
    if judge.scripts[command] > 1:
        judge.world.fail(a_migration_runs_once, f"{machine.name}: {command}")


def a_slot_runs_one_process(judge: "Judge", machine: Machine, what: str) -> None:
    """However often a start is asked for, a slot has one process at a time."""
    for service in machine.services.values():
        if service.alive and what == f"{service.app} in {service.slot}":
            judge.world.fail(a_slot_runs_one_process, f"{machine.name}: {what}")


def one_release_runs_in_place(judge: "Judge", machine: Machine, stream: str, what: str) -> None:
    """Where nodes are treated in place, never do both slots of one run."""
    if not judge.past(stream).in_place:
        return
    app = stream.partition("@")[0]
    for service in machine.services.values():
        if service.alive and service.app == app and what != f"{app} in {service.slot}":
            detail = f"{machine.name}: {what} while {service.slot} runs"
            judge.world.fail(one_release_runs_in_place, detail)


def nothing_needed_is_deleted(judge: "Judge", stream: str, past: "Past", node: str) -> None:
    """A cleanup leaves what runs, what serves and what to go back to, unless that is quarantined.
    What was taken when that was not needed is not there when it is."""
    machine = judge.world.machines.get(node)
    if machine is None:
        return
    for service in machine.services.values():
        if service.alive and not service.release.exists():
            judge.world.fail(nothing_needed_is_deleted, f"{node}: {service.app} runs from nothing")
    needed = past.committed[-1:]
    needed += [r for r in past.committed if needed and r.revision != needed[0].revision][-1:]
    state = judge.world.state(stream)
    needed = [r for r in needed if quarantine_of(state, r.revision, "rollback") is None]
    gone = judge.gone(stream, node)
    for release in needed:
        if (node, machine.disks, release.revision.digest) in gone:
            judge.world.fail(nothing_needed_is_deleted, f"{node}: {release.version} is gone")
    past.prepared -= gone


# --- Traffic -------------------------------------------------------------------------------------


def every_move_was_logged_first(
    judge: "Judge", stream: str, after: dict[str, int], late: bool
) -> None:
    """The balancer does only what the log has as intended: what it is told now was decided last, or
    has ended a moment ago, before the controller could tell its effect."""
    past = judge.past(stream)
    since = judge.world.now - judge.world.controller.disk_seconds - TELLING_SECONDS
    for action in past.moves:
        if not (late or action is past.moves[-1] or past.ended.get(action.id, math.inf) >= since):
            continue
        shares = {p: share for p, share in (action.work.weights or {}).items() if share}
        if {judge.world.address(stream, p): share for p, share in shares.items()} == after:
            return
    judge.world.fail(every_move_was_logged_first, f"{stream}: {after}, {late=}")


def no_traffic_to_what_did_not_pass(
    judge: "Judge", stream: str, before: dict[str, int], after: dict[str, int]
) -> None:
    """Traffic goes only to slots that have passed their checks since they were last started, as far
    as that was known when the move was logged: a slow balancer may do it once a disk is lost."""
    past = judge.past(stream)
    passed = {judge.world.address(stream, place) for place in past.proven | past.trusted}
    for address, share in after.items():
        if share and not before.get(address) and address not in passed:
            judge.world.fail(no_traffic_to_what_did_not_pass, f"{stream}: {address}")


def a_dropped_node_gets_no_new_traffic(
    judge: "Judge", stream: str, past: "Past", action: t.Action
) -> None:
    """A rollout that goes on without a node gives it no traffic that it did not have before. Where
    traffic is written once more as it goes already, or nobody else would have any, a node may have
    some that could not be taken from it."""
    if action.work.verb != "route" or past.undoing:
        return
    taking = {place.node for place, share in (action.work.weights or {}).items() if share}
    had = past.moved if action.step == REWRITE else dict(past.served)
    if taking <= set(past.dropped):
        had = {**past.moved, **had}
    for place, share in (action.work.weights or {}).items():
        if share and place.node in past.dropped and not had.get(place):
            judge.world.fail(a_dropped_node_gets_no_new_traffic, f"{stream}: {place}")


def a_converge_takes_nothing_from_others(
    judge: "Judge", stream: str, before: dict[str, int], after: dict[str, int]
) -> None:
    """While nodes are brought what they owe, the others keep their traffic, but for those that were
    removed. What a move has brought them that was taken back and came late is not theirs, nor is
    what a slot was given for want of any other that still is to be stopped."""
    past = judge.past(stream)
    started = past.started
    if started is None or started.kind != "converge":
        return
    chores = judge.world.state(stream).chores
    doomed = {judge.world.address(stream, e.work.place) for e in chores if e.work.verb == "stop"}
    for address in sorted(set(before).difference(after)):
        node = address.partition(":")[0]
        theirs = node not in {*started.nodes, *past.removed} and address not in past.late | doomed
        if theirs and _serves(judge, address):
            judge.world.fail(a_converge_takes_nothing_from_others, f"{stream}: {address}")


def _serves(judge: "Judge", address: str) -> bool:
    """Whether a request would be answered there."""
    node, _, port = address.partition(":")
    machine = judge.world.machines[node]
    return machine.problem_of(machine.service_at(int(port))) is None


def _was_left_to_serve(judge: "Judge", address: str) -> bool:
    """Whether it serves, or would but for its own fault."""
    node, _, port = address.partition(":")
    service = judge.world.machines[node].service_at(int(port))
    return service is not None and (service.alive or service.own_fault)


def traffic_leads_somewhere(
    judge: "Judge", stream: str, before: dict[str, int], after: dict[str, int]
) -> None:
    """No move takes traffic from all that serves, as far as it is known to, and gives it to nothing
    that does; but where nodes are treated in place, or a person has said so, or nothing had any
    for certain before the rollout, as before a first deployment."""
    past = judge.past(stream)
    if past.in_place or past.continued or not any(past.served.values()):
        return
    if any(_was_left_to_serve(judge, address) for address in after):
        return
    known = judge.world.state(stream).places
    unwell = {judge.world.address(stream, place) for place in {*past.unwell, *unwell_in(known)}}
    removed = {address for address in before if address.partition(":")[0] in past.removed}
    theirs = before.keys() - unwell - past.late - removed
    if serving := sorted(address for address in theirs if _serves(judge, address)):
        judge.world.fail(traffic_leads_somewhere, f"{stream}: {after}, while {serving} serve")


def enough_nodes_stay_in_service(
    judge: "Judge", stream: str, before: dict[str, int], after: dict[str, int]
) -> None:
    """Where nodes are treated in place, no move takes so many out of service that fewer are left
    than the floor says, in any zone. What a node or an app loses by itself is another matter, and
    so is what a person has removed, and what is known to be unwell, or was when the move was
    logged: nothing calls that back, and a slow balancer may do it once the app was started again.
    What a move has brought that came late is taken back."""
    past = judge.past(stream)
    if not past.in_place or past.continued or past.started is None:
        return
    zones, share = past.started.zones, past.started.spec.waves.min_in_service
    known = judge.world.state(stream).places
    unwell = {known[place].address for place in unwell_in(known)}
    unwell |= {judge.world.address(stream, place) for place in past.unwell}
    left = {a.partition(":")[0] for a in after if _was_left_to_serve(judge, a)}
    taking = {a.partition(":")[0] for a in after}
    theirs = [a for a in before if a not in unwell | past.late]
    losing = {a.partition(":")[0] for a in theirs if _serves(judge, a)} - taking - past.removed
    for zone in set(zones.values()) if share is not None else {None}:
        inside = {node for node, its in zones.items() if zone is None or its == zone}
        least = 1 if share is None else rounded_up(share, len(inside))
        if losing & inside and len(left & inside) < least:
            detail = f"{stream}: {after} of {before}, zone {zone}, at least {least}"
            judge.world.fail(enough_nodes_stay_in_service, detail)


def no_slot_is_stopped_under_traffic(judge: "Judge", machine: Machine, service: Running) -> None:
    """No slot is stopped while traffic to it is possible, by what the balancer does or may do."""
    stream = f"{service.app}@{service.environment}"
    if f"{machine.name}:{service.port}" in judge.world.balancer(stream).may_serve():
        detail = f"{stream}: {service.slot} on {machine.name}"
        judge.world.fail(no_slot_is_stopped_under_traffic, detail)


def last_requests_have_time_to_end(judge: "Judge", machine: Machine, service: Running) -> None:
    """No slot is stopped before it was without traffic for as long as its app's pace says, by what
    the balancer does; the controller's clock may be fast."""
    stream = f"{service.app}@{service.environment}"
    since = judge.past(stream).left.get(f"{machine.name}:{service.port}")
    seconds = min(pace.drain_seconds for pace in judge.world.apps[stream].paces) * SLOWEST
    if since is not None and judge.world.now < since + seconds:
        detail = f"{stream}: {service.slot} on {machine.name} had traffic until {since}"
        judge.world.fail(last_requests_have_time_to_end, detail)


def no_request_fails(judge: "Judge", stream: str, truth: dict[str, int]) -> None:
    """A request never fails by the engine's doing: what has traffic runs, or died by itself."""
    for address in sorted(truth):
        node, _, port = address.partition(":")
        machine = judge.world.machines.get(node)
        service = machine.service_at(int(port)) if machine is not None else None
        if service is None or not (service.alive or service.own_fault):
            judge.world.fail(no_request_fails, f"{stream}: nothing runs at {address}")


# --- At the end ----------------------------------------------------------------------------------


def replaying_the_log_gives_the_same_state(world: "World") -> None:
    """What the file holds adds up to the state that the engine has."""
    states: dict[str, t.State] = {}
    for record in world.read_log():
        if "@" in record.stream:
            before = states.get(record.stream, t.State())
            states[record.stream] = evolve(before, record.event, record.clock)
    for name, stream in world.controller.engine.streams.items():
        if stream.begun and states.get(name) != stream.state:
            world.fail(replaying_the_log_gives_the_same_state, name)


def nothing_stands_still(world: "World") -> None:
    """No stream has stumbled over an error of the core's own."""
    for name, stream in world.controller.engine.streams.items():
        if stream.fault:
            world.fail(nothing_stands_still, f"{name}: {stream.fault}")


def every_rollout_ends(world: "World") -> None:
    """Once all is well again, every rollout ends."""
    for name, stream in world.controller.engine.streams.items():
        if (rollout := stream.state.rollout) is not None:
            step = rollout.plan[rollout.cursor].id if rollout.plan else "-"
            world.fail(every_rollout_ends, f"{name}: {rollout.id} is at {step}")


def nobody_waits_for_a_turn_for_ever(world: "World") -> None:
    """Once all is well again and nothing is frozen, every deployment that waited has begun, or it
    was dropped and said why."""
    for name, past in sorted(world.judge.pasts.items()):
        if past.line.waiting:
            world.fail(nobody_waits_for_a_turn_for_ever, f"{name}: {past.line.waiting}")


def what_is_left_to_do_is_done(world: "World") -> None:
    """Once all is well again, what is to be done after rollouts is done when its time comes, and a
    move that may come late is made up for; but where nobody knows where traffic goes."""
    engine = world.controller.engine
    for name, stream in sorted(engine.streams.items()):
        state = stream.state
        if state.weights is None or t.CONTROLLER in state.debts:
            continue
        opened = [action.step for action in state.chores_open.values()]
        due = [c.id for c in state.chores if not engine.now() < chore_opens_at(state, c) < math.inf]
        rewrite = [REWRITE] if rewrite_now(state) is not None else []
        if left := opened + due + rewrite:
            world.fail(what_is_left_to_do_is_done, f"{name}: {left}")
        truth, told = world.balancer(name).truth, state.settled
        if set(truth) != {world.address(name, place) for place, share in told.items() if share}:
            world.fail(what_is_left_to_do_is_done, f"{name}: traffic goes to {truth}, not {told}")


def every_node_runs_what_the_log_says(world: "World", stream: str) -> None:
    """Every node runs the release that was deployed last, in one slot, which has all traffic and
    which `current` names. What is to be stopped at a later time may run until then."""
    state = world.controller.engine.state(stream)
    release = active_release(state)
    assert release is not None
    later = {chore.work.place for chore in state.chores if chore.work.verb == "stop"}
    grouped = bool(state.spec and state.spec.slots)  # the idle group runs nothing
    truth = {world.address(stream, place) for place in state.settled}
    if set(world.balancer(stream).truth) != truth:
        detail = f"{stream}: traffic goes to {world.balancer(stream).truth}, not to {truth}"
        world.fail(every_node_runs_what_the_log_says, detail)
    app = stream.partition("@")[0]
    for node in state.members:
        machine = world.machines[node]
        alive = [s for s in machine.services.values() if s.alive and s.app == app]
        meant = [s for s in alive if t.Place.of(node, s.slot) not in later]
        runs = [(s.slot, s.version) for s in meant]
        expected = [(p.slot, release.version) for p in state.settled if p.node == node]
        if runs != expected or (len(runs) != 1 and not grouped):
            detail = f"{stream}: {node} runs {runs}, not {expected}"
            world.fail(every_node_runs_what_the_log_says, detail)
        current = machine.folder / "apps" / app / "current"
        if expected and not _names(current, expected[0][0]):
            world.fail(every_node_runs_what_the_log_says, f"{stream}: `current` on {node}")


def every_node_runs_what_it_should_or_owes_it(world: "World", stream: str) -> None:
    """Whatever has happened: each node that takes traffic has what the log says, or is known to be
    unwell; or it is listed as owing."""
    state = world.controller.engine.state(stream)
    release = active_release(state)
    if release is None or t.CONTROLLER in state.debts:
        return
    owing = {t.Place(of).node for of in state.debts}
    for node in sorted(set(state.members) - set(state.debts)):
        places = [place for place, share in state.settled.items() if share and place.node == node]
        if not places and node not in owing and not (state.spec and state.spec.slots):
            detail = f"{stream}: {node} takes no traffic, and owes nothing"
            world.fail(every_node_runs_what_it_should_or_owes_it, detail)
        for place in places:
            known, address = state.places[place], world.address(stream, place)
            service = world.machines[node].service_at(int(address.partition(":")[2] or 0))
            runs = service.version if service is not None and service.alive else "nothing"
            bad = known.running is False or known.healthy is False
            told = bad or str(place) in state.debts  # those of its other slot are not about this
            if runs != release.version and not told:
                detail = f"{stream}: {place} runs {runs}, not {release.version}, and owes nothing"
                world.fail(every_node_runs_what_it_should_or_owes_it, detail)


def _names(link: Path, slot: str) -> bool:
    return link.is_symlink() and str(link.readlink()) == f"slots/{slot}"


def what_to_go_back_to_is_known(world: "World", stream: str) -> None:
    """After two deployments that succeeded there is one to go back to, unless it is quarantined."""
    state = world.controller.engine.state(stream)
    revisions = {release.revision for release in world.judge.past(stream).committed[:-1]}
    left = [r for r in revisions if quarantine_of(state, r, "rollback") is None]
    last = world.judge.past(stream).committed[-1].revision
    if any(revision != last for revision in left) and previous_release(state) is None:
        world.fail(what_to_go_back_to_is_known, stream)


def every_agent_comes_back(world: "World") -> None:
    """Once all is well, every agent is let in again."""
    fleet = world.controller.engine.fleet
    for node in sorted(world.machines):
        if not world.is_here(node):
            refusal = fleet.refused.get(node)
            world.fail(every_agent_comes_back, f"{node}: {refusal.why if refusal else 'no call'}")


SETTLED = (
    every_agent_comes_back,
    nothing_stands_still,
    every_rollout_ends,
    nobody_waits_for_a_turn_for_ever,
    what_is_left_to_do_is_done,
)
