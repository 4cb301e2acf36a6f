"""What operators may ask of a stream: to deploy, to go back, to converge, to clean up.

A request can be wrong: then it raises `Refused` and changes nothing. Called by `decide`, by
`queueing` and `reconciling`, which begin rollouts later, and by `deploy_requests` for plans.
"""

from collections.abc import Mapping

from tidegate_controller.core import events as ev
from tidegate_controller.core import inputs as i
from tidegate_controller.core import types as t
from tidegate_controller.core.begin import Asked, begin
from tidegate_controller.core.busy import refuse_if_busy
from tidegate_controller.core.changes import replace
from tidegate_controller.core.chores import cleanup_chores, retiring
from tidegate_controller.core.debts import converge_goal, pay
from tidegate_controller.core.draft import Draft
from tidegate_controller.core.failures import allowed_failures
from tidegate_controller.core.freezing import freeze_at, held_up, refuse_frozen
from tidegate_controller.core.locks import refuse_locked
from tidegate_controller.core.quarantine import lifting, refuse_quarantined
from tidegate_controller.core.reach import reach_notes, rehearsal_notes
from tidegate_controller.core.releases import active_release, release_back, succeeded
from tidegate_controller.core.room import room_notes
from tidegate_controller.core.settling import as_presumed
from tidegate_controller.core.spec import Spec, Traffic
from tidegate_controller.core.strategies import STRATEGIES
from tidegate_controller.errors import Refused


def on_deploy(draft: Draft, request: i.Deploy) -> None:
    take_note(draft, request.members)
    start(draft, request, deploy_goal(draft.state, request, draft.now))


def take_note(draft: Draft, members: tuple[i.Member, ...]) -> None:
    """A stream without a past takes note of what its nodes hold of the app already."""
    if draft.state.committed or draft.state.places:
        return
    for member in members:
        for slot, report in member.slots.items():
            place = t.Place.of(member.node, slot)
            draft.emit(ev.Observed(place=place, known=report.known, current=report.current))


def on_rollback(draft: Draft, request: i.Rollback) -> None:
    start(draft, request, rollback_goal(draft.state, request))


def on_converge(draft: Draft, request: i.Converge) -> None:
    goal = converge_goal(draft.state, request, draft.now)
    if goal is not None:
        pay(draft, request, goal, plan_of(draft.state, goal))


def on_clean_up(draft: Draft, request: i.CleanUp) -> None:
    state = draft.state
    refuse_if_busy(state, deploys=False)
    nodes = [member.node for member in request.members]  # one that is away does so once it is back
    chores = cleanup_chores(state, request.request_id, nodes, draft.now)
    if chores:
        draft.emit(
            ev.ChoresAdded(
                chores=chores, request_id=request.request_id, requested_by=request.requested_by
            )
        )


def deploy_goal(state: t.State, request: i.Deploy, now: float) -> t.Goal:
    """What the request asks for. Raises `Refused` where it may not be begun now."""
    refuse_if_busy(state, deploys=True)
    refuse_unfit(state, request)
    refuse_frozen(state, request, now)
    _refuse_another_version(state, request)
    _refuse_another_balancer(state, request.spec.traffic)
    away = [member.node for member in request.members if not member.connected]
    if len(away) > _may_be_away(request):
        raise Refused(
            f"{_listed(away)} not connected, so nothing was started",
            "start the agent there (see: tidegate node list); or say that so many may be away: "
            "max_failed_nodes under [failures]; or forget it, if it is gone for good: "
            f"{_removal(away, request.spec)}; then deploy again",
        )
    return t.Goal(
        kind="deploy",
        release=request.release,
        nodes=tuple(member.node for member in request.members if member.connected),
        spec=request.spec,
        again=request.again,
        balancer=request.balancer,
        members=tuple(member.node for member in request.members),
        gone=i.gone_of(request.members),
        labels=i.labels_of(request.members),
    )


def refuse_unfit(state: t.State, request: i.Deploy) -> None:
    """Raises `Refused` for what could not be deployed either if nothing else were under way."""
    refuse_locked(state, request.requested_by)
    if not request.members:
        raise Refused("the environment has no node", "see: tidegate node list")
    _refuse_another_artifact(state, request.release)
    refuse_quarantined(state, request.release, "deploy")


def _may_be_away(request: i.Deploy) -> int:
    """Of its nodes; all of them never."""
    total = len(request.members)
    return min(allowed_failures(request.spec.policy, total), total - 1)


def rollback_goal(state: t.State, request: i.Rollback) -> t.Goal:
    """Likewise; nodes that are away are left out."""
    refuse_if_busy(state, deploys=False)
    refuse_locked(state, request.requested_by)
    target = _release_to(state, request.to, request.revision)
    _refuse_incomplete(target)
    assert state.spec is not None  # a release that has succeeded had one
    nodes = tuple(member.node for member in request.members if member.connected)
    if not nodes:
        raise Refused("none of the environment's nodes is connected", "see: tidegate node list")
    serving = {place.node for place in state.settled}
    lost = [m.node for m in request.members if not m.connected and m.node in serving]
    if lost and not request.without_absent:
        raise Refused(
            f"{_listed(lost)} not connected and would lose its traffic, so nothing was started",
            "wait for the agent there (see: tidegate node list), or go on without it: "
            f"tidegate rollback {state.spec.app} -e {state.spec.environment} --without-absent",
        )
    return t.Goal(
        kind="rollback",
        release=target,
        nodes=nodes,
        spec=replace(state.spec, settings=target.settings),
        members=nodes,  # whoever goes back without the others does not count on them
        gone=i.gone_of(request.members),
        labels=i.labels_of(request.members),
    )


def _release_to(state: t.State, version: str, revision: t.Revision | None) -> t.Release:
    """The release to go back to: the one before, or the last that has succeeded as `version`, with
    other settings than the active one where there is such a one and no revision is asked for."""
    if not version:
        target = release_back(state)
        if target is None:
            raise _nothing_earlier(state)
        return target
    named = [
        release
        for release in succeeded(state)
        if release.version == version and revision in (None, release.revision)
    ]
    if not named:
        known = list(dict.fromkeys(release.version for release in reversed(succeeded(state))))
        adopted = any(release.version == version for release in state.committed)
        why = ": it was only found on nodes after a restore" if adopted else ""
        raise Refused(
            f"no release {version} has succeeded here, so there is none to go back to{why}",
            f"what has, newest first: {', '.join(known) or 'none'}",
        )
    active = active_release(state)
    earlier = [release for release in named if active and release.revision != active.revision]
    found = (earlier or named)[-1]
    if active is None or found.revision != active.revision:
        refuse_quarantined(state, found, "rollback")
    return found


def _nothing_earlier(state: t.State) -> Refused:
    active = active_release(state)
    kept = [r for r in succeeded(state) if active and r.revision != active.revision]
    if not kept:
        return Refused(
            "there is no earlier release to go back to",
            "a rollback needs two releases that have succeeded: see tidegate rollout list",
        )
    return Refused(
        f"all earlier releases are quarantined, version {kept[-1].version} too: there is none to "
        "go back to",
        f"lift that of the one that is well after all: {lifting(state, kept[-1].version)}",
    )


def plan_of(state: t.State, goal: t.Goal) -> tuple[t.Step, ...]:
    """The steps to the goal; none when every node has and serves the release already."""
    return held_up(STRATEGIES[goal.spec.strategy].steps(as_presumed(state), goal), goal.kind)


def start(draft: Draft, request: i.Deploy | i.Rollback, goal: t.Goal) -> None:
    """Begin a rollout; no event at all when there is nothing to do."""
    state = draft.state
    plan = plan_of(state, goal)
    if not plan:
        _configure(draft, request, goal.spec)
        _retire(draft, request)
        return
    absent = {
        member.node: f"away when {goal.release.version} came; takes no traffic until it has it"
        for member in request.members
        if not member.connected
    }
    asked = Asked(
        rollout=request.rollout,
        members=request.members,
        by=request.requested_by,
        message=request.message,
        request_id=request.request_id,
        commit=request.commit if isinstance(request, i.Deploy) else "",
        calendar=request.calendar if isinstance(request, i.Deploy) else None,
        override_freeze=isinstance(request, i.Deploy) and request.override_freeze,
        absent=absent,
        notes=(
            *_freeze_notes(draft, request),
            *reach_notes(state, goal, absent),
            *rehearsal_notes(state, goal, plan),
            *room_notes(goal.release, request.members),
        ),
    )
    begin(draft, asked, goal, plan)


def _freeze_notes(draft: Draft, request: i.Deploy | i.Rollback) -> tuple[str, ...]:
    calendar = request.calendar if isinstance(request, i.Deploy) else None
    window = freeze_at(draft.state, draft.now, calendar)
    return (f"in spite of the {window.named}",) if window else ()


def _configure(draft: Draft, request: i.Deploy | i.Rollback, spec: Spec) -> None:
    """What runs stays as it is; how long to wait, what to keep and the like may have changed, and
    which nodes there are: but one that is away and new comes with a deployment that brings it the
    release."""
    if not isinstance(request, i.Deploy):
        return
    members = draft.state.members
    nodes = tuple(m.node for m in request.members if m.connected or m.node in members)
    if spec != draft.state.spec or set(nodes) != set(members):
        draft.emit(
            ev.Configured(
                spec=spec,
                request_id=request.request_id,
                requested_by=request.requested_by,
                nodes=nodes,
            )
        )


def _retire(draft: Draft, request: i.Deploy | i.Rollback) -> None:
    """What an earlier rollout has left running beside it is stopped by the next deployment, also
    where that finds all as it should be."""
    chores = retiring(draft.state, request.request_id, draft.now)
    if chores and isinstance(request, i.Deploy):
        draft.emit(
            ev.ChoresAdded(
                chores=chores, request_id=request.request_id, requested_by=request.requested_by
            )
        )


def _refuse_incomplete(release: t.Release) -> None:
    if release.incomplete:
        raise Refused(
            f"version {release.version} was adopted as it ran, after a restore: the log lacks its "
            "artifact or its settings, so it cannot be brought back",
            "deploy it from its artifact: tidegate deploy --help; or go back to another: --to",
        )


def _refuse_another_artifact(state: t.State, release: t.Release) -> None:
    for known in state.committed:
        same_version = known.version == release.version
        if same_version and known.revision.digest != release.revision.digest:
            raise Refused(
                f"version {release.version} was deployed before with another artifact "
                f"({known.revision.digest[:19]}…, now {release.revision.digest[:19]}…)",
                "a release never changes: give the new artifact a version of its own",
            )


def _refuse_another_version(state: t.State, request: i.Deploy) -> None:
    """Somebody has forgotten to build: the new version is the old one to the last byte."""
    active, release = active_release(state), request.release
    if active is None or request.again or active.version == release.version:
        return
    same_artifact = active.revision.digest == release.revision.digest
    if same_artifact and active.settings == release.settings:
        raise Refused(
            f"version {release.version} is the artifact of version {active.version} "
            f"({release.revision.digest[:19]}…), which is active, with the same settings",
            f"build it again; or start version {active.version} anew, under the new name: --force",
        )


def _refuse_another_balancer(state: t.State, traffic: Traffic) -> None:
    """Traffic that one balancer holds is not moved by another: the old one would go on sending
    to slots that are stopped."""
    known = state.traffic
    if known is None or not state.settled:
        return
    if (known.adapter, known.directory) != (traffic.adapter, traffic.directory):
        raise Refused(
            f"traffic is moved by {_spelled(known)} so far, and would be by {_spelled(traffic)}: "
            "the former balancer would go on sending to slots that are then stopped",
            f"{_as_it_was(known, traffic)}. Another balancer needs another environment, with nodes "
            "of its own: that of an app that is deployed cannot be changed yet",
        )


def _as_it_was(known: Traffic, traffic: Traffic) -> str:
    if known.adapter == traffic.adapter:
        return (
            f'write it in full, directory = "{known.directory}", under [traffic]: a relative one '
            "is seen from the file, so it changes with the folder that you deploy from"
        )
    directory = f' and directory = "{known.directory}"' if known.directory else ""
    return f'write adapter = "{known.adapter}"{directory} under [traffic], as it was'


def _spelled(traffic: Traffic) -> str:
    return f"{traffic.adapter} in {traffic.directory}" if traffic.directory else traffic.adapter


def _removal(nodes: list[str], spec: Spec) -> str:
    """What to type; a node that is listed by name would be missed afterwards."""
    commands = ", ".join(f"tidegate node remove {node}" for node in nodes)
    listed = "" if isinstance(spec.nodes, Mapping) else ", and take it out of `nodes`"
    return f"{commands}{listed}"


def _listed(nodes: list[str]) -> str:
    return f"{', '.join(nodes)} {'is' if len(nodes) == 1 else 'are'}"
