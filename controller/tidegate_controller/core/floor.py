"""How many nodes stay in service while a rollout treats others in place.

Called by strategies, which make waves by it, and by the guard that looks again before each move.
On the way back that guard also waits a while for nodes that the controller has not heard of since
its start (`heard_at`).

A node is in service when a place of its takes traffic and is known to be healthy. A floor counts
for each zone where nodes have the label; without `min_in_service` one node of all must stay.

A move whose outcome nobody knows may have been done. So what it sends to, and is well, may be in
service: it does not count for the floor, but where the floor is not kept without it, it is not
taken out of traffic either.
"""

from collections.abc import Collection, Iterable, Mapping

from tidegate_controller.core import types as t
from tidegate_controller.core.listed import NODES_TOLD, first_few
from tidegate_controller.core.shares import at_least_one, rounded_up
from tidegate_controller.core.spec import Spec
from tidegate_controller.core.wellness import is_well, may_serve

Zones = Mapping[str, str]  # node -> its zone; "" where it has no such label
Floors = list[tuple[set[str], int, str]]  # nodes, how many must be in service, where, in words


def zones_of(goal: t.Goal) -> dict[str, str]:
    """The zone of each member, which matters to a strategy that treats nodes in place."""
    label = goal.spec.waves.zone
    return {node: goal.labels.get(node, {}).get(label, "") for node in goal.members or goal.nodes}


def missing(state: t.State, goal: t.Goal) -> set[str]:
    """Members that are not treated and not in service either, such as those that are away: what was
    known of them is not. Only a converge leaves out nodes that are here."""
    if goal.kind != "converge":
        return set(goal.members).difference(goal.nodes)
    well = {place.node for place, share in state.settled.items() if share and is_well(state, place)}
    return set(goal.members).difference(goal.nodes, well.difference(goal.gone))


def room_in(spec: Spec, zones: Zones, zone: str, out: Collection[str] = ()) -> int:
    """How many nodes of the zone may be out of service at once; 0 or less: not one. `out`: nodes
    that are out of service already, and stay so."""
    share = spec.waves.min_in_service
    if share is None:
        return len(zones) - 1 - len(out)
    inside = [node for node, its in zones.items() if its == zone]
    return len(inside) - rounded_up(share, len(inside)) - len(set(inside).intersection(out))


def waves_in(
    spec: Spec, zones: Zones, nodes: Iterable[str], out: Collection[str] = ()
) -> list[list[str]]:
    """The nodes zone by zone, in waves that `max_parallel` and the floor allow, of one at least."""
    most = at_least_one(spec.waves.max_parallel, len(zones))
    waves: list[list[str]] = []
    for zone in sorted(set(zones.values())):
        inside = [node for node in nodes if zones[node] == zone]
        size = max(1, min(most, room_in(spec, zones, zone, out)))
        waves += [inside[begin : begin + size] for begin in range(0, len(inside), size)]
    return waves


def in_doubt(state: t.State) -> dict[t.Place, int]:
    """Places that are well and take traffic by a move of unknown outcome, if that was done. None
    where nothing has traffic for certain, as before a first deployment: nobody is in service."""
    if not any(state.settled.values()):
        return {}
    taking = sorted(place for place in state.unsettled if not state.settled.get(place))
    return {place: t.FULL for place in taking if is_well(state, place)}


def kept_in_doubt(state: t.State, goal: t.Goal) -> dict[t.Place, int]:
    """Of these, those that the floor needs while the nodes are treated: they are to take traffic
    for certain first, as to settle it without them would take it from them."""
    floors = _floors(zones_of(goal), goal.spec)
    return _needed(state, state.settled, in_doubt(state), floors)


def breach(state: t.State, weights: t.Weights) -> str:
    """Why traffic must not be moved to these weights now; empty where it may."""
    rollout = state.rollout
    if rollout is None or rollout.below_floor:
        return ""
    if rollout.undoing and not rollout.zones:
        return _no_better(state, rollout, weights)
    return _breach(state, weights, _floors(rollout.zones, rollout.spec))


def heard_at(state: t.State, weights: t.Weights) -> float:
    """Engine time from which traffic may go back to these weights, none of which is known to be
    well: until then the nodes that the controller has not heard of since its start may say that
    they are, or that what has traffic is. 0 where it need not wait for them."""
    rollout = state.rollout
    if rollout is None or rollout.below_floor or not rollout.undoing or rollout.zones:
        return 0.0
    if any(share and is_well(state, place) for place, share in weights.items()):
        return 0.0
    asked = {place.node for place in (*weights, *_taking(state))}
    away = [state.away[node] for node in asked if node in state.away]
    return max((each.until for each in away if each.unheard), default=0.0)


def _no_better(state: t.State, rollout: t.Rollout, weights: t.Weights) -> str:
    if not any(rollout.before.values()):  # as before a first deployment
        return ""
    if not any(weights.values()):  # to nobody at all: then whatever may serve is better
        left = sorted(place for place in _taking(state) if may_serve(state, place))
        told = f"nothing is left that traffic could go back to, and {first_few(left, NODES_TOLD)}"
        return f"{told} may serve" if left else ""
    well = sorted(forsaken(state, weights))
    are = "are" if len(well) > 1 else "is"
    named = first_few(well, NODES_TOLD)
    told = f"nothing that traffic would go back to is known to be well, and {named} {are}"
    return told if well else ""


def _breach(state: t.State, weights: t.Weights, floors: Floors) -> str:
    losing = _losing(state, weights)
    if not losing:
        return ""
    serving = {place.node for place, share in weights.items() if share and is_well(state, place)}
    for inside, least, where in floors:
        left = len(serving & inside)
        if losing & inside and left < least:
            names = ", ".join(sorted(losing & inside))
            return f"without {names} {left} would be in service{where}, and {least} must be"
    return ""


def needed(state: t.State, weights: t.Weights, more: t.Weights) -> dict[t.Place, int]:
    """Of `more`, places that may well serve, on nodes that otherwise would not for certain: as many
    as it takes, lest a move to these weights breaks the floor."""
    rollout = state.rollout
    if rollout is None or rollout.below_floor:
        return {}
    return _needed(state, weights, more, _floors(rollout.zones, rollout.spec))


def _needed(
    state: t.State, weights: t.Weights, more: t.Weights, floors: Floors
) -> dict[t.Place, int]:
    kept = dict[t.Place, int]()
    serving = {place.node for place, share in weights.items() if share and is_well(state, place)}
    for place, share in more.items():
        moved = {**weights, **kept}
        spared = may_serve(state, place) and place.node not in serving
        if spared and _breach(state, moved, floors):
            kept[place] = share
    return kept


def lent(state: t.State, weights: t.Weights) -> dict[t.Place, int]:
    """What serves now, or may, and would not by these weights, to which traffic goes back: as much
    of it as the floor needs, and all that is known to be well where nothing else is."""
    if state.rollout is None or state.rollout.below_floor:
        return {}
    serving = {p: share for p, share in _taking(state).items() if not weights.get(p)}
    kept = needed(state, weights, serving)
    return kept | {place: serving[place] for place in forsaken(state, {**weights, **kept})}


def forsaken(state: t.State, weights: t.Weights) -> list[t.Place]:
    """Places that are known to be well and would lose their traffic, also where that is in doubt,
    while nothing that would have any by these weights is well."""
    if any(share and is_well(state, place) for place, share in weights.items()):
        return []
    return [place for place in _taking(state) if is_well(state, place)]


def _taking(state: t.State) -> dict[t.Place, int]:
    """What takes traffic, or may."""
    certain = {place: share for place, share in state.settled.items() if share}
    return certain | in_doubt(state)


def _losing(state: t.State, weights: t.Weights) -> set[str]:
    """Nodes that take traffic, or may, are not known to be unwell, and would take none any more."""
    serving = {
        place.node for place, share in state.settled.items() if share and may_serve(state, place)
    }
    serving |= {place.node for place in in_doubt(state)}
    return serving - {place.node for place, share in weights.items() if share}


def _floors(zones: Zones, spec: Spec) -> Floors:
    share = spec.waves.min_in_service
    if share is None:
        return [(set(zones), 1, "")] if zones else []
    floors: Floors = []
    for zone in sorted(set(zones.values())):
        inside = {node for node, its in zones.items() if its == zone}
        where = f" in {zone}" if zone else ""
        floors.append((inside, rounded_up(share, len(inside)), where))
    return floors
