"""Canary: a few nodes first, then growing waves, with the gates between them.

A node has both slots, so a wave is brought up beside what serves, and takes traffic when it has
passed; an undo moves all traffic back at once. Nodes that have the release already count as the
first ones. Where nothing serves yet there is nothing to compare with, and to go back the same
release has been seen before: both are done as blue-green does them, all at once. So are nodes that
only owe the release.
"""

from collections.abc import Iterable, Mapping

from tidegate_controller.core import types as t
from tidegate_controller.core.facts import reachable
from tidegate_controller.core.listed import NODES_TOLD, first_few
from tidegate_controller.core.releases import is_established
from tidegate_controller.core.shares import at_least_one
from tidegate_controller.core.strategies import blue_green, parts, rehearsal
from tidegate_controller.core.strategies.approval import approval, promotion
from tidegate_controller.core.strategies.gates import Wave, between
from tidegate_controller.core.strategies.kind import Strategy
from tidegate_controller.errors import Refused


def steps(state: t.State, goal: t.Goal) -> tuple[t.Step, ...]:
    """The plan that reaches the goal. Empty when all nodes run the release and take traffic."""
    targets = {node: parts.target_place(state, goal, node) for node in goal.nodes}
    every = list(targets.values())
    chosen = _canaries(goal)
    done = [node for node, place in targets.items() if state.settled.get(place)]
    waves = _cut(goal, done, chosen) if goal.kind == "deploy" else []
    if not waves or not any(state.settled.values()):
        return blue_green.at_once(state, goal, every)
    fresh = [place for place in every if parts.needs_start(state, goal, place)]
    plan = parts.opening(state, goal, fresh, dict.fromkeys(every, t.FULL))
    weights = dict(reachable(state, state.settled))
    having = [targets[node] for node in done]
    so_far = [] if is_established(state, goal.release) else list(having)
    misnamed = parts.misnamed(state, having)
    begun = bool(done)  # they have the release, so what is done once for it has been
    for number, nodes in enumerate(waves, 1):
        places = [targets[node] for node in nodes]
        mine = [place for place in places if place in fresh]
        last = number == len(waves)
        weights = dict.fromkeys(every, t.FULL) if last else _moved(weights, places)
        so_far += places
        treated = Wave(number=number, places=tuple(places), so_far=tuple(so_far))
        bring_up = [
            parts.prepare(goal, mine),
            *parts.migrate(goal, mine, begun=begun),
            parts.start(state, goal, mine),
        ]
        plan += parts.in_wave(
            number,
            [
                *(bring_up if mine else ()),
                *(approval(goal) if number == 1 else ()),
                parts.route_step("shift", "Shift", weights, goal.spec, prove=True),
                parts.switch(goal, [*places, *(misnamed if number == 1 else ())]),
                *between(goal, treated, last=last),
                *_rehearsal(state, goal, places, weights, len(waves) if number == 1 else 0),
                *promotion(goal, last=last),
            ],
        )
        begun = begun or bool(mine)
    return tuple(plan)


def _rehearsal(
    state: t.State, goal: t.Goal, places: list[t.Place], weights: t.Weights, waves: int
) -> list[t.Step]:
    """On the first node that served before. `waves`: how many, in the first one."""
    ready = [place for place in places if rehearsal.wanted(state, goal, place, waves)]
    return rehearsal.by_traffic(goal, ready[0], weights) if ready else []


def _moved(weights: t.Weights, places: list[t.Place]) -> dict[t.Place, int]:
    """These places take their nodes' traffic; all others keep theirs."""
    nodes = {place.node for place in places}
    stay = {place: share for place, share in weights.items() if place.node not in nodes}
    return stay | dict.fromkeys(places, t.FULL)


def _canaries(goal: t.Goal) -> list[str]:
    """Nodes of the first wave, where it is chosen by labels. Raises `Refused` if there are none."""
    wanted = goal.spec.waves.canary
    if not wanted:
        return []
    chosen = _labelled(goal, goal.nodes, wanted)
    if not chosen and goal.kind == "deploy":
        raise _no_canary(goal, wanted)
    return chosen


def _labelled(goal: t.Goal, nodes: Iterable[str], wanted: Mapping[str, str]) -> list[str]:
    """Those of these that have all of these labels."""
    return [
        node
        for node in nodes
        if all(goal.labels.get(node, {}).get(key) == value for key, value in wanted.items())
    ]


def _no_canary(goal: t.Goal, wanted: Mapping[str, str]) -> Refused:
    labels = ", ".join(f"{key}={value}" for key, value in wanted.items())
    without = "or leave out `canary`, and the first of `waves` says how many"
    if away := _labelled(goal, goal.gone, wanted):
        which = "which is" if len(away) == 1 else "which are"
        return Refused(
            f"the first wave is to be {first_few(away, NODES_TOLD)} ({labels}), {which} not "
            "connected",
            f"start the agent there (see: tidegate node list); {without}",
        )
    return Refused(
        f"no node of {goal.spec.environment} has {labels}, which the first wave is chosen by",
        f"see the labels that nodes have: tidegate node list; {without}",
    )


def _cut(goal: t.Goal, done: list[str], chosen: list[str]) -> list[list[str]]:
    """The nodes that are to be treated, wave by wave. Sizes are cumulative and of all nodes."""
    first = [node for node in chosen if node not in done]
    rest = [node for node in goal.nodes if node not in done and node not in first]
    order = [*done, *first, *rest]
    ends = [len(done) + len(first)] if first else []
    ends += [at_least_one(size, len(order)) for size in goal.spec.waves.sizes]
    waves, begin = [], len(done)
    for end in [*ends, len(order)]:
        if end > begin:
            waves.append(order[begin:end])
            begin = end
    return waves


STRATEGY = Strategy(steps)
