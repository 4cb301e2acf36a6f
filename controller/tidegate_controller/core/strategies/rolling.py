"""Rolling, in place: a few nodes at a time are taken out of traffic, treated, and taken back.

Of a node's two slots one runs at a time: the old release is stopped before the new one is started
in the other slot, and stays on disk, so that an undo starts it again. Nodes that serve nobody come
first, then those that are unwell, as that takes nothing from anybody; then zone by zone, in waves
that leave the floor in service. Where nothing serves or runs yet all nodes are brought up at once.
To go back is done in waves too.
"""

from collections.abc import Sequence

from tidegate_controller.core import types as t
from tidegate_controller.core.changes import replace
from tidegate_controller.core.facts import is_gone, may_run, reachable
from tidegate_controller.core.floor import kept_in_doubt, missing, room_in, waves_in, zones_of
from tidegate_controller.core.guards import ALONE, FLOOR
from tidegate_controller.core.releases import is_established
from tidegate_controller.core.spec import Spec
from tidegate_controller.core.strategies import blue_green, parts, rehearsal
from tidegate_controller.core.strategies.approval import approval, promotion
from tidegate_controller.core.strategies.gates import Wave, between
from tidegate_controller.core.strategies.kind import Strategy
from tidegate_controller.core.wellness import may_serve
from tidegate_controller.errors import Refused


def steps(state: t.State, goal: t.Goal) -> tuple[t.Step, ...]:
    """The plan that reaches the goal. Empty when all nodes run the release and take traffic."""
    if kept := kept_in_doubt(state, goal):  # traffic is settled with them, first of all
        state = replace(state, weights=None, settled={**state.settled, **kept})
    targets = {node: parts.target_place(state, goal, node) for node in goal.nodes}
    every = list(targets.values())
    rest = [node for node, place in targets.items() if not state.settled.get(place)]
    _refuse_to_lose_those_away(state, goal)
    beside = [p for p in every if parts.needs_start(state, goal, p) and _runs(state, p.other)]
    if not rest or not (beside or any(state.settled.values())):
        return _keeping_the_floor(blue_green.at_once(state, goal, every))
    waves = _waves(state, goal, rest)
    fresh = [place for place in every if parts.needs_start(state, goal, place)]
    plan = parts.opening(state, goal, fresh, parts.whole(state, goal, every))
    weights = dict(reachable(state, state.settled))
    done = [place for node, place in targets.items() if node not in rest]
    so_far = [] if is_established(state, goal.release) else list(done)
    misnamed = parts.misnamed(state, done)
    begun = bool(done)  # they have the release, so what is done once for it has been
    for number, nodes in enumerate(waves, 1):
        places = tuple(targets[node] for node in nodes)
        mine = [place for place in places if place in fresh]
        last = number == len(waves)
        so_far += places
        drained = without_nodes(weights, [place.node for place in mine])
        admitted = dict(drained) | dict.fromkeys(places, t.FULL)
        for place in places:
            admitted.pop(place.other, None)
        if last:
            admitted = parts.whole(state, goal, every)
        wave = Wave(number=number, places=places, so_far=tuple(so_far))
        plan += parts.in_wave(
            0 if last and number == 1 and goal.kind == "converge" else number,
            [
                *(_before(goal, mine, begun=begun)),
                *(approval(goal) if number == 1 else ()),
                *in_place(state, goal.spec, mine, (weights, drained)),
                *([_start(state, goal, mine)] if mine else ()),
                parts.route_step("admit", "Admit", admitted, goal.spec, prove=True),
                parts.switch(goal, [*places, *(misnamed if number == 1 else ())]),
                *between(goal, wave, last=last),
                *_rehearsal(state, goal, mine, admitted, len(waves) if number == 1 else 0),
                *promotion(goal, last=last),
            ],
        )
        begun, weights = begun or bool(mine), admitted
    return _keeping_the_floor(plan)


def without_nodes(weights: t.Weights, nodes: Sequence[str]) -> dict[t.Place, int]:
    return {place: share for place, share in weights.items() if place.node not in nodes}


def in_place(
    state: t.State, spec: Spec, places: Sequence[t.Place], moves: tuple[t.Weights, t.Weights]
) -> list[t.Step]:
    """Make room for these places: their nodes lose their traffic, by a move from the first of
    `moves` to the second, and stop what runs in the other slot."""
    before, after = moves
    others = [place.other for place in places]
    plan = []
    if before != after:
        drain = parts.route_step("drain", "Drain", after, spec)
        plan.append(replace(drain, guards=(FLOOR,)))
    running = [place for place in others if place in before or _runs(state, place)]
    if running:
        plan.append(parts.stop(state, spec, running))
    return plan


def _keeping_the_floor(plan: Sequence[t.Step]) -> tuple[t.Step, ...]:
    """What gives traffic may take it from others too, such as nodes that are away or were left out:
    it is looked at like what drains."""

    def gives(step: t.Step) -> bool:
        return any(work.verb == "route" and work.prove for work in step.works)

    return tuple(
        replace(step, guards=(*step.guards, FLOOR)) if gives(step) else step for step in plan
    )


def _runs(state: t.State, place: t.Place) -> bool:
    return place in state.places and may_run(state, place)


def _before(goal: t.Goal, places: list[t.Place], *, begun: bool) -> list[t.Step]:
    """What is done while the old release still serves."""
    if not places:
        return []
    return [parts.prepare(goal, places), *parts.migrate(goal, places, begun=begun)]


def _start(state: t.State, goal: t.Goal, places: list[t.Place]) -> t.Step:
    step = parts.start(state, goal, places)
    return replace(step, guards=(*step.guards, ALONE))


def _rehearsal(
    state: t.State, goal: t.Goal, places: list[t.Place], weights: t.Weights, waves: int
) -> list[t.Step]:
    """On the first node that has stopped something. `waves`: how many, in the first one."""
    ready = [place for place in places if rehearsal.wanted(state, goal, place, waves)]
    return rehearsal.in_place(state, goal, ready[0], weights) if ready else []


def _waves(state: t.State, goal: t.Goal, rest: list[str]) -> list[list[str]]:
    """Raises `Refused` where not one node can be taken out of service."""
    zones, gone = zones_of(goal), missing(state, goal)
    serving = {p.node for p, share in state.settled.items() if share and may_serve(state, p)}
    taking = {p.node for p, share in state.settled.items() if share and not is_gone(state, p)}
    idle = [node for node in rest if node not in taking]
    down = [node for node in rest if node in taking - serving]  # one may have come up by its turn
    busy = [node for node in rest if node in serving]
    for zone in sorted({zones[node] for node in busy}):
        if room_in(goal.spec, zones, zone, gone) < 1:
            inside = [node for node, its in zones.items() if its == zone]
            raise Refused(*_no_room(goal, zone, len(inside), len(gone.intersection(inside))))
    kinds = (idle, down, busy)
    return [wave for kind in kinds for wave in waves_in(goal.spec, zones, kind, gone)]


def _refuse_to_lose_those_away(state: t.State, goal: t.Goal) -> None:
    """Nodes that are away lose their traffic to the end of a deployment. Raises `Refused` where the
    others are too few without them."""
    if goal.kind != "deploy":
        return
    zones, gone = zones_of(goal), missing(state, goal)
    losing = {place.node for place, share in state.settled.items() if share} & gone
    for zone in sorted({zones[node] for node in losing}):
        if room_in(goal.spec, zones, zone, gone) < 0:
            inside = [node for node, its in zones.items() if its == zone]
            raise Refused(*_no_room(goal, zone, len(inside), len(gone.intersection(inside))))


def _no_room(goal: t.Goal, zone: str, nodes: int, gone: int) -> tuple[str, str]:
    least = goal.spec.waves.min_in_service
    down = f"; {gone} of them {'is' if gone == 1 else 'are'} not in service now" if gone else ""
    where = f"zone {zone}" if zone else goal.spec.environment
    if least is None:
        have = f"has {nodes} nodes" if nodes > 1 else "has one node"
        return (
            f"{where} {have}: in place nobody would serve while it is treated{down}",
            'say that this is meant: min_in_service = "0"; or strategy = "blue-green", which '
            "starts the new release beside the old one",
        )
    return (
        f"{where} has {nodes} node{'s' * (nodes != 1)}, of which min_in_service = {least} must "
        f"stay in service: not one can be treated in place{down}",
        "lower min_in_service, or add nodes; canary and blue-green take no node out of service",
    )


STRATEGY = Strategy(steps, in_place=True)
