"""What operators may ask for.

A request can be wrong: then it raises `Refused` and changes nothing.
"""

from tidegate_controller.core import inputs as i
from tidegate_controller.core import types as t
from tidegate_controller.core.draft import Draft
from tidegate_controller.core.spec import Pace, Traffic
from tidegate_controller.core.strategies import STRATEGIES
from tidegate_controller.errors import Refused


def on_deploy(draft: Draft, request: i.Deploy) -> None:
    if _is_repeated(draft.state, request):
        return
    _refuse_if_busy(draft.state)
    if not request.members:
        raise Refused("the environment has no node", "see: tidegate node list")
    _refuse_another_artifact(draft.state, request.release)
    away = [member.node for member in request.members if not member.connected]
    if away:
        raise Refused(
            f"{_listed(away)} not connected, so nothing was started",
            "start the agent there (see: tidegate node list), or take the node out of the "
            "environment's `nodes`; then deploy again",
        )
    _start(draft, request, "deploy", request.release, request.spec.pace, request.spec.traffic)


def on_rollback(draft: Draft, request: i.Rollback) -> None:
    state = draft.state
    if _is_repeated(state, request):
        return
    _refuse_if_busy(state)
    target = previous_release(state)
    if target is None or state.traffic is None:
        raise Refused(
            "there is no earlier release to go back to",
            "a rollback needs two releases that have succeeded: see tidegate rollout list",
        )
    if not any(member.connected for member in request.members):
        raise Refused("none of the environment's nodes is connected", "see: tidegate node list")
    _start(draft, request, "rollback", target, state.pace, state.traffic)


def _start(
    draft: Draft,
    request: i.Deploy | i.Rollback,
    kind: t.Kind,
    release: t.Release,
    pace: Pace,
    traffic: Traffic,
) -> None:
    """Begin a rollout; no event at all when every node has and serves the release already."""
    state = draft.state
    nodes = tuple(member.node for member in request.members if member.connected)
    strategy = request.spec.strategy if isinstance(request, i.Deploy) else "blue-green"
    plan = STRATEGIES[strategy](state, release, nodes, pace, kind)
    if not plan:
        return
    treated = {work.at for step in plan for work in step.works}
    for action in state.chores_open.values():
        if action.work.at in treated:
            draft.emit(t.ActionEnded(action=action.id, outcome="cancelled"))
    draft.emit(
        t.Started(
            rollout=request.rollout,
            kind=kind,
            strategy=strategy,
            release=release,
            previous=active_release(state),
            nodes=nodes,
            journals={member.node: member.journal_id for member in request.members},
            plan=plan,
            pace=pace,
            traffic=traffic,
            request_id=request.request_id,
            requested_by=request.requested_by,
            absent={
                member.node: f"away when {release.version} came; takes no traffic until deployed to"
                for member in request.members
                if not member.connected
            },
        )
    )


def _is_repeated(state: t.State, request: i.Deploy | i.Rollback) -> bool:
    """The client did not hear the answer and asked again."""
    return bool(request.request_id) and state.last_request[0] == request.request_id


def _refuse_if_busy(state: t.State) -> None:
    if rollout := state.rollout:
        doing = "being undone" if rollout.undoing else "running"
        raise Refused(
            f"rollout {rollout.id} to version {rollout.release.version} is {doing}; "
            "one at a time for an app and environment",
            f"follow it: tidegate log --follow --rollout {rollout.id}; or look at it: tidegate "
            f"rollout show {rollout.id}",
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


def _listed(nodes: list[str]) -> str:
    return f"{', '.join(nodes)} {'is' if len(nodes) == 1 else 'are'}"


def active_release(state: t.State) -> t.Release | None:
    """The release that takes traffic: the one committed last."""
    return state.committed[-1] if state.committed else None


def previous_release(state: t.State) -> t.Release | None:
    """The one to go back to: the last committed that differs from the active one."""
    active = active_release(state)
    others = [r for r in state.committed if active and r.revision != active.revision]
    return others[-1] if others else None
