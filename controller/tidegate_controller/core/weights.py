"""Which weights a move has when it is issued: those of the plan, as far as the world allows now."""

from tidegate_controller.core import types as t
from tidegate_controller.core.changes import replace
from tidegate_controller.core.facts import gaining, place_of


def as_issued(state: t.State, work: t.Work) -> t.Work:
    """The work; on the way back its weights are without places that could not be brought back, as
    long as any are left."""
    rollout = state.rollout
    if work.verb != "route" or rollout is None or not rollout.undoing:
        return work
    weights = work.weights or {}
    gained = gaining(state, weights)

    def lost(place: t.Place) -> bool:
        known = place_of(state, place)
        unwell = known.running is False or known.healthy is False
        return place in rollout.halted or not known.address or (place in gained and unwell)

    left = {place: share for place, share in weights.items() if not lost(place)}
    if any(left.values()):
        return replace(work, weights=left)
    # Nothing to go back to: in place, what serves now goes on; else it may come back by itself.
    return replace(work, weights=state.settled) if rollout.halted else work
