"""The works of a step as they are to be done now: a rollout may have to go on without some nodes.

The plan stays as it was made; what is otherwise since is derived from it whenever a work is issued.
"""

from tidegate_controller.core import types as t
from tidegate_controller.core.changes import replace
from tidegate_controller.core.facts import place_of


def work_now(state: t.State, step: t.Step, index: int) -> t.Work | None:
    """The work as it would be issued now; None where it is not to be done any more."""
    work, rollout = step.works[index], state.rollout
    if rollout is None or rollout.undoing or not rollout.dropped:
        return work
    if work.weights is not None:
        return replace(work, weights=weights_now(state, work.weights))
    if work.at not in rollout.dropped:
        return work
    return _elsewhere(rollout, step, work) if is_for_all(rollout, work) else None


def is_void(rollout: t.Rollout, step: t.Step, index: int) -> bool:
    """Whether the work is not to be done any more, since its node was dropped."""
    work = step.works[index]
    if rollout.undoing or work.at not in rollout.dropped:
        return False
    return not (is_for_all(rollout, work) and _elsewhere(rollout, step, work))


def is_for_all(rollout: t.Rollout, work: t.Work) -> bool:
    """Whether all nodes depend on it: what the balancer does, and a migration that runs once."""
    once = work.verb == "task" and rollout.release.settings.hooks.migrate == "once"
    return work.at == t.CONTROLLER or once


def _elsewhere(rollout: t.Rollout, step: t.Step, work: t.Work) -> t.Work | None:
    """What is to be done once is done on another node, where the release is as well."""
    before = rollout.plan[: rollout.plan.index(step)] if step in rollout.plan else rollout.plan
    for earlier in before:
        for other in earlier.works:
            if other.verb == "prepare" and other.at not in rollout.dropped:
                return replace(work, at=other.at, place=other.place)
    return None


def weights_now(state: t.State, weights: t.Weights) -> t.Weights:
    """The weights without the nodes that were dropped. Each of these keeps the traffic that it had
    before the rollout, if it is known to be well there."""
    rollout = state.rollout
    assert rollout is not None
    kept = {
        place: share
        for place, share in rollout.before.items()
        if share and place.node in rollout.dropped and is_kept(state, place)
    }
    return {p: share for p, share in weights.items() if p.node not in rollout.dropped} | kept


def is_kept(state: t.State, place: t.Place) -> bool:
    """Whether it served before the rollout, was not touched by it, and is known to be well."""
    rollout, known = state.rollout, place_of(state, place)
    assert rollout is not None
    untouched = bool(rollout.before.get(place)) and place not in rollout.begun
    return untouched and known.running is True and known.healthy is True
