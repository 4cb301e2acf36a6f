"""The plan that undoes any rollout: traffic goes straight back to where it was before.

Places that took traffic before are never touched by a rollout, so nothing need be started; what
the rollout started is stopped afterwards, by chores that hold no lock.
"""

from tidegate_controller.core import types as t
from tidegate_controller.core.changes import replace
from tidegate_controller.core.facts import place_of
from tidegate_controller.core.strategies.blue_green import reachable, route_step

RETRY_SECONDS = 1.0


def plan_back(state: t.State, now: float) -> tuple[t.Step, ...]:
    """Steps from what each place runs, or may run, to the traffic before the rollout."""
    rollout = state.rollout
    assert rollout is not None
    weights = reachable(state, safe_weights(state, rollout.before, now))
    if state.weights == weights:
        return ()
    step = route_step("shift-back", "Shift back", weights, rollout.spec)
    return (replace(step, retry_seconds=RETRY_SECONDS),)


def safe_weights(state: t.State, before: t.Weights, now: float) -> t.Weights:
    """`before`, without places that are down, as long as any is left. Nor does traffic move to a
    node that was waited for in vain; it stays with one, since its agent alone may be gone."""
    moved = state.weights != before
    given_up = {node for node, until in state.away.items() if now >= until}

    rollout = state.rollout
    own = rollout.nodes if rollout and rollout.kind == "converge" else None

    def lost(place: t.Place) -> bool:
        if own is not None and place.node not in own:
            return False  # other nodes are no matter of it
        known = place_of(state, place)
        return (
            (moved and place.node in given_up) or known.running is False or known.healthy is False
        )

    alive = {place: share for place, share in before.items() if not lost(place)}
    return alive or before
