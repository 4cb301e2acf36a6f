"""A plan in words, as a difference to now, for `--plan`. Called by `deploy_requests`."""

from collections.abc import Sequence

from tidegate_controller.config_spelled import differences, differences_beside
from tidegate_controller.core import types as t
from tidegate_controller.core.facts import place_of, split_stream
from tidegate_controller.core.reach import reach_notes, rehearsal_notes
from tidegate_controller.core.releases import active_release, earlier_releases, release_of
from tidegate_controller.core.settling import SETTLE
from tidegate_controller.core.spec import Spec
from tidegate_controller.documents import PlannedStep, PlanView
from tidegate_controller.views import release_view


def plan_view(
    stream: str,
    state: t.State,
    goal: t.Goal,
    steps: Sequence[t.Step],
    plan_id: str,
    before: Spec | None,
) -> PlanView:
    """`before`: what was asked for when a deployment last succeeded."""
    app, environment = split_stream(stream)
    previous, earlier = active_release(state), earlier_releases(state)
    reach = reach_notes(state, goal)
    return PlanView(
        plan_id=plan_id,
        app=app,
        environment=environment,
        kind=goal.kind,
        strategy=goal.spec.strategy,
        release=release_view(goal.release),
        previous=release_view(previous) if previous else None,
        protected=goal.spec.protected,
        differences=[
            *(_differences(previous, goal, before) or _nothing(reach)),
            *reach,
            *rehearsal_notes(state, goal, steps),
            *_traffic_difference(steps),
        ],
        steps=[_planned(state, goal, step) for step in steps],
        earlier=[release_view(release) for release in earlier] if goal.kind == "rollback" else [],
    )


def _differences(previous: t.Release | None, goal: t.Goal, spec: Spec | None) -> list[str]:
    """What is otherwise than in the release that is active, a line each."""
    release = goal.release
    if previous is None:
        return [f"{release.version} is the first release here"]
    found = []
    if previous.version != release.version:
        found.append(f"version: {previous.version} -> {release.version}")
    if previous.revision.digest != release.revision.digest:
        before, after = previous.revision.digest[:19], release.revision.digest[:19]
        found.append(f"artifact: {before}… -> {after}…")
    found += differences(previous.settings, release.settings)
    found += differences_beside(spec, goal.spec) if spec else []
    return found


def _nothing(reach: Sequence[str]) -> list[str]:
    """`reach`: what is told besides, which may be why there is something to do."""
    same = "the same release with the same settings"
    return [same if reach else f"nothing: {same}"]


def _traffic_difference(steps: Sequence[t.Step]) -> list[str]:
    """Why there is a rollout, where the release alone would not need one."""
    if not any(step.id == SETTLE for step in steps):
        return []
    return ["traffic is not where it was last moved to, or nobody knows: it is moved there first"]


def _planned(state: t.State, goal: t.Goal, step: t.Step) -> PlannedStep:
    does = [line for work in step.works for line in _in_words(state, goal, work)]
    if step.hold_seconds:
        does.append(f"all that were started stay healthy for {step.hold_seconds:g} s")
    if step.gate:
        answer = "approve" if step.gate == "approval" else "promote"
        does.append(f"wait for a person: tidegate rollout {answer}")
    return PlannedStep(name=step.name, does=does, seconds_max=step.deadline_seconds, wave=step.wave)


def _in_words(state: t.State, goal: t.Goal, work: t.Work) -> list[str]:
    version, hooks = goal.release.version, goal.release.settings.hooks
    match work.verb:
        case "query" if work.place is None:
            return ["look whether traffic can be moved"]
        case "query" if work.prove:
            return [f"{work.place}: ask its health check once more"]
        case "query":
            return [f"{work.place}: look at disk, port and what the service needs"]
        case "prepare":
            install = ", run its install.sh if it has one" if hooks.install else ""
            return [f"{work.at}: fetch and unpack {version}{install}"]
        case "task":
            return [f"{work.at}: run migrate.sh, if {version} has one"]
        case "start":
            assert work.place is not None
            return [f"{work.place}: {_instead_of(state, work.place)}start {version}"]
        case "route":
            shares = [str(place) for place, share in (work.weights or {}).items() if share]
            return [f"all traffic to {', '.join(shares) or 'nobody'}"]
        case "stop":
            return [f"{work.place}: stop what runs there"]
        case "check":
            return [f"put the check {work.check}"]
        case "switch":
            return [f"{work.at}: current -> {work.place.slot if work.place else ''}"]
        case _:
            return [f"{work.place or work.at}: {work.verb}"]


def _instead_of(state: t.State, place: t.Place) -> str:
    known = place_of(state, place)
    if not known.running:
        return ""
    release = release_of(state, known.revision)
    return f"stop {release.version if release else 'what runs there'}, "
