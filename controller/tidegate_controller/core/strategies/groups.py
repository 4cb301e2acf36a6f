"""Server groups: a slot is a set of servers, of which one takes all traffic and the other none.

On a node of the group "green" a release always runs in the slot `green`, so the rest of the engine
sees places like any others. Called by `blue_green` for environments that have `slots`.
"""

from tidegate_controller.core import types as t
from tidegate_controller.core.changes import replace
from tidegate_controller.core.wellness import runs, serves
from tidegate_controller.errors import Refused

Groups = dict[str, list[str]]  # slot -> nodes
MEND = "see the labels that nodes have: tidegate node list; and `slots` in tidegate.toml"


def targets(state: t.State, goal: t.Goal) -> list[t.Place]:
    """The places of the group that is to take all traffic: the one that has it, where that serves
    the release already, else the idle one. Raises `Refused` where no group is idle or complete.
    Of nodes that owe the release, those of the group that serves: others owe nothing. Where
    nobody serves, as when all its disks were lost, it is the group of most that owe it."""
    groups = _groups(goal)
    if goal.kind == "converge":
        serving = {place.slot for place in _serving(state)} or {_owing_most(state, goal)}
        return [t.Place.of(node, slot) for slot in sorted(serving) for node in groups[slot]]
    slot = _target_slot(state, goal, groups)
    if not groups[slot]:
        raise Refused(
            f"none of the nodes of {slot}, which the release would go to, is connected",
            "see: tidegate node list",
        )
    return [t.Place.of(node, slot) for node in groups[slot]]


def group_notes(state: t.State, goal: t.Goal) -> tuple[str, ...]:
    """What whoever asks may not have meant: traffic that goes to fewer nodes than it has now. Only
    of a strategy that has groups."""
    if goal.spec.slots is None:
        return ()
    now = {place.node for place, share in state.settled.items() if share}
    then = targets(state, goal)
    if len(then) >= len(now):
        return ()
    return (f"traffic goes to {len(then)} nodes ({then[0].slot}), and has {len(now)} now",)


def _target_slot(state: t.State, goal: t.Goal, groups: Groups) -> str:
    taking = {
        slot: [place for place in _serving(state) if place.node in nodes]
        for slot, nodes in groups.items()
    }
    active = [slot for slot, places in taking.items() if places]
    if len(active) > 1:
        raise Refused(
            "nodes of both groups take traffic, so neither is idle",
            "deploy once without `slots`, and with `nodes` that are of one group only; then the "
            "other is idle",
        )
    if not active:
        ready = (
            slot
            for slot, nodes in groups.items()
            if any(runs(state, goal.release, t.Place.of(node, slot)) for node in nodes)
        )
        return next(ready, t.SLOTS[0])
    (slot,) = active
    has_it = all(
        place.slot == slot and serves(state, goal.release, place) for place in taking[slot]
    )
    return slot if has_it and not goal.again else _other(slot)


def _other(slot: str) -> str:
    return t.SLOTS[1 - t.SLOTS.index(slot)]


def _owing_most(state: t.State, goal: t.Goal) -> str:
    """Also by nodes that do not pay now, as they are away."""
    groups = _groups(replace(goal, nodes=tuple(n for n in goal.members if n in state.debts)))
    return max(t.SLOTS, key=lambda slot: len(groups[slot]))


def _serving(state: t.State) -> list[t.Place]:
    return [place for place, share in state.settled.items() if share]


def _groups(goal: t.Goal) -> Groups:
    """The nodes of each group. To go back is refused for no doubt about labels."""
    slots = goal.spec.slots or {}
    if set(slots) != set(t.SLOTS) or not all(slots.values()):
        raise Refused(f"`slots` must have labels for {' and '.join(t.SLOTS)}", MEND)
    groups: Groups = {slot: [] for slot in t.SLOTS}
    empty = set(t.SLOTS)
    for node in goal.members or goal.nodes:
        own = goal.labels.get(node, {})
        found = [
            slot
            for slot in t.SLOTS
            if all(own.get(key) == value for key, value in slots.get(slot, {}).items())
        ]
        if len(found) != 1 and goal.kind == "deploy":
            which = "both groups" if found else "neither group"
            raise Refused(f"{node} is of {which} by its labels, and must be of one", MEND)
        empty.difference_update(found[:1])
        if found and node in goal.nodes:
            groups[found[0]].append(node)
    for slot in sorted(empty) if goal.kind == "deploy" else ():
        labels = ", ".join(f"{key}={value}" for key, value in slots[slot].items())
        raise Refused(f"no node of {goal.spec.environment} is of {slot} ({labels})", MEND)
    return groups
