"""Nodes that are not as the active release wants them, and of which nothing owed says so.

What is owed is said by whatever leaves it so. This sees to it that nothing is forgotten: it looks
at the state alone, not at what has led there. Called by `debts` whenever a rollout ends, and by
`evolve` whenever a debt is over by itself.
"""

from collections.abc import Collection

from tidegate_controller.core import types as t
from tidegate_controller.core.facts import place_of
from tidegate_controller.core.releases import active_release, release_of

UNTIL_ASKED = "; the next deploy or rollback mends that"


def amiss(state: t.State, under_way: Collection[str] = ()) -> dict[t.Place, str]:
    """Of each member that takes no traffic or serves with another release, and of which no debt can
    say so: one place, and what is wrong. Nothing while nobody knows where traffic goes, which is
    owed then. `under_way`: nodes that a rollout treats, of which it will say itself."""
    active = active_release(state)
    if active is None or state.weights is None or t.CONTROLLER in state.debts:
        return {}
    told = set(state.debts).union(under_way)
    serving = [place for place, share in sorted(state.settled.items()) if share]
    found = {}
    for place in serving:
        revision = place_of(state, place).revision
        ours = place.node in state.members or place in state.left
        if told & {place, place.node} or not ours or revision is None:
            continue  # of another slot's debts none is about what serves here
        if revision != active.revision:
            other = release_of(state, revision)
            version = other.version if other else "another release"
            found[place] = f"serves with {version} in {place.slot}, not with {active.version}"
    if state.spec is not None and state.spec.slots:
        return found  # of two groups one takes no traffic
    for node in sorted(set(state.members) - {t.Place(key).node for key in (*told, *serving)}):
        place = t.Place.of(node, state.current.get(node) or t.SLOTS[0])
        found[place] = f"takes no traffic, and should serve with {active.version}"
    return found
