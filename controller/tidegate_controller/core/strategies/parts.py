"""The steps that plans are made of, and which slot of a node is meant. Used by all strategies."""

from collections.abc import Sequence

from tidegate_controller.core import types as t
from tidegate_controller.core.changes import replace
from tidegate_controller.core.facts import is_gone, is_misnamed, place_of, reachable
from tidegate_controller.core.releases import known_releases
from tidegate_controller.core.settling import SETTLE
from tidegate_controller.core.spec import Settings, Spec
from tidegate_controller.core.wellness import runs, serves
from tidegate_controller.core.works import moving

QUERY_SECONDS = 30.0
ROUTE_SECONDS = 30.0
SWITCH_SECONDS = 60.0
ANSWER_SECONDS = 15.0  # an agent keeps its own deadline; this long we wait for it to say so


def in_wave(number: int, steps: Sequence[t.Step]) -> list[t.Step]:
    """The steps as those of a wave; ids stay unique in a plan. `number`: 0 for the one wave of a
    converge, which is no matter of waves."""
    if not number:
        return list(steps)
    return [replace(step, id=f"{step.id}-{number}", wave=number) for step in steps]


def opening(state: t.State, goal: t.Goal, fresh: list[t.Place], weights: t.Weights) -> list[t.Step]:
    """What every plan begins with: find what would fail anyway, and settle where traffic goes. A
    place that has traffic and is gone with its disk loses it at once, as long as any other has
    some, or where it is to be started itself. It stays where it is, if that is known, while nothing
    but nodes that were removed serves."""
    plan = [_preflight(goal, fresh, weights)]
    taking = {place for place, share in state.settled.items() if share}
    lost = {place for place in taking if is_gone(state, place)}
    left = reachable(state, state.settled)
    if any(left.values()):
        wanted = bool(lost) or not is_settled(state, goal)
    elif taking - lost and state.weights is not None:
        wanted = False
    else:
        wanted = not lost.isdisjoint(fresh) or not is_settled(state, goal)
    if wanted:
        plan.append(route_step(SETTLE, "Settle", left, goal.spec))
    return plan


def is_settled(state: t.State, goal: t.Goal) -> bool:
    """Whether it is known where traffic goes, and the balancer, if it was asked, says the same."""
    says = goal.balancer
    agrees = says is None or {a for a, share in says.items() if share} == set(state.routed.values())
    return state.weights is not None and agrees


def _preflight(goal: t.Goal, fresh: list[t.Place], weights: t.Weights) -> t.Step:
    balancer = t.Work(verb="query", at=t.CONTROLLER, weights=weights, traffic=goal.spec.traffic)
    return t.Step(
        id="preflight",
        name="Preflight",
        works=(balancer, *works("query", fresh, goal.release)),
        deadline_seconds=QUERY_SECONDS + goal.spec.traffic.work_seconds,
    )


def prepare(goal: t.Goal, places: Sequence[t.Place]) -> t.Step:
    """Bring the release to these idle places."""
    pace, hooks = goal.spec.pace, goal.release.settings.hooks
    return t.Step(
        id="prepare",
        name="Prepare",
        works=works("prepare", places, goal.release),
        deadline_seconds=pace.prepare_seconds + hooks.install_seconds + ANSWER_SECONDS,
    )


def migrate(goal: t.Goal, places: Sequence[t.Place], *, begun: bool = False) -> list[t.Step]:
    """Run `migrate.sh` before the first start; no step where none is to run. `begun`: places were
    started before these, so what is to be done once has been."""
    hooks = goal.release.settings.hooks
    once = hooks.migrate == "once"
    begun = begun or goal.kind == "converge"
    if goal.kind == "rollback" or hooks.migrate == "never" or (once and begun):
        return []
    chosen = places[:1] if once else places
    return [
        t.Step(
            id="migrate",
            name="Migrate",
            works=tuple(
                replace(work, task="migrate", on_unknown="ask")
                for work in works("task", chosen, goal.release)
            ),
            deadline_seconds=hooks.migrate_seconds + ANSWER_SECONDS,
        )
    ]


def start(state: t.State, goal: t.Goal, places: Sequence[t.Place]) -> t.Step:
    """Start the release in these idle places, and see it healthy."""
    settings, pace = goal.release.settings, goal.spec.pace
    grace = longest_grace(state, settings)
    return t.Step(
        id="start",
        name="Start",
        works=works("start", places, goal.release),
        guards=(t.Guard(kind="no_traffic"),),
        # What ran there before is stopped first, and a start that fails is stopped again.
        deadline_seconds=settings.health.deadline_seconds
        + 2 * (grace + ANSWER_SECONDS)
        + max(pace.drain_seconds, state.pace.drain_seconds),
    )


def stop(state: t.State, spec: Spec, places: Sequence[t.Place]) -> t.Step:
    """End what runs in these places, once their last requests have had time to end."""
    drain = max(spec.pace.drain_seconds, state.pace.drain_seconds)
    return t.Step(
        id="stop",
        name="Stop",
        works=tuple(t.Work(verb="stop", at=place.node, place=place) for place in places),
        guards=(t.Guard(kind="no_traffic"),),
        deadline_seconds=drain + longest_grace(state, spec.settings) + 2 * ANSWER_SECONDS,
    )


def longest_grace(state: t.State, *settings: Settings) -> float:
    """Seconds that what runs in a slot may take to end, whichever release that is: its agent gives
    it the time that its own settings say. `settings`: of what is to run there."""
    known = [*settings, *(release.settings for release in known_releases(state))]
    if state.spec is not None:
        known.append(state.spec.settings)
    return max(each.service.stop_grace_seconds for each in known)


def switch(goal: t.Goal, places: Sequence[t.Place]) -> t.Step:
    """`current` on the nodes names these places."""
    return t.Step(
        id="switch",
        name="Switch",
        works=works("switch", places, goal.release),
        deadline_seconds=SWITCH_SECONDS + goal.spec.pace.away_seconds,
    )


def route_step(
    step_id: str, name: str, weights: t.Weights, spec: Spec, *, prove: bool = False
) -> t.Step:
    """A step that moves traffic to just these weights. `prove`: only to places that have passed."""
    return t.Step(
        id=step_id,
        name=name,
        works=(moving(weights, spec.traffic, prove=prove),),
        guards=(t.Guard(kind="proven"),) if prove else (),
        deadline_seconds=ROUTE_SECONDS + spec.pace.away_seconds + spec.traffic.work_seconds,
    )


def works(verb: t.Verb, places: Sequence[t.Place], release: t.Release) -> tuple[t.Work, ...]:
    return tuple(
        t.Work(verb=verb, at=place.node, place=place, revision=release.revision) for place in places
    )


# --- Which place, and what it is -----------------------------------------------------------------


def whole(state: t.State, goal: t.Goal, targets: Sequence[t.Place]) -> dict[t.Place, int]:
    """All traffic once the goal is reached. Where nodes only are to get what they owe, the others
    keep what they have."""
    others: dict[t.Place, int] = {}
    if goal.kind == "converge":
        settled = reachable(state, state.settled)
        others = {p: share for p, share in settled.items() if share and p.node not in goal.nodes}
    return others | dict.fromkeys(targets, t.FULL)


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


def misnamed(state: t.State, places: Sequence[t.Place]) -> list[t.Place]:
    """Those of these, which serve, that `current` does not name: an earlier rollout has stopped
    before that, and no other step of this one mends it."""
    return [place for place in places if is_misnamed(state, place)]


def needs_start(state: t.State, goal: t.Goal, place: t.Place) -> bool:
    """Whether the release does not run at this target yet, or is to be started anew; or may be
    stopped there by a command that comes late, which a start keeps from that."""
    serves_on = state.settled.get(place) and not is_gone(state, place)
    ready = runs(state, goal.release, place) and place not in state.may_stop
    return goal.again or not (serves_on or ready)
