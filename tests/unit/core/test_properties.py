"""Whatever happens in whatever order: `core_rules` holds, and when all is well
again every rollout ends, nothing stays open, and only what serves still runs."""

import os
from contextlib import suppress
from typing import Any

from core_values import DOWN, ON_EVERY_NODE, POLICY, SETTINGS
from driver import World
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate_controller.core import events as ev
from tidegate_controller.core import inputs as i
from tidegate_controller.core import types as t
from tidegate_controller.core.deadline import next_deadline
from tidegate_controller.core.debts import BACKOFF_SECONDS_MAX, debtors, may_converge
from tidegate_controller.core.draft import pending
from tidegate_controller.core.facts import astray, strays
from tidegate_controller.core.spec import Policy, Waves
from tidegate_controller.errors import Refused

NODES = ("a", "b", "c")
PLACES = tuple(t.Place.of(node, slot) for node in NODES for slot in t.SLOTS)
OUTCOMES = ("failed", "refused", "unknown", "superseded", "expired")
HEALTH = (
    {"running": True, "healthy": True},
    {"running": True, "healthy": False},
    {"running": False, "healthy": False},
    {"running": True, "healthy": None},
)

SERVER_GROUPS = {"blue": {"group": "blue"}, "green": {"group": "green"}}
ANSWERS = ("retry", "continue", "abort", "approve", "promote")
LABELS = {
    "a": {"group": "blue", "zone": "1"},
    "b": {"group": "green", "zone": "2"},
    "c": {"group": "green", "zone": "2"},
}
WAVES = (
    Waves(),
    Waves(sizes=("1", "2", "100%"), max_parallel="2", zone="rack"),
    Waves(sizes=("2", "100%"), max_parallel="2", min_in_service="1", zone="rack"),
    Waves(sizes=("1", "50%", "100%"), max_parallel="67%", min_in_service="60%", zone="rack"),
    Waves(sizes=("34%", "100%"), max_parallel="100%", min_in_service="0"),
    Waves(sizes=("1", "100%"), rehearse=True),
)
STEPS = (
    "prepare",
    "migrate",
    "start",
    "approve",
    "shift",
    "switch",
    "soak",
    "verify",
    "shift-back",
    "drain",
    "stop",
    "admit",
    "stop-back",
    "start-back",
    "admit-back",
    "rehearse-",
    "return-",
    "the end",
)
Chapter = tuple[tuple, str, list[tuple]]

small = st.integers(0, 5)
node = st.sampled_from(NODES)
request = st.one_of(
    st.tuples(st.just("deploy"), st.sampled_from("1234"), st.just(list(NODES))),
    st.tuples(st.just("deploy"), st.sampled_from("1234"), st.just(list(NODES))),
    st.tuples(st.just("deploy"), st.sampled_from("1234"), st.sets(node, min_size=1).map(sorted)),
    st.tuples(st.just("rollback"), st.booleans()),
)
mishap = st.one_of(
    st.tuples(st.just("answer"), small, st.just("ok")),
    st.tuples(st.just("answer"), small, st.sampled_from(OUTCOMES)),
    st.tuples(st.just("answer"), small, st.just("failed"), st.just("release")),
    st.tuples(st.just("answer_late"), st.integers(0, 99), st.sampled_from(("ok", *OUTCOMES))),
    st.tuples(st.just("turn"), st.sampled_from(PLACES), st.sampled_from(HEALTH)),
    st.tuples(st.just("turn"), st.sampled_from(PLACES), st.sampled_from(HEALTH)),
    st.tuples(st.just("leave"), node),
    st.tuples(st.just("come_back"), node, st.booleans()),
    st.tuples(st.just("wait"), st.sampled_from((0.0, 0.5, 4.0, 10.0, 61.0, 700.0))),
    st.tuples(st.just("wait_to_the_deadline")),
    st.tuples(st.just("restart"), st.sets(node)),
    st.tuples(st.just("reply"), st.sampled_from(ANSWERS)),
    st.tuples(st.just("remove"), node),
    st.tuples(st.just("deploy"), st.sampled_from("1234"), st.just(list(NODES)), st.just(True)),
    st.tuples(st.just("pause")),
    st.tuples(st.just("resume")),
    st.tuples(st.just("abort"), st.booleans()),
    st.tuples(st.just("lock"), st.sampled_from(("ada", "bob")), st.booleans()),
    st.tuples(st.just("quarantine"), st.sampled_from("1234"), st.booleans()),
    st.tuples(st.just("converge")),
    st.tuples(st.just("freeze"), st.sampled_from((3.0, 100.0, 5000.0))),
    st.tuples(st.just("lift_freeze")),
    st.tuples(st.just("queue"), st.sampled_from("1234")),
    st.tuples(st.just("begin_queued")),
    st.tuples(st.just("regroup")),
    request,
)
# A chapter: a request, all goes well up to a step, then this and that happens.
chapter = st.tuples(request, st.sampled_from(STEPS), st.lists(mishap, min_size=2, max_size=5))
policies = st.sampled_from(
    (
        POLICY,
        Policy(max_failed_nodes="1"),
        Policy(max_failed_nodes="2"),
        Policy(max_failed_nodes="100%"),
        Policy(max_failed_nodes="1", on_failure="pause"),
        Policy(on_failure="pause"),
        Policy(on_failure="stop"),
    )
)
lives = st.lists(chapter, min_size=3, max_size=5)
kinds = st.fixed_dictionaries(
    {
        "settings": st.sampled_from((SETTINGS, ON_EVERY_NODE)),
        "strategy": st.sampled_from(("blue-green", "canary", "rolling", "rolling")),
        "waves": st.sampled_from(WAVES),
        "slots": st.sampled_from((None, None, SERVER_GROUPS)),
        "approval": st.booleans(),
        "policy": policies,
    }
)
Kind = dict[str, Any]


class Life:
    """Turns drawn happenings into inputs; what makes no sense at the moment does nothing."""

    def __init__(self, kind: Kind) -> None:
        self.world = World(NODES, **kind, labels=LABELS)

    def live(self, chapters: list[Chapter]) -> None:
        for request, step, mishaps in chapters:
            for name, *arguments in (request, ("go_to", step), *mishaps):
                with suppress(Refused):
                    getattr(self, name)(*arguments)

    def answer(self, index: int, outcome: t.Outcome, blame: t.Blame = "") -> None:
        if actions := self.world.open():
            self.world.answer(actions[index % len(actions)], outcome, blame)

    def go_to(self, step: str) -> None:
        """All goes well until the step is entered or the rollout has ended."""
        world = self.world
        world.go(
            lambda: (
                world.step is None
                or world.step.startswith(step)
                or self.is_asked()
                or self.is_paused()
            )
        )

    def is_asked(self) -> bool:
        rollout = self.world.state.rollout
        return rollout is not None and rollout.waiting is not None

    def is_paused(self) -> bool:
        rollout = self.world.state.rollout
        return rollout is not None and rollout.paused is not None

    def reply(self, answer: t.Answer) -> None:
        if self.world.state.rollout is not None:
            self.world.reply(answer)

    def pause(self) -> None:
        self.world.pause()

    def resume(self) -> None:
        self.world.resume()

    def lock(self, who: str, lock: bool) -> None:
        """The one who deploys is ada."""
        ask = self.world.lock if lock else self.world.unlock
        ask(by=who)

    def quarantine(self, version: str, lift: bool) -> None:
        ask = self.world.unquarantine if lift else self.world.quarantine
        ask(version)

    def freeze(self, seconds: float) -> None:
        self.world.freeze(seconds)

    def lift_freeze(self) -> None:
        self.world.lift_freeze()

    def queue(self, version: str) -> None:
        self.world.deploy(version, queue=True)

    def regroup(self) -> None:
        """Somebody writes `slots` into the file, or takes them out, before the next deployment."""
        if self.world.strategy == "blue-green":
            self.world.slots = None if self.world.slots else SERVER_GROUPS

    def begin_queued(self) -> None:
        self.world.begin_queued()

    def abort(self, undo: bool) -> None:
        self.world.abort(undo=undo)

    def remove(self, name: str) -> None:
        """An operator removes a node that is away; if it comes back, it is a new one."""
        rollout = self.world.state.rollout
        if name in self.world.gone and not (rollout and name in rollout.nodes):
            self.world.feed(i.NodeRemoved(node=name))

    def converge(self) -> None:
        """The shell says so of all that are here."""
        self.world.converge()

    def to_the_end(self) -> None:
        """The rollout ends; where a person is asked, it is to go on, or to be done once more, and
        undone where that does not help."""
        world = self.world
        with suppress(Refused):  # nobody has paused it
            self.resume()
        self.lift_freeze()
        tries = 0
        while world.state.rollout is not None:
            world.go(lambda: world.state.rollout is None or self.is_asked())
            if self.is_asked():
                gate = world.state.rollout.waiting.kind == "approval"
                tries += not gate
                self.reply("approve" if gate else "retry" if tries <= 3 else "abort")

    def answer_late(self, index: int, outcome: t.Outcome) -> None:
        world = self.world
        opened = {action.id for action in pending(world.state)}
        issued = [e.action for _, e in world.log if isinstance(e, ev.ActionIssued)]
        ended = [action for action in issued if action.id not in opened]
        if ended:
            assert world.feed(world.result(ended[index % len(ended)], outcome, DOWN)) == ()

    def turn(self, place: t.Place, health: dict[str, bool | None]) -> None:
        """A slot that runs turns well or unwell, or crashes; one that does not run stays so."""
        known = self.world.machines.get(place, DOWN)
        if known.running and place.node not in self.world.gone:
            self.world.report(place, **health)

    def leave(self, name: str) -> None:
        self.world.leave(name)

    def come_back(self, name: str, replaced: bool) -> None:
        self.world.come_back(name, disk_replaced=replaced and name in self.world.gone)

    def wait(self, seconds: float) -> None:
        self.world.tick(seconds)

    def wait_to_the_deadline(self) -> None:
        due = next_deadline(self.world.state)
        if due is not None:
            self.world.tick(max(0.0, due - self.world.now))

    def restart(self, connected: set[str]) -> None:
        self.world.restart(connected)

    def deploy(self, version: str, names: list[str], supersede: bool = False) -> None:
        self.world.deploy(version, names, supersede=supersede)

    def deploy_to_all(self, version: str) -> None:
        """Where both groups take traffic, as before there were any, it is told how to mend that."""
        slots = self.world.slots
        try:
            self.world.deploy(version)
        except Refused as refused:
            if "nodes of both groups take traffic" not in str(refused):
                raise
            self.world.slots = None
            self.world.deploy(f"{version}-1", ["a"])
            self.to_the_end()
            self.world.slots = slots
            self.world.deploy(version)

    def rollback(self, without_absent: bool) -> None:
        self.world.rollback(without_absent=without_absent)

    def revive(self) -> None:
        """What has died while it served is started again by its agent."""
        for place, share in self.world.state.settled.items():
            if share and place in self.world.machines:
                self.world.report(place, running=True, healthy=True)

    def heal(self) -> None:
        """All nodes are here, all that runs is healthy."""
        for name in NODES:
            for place, known in self.world.machines.items():
                if place.node == name and known.running:
                    health = {"revision": known.revision, "address": known.address}
                    self.world.machines[place] = t.Known(running=True, healthy=True, **health)
            self.world.come_back(name)


EXAMPLES = int(os.environ.get("TIDEGATE_EXAMPLES", "0"))  # others each time; 0: the same few
briefly = settings(max_examples=EXAMPLES or 60, deadline=None, derandomize=not EXAMPLES)


def healed(chapters: list[Chapter], kind: Kind) -> Life:
    """It was lived, all is well again, and no rollout is under way any more."""
    life = Life(kind)
    life.live(chapters)
    life.heal()
    life.to_the_end()
    return life


@briefly
@given(lives, kinds)
def test_the_log_alone_adds_up_to_the_state_whatever_happens(
    chapters: list[Chapter], kind: Kind
) -> None:
    life = Life(kind)
    life.live(chapters)
    assert life.world.replayed() == life.world.state


@briefly
@given(lives, kinds)
def test_when_all_is_well_again_the_rollout_ends_and_all_chores_are_done(
    chapters: list[Chapter], kind: Kind
) -> None:
    world = healed(chapters, kind).world
    if world.state.weights is None:  # somebody gave up: the next request settles it
        assert world.state.chores == () or t.CONTROLLER in world.owing()
        return
    world.rest()
    assert pending(world.state) == ()
    assert next_deadline(world.state) is None
    idle = {t.Place(where).node for where in world.running() if where not in world.traffic}
    said = world.owing().union(place.node for place in strays(world.state))
    assert idle <= said, "runs on without traffic, and nobody says so"
    serving = {t.Place(where) for where in world.traffic if where in world.running()}
    wrong = {place.node for place in serving if world.currents.get(place.node) != place.slot}
    said = world.owing().union(place.node for place in astray(world.state))
    assert wrong <= said, "would start the wrong slot, and nobody says so"


@briefly
@given(lives, kinds)
def test_when_all_is_well_again_what_nodes_owe_is_paid_in_time(
    chapters: list[Chapter], kind: Kind
) -> None:
    life = healed(chapters, kind)
    world = life.world
    world.unlock(force=True)
    if not may_converge(world.state):
        return
    world.wait(BACKOFF_SECONDS_MAX)
    life.revive()  # else a floor may have no room for it
    world.converge()
    life.to_the_end()
    world.rest()
    assert debtors(world.state) == {}
    active = world.state.committed[-1].revision
    serving, owed = map(t.Place, world.traffic), world.owing()
    has = {place: world.machines.get(place, DOWN).revision for place in serving}
    assert [p for p, held in has.items() if held != active and p.node not in owed] == []


@briefly
@given(lives, kinds)
def test_when_all_is_well_again_a_deploy_succeeds_and_only_its_release_runs(
    chapters: list[Chapter], kind: Kind
) -> None:
    life = healed(chapters, kind)
    world = life.world
    world.unlock(force=True)
    life.deploy_to_all("final")
    life.to_the_end()
    world.tidy()
    assert world.ending.state == "succeeded"
    world.rest()
    serving = {place.node: place.slot for place in map(t.Place, world.traffic)}
    if kind["strategy"] == "blue-green" and world.slots:
        (slot,) = set(serving.values())
        assert all(LABELS[name]["group"] == slot for name in serving)
    else:
        assert set(serving) == set(NODES)
    assert world.running() == dict.fromkeys(world.traffic, "final")
    assert serving.items() <= world.currents.items()
    assert world.state.debts == {}
    assert pending(world.state) == ()
    assert next_deadline(world.state) is None
