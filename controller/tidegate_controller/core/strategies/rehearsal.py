"""The way back, tried on one node of the first wave before the next ones: `rehearse = true`.

The node goes back to the release that served before, and to the new one again; each serves in
between. Where either does not come up, the rollout is undone while only a few nodes had it.
"""

from tidegate_controller.core import types as t
from tidegate_controller.core.changes import replace
from tidegate_controller.core.facts import place_of
from tidegate_controller.core.guards import ALONE, FLOOR
from tidegate_controller.core.strategies import parts
from tidegate_controller.core.wellness import may_serve


def wanted(state: t.State, goal: t.Goal, place: t.Place, waves: int) -> bool:
    """Whether there is something to rehearse at this place, which the first wave has treated."""
    served = bool(state.settled.get(place.other)) and may_serve(state, place.other)
    known = {release.revision for release in state.committed}
    returns = served and place_of(state, place.other).revision in known
    return goal.spec.waves.rehearse and goal.kind == "deploy" and waves > 1 and returns


def by_traffic(goal: t.Goal, place: t.Place, weights: t.Weights) -> list[t.Step]:
    """Both releases run: traffic moves to the old one, and back to these weights."""
    return [_move("rehearse", "shift", goal, _with_old(place, weights)), _again(goal, weights)]


def in_place(state: t.State, goal: t.Goal, place: t.Place, weights: t.Weights) -> list[t.Step]:
    """One release runs at a time: each is drained, stopped and followed by the other."""
    old, spec = place.other, goal.spec
    drained = {p: share for p, share in weights.items() if p.node != place.node}
    plan = []
    for word, stops, starts in (("rehearse", place, old), ("return", old, place)):
        served = _with_old(place, weights) if starts == old else weights
        drain = parts.route_step("", "", drained, goal.spec)
        plan += [
            _named(word, "drain", replace(drain, guards=(FLOOR,))),
            _named(word, "stop", parts.stop(state, spec, [stops])),
            _named(word, "start", _start(state, goal, starts)),
            _move(word, "admit", goal, served),
        ]
    return plan


def _with_old(place: t.Place, weights: t.Weights) -> dict[t.Place, int]:
    others = {p: share for p, share in weights.items() if p.node != place.node}
    return {**others, place.other: t.FULL}


def _again(goal: t.Goal, weights: t.Weights) -> t.Step:
    return _move("return", "shift", goal, weights)


def _move(word: str, what: str, goal: t.Goal, weights: t.Weights) -> t.Step:
    return _named(word, what, parts.route_step("", "", weights, goal.spec, prove=True))


def _named(word: str, what: str, step: t.Step) -> t.Step:
    name = f"{word.capitalize()}: {what}"
    return replace(step, id=f"{word}-{what}", name=name, rehearses=True)


def _start(state: t.State, goal: t.Goal, place: t.Place) -> t.Step:
    known = {release.revision: release for release in (*state.committed, goal.release)}
    before = place_of(state, place).revision
    release = goal.release
    if state.settled.get(place) and before is not None:
        release = known.get(before, goal.release)
    step = parts.start(state, replace(goal, release=release), [place])
    return replace(step, guards=(*step.guards, ALONE))
