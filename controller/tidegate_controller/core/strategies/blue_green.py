"""Blue-green with two slots on each node: prepare and prove the idle ones, then move all traffic.

What already runs the release is left alone, and an old slot that still runs it takes traffic back
at once; that is why deploy and rollback are one function.
"""

from tidegate_controller.core import types as t
from tidegate_controller.core.evolve import place_of, replace
from tidegate_controller.core.spec import Spec

QUERY_SECONDS = 30.0
ROUTE_SECONDS = 30.0
SWITCH_SECONDS = 60.0
ANSWER_SECONDS = 15.0  # an agent keeps its own deadline; this long we wait for it to say so
FULL = 100


def steps(state: t.State, goal: t.Goal) -> tuple[t.Step, ...]:
    """The plan that reaches the goal. Empty when all nodes run the release and take traffic."""
    release, pace = goal.release, goal.spec.pace
    targets = {node: target_place(state, goal, node) for node in goal.nodes}
    weights = dict.fromkeys(state.settled, 0)
    for place in targets.values():
        weights |= {place: FULL, place.other: 0}
    if state.weights is not None and sharing(state.weights) == sharing(weights):
        return ()
    fresh = [
        place
        for place in targets.values()
        if goal.again or not (state.settled.get(place) or runs(state, release, place))
    ]
    plan = [_preflight(release, fresh)]
    if state.weights is None:
        plan.append(
            route_step("settle", "Settle", reachable(state, state.settled), pace, goal.traffic)
        )
    if fresh:
        plan += _bring_up(state, goal, fresh)
    plan += [
        route_step("shift", "Shift", weights, goal.spec, prove=True),
        t.Step(
            id="switch",
            name="Switch",
            works=_works("switch", list(targets.values()), release),
            deadline_seconds=SWITCH_SECONDS + pace.away_seconds,
        ),
    ]
    if goal.kind == "deploy" and pace.soak_seconds:
        plan.append(
            t.Step(
                id="soak",
                name="Soak",
                hold_seconds=pace.soak_seconds,
                deadline_seconds=pace.soak_seconds
                + pace.away_seconds
                + release.settings.health.deadline_seconds,
            )
        )
    return tuple(plan)


def sharing(weights: t.Weights) -> dict[t.Place, int]:
    """Who takes traffic: the weights without the zeros."""
    return {place: share for place, share in weights.items() if share}


def reachable(state: t.State, weights: t.Weights) -> t.Weights:
    """The weights without places that lead nowhere, such as those of a disk that was replaced."""
    return {p: share if place_of(state, p).address else 0 for p, share in weights.items()}


def target_place(state: t.State, goal: t.Goal, node: str) -> t.Place:
    """The node's slot that is to run the release: the active one if it does, else the idle one."""
    blue, green = (t.Place.of(node, slot) for slot in t.SLOTS)
    if state.settled.get(blue) or state.settled.get(green):
        active = blue if state.settled.get(blue) else green
        stays = serves(state, goal.release, active) and not goal.again
        return active if stays else active.other
    return green if runs(state, goal.release, green) else blue


def runs(state: t.State, release: t.Release, place: t.Place) -> bool:
    """Whether the place is known to run the release, healthy, right now: it may take traffic."""
    known = place_of(state, place)
    return known.revision == release.revision and known.running is True and known.healthy is True


def serves(state: t.State, release: t.Release, place: t.Place) -> bool:
    """Whether the place has the release and nothing is known against it: it may keep traffic."""
    known = place_of(state, place)
    held = known.revision == release.revision
    return held and known.running is not False and known.healthy is not False


def route_step(
    step_id: str,
    name: str,
    weights: t.Weights,
    spec: Spec,
    *,
    prove: bool = False,
) -> t.Step:
    """A step that moves all traffic at once. `prove`: only to places that have passed."""
    work = t.Work(
        verb="route",
        at=t.CONTROLLER,
        weights=weights,
        prove=prove,
        on_unknown="ask" if spec.traffic.adapter == "none" else "observe",
    )
    return t.Step(
        id=step_id,
        name=name,
        works=(work,),
        guards=(t.Guard(kind="proven"),) if prove else (),
        deadline_seconds=ROUTE_SECONDS + spec.pace.away_seconds,
    )


def _bring_up(state: t.State, goal: t.Goal, fresh: list[t.Place]) -> list[t.Step]:
    """Bring the release to these idle places and start it there."""
    release, pace, settings = goal.release, goal.spec.pace, goal.release.settings
    plan = [
        t.Step(
            id="prepare",
            name="Prepare",
            works=_works("prepare", fresh, release),
            deadline_seconds=pace.prepare_seconds + settings.hooks.install_seconds + ANSWER_SECONDS,
        )
    ]
    if goal.kind == "deploy" and settings.hooks.migrate != "never":
        chosen = fresh if settings.hooks.migrate == "every-node" else fresh[:1]
        migrate = {"task": "migrate", "on_unknown": "ask"}
        plan.append(
            t.Step(
                id="migrate",
                name="Migrate",
                works=tuple(replace(work, **migrate) for work in _works("task", chosen, release)),
                deadline_seconds=settings.hooks.migrate_seconds + ANSWER_SECONDS,
            )
        )
    plan.append(
        t.Step(
            id="start",
            name="Start",
            works=_works("start", fresh, release),
            guards=(t.Guard(kind="no_traffic"),),
            deadline_seconds=settings.health.deadline_seconds
            + settings.service.stop_grace_seconds
            + max(pace.drain_seconds, state.pace.drain_seconds)
            + ANSWER_SECONDS,
        )
    )
    return plan


def _preflight(release: t.Release, fresh: list[t.Place]) -> t.Step:
    balancer = t.Work(verb="query", at=t.CONTROLLER)
    works = (balancer, *_works("query", fresh, release))
    return t.Step(id="preflight", name="Preflight", works=works, deadline_seconds=QUERY_SECONDS)


def _works(verb: t.Verb, places: list[t.Place], release: t.Release) -> tuple[t.Work, ...]:
    return tuple(
        t.Work(verb=verb, at=place.node, place=place, revision=release.revision) for place in places
    )
