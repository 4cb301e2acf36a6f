"""The plan that undoes any rollout: traffic goes straight back to where it was before.

Where the places that had traffic still run, that is one move; what the rollout started is stopped
afterwards, by chores that hold no lock. Where it has stopped them, as in place, what still runs of
the old release takes traffic at once, and the others are started again in waves: nodes that serve
nobody all together, since nothing is lost by it, then those that serve with the new release and are
well, no more at a time than the floor allows. A node that cannot be brought back stops nobody else.
"""

from collections.abc import Sequence

from tidegate_controller.core import types as t
from tidegate_controller.core.changes import replace
from tidegate_controller.core.facts import has_moved, may_run, place_of, reachable
from tidegate_controller.core.floor import in_doubt, needed, waves_in
from tidegate_controller.core.guards import ALONE, FLOOR
from tidegate_controller.core.releases import is_established
from tidegate_controller.core.strategies import parts
from tidegate_controller.core.strategies.rolling import without_nodes
from tidegate_controller.core.wellness import is_unwell, is_well

RETRY_SECONDS = 1.0


def plan_back(state: t.State, now: float) -> tuple[t.Step, ...]:
    """Steps from what each place runs, or may run, to the traffic before the rollout."""
    rollout = state.rollout
    assert rollout is not None
    before = {place: share for place, share in rollout.before.items() if share}
    if rollout.zones and before:
        return _in_place(state, rollout, now)
    weights = reachable(state, _safe_weights(state, rollout, now))
    if state.weights == weights:
        return ()
    step = _move("shift-back", "Shift back", weights, state)
    return (replace(step, guards=(FLOOR,)) if before else step,)


def _safe_weights(state: t.State, rollout: t.Rollout, now: float) -> t.Weights:
    """What had traffic before, without places that are down, as long as any is left. Nor does
    traffic move to a node that nobody can ask, if only for a moment: it owes, and gets it back once
    it is here. It stays with one, since its agent alone may be gone, unless that was waited for in
    vain. A node that the controller alone has been away from, which has had no time to return, is
    no such."""
    before = {place: share for place, share in rollout.before.items() if share}
    moved = has_moved(state, rollout)
    gone = _given_up(state, now)
    if moved:
        gone |= {p.node for p in before if not _keeps(state, p)} & _gone(state, now)
    own = rollout.nodes if rollout.kind == "converge" else None

    def lost(place: t.Place) -> bool:
        if own is not None and place.node not in own:
            return False  # other nodes are no matter of it
        return (moved and place.node in gone) or is_unwell(state, place)

    alive = {place: share for place, share in before.items() if not lost(place)}
    return alive or before


def _keeps(state: t.State, place: t.Place) -> bool:
    """Whether the place has traffic now, for certain."""
    return bool(state.weights and state.weights.get(place))


def _given_up(state: t.State, now: float) -> set[str]:
    return {node for node, away in state.away.items() if now >= away.until}


def _gone(state: t.State, now: float) -> set[str]:
    """Nodes that have gone. Of those that the controller has not heard of since its own start
    nobody knows that, while they have time to return."""
    return {n for n, away in state.away.items() if now >= away.until or not away.unheard}


def _in_place(state: t.State, rollout: t.Rollout, now: float) -> tuple[t.Step, ...]:
    """Who serves with the old release stays, and nodes of the new one stay as they are where the
    floor needs them, since of the old release too few can be had back."""
    stopped = [p for p, share in rollout.before.items() if share and p in rollout.halted]
    given_up, gone = _given_up(state, now), _gone(state, now)
    known = {release.revision for release in (*state.committed, *state.undone)}
    to_start = {
        place.node: place
        for place in stopped
        if place.node not in given_up and place_of(state, place).revision in known
    }
    old = {  # what is unwell when its turn comes gains nothing: see `works`
        place: share
        for place, share in reachable(state, rollout.before).items()
        if place not in stopped and (place.node not in gone or state.settled.get(place))
    }
    bad = {place for place in old if _had_it(state, rollout, place) and is_unwell(state, place)}
    old = {place: share for place, share in old.items() if place not in bad} or old
    new = _new(state)
    # They serve until their node's turn comes.
    later = {place: share for place, share in new.items() if to_start and is_well(state, place)}
    lent = needed(state, {**old, **later}, new | in_doubt(state))  # to the floor, also in the end
    weights = {**old, **later, **lent}
    if not weights:  # whatever is left serves until the first is back
        weights = dict(reachable(state, state.settled))
    plan = []
    if state.weights != weights:
        plan.append(_move("shift-back", "Shift back", weights, state))
    waves = _waves(rollout, weights, list(to_start))
    for number, nodes in enumerate(waves, 1):
        places = [to_start[node] for node in nodes]
        drained = without_nodes(weights, nodes)
        back = {**drained, **{place: rollout.before[place] for place in places}}
        if number == len(waves):  # what the rollout has added to them takes no traffic any more
            back = {p: s for p, s in back.items() if p in rollout.before or p in lent}
        plan += parts.in_wave(number, _wave(state, rollout, places, (weights, drained, back)))
        weights = back
    return tuple(plan)


def _had_it(state: t.State, rollout: t.Rollout, place: t.Place) -> bool:
    """Whether the place had what is deployed here already, without its having succeeded: then it is
    watched like those that get it, and may be what is undone."""
    new = rollout.kind == "deploy" and not is_established(state, rollout.release)
    return new and place_of(state, place).revision == rollout.release.revision


def _new(state: t.State) -> dict[t.Place, int]:
    """What serves now and did not before the rollout."""
    before = state.rollout.before if state.rollout else {}
    return {p: share for p, share in state.settled.items() if share and not before.get(p)}


def _waves(rollout: t.Rollout, weights: t.Weights, nodes: list[str]) -> list[list[str]]:
    serving = {place.node for place in weights}
    out = [node for node in nodes if node not in serving]
    zones = {**dict.fromkeys(nodes, ""), **rollout.zones}
    gone = {node for node in zones if node not in serving and node not in out}
    busy = waves_in(rollout.spec, zones, [node for node in nodes if node in serving], gone)
    waves = [out, *busy] if out else busy
    if rollout.spec.waves.rehearse and waves and len(waves[0]) > 1:
        waves = [waves[0][:1], waves[0][1:], *waves[1:]]
    return waves


def _wave(
    state: t.State,
    rollout: t.Rollout,
    places: list[t.Place],
    moves: tuple[t.Weights, t.Weights, t.Weights],
) -> list[t.Step]:
    """Bring these old places back, by moves from the first to the second and third weights."""
    spec, (weights, drained, back) = rollout.spec, moves
    plan = []
    if drained != weights:
        step = _move("drain-back", "Drain back", drained, state)
        plan.append(replace(step, guards=(FLOOR,)))
    others = [place.other for place in places if place.other in state.places]
    running = [place for place in others if may_run(state, place)]
    if running:
        step = parts.stop(state, spec, running)
        plan.append(_as_far_as_it_goes(replace(step, id="stop-back", name="Stop back")))
    plan.append(_as_far_as_it_goes(_start(state, rollout, places)))
    plan.append(_move("admit-back", "Admit back", back, state))
    return plan


def _start(state: t.State, rollout: t.Rollout, places: Sequence[t.Place]) -> t.Step:
    releases = [rollout.previous or rollout.release, rollout.release, *state.committed]
    health = max(release.settings.health.deadline_seconds for release in releases)
    grace = parts.longest_grace(state, *(release.settings for release in releases))
    return t.Step(
        id="start-back",
        name="Start back",
        works=tuple(
            t.Work(
                verb="start",
                at=place.node,
                place=place,
                revision=place_of(state, place).revision,
            )
            for place in places
        ),
        guards=(t.Guard(kind="no_traffic"), ALONE),
        deadline_seconds=health
        + 2 * (grace + parts.ANSWER_SECONDS)
        + max(rollout.pace.drain_seconds, state.pace.drain_seconds),
    )


def _move(step_id: str, name: str, weights: t.Weights, state: t.State) -> t.Step:
    """Tried until it succeeds: on the way back there is nothing to fall back to. A balancer that is
    described otherwise now, and has not passed the preflight, has never been moved."""
    rollout = state.rollout
    assert rollout is not None
    spec = rollout.spec
    if rollout.cursor == 0 and state.traffic is not None:
        spec = replace(spec, traffic=state.traffic)
    return replace(parts.route_step(step_id, name, weights, spec), retry_seconds=RETRY_SECONDS)


def _as_far_as_it_goes(step: t.Step) -> t.Step:
    return replace(step, failures_allowed=len(step.works))
