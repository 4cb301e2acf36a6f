"""What operators may ask for.

A request can be wrong: then it raises `Refused` and changes nothing.
"""

from tidegate_controller.core import events as ev
from tidegate_controller.core import inputs as i
from tidegate_controller.core import types as t
from tidegate_controller.core.chores import cleanup_chores
from tidegate_controller.core.draft import Draft
from tidegate_controller.core.evolve import replace
from tidegate_controller.core.strategies import STRATEGIES
from tidegate_controller.errors import Refused


def on_deploy(draft: Draft, request: i.Deploy) -> None:
    if not _is_repeated(draft.state, request.request_id):
        _start(draft, request, deploy_goal(draft.state, request))


def on_rollback(draft: Draft, request: i.Rollback) -> None:
    if not _is_repeated(draft.state, request.request_id):
        _start(draft, request, rollback_goal(draft.state, request))


def on_answer(draft: Draft, request: i.Answer) -> None:
    state = draft.state
    if _is_repeated(state, request.request_id):
        return
    wait = state.rollout.waiting if state.rollout else None
    if state.rollout is None or state.rollout.id != request.rollout or wait is None:
        raise Refused(
            f"rollout {request.rollout} does not wait for anybody",
            f"see how it stands: tidegate rollout show {request.rollout}",
        )
    if request.answer not in wait.answers:
        raise Refused(
            f"rollout {request.rollout} cannot be answered with {request.answer} now",
            f"what it waits for: {wait.why}; possible: {', '.join(wait.answers)}",
        )
    draft.emit(
        ev.Answered(
            rollout=request.rollout,
            answer=request.answer,
            request_id=request.request_id,
            answered_by=request.answered_by,
        )
    )


def on_clean_up(draft: Draft, request: i.CleanUp) -> None:
    state = draft.state
    if _is_repeated(state, request.request_id):
        return
    _refuse_if_busy(state)
    nodes = [member.node for member in request.members if member.connected]
    chores = cleanup_chores(state, request.request_id, nodes, draft.now)
    if chores:
        draft.emit(
            ev.ChoresAdded(
                chores=chores, request_id=request.request_id, requested_by=request.requested_by
            )
        )


def deploy_goal(state: t.State, request: i.Deploy) -> t.Goal:
    """What the request asks for. Raises `Refused` where it may not be begun now."""
    _refuse_if_busy(state)
    if not request.members:
        raise Refused("the environment has no node", "see: tidegate node list")
    _refuse_another_artifact(state, request.release)
    away = [member.node for member in request.members if not member.connected]
    if away:
        raise Refused(
            f"{_listed(away)} not connected, so nothing was started",
            "start the agent there (see: tidegate node list), or take the node out of the "
            "environment's `nodes`; then deploy again",
        )
    return t.Goal(
        kind="deploy",
        release=request.release,
        nodes=tuple(member.node for member in request.members),
        spec=request.spec,
        again=request.again,
    )


def rollback_goal(state: t.State, request: i.Rollback) -> t.Goal:
    """Likewise; nodes that are away are left out."""
    _refuse_if_busy(state)
    target = previous_release(state)
    if target is None or state.spec is None:
        raise Refused(
            "there is no earlier release to go back to",
            "a rollback needs two releases that have succeeded: see tidegate rollout list",
        )
    nodes = tuple(member.node for member in request.members if member.connected)
    if not nodes:
        raise Refused("none of the environment's nodes is connected", "see: tidegate node list")
    return t.Goal(
        kind="rollback",
        release=target,
        nodes=nodes,
        spec=replace(state.spec, settings=target.settings),
    )


def plan_of(state: t.State, goal: t.Goal) -> tuple[t.Step, ...]:
    """The steps to the goal; none when every node has and serves the release already."""
    return STRATEGIES[goal.spec.strategy](state, goal)


def _start(draft: Draft, request: i.Deploy | i.Rollback, goal: t.Goal) -> None:
    """Begin a rollout; no event at all when there is nothing to do."""
    state = draft.state
    plan = plan_of(state, goal)
    if not plan:
        return
    treated = {work.at for step in plan for work in step.works}
    for action in state.chores_open.values():
        if action.work.at in treated:
            draft.emit(ev.ActionEnded(action=action.id, outcome="cancelled"))
    draft.emit(
        ev.Started(
            rollout=request.rollout,
            kind=goal.kind,
            strategy=goal.spec.strategy,
            release=goal.release,
            previous=active_release(state),
            nodes=goal.nodes,
            journals={member.node: member.journal_id for member in request.members},
            plan=plan,
            spec=goal.spec,
            request_id=request.request_id,
            requested_by=request.requested_by,
            absent={
                member.node: f"away when {goal.release.version} came; takes no traffic until "
                "deployed to"
                for member in request.members
                if not member.connected
            },
        )
    )


def _is_repeated(state: t.State, request_id: str) -> bool:
    """The client did not hear the answer and asked again."""
    return bool(request_id) and state.last_request[0] == request_id


def _refuse_if_busy(state: t.State) -> None:
    if rollout := state.rollout:
        doing = "being undone" if rollout.undoing else "running"
        raise Refused(
            f"rollout {rollout.id} to version {rollout.release.version} is {doing}; "
            "one at a time for an app and environment",
            f"follow it with: tidegate rollout show {rollout.id}",
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
