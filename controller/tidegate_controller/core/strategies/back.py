"""The plan that undoes any rollout: traffic goes straight back to where it was before.

Places that took traffic before are never touched by a rollout, so nothing need be started; what
the rollout started is stopped afterwards, by chores that hold no lock.
"""

from tidegate_controller.core import types as t
from tidegate_controller.core.evolve import place_of, replace
from tidegate_controller.core.strategies.blue_green import (
    reachable,
    route_step,
    sharing,
)

RETRY_SECONDS = 1.0


def plan_back(state: t.State) -> tuple[t.Step, ...]:
    """Steps from what each place runs, or may run, to the traffic before the rollout."""
    assert state.rollout is not None
    weights = reachable(state, safe_weights(state, state.rollout.before))
    if state.weights is not None and sharing(state.weights) == sharing(weights):
        return ()
    rollout = state.rollout
    step = route_step("shift-back", "Shift back", weights, rollout.spec)
    return (replace(step, retry_seconds=RETRY_SECONDS),)


def safe_weights(state: t.State, before: t.Weights) -> t.Weights:
    """`before`, without places known to be down, as long as any other is left."""

    def down(place: t.Place) -> bool:
        known = place_of(state, place)
        return known.running is False or known.healthy is False

    alive = {place for place, share in before.items() if share and not down(place)}
    places = set(before) | set(state.settled) | set(state.rollout.begun if state.rollout else ())
    return {
        place: before.get(place, 0) if place in alive or not alive else 0
        for place in sorted(places)
    }
