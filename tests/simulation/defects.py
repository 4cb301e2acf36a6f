"""Deliberate mistakes, one an invariant: each changes production code in memory, and the simulation
has to notice. `make simulate-defects` tries them all and writes docs/planted-defects.md;
`test_defects.py` tries those that show soon.

To add one: a function that patches, with its line in `DEFECTS`.
"""

import argparse
import asyncio
import multiprocessing
import os
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from lives import ControllerLife
from simulate import play_seed

from tidegate_agent import retention
from tidegate_agent.journal import Journal
from tidegate_agent.service import Service
from tidegate_controller import effects, engine, stream
from tidegate_controller.clock import EngineClock, wall_now
from tidegate_controller.core import (
    chores,
    commitment,
    deadline,
    decide,
    deploying,
    draft,
    evolve,
    freezing,
    guards,
    reports,
    steps,
    works,
)
from tidegate_controller.core import events as ev
from tidegate_controller.core import inputs as i
from tidegate_controller.core import types as t
from tidegate_controller.core.changes import replace
from tidegate_controller.core.facts import place_of
from tidegate_controller.core.strategies import parts, rolling
from tidegate_controller.errors import Refused
from tidegate_controller.fleet import Fleet, Session
from tidegate_controller.nodes import Nodes
from tidegate_controller.turns import Turns
from tidegate_controller.wire import stream_of
from tidegate_protos.v1 import agent_pb2 as pb

SEEDS_MAX = 2000
PAGE = """\
# What the simulation notices

Each of these mistakes was planted in production code, in memory (`tests/simulation/defects.py`),
and the simulation ([simulation.md](simulation.md)) was run from seed 1 on until the invariant that
the mistake is meant for had noticed. `make simulate-defects` writes this page, and fails where one
is not noticed within 2,000 seeds.

| mistake | what is wrong then | noticed by | seeds |
|---|---|---|---|
"""

Patch = pytest.MonkeyPatch


async def _anything(*_: object) -> None:
    """A proof that proves nothing."""


def two_rollouts(patch: Patch) -> None:
    """A request is taken while a rollout runs."""
    patch.setattr(deploying, "refuse_if_busy", lambda *_, **__: None)


def low_fences(patch: Patch) -> None:
    """A fence is not the version of its event, but one that was used before."""
    emit = draft.Draft.emit

    def lower(self: draft.Draft, event: ev.Event) -> None:
        if isinstance(event, ev.ActionIssued):
            epoch, version = event.action.fence
            event = ev.ActionIssued(action=replace(event.action, fence=(epoch, version // 4 + 1)))
        emit(self, event)

    patch.setattr(draft.Draft, "emit", lower)


def late_results(patch: Patch) -> None:
    """Whatever result comes is taken."""

    def take(made: draft.Draft, result: i.Result) -> None:
        ended = ev.ActionEnded(
            action=result.action, outcome=result.outcome, error=result.error, known=result.known
        )
        made.emit(ended)

    async def finished(self: Nodes, node: str, result: i.Result) -> bool:
        name = stream_of(self._engine.log.log_id, result.action)
        await self._engine.submit_quietly(name, result)
        return True

    patch.setitem(decide.HANDLERS, i.Result, take)
    patch.setattr(Nodes, "finished", finished)


def restless(patch: Patch) -> None:
    """What a person is asked about is done again meanwhile."""
    usual, move = steps.to_issue, decide._move

    def waits(rollout: Any) -> bool:
        return rollout.waiting is not None and not rollout.open

    def all_again(rollout: Any, step: Any) -> list[int]:
        if not waits(rollout):
            return usual(rollout, step)
        works = range(len(step.works))
        return [index for index in works if not steps.is_void(rollout, step, index)]

    def move_on(made: draft.Draft) -> bool:
        rollout = made.rollout
        if waits(rollout) and decide._issue(made, rollout.plan[rollout.cursor]):
            return True
        return move(made)

    patch.setattr(steps, "to_issue", all_again)
    patch.setattr(decide, "_move", move_on)


def hasty(patch: Patch) -> None:
    """Deadlines count as passed three seconds before."""
    usual = reports.deadline_of
    patch.setattr(reports, "deadline_of", lambda state, action: usual(state, action) - 3.0)
    due = engine.next_deadline

    def early(state: Any) -> float | None:
        at = due(state)
        return None if at is None else at - 3.0

    patch.setattr(engine, "next_deadline", early)


def no_timer(patch: Patch) -> None:
    """While slots start, nobody looks at the clock."""
    usual = engine.Engine._set_timer

    def forget(self: Any, stream: Any, *, idle_tick: bool) -> None:
        rollout = stream.state.rollout
        if rollout is not None and rollout.plan[rollout.cursor :][:1] and rollout.cursor == 3:
            return
        usual(self, stream, idle_tick=idle_tick)

    patch.setattr(engine.Engine, "_set_timer", forget)


def sent_before_logged(patch: Patch) -> None:
    """A stop is sent before it stands in the log."""
    usual = engine.Engine._append

    async def first(self: Any, batch: Any, *more: Any) -> Any:
        for event in batch.events:
            if isinstance(event, ev.ActionIssued) and event.action.work.verb == "stop":
                session = self.fleet.sessions.get(event.action.work.at)
                if session is not None:
                    command = pb.Command(id=event.action.id, node=event.action.work.at)
                    session.send(pb.Instruction(command=command))
        return await usual(self, batch, *more)

    patch.setattr(engine.Engine, "_append", first)


def forgotten_fences(patch: Patch) -> None:
    """The agent has seen no fence before, so that it obeys what a later command has overtaken."""
    patch.setattr(Journal, "fence", lambda *_: (0, 0))


class _OfOneEpoch(tuple[int, int]):
    """A fence that is above those of its own epoch alone."""

    def __ge__(self, other: Any) -> bool:
        return bool(self[0] == other[0] and super().__ge__(other))

    def __gt__(self, other: Any) -> bool:
        return bool(self[0] == other[0] and super().__gt__(other))


def forgotten_epochs(patch: Patch) -> None:
    """The agent compares fences of one epoch alone, so that it obeys an earlier life of the
    controller."""
    usual = Journal.fence
    patch.setattr(Journal, "fence", lambda self, *names: _OfOneEpoch(usual(self, *names)))


def forgotten_scripts(patch: Patch) -> None:
    """An agent that died in a migration runs it again."""
    patch.setattr(Journal, "begun", lambda *_: "")


def unseen_processes(patch: Patch) -> None:
    """An agent that comes back does not find what it has started."""

    async def nothing(*_: object) -> None:
        return None

    patch.setattr(Service, "present", nothing)
    patch.setattr(Service, "find", nothing)


def thorough_cleanup(patch: Patch) -> None:
    """A cleanup keeps nothing."""
    usual = retention.prune
    patch.setattr(
        "tidegate_agent.retention.prune",
        lambda folder, _, __, age, now: usual(folder, (), 0, age, now),
    )


def moves_of_its_own(patch: Patch) -> None:
    """On its way traffic goes to one place alone."""
    usual = effects.Effects._move

    async def detour(self: Any, stream: str, state: Any, action: Any, traffic: Any) -> None:
        weights = action.work.weights or {}
        if action.work.verb == "route" and len(weights) > 1:
            place = sorted(weights)[0]
            address = state.places[place].address
            await self._outside.traffic(traffic).shift({address: 100})
        await usual(self, stream, state, action, traffic)

    patch.setattr(effects.Effects, "_move", detour)


def unproven(patch: Patch) -> None:
    """Slots whose start failed get traffic all the same."""
    usual = parts.start

    def lenient(state: Any, goal: Any, fresh: Any) -> Any:
        return replace(usual(state, goal, fresh), failures_allowed=99)

    patch.setattr(parts, "start", lenient)
    patch.setitem(guards.GUARDS, "proven", lambda *_: guards.NOW)
    patch.setattr(ControllerLife, "_prove", _anything)


def careless_stops(patch: Patch) -> None:
    """Slots are stopped whether they have traffic or not."""
    patch.setitem(guards.GUARDS, "no_traffic", lambda *_: guards.NOW)
    usual = decide.chores_after_commit

    def all_of_them(state: Any, now: float) -> Any:
        these = usual(state, now)
        return tuple(
            replace(c, work=replace(c.work, place=c.work.place.other))
            if c.work.verb == "stop" and c.work.place is not None
            else c
            for c in these
        )

    patch.setattr(decide, "chores_after_commit", all_of_them)


def deaf_to_ticks(patch: Patch) -> None:
    """Deadlines pass, and nothing comes of it."""
    usual = engine.Engine._soon

    def deaf(self: Any, stream: Any, input_: Any) -> None:
        if not isinstance(input_, i.Tick):
            usual(self, stream, input_)

    patch.setattr(engine.Engine, "_soon", deaf)


def nothing_left_to_do(patch: Patch) -> None:
    """What is to be done after a rollout is put on its list, and never begun."""
    for module in (chores, deadline):
        patch.setattr(module, "waiting_chores", lambda _: [])


def no_drain(patch: Patch) -> None:
    """A slot is stopped as soon as it has no traffic, in the middle of its last requests."""
    usual = guards.GUARDS["no_traffic"]

    def at_once(state: Any, work: Any) -> float:
        return guards.NEVER if usual(state, work) == guards.NEVER else guards.NOW

    patch.setitem(guards.GUARDS, "no_traffic", at_once)


def no_soak(patch: Patch) -> None:
    """A release that has just got traffic is not watched."""
    usual = steps.held_at
    patch.setattr(steps, "held_at", lambda *given: min(usual(*given), 0.0))


def to_nobody(patch: Patch) -> None:
    """A move to the new release takes traffic from the old one, and gives it to none."""
    usual = works._weights_in

    def nowhere(state: Any, step: Any, weights: Any) -> Any:
        return {} if step.name == "Shift" else usual(state, step, weights)

    patch.setattr(works, "_weights_in", nowhere)
    patch.setitem(guards.GUARDS, "proven", lambda *_: guards.NOW)


def nothing_retired(patch: Patch) -> None:
    """Old slots run for ever."""
    patch.setattr(decide, "chores_after_commit", lambda *_: ())


def two_truths(patch: Patch) -> None:
    """The state in memory is not quite what the log adds up to."""
    usual = engine.evolve
    patch.setattr(engine, "evolve", lambda state, event, clock: usual(state, event, clock + 0.001))


def same_epoch(patch: Patch) -> None:
    """A controller goes on as the one before."""
    usual = engine.Engine._load

    def load(self: Any) -> None:
        usual(self)
        self.epoch = max(1, self.epoch - 1)

    patch.setattr(engine.Engine, "_load", load)


def clock_from_zero(patch: Patch) -> None:
    """Engine time begins anew at each start."""
    usual = EngineClock.__init__
    patch.setattr(EngineClock, "__init__", lambda self, _, source: usual(self, 0.0, source))


def nobody_leaves(patch: Patch) -> None:
    """A connection that has ended still holds the node's name."""
    usual = Fleet.join

    def join(self: Fleet, session: Session) -> None:
        if session.hello.node in self.sessions:
            raise Refused("taken", "")
        usual(self, session)

    patch.setattr(Fleet, "leave", lambda *_: False)
    patch.setattr(Fleet, "join", join)


def short_memory(patch: Patch) -> None:
    """Only the last release is remembered."""
    patch.setattr(commitment, "RELEASES_KEPT", 1)


def unstarted(patch: Patch) -> None:
    """What a slot has run before it is taken to run still."""

    def runs(state: Any, release: Any, place: Any) -> bool:
        return bool(place_of(state, place).revision == release.revision)

    patch.setattr(parts, "runs", runs)
    patch.setattr(evolve, "gaining", lambda *_: [])  # it has not passed, so it cannot fail again
    patch.setitem(guards.GUARDS, "proven", lambda *_: guards.NOW)
    patch.setattr(ControllerLife, "_prove", _anything)


def in_place(patch: Patch) -> None:
    """A release is to go where the present one serves, which nothing may touch."""
    patch.setattr(parts, "target_place", lambda _, __, node: t.Place.of(node, "blue"))


def no_floor(patch: Patch) -> None:
    """All nodes are treated at once, whoever serves meanwhile."""
    patch.setattr(rolling, "waves_in", lambda _, __, nodes, ___=(): [list(nodes)] if nodes else [])
    patch.setitem(guards.GUARDS, "floor", lambda *_: guards.NOW)


def both_slots(patch: Patch) -> None:
    """In place, too, the new release is started beside the old one."""
    patch.setattr(rolling, "in_place", lambda *_: [])
    patch.setitem(guards.GUARDS, "alone", lambda *_: guards.NOW)


def deaf_to_pause(patch: Patch) -> None:
    """A rollout that is paused goes on."""
    patch.setattr(decide, "is_paused", lambda _: False)


def open_gates(patch: Patch) -> None:
    """A rollout that is to be approved or promoted goes on by itself."""
    asked, over = steps.question, steps.is_satisfied
    patch.setattr(steps, "question", lambda made, step: asked(made, replace(step, gate="")))
    patch.setattr(steps, "is_satisfied", lambda made, step: over(made, replace(step, gate="")))


def deaf_to_people(patch: Patch) -> None:
    """Nobody is heard who answers."""
    patch.setitem(decide.HANDLERS, i.Answer, lambda *_: None)


def no_quarantine(patch: Patch) -> None:
    """What was bad may come back."""
    patch.setattr(deploying, "refuse_quarantined", lambda *_: None)


def no_locks(patch: Patch) -> None:
    """Who holds a lock does not matter."""
    patch.setattr(deploying, "refuse_locked", lambda *_: None)


def no_memory_of_requests(patch: Patch) -> None:
    """A request that comes once more is a new one."""
    patch.setattr(decide, "is_repeated", lambda *_: False)


def greedy_converge(patch: Patch) -> None:
    """Nodes that are brought what they owe take all traffic."""
    patch.setattr(parts, "whole", lambda _, __, targets: dict.fromkeys(targets, t.FULL))


def nobody_dropped(patch: Patch) -> None:
    """Nodes that a rollout goes on without get its traffic all the same."""
    patch.setattr(works, "_without_dropped", lambda _, __, weights: weights)
    patch.setitem(guards.GUARDS, "proven", lambda *_: guards.NOW)


def always_undone(patch: Patch) -> None:
    """A failure undoes a rollout that is to stop."""
    usual = decide._fail

    def undo(draft: Any, step: Any, fault: str, blame: Any = "", *, stops: bool = False) -> None:
        del stops
        usual(draft, step, fault, blame)

    patch.setattr(decide, "_fail", undo)


def nothing_owed(patch: Patch) -> None:
    """Nodes that a rollout went on without are forgotten."""
    patch.setattr(decide, "debts_after_commit", lambda _: {})
    patch.setattr(decide, "debts_left", lambda *_: {})
    patch.setattr(decide, "with_all_amiss", lambda _, debts, __: debts)


def real_time(patch: Patch) -> None:
    """Something in the log is of this world, not of the simulated one."""
    patch.setattr(engine.Engine, "at", lambda _: wall_now())


def deaf_to_freezes(patch: Patch) -> None:
    """A deployment begins whatever is frozen."""
    patch.setattr(deploying, "refuse_frozen", lambda *_: None)


def never_frozen(patch: Patch) -> None:
    """A rollout that is under way goes on in a freeze."""
    patch.setattr(freezing, "meet_freeze", lambda *_: False)


def twice_in_turn(patch: Patch) -> None:
    """A deployment that has waited for its turn goes on waiting for it once it has begun."""
    patch.setattr(evolve, "without_queued", lambda state, _: state)


async def _never(_: Turns) -> None:
    await asyncio.Event().wait()


def no_turns(patch: Patch) -> None:
    """It is nobody's turn, ever."""
    patch.setattr(Turns, "run", _never)


def _fail(*_: object) -> None:
    raise IndexError


def stumbling(patch: Patch) -> None:
    """The core fails at something that is seldom."""
    patch.setitem(decide.HANDLERS, i.NodeRemoved, _fail)


def stumbling_in_silence(patch: Patch) -> None:
    """The core fails at something, and nobody is told."""
    patch.setitem(decide.HANDLERS, i.Pause, _fail)
    patch.setattr(stream.log, "exception", lambda *_: None)


@dataclass(frozen=True)
class Defect:
    """`caught_by`: the invariant that has to notice; that others do as well does not count."""

    plant: Callable[[Patch], None]
    caught_by: str

    @property
    def name(self) -> str:
        return self.plant.__name__

    @property
    def mistake(self) -> str:
        """In a sentence or two."""
        return " ".join((self.plant.__doc__ or "").split())


DEFECTS = [
    Defect(two_rollouts, "one_rollout_at_a_time"),
    Defect(low_fences, "fences_rise"),
    Defect(late_results, "a_late_result_changes_nothing"),
    Defect(restless, "a_paused_rollout_begins_nothing"),
    Defect(hasty, "timers_never_fire_early"),
    Defect(no_timer, "every_wait_has_an_end"),
    Defect(sent_before_logged, "every_command_was_logged_first"),
    Defect(forgotten_fences, "an_overtaken_command_has_no_effect"),
    Defect(forgotten_epochs, "no_agent_obeys_an_older_epoch"),
    Defect(forgotten_scripts, "a_migration_runs_once"),
    Defect(unseen_processes, "a_slot_runs_one_process"),
    Defect(thorough_cleanup, "nothing_needed_is_deleted"),
    Defect(moves_of_its_own, "every_move_was_logged_first"),
    Defect(unproven, "no_traffic_to_what_did_not_pass"),
    Defect(careless_stops, "no_slot_is_stopped_under_traffic"),
    Defect(deaf_to_ticks, "every_rollout_ends"),
    Defect(nothing_retired, "every_node_runs_what_the_log_says"),
    Defect(two_truths, "replaying_the_log_gives_the_same_state"),
    Defect(same_epoch, "epochs_rise"),
    Defect(clock_from_zero, "the_log_is_in_order"),
    Defect(nobody_leaves, "every_agent_comes_back"),
    Defect(short_memory, "what_to_go_back_to_is_known"),
    Defect(stumbling, "no_unforeseen_error_is_logged"),
    Defect(stumbling_in_silence, "nothing_stands_still"),
    Defect(unstarted, "no_request_fails"),
    Defect(in_place, "a_good_release_gets_everywhere"),
    Defect(no_floor, "enough_nodes_stay_in_service"),
    Defect(both_slots, "one_release_runs_in_place"),
    Defect(deaf_to_pause, "a_paused_rollout_begins_nothing"),
    Defect(open_gates, "a_gate_waits_for_a_person"),
    Defect(deaf_to_people, "every_rollout_ends"),
    Defect(no_quarantine, "what_was_bad_does_not_come_back_by_itself"),
    Defect(no_locks, "a_lock_is_respected"),
    Defect(no_memory_of_requests, "a_request_begins_one_rollout"),
    Defect(greedy_converge, "a_converge_takes_nothing_from_others"),
    Defect(nobody_dropped, "a_dropped_node_gets_no_new_traffic"),
    Defect(always_undone, "what_stops_is_not_undone"),
    Defect(nothing_owed, "every_node_runs_what_it_should_or_owes_it"),
    Defect(deaf_to_freezes, "a_freeze_is_respected"),
    Defect(never_frozen, "what_a_freeze_holds_up_waits"),
    Defect(twice_in_turn, "a_queued_deployment_begins_once_and_in_turn"),
    Defect(no_turns, "nobody_waits_for_a_turn_for_ever"),
    Defect(nothing_left_to_do, "what_is_left_to_do_is_done"),
    Defect(no_drain, "last_requests_have_time_to_end"),
    Defect(no_soak, "a_soak_lasts"),
    Defect(to_nobody, "traffic_leads_somewhere"),
    Defect(real_time, "a_seed_gives_the_same_log"),
]


def seeds_until_caught(defect: Defect, seeds_max: int = SEEDS_MAX) -> tuple[int, str]:
    """How many seeds it took; 0 where it was not noticed, with what else was instead."""
    others: Counter[str] = Counter()
    with pytest.MonkeyPatch.context() as patch:
        defect.plant(patch)
        for seed in range(1, seeds_max + 1):
            found = play_seed(seed)
            if found.violation == defect.caught_by:
                return seed, ""
            if found.violation:
                others[found.violation] += 1
    seen = ", ".join(f"{name} ({count})" for name, count in others.most_common())
    return 0, f"only {seen}" if seen else "nothing"


def _try(given: tuple[int, int]) -> tuple[int, int, str]:
    number, seeds_max = given
    return (number, *seeds_until_caught(DEFECTS[number], seeds_max))


def row(defect: Defect, seeds: int) -> str:
    """Of the page's table."""
    return f"| `{defect.name}` | {defect.mistake} | `{defect.caught_by}` | {seeds} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS_MAX, help="at most, for each")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("names", nargs="*", help="some of them")
    given = parser.parse_args()
    chosen = [
        (number, given.seeds)
        for number, defect in enumerate(DEFECTS)
        if not given.names or defect.name in given.names
    ]
    caught: dict[int, int] = {}
    missed = 0
    with multiprocessing.get_context("fork").Pool(given.workers) as pool:
        for number, seeds, instead in pool.imap_unordered(_try, chosen):
            caught[number] = seeds
            missed += not seeds
            defect = DEFECTS[number]
            said = f"{seeds:5d} seeds" if seeds else f"MISSED in {given.seeds}: {instead}"
            print(f"{defect.name:24s} {defect.caught_by:45s} {said}", file=sys.stderr, flush=True)
    print(PAGE + "\n".join(row(DEFECTS[number], caught[number]) for number in sorted(caught)))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
