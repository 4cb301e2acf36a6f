"""Plans of every strategy, for any fleet and spec: each is valid as it stands, and wherever it is
broken off, what is done then restores the start."""

from collections import Counter
from contextlib import suppress

from core_rules import least_of
from driver import World
from hypothesis import assume, given
from hypothesis import strategies as st
from test_properties import briefly

from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.spec import Waves
from tidegate_controller.errors import Refused

GROUPS = {"blue": {"group": "0"}, "green": {"group": "1"}}
share = st.one_of(st.integers(1, 5).map(str), st.integers(1, 100).map("{}%".format))
sizes = st.lists(share, max_size=3).map(lambda found: (*found, "100%"))
waves = st.builds(
    Waves,
    sizes=sizes,
    canary=st.sampled_from((None, {"zone": "a"})),
    max_parallel=share,
    min_in_service=st.one_of(st.none(), st.just("0"), share),
    zone=st.sampled_from(("zone", "none")),
    rehearse=st.booleans(),
)
strategy = st.sampled_from(("blue-green", "canary", "rolling", "rolling"))
fleet = st.lists(st.sampled_from("ab"), min_size=1, max_size=7)  # the zone of each node


def world_of(zones: list[str], strategy: str, waves: Waves, groups: bool) -> World:
    nodes = [f"n{number}" for number in range(len(zones))]
    labels = {
        node: {"zone": zone, "group": str(number % 2)}
        for number, (node, zone) in enumerate(zip(nodes, zones, strict=True))
    }
    slots = GROUPS if groups and len(nodes) > 1 else None
    return World(nodes, strategy=strategy, waves=waves, labels=labels, slots=slots)


def begun(world: World, version: str) -> ev.Started:
    return next(e for e in world.deploy(version) if isinstance(e, ev.Started))


def ready(zones: list[str], strategy: str, waves: Waves, groups: bool, partly: int) -> World:
    """With a release that serves on all nodes, or on all but a few that were added later."""
    world = world_of(zones, strategy, waves, groups)
    nodes = list(world.nodes)
    with suppress(Refused):
        world.nodes = nodes[: max(1, len(nodes) - partly)]
        world.deploy("1")
        world.finish()
        world.rest()
    world.nodes = nodes
    assume(world.state.committed)
    return world


class Run:
    """What a plan does, as it would be if all went well."""

    def __init__(self, world: World, started: ev.Started) -> None:
        self.weights = dict(world.state.settled)
        self.running = {p for p, known in world.machines.items() if known.running}
        self.started = started
        self.alone = started.strategy == "rolling" and bool(self.weights)

    def take(self, step: t.Step) -> None:
        assert max(Counter(work.at for work in step.works).values(), default=0) <= 1
        for work in step.works:
            if work.verb == "start":
                assert not self.weights.get(work.place), "started under traffic"
                assert not (self.alone and work.place.other in self.running), "both at once"
                self.running.add(work.place)
            if work.verb == "stop":
                assert not self.weights.get(work.place), "stopped under traffic"
                self.running.discard(work.place)
            if work.verb == "route":
                self._move(work.weights)

    def _move(self, weights: t.Weights) -> None:
        assert set(weights) <= self.running, "traffic to what does not run"
        assert all(count == 1 for count in Counter(p.node for p in weights).values())
        lost = {p.node for p in self.weights} - {p.node for p in weights}
        for zone in set(self.started.zones.values()):
            inside = {node for node, its in self.started.zones.items() if its == zone}
            least = least_of(self.started.spec.waves.min_in_service, len(inside))
            if lost & inside:
                assert len({p.node for p in weights} & inside) >= least, "below the floor"
        if self.started.spec.waves.min_in_service != "0":
            assert weights, "nobody serves"
        self.weights = dict(weights)


@briefly
@given(fleet, strategy, waves, st.booleans(), st.integers(0, 3))
def test_a_plan_is_valid_whatever_the_spec(
    zones: list[str], strategy: str, waves: Waves, groups: bool, partly: int
) -> None:
    world = ready(zones, strategy, waves, groups, partly)
    before = dict(world.state.settled)
    try:
        started = begun(world, "2")
    except Refused:
        assume(False)
        return
    plan = started.plan
    assert len({step.id for step in plan}) == len(plan)
    numbers = [step.wave for step in plan if step.wave]
    assert numbers == sorted(numbers)
    assert sorted(set(numbers)) == list(range(1, max(numbers, default=0) + 1))
    run = Run(world, started)
    for step in plan:
        run.take(step)
    if strategy == "blue-green" and world.slots:
        assert len({p.slot for p in run.weights}) == 1
        assert not set(run.weights) & set(before)
    else:
        assert {p.node for p in run.weights} == set(world.nodes)
        assert not set(run.weights) & set(before)
    assert set(run.weights) <= run.running


@briefly
@given(fleet, strategy, waves, st.booleans(), st.integers(0, 3), st.data())
def test_wherever_a_plan_is_broken_off_the_undo_restores_the_start(
    zones: list[str], strategy: str, waves: Waves, groups: bool, partly: int, data: st.DataObject
) -> None:
    world = ready(zones, strategy, waves, groups, partly)
    world.rest()
    before = (world.traffic, world.running())
    currents = {p.node: p.slot for p in world.state.settled}
    try:
        plan = begun(world, "2").plan
    except Refused:
        assume(False)
        return
    step = data.draw(st.sampled_from([step for step in plan if step.works]))
    at = data.draw(st.sampled_from([work.at for work in step.works]))
    outcome = data.draw(st.sampled_from(("failed", "refused", "expired", "silence")))
    assert world.finish(**{f"{step.id}@{at}": outcome}) == "rolled_back"
    world.rest()
    assert (world.traffic, world.running()) == before
    assert {node: world.currents[node] for node in currents} == currents
    assert world.state.debts == {}
