"""Blue-green with two slots on each node: prepare and prove the idle ones, then move all traffic.

What already runs the release is left alone, and an old slot that still runs it takes traffic back
at once; that is why deploy and rollback are one function.
"""

from tidegate_controller.core import types as t
from tidegate_controller.core.changes import replace
from tidegate_controller.core.facts import gaining, place_of
from tidegate_controller.core.spec import Spec
from tidegate_controller.core.strategies.checks import check_steps

QUERY_SECONDS = 30.0
ROUTE_SECONDS = 30.0
SWITCH_SECONDS = 60.0
ANSWER_SECONDS = 15.0  # an agent keeps its own deadline; this long we wait for it to say so
FULL = 100


def steps(state: t.State, goal: t.Goal) -> tuple[t.Step, ...]:
    """The plan that reaches the goal. Empty when all nodes run the release and take traffic."""
    release, pace = goal.release, goal.spec.pace
    targets = [target_place(state, goal, node) for node in goal.nodes]
    weights = {**_untouched(state, goal), **dict.fromkeys(targets, FULL)}
    settled = state.weights is not None and _as_balancer_says(state, goal)
    if settled and state.weights == weights and not gaining(state, weights):
        return ()
    fresh = [
        place
        for place in targets
        if goal.again or not (state.settled.get(place) or runs(state, release, place))
    ]
    plan = [_preflight(goal, fresh, weights)]
    if not settled:
        plan.append(route_step("settle", "Settle", reachable(state, state.settled), goal.spec))
    if fresh:
        plan += _bring_up(state, goal, fresh)
    plan += [
        route_step("shift", "Shift", weights, goal.spec, prove=True),
        t.Step(
            id="switch",
            name="Switch",
            works=_works("switch", targets, release),
            deadline_seconds=SWITCH_SECONDS + pace.away_seconds,
        ),
    ]
    if goal.kind != "rollback" and pace.soak_seconds:
        plan += _watch(goal, targets)
    plan += check_steps(goal)
    return tuple(plan)


def _untouched(state: t.State, goal: t.Goal) -> t.Weights:
    """Of nodes that only owe the release, the others keep what they have."""
    if goal.kind != "converge":
        return {}
    return {p: share for p, share in state.settled.items() if share and p.node not in goal.nodes}


def _as_balancer_says(state: t.State, goal: t.Goal) -> bool:
    """Whether traffic is where it was left, as far as the balancer was asked."""
    says = goal.balancer
    return says is None or {a for a, share in says.items() if share} == set(state.routed.values())


def _preflight(goal: t.Goal, fresh: list[t.Place], weights: t.Weights) -> t.Step:
    balancer = t.Work(verb="query", at=t.CONTROLLER, weights=weights, traffic=goal.spec.traffic)
    works = (balancer, *_works("query", fresh, goal.release))
    return t.Step(
        id="preflight",
        name="Preflight",
        works=works,
        deadline_seconds=QUERY_SECONDS + goal.spec.traffic.work_seconds,
    )


def _bring_up(state: t.State, goal: t.Goal, fresh: list[t.Place]) -> list[t.Step]:
    """Bring the release to these idle places and start it there."""
    release, pace, settings = goal.release, goal.spec.pace, goal.release.settings
    hooks, grace = settings.hooks, settings.service.stop_grace_seconds
    plan = [
        t.Step(
            id="prepare",
            name="Prepare",
            works=_works("prepare", fresh, release),
            deadline_seconds=pace.prepare_seconds + hooks.install_seconds + ANSWER_SECONDS,
        )
    ]
    once = hooks.migrate == "once" and goal.kind == "deploy"  # else it has run when others came
    if once or (hooks.migrate == "every-node" and goal.kind != "rollback"):
        chosen = fresh if hooks.migrate == "every-node" else fresh[:1]
        works = [
            replace(work, task="migrate", on_unknown="ask")
            for work in _works("task", chosen, release)
        ]
        plan.append(
            t.Step(
                id="migrate",
                name="Migrate",
                works=tuple(works),
                deadline_seconds=hooks.migrate_seconds + ANSWER_SECONDS,
            )
        )
    plan.append(
        t.Step(
            id="start",
            name="Start",
            works=_works("start", fresh, release),
            guards=(t.Guard(kind="no_traffic"),),
            # What ran there before is stopped first, and a start that fails is stopped again.
            deadline_seconds=settings.health.deadline_seconds
            + 2 * (grace + ANSWER_SECONDS)
            + max(pace.drain_seconds, state.pace.drain_seconds),
        )
    )
    return plan


def _watch(goal: t.Goal, targets: list[t.Place]) -> list[t.Step]:
    """Healthy with traffic for a while, and in the end every node has to say so once more: one
    that has fallen silent, or an app that hangs, is no success."""
    pace, health = goal.spec.pace, goal.release.settings.health
    asking = health.failures * (health.every_seconds + health.timeout_seconds)
    works = [replace(work, prove=True) for work in _works("query", targets, goal.release)]
    return [
        t.Step(
            id="soak",
            name="Soak",
            hold_seconds=pace.soak_seconds,
            deadline_seconds=pace.soak_seconds + pace.away_seconds + health.deadline_seconds,
        ),
        t.Step(
            id="verify",
            name="Verify",
            works=tuple(works),
            deadline_seconds=QUERY_SECONDS + asking + pace.away_seconds,
        ),
    ]


def reachable(state: t.State, weights: t.Weights) -> t.Weights:
    """The weights without places that lead nowhere, such as those of a disk that was replaced."""
    return {place: share for place, share in weights.items() if place_of(state, place).address}


def target_place(state: t.State, goal: t.Goal, node: str) -> t.Place:
    """The node's slot that is to run the release: the active one if it does, else the idle one."""
    blue, green = (t.Place.of(node, slot) for slot in t.SLOTS)
    if state.settled.get(blue) or state.settled.get(green):
        active = blue if state.settled.get(blue) else green
        stays = serves(state, goal.release, active) and not goal.again
        return active if stays else active.other
    if runs(state, goal.release, green):
        return green
    # What this log does not know may serve all the same: it is left alone.
    in_use = state.current.get(node) == blue.slot or place_of(state, blue).running
    return green if in_use and not runs(state, goal.release, blue) else blue


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
    step_id: str, name: str, weights: t.Weights, spec: Spec, *, prove: bool = False
) -> t.Step:
    """A step that moves all traffic at once. `prove`: only to places that have passed."""
    work = t.Work(
        verb="route",
        at=t.CONTROLLER,
        weights=weights,
        traffic=spec.traffic,
        prove=prove,
        on_unknown="ask" if spec.traffic.adapter == "none" else "observe",
    )
    return t.Step(
        id=step_id,
        name=name,
        works=(work,),
        guards=(t.Guard(kind="proven"),) if prove else (),
        deadline_seconds=ROUTE_SECONDS + spec.pace.away_seconds + spec.traffic.work_seconds,
    )


def _works(verb: t.Verb, places: list[t.Place], release: t.Release) -> tuple[t.Work, ...]:
    return tuple(
        t.Work(verb=verb, at=place.node, place=place, revision=release.revision) for place in places
    )
