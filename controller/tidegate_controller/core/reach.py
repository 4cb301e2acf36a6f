"""Which nodes a goal leaves without traffic, or without the release that they had, and what it
finds half done, in words. And why nothing is rehearsed although that was asked for.

It is told where a request is looked at, and at the head of its rollout: a list of nodes that was
narrowed by mistake looks like any other. Called by `deploying` and `plan_view`.
"""

from collections.abc import Collection, Iterator, Sequence

from tidegate_controller.core import types as t
from tidegate_controller.core.facts import place_of
from tidegate_controller.core.listed import NODES_TOLD, first_few
from tidegate_controller.core.releases import left_half_done, serving_since
from tidegate_controller.core.settling import as_presumed
from tidegate_controller.core.strategies import STRATEGIES
from tidegate_controller.core.strategies.groups import group_notes


def reach_notes(state: t.State, goal: t.Goal, told: Collection[str] = ()) -> tuple[str, ...]:
    """A line each; often none. `told`: nodes of which it is said elsewhere."""
    others = {*goal.nodes, *told}
    notes = list(_half_done(state, goal))
    state = as_presumed(state)
    taking = dict.fromkeys(place.node for place, share in state.settled.items() if share)
    if lost := [node for node in taking if node not in others]:
        notes.append(f"{_listed(lost)}: no traffic any more")
    if goal.kind == "rollback":
        stood_on = _stood_on(state, goal.release)
        if left := [node for node in stood_on if node not in others]:
            version, verb = goal.release.version, "is" if len(left) == 1 else "are"
            notes.append(
                f"{version} was on {len(stood_on)} nodes, and this goes to {len(goal.nodes)}: "
                f"{_listed(left)} {verb} not part of it; to bring back what is missing, deploy "
                f"{version} with `nodes` as it was then"
            )
    has_groups = STRATEGIES[goal.spec.strategy].has_groups
    return (*notes, *(group_notes(state, goal) if has_groups else ()))


def _half_done(state: t.State, goal: t.Goal) -> Iterator[str]:
    """What serves since a rollout that has stopped, and was never committed."""
    serving = serving_since(state)
    for release in left_half_done(state):
        nodes = [p.node for p in serving if place_of(state, p).revision == release.revision]
        if nodes and release.revision != goal.release.revision:
            yield (
                f"{release.version} serves on {_listed(nodes)}, left there by a rollout that has "
                f"stopped; {goal.release.version} takes its place"
            )


def rehearsal_notes(state: t.State, goal: t.Goal, plan: Sequence[t.Step]) -> tuple[str, ...]:
    """One line, where `rehearse = true` comes to nothing in this plan."""
    is_wanted = goal.spec.waves.rehearse and goal.kind == "deploy" and plan
    if not is_wanted or any(step.id.startswith("rehearse-") for step in plan):
        return ()
    why = "no node of the first wave serves with the release before"
    if not any(state.settled.values()):
        why = "nothing serves yet, so there is nothing to go back to"
    elif max(step.wave for step in plan) < 2:
        why = "there is one wave alone"
    return (f"nothing is rehearsed: {why}",)


def _stood_on(state: t.State, release: t.Release) -> tuple[str, ...]:
    """The nodes that the release was last brought to."""
    past = zip(reversed(state.committed), reversed(state.committed_on), strict=False)
    return next((nodes for known, nodes in past if known.revision == release.revision), ())


def _listed(nodes: list[str]) -> str:
    return first_few(nodes, NODES_TOLD)
