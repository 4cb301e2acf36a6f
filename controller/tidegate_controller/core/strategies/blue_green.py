"""Blue-green: prepare and prove the idle slots, then move all traffic at once. Slots are two on
each node, or two groups of nodes.

What already runs the release is left alone, and an old slot that still runs it takes traffic back
at once; that is why deploy and rollback are one function.
"""

from tidegate_controller.core import types as t
from tidegate_controller.core.facts import gaining
from tidegate_controller.core.releases import is_established
from tidegate_controller.core.strategies import groups, parts
from tidegate_controller.core.strategies.approval import approval
from tidegate_controller.core.strategies.gates import Wave, between
from tidegate_controller.core.strategies.kind import Strategy


def steps(state: t.State, goal: t.Goal) -> tuple[t.Step, ...]:
    """The plan that reaches the goal. Empty when all nodes run the release and take traffic."""
    if goal.spec.slots:
        return at_once(state, goal, groups.targets(state, goal))
    return at_once(state, goal, [parts.target_place(state, goal, node) for node in goal.nodes])


def at_once(state: t.State, goal: t.Goal, targets: list[t.Place]) -> tuple[t.Step, ...]:
    """All traffic to these places, at once; of a converge, all that its nodes are to have."""
    weights = parts.whole(state, goal, targets)
    stays = parts.is_settled(state, goal) and state.weights == weights
    is_reached = is_established(state, goal.release) and not parts.misnamed(state, targets)
    owes_nothing = goal.kind == "converge" and not targets
    if owes_nothing or (stays and is_reached and not gaining(state, weights)):
        return ()
    fresh = [place for place in targets if parts.needs_start(state, goal, place)]
    plan = parts.opening(state, goal, fresh, weights)
    begun = any(state.settled.get(place) for place in targets)  # what is done once has been
    if fresh:
        plan += [
            parts.prepare(goal, fresh),
            *parts.migrate(goal, fresh, begun=begun),
            parts.start(state, goal, fresh),
        ]
    everywhere = Wave(number=1, places=tuple(targets), so_far=tuple(targets))
    plan += [
        *approval(goal),
        parts.route_step("shift", "Shift", weights, goal.spec, prove=True),
        parts.switch(goal, targets),
        *between(goal, everywhere, last=True),
    ]
    return tuple(plan)


STRATEGY = Strategy(steps, has_groups=True)
