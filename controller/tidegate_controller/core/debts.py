"""What nodes owe after a rollout that went on, or ended, without them; and when they pay.

A node pays in a rollout of the kind `converge`, which brings it to the release that is active and
touches no other. Called by `decide`, and by the engine, which knows who is connected.
"""

from tidegate_controller.core import events as ev
from tidegate_controller.core import inputs as i
from tidegate_controller.core import types as t
from tidegate_controller.core.changes import replace
from tidegate_controller.core.draft import Draft

TRIES_BY_ITSELF = 3  # for what is not the release's fault; then the node has to come back first
BACKOFF_SECONDS = 60.0  # before another try, doubled each time
BACKOFF_SECONDS_MAX = 3600.0


def owed_for(dropped: t.Dropped, now: float, before: t.Owed | None = None) -> t.Owed:
    """When a node that was dropped is tried again. `before`: what it owed already."""
    if dropped.lost:
        return t.Owed()
    tries = (before.tries if before else 0) + 1
    pause = min(BACKOFF_SECONDS * 2.0 ** (tries - 1), BACKOFF_SECONDS_MAX)
    by_itself = dropped.blame == "environment" and tries <= TRIES_BY_ITSELF
    return t.Owed(tries=tries, not_before=now + pause, needs_return=not by_itself)


def debts_after_commit(state: t.State) -> dict[str, str]:
    """Nodes that the rollout went on without."""
    rollout = state.rollout
    assert rollout is not None
    version = rollout.release.version
    debts = {}
    for node, dropped in sorted(rollout.dropped.items()):
        kept = [p for p, share in state.settled.items() if share and p.node == node]
        serves = f"{kept[0].slot} goes on serving what it had" if kept else "it takes no traffic"
        debts[node] = f"does not have {version} ({dropped.why}); {serves} until it has"
    return debts


def owed_after(state: t.State, debts: dict[str, str], now: float) -> dict[str, t.Owed]:
    """For each node with one of these debts, when it pays."""
    rollout = state.rollout
    assert rollout is not None
    owed = {}
    for node in (*debts, *rollout.absent):
        if t.Place(node).slot or node == t.CONTROLLER:
            continue
        gone = node in state.away or node in rollout.absent
        unwell = t.Dropped(why="", blame="environment" if gone else rollout.blame, lost=gone)
        dropped = rollout.dropped.get(node, unwell)
        if rollout.kind == "converge":  # a node that goes each time is not tried again at once
            dropped = replace(dropped, lost=False)
        owed[node] = owed_for(dropped, now, state.owed.get(node))
    return owed


def debts_after_failed_converge(state: t.State) -> dict[str, str]:
    """The nodes owe what they did: the debt says why it could not be paid."""
    rollout = state.rollout
    assert rollout is not None
    why = f"{rollout.id} could not bring it: {rollout.reason}"
    return dict.fromkeys(rollout.nodes, f"does not have {rollout.release.version}: {why}")


def debtors(state: t.State) -> dict[str, t.Owed]:
    """Nodes that owe a release. Where a log does not say when they pay: after their return."""
    return {
        node: state.owed.get(node, t.Owed(needs_return=True))
        for node in state.debts
        if node != t.CONTROLLER and not t.Place(node).slot and node in state.members
    }


def may_converge(state: t.State) -> bool:
    """Whether anything can be paid now: there is a release, and it is known where traffic goes."""
    idle = state.rollout is None and bool(state.committed) and state.spec is not None
    return idle and state.weights is not None and t.CONTROLLER not in state.debts


def converge_at(state: t.State, node: str, *, returned: bool) -> float | None:
    """Engine time from which the node may be brought to the active release; None: not as it is.
    `returned`: its agent has come anew since the last try."""
    owed = debtors(state).get(node)
    if owed is None or not may_converge(state) or (owed.needs_return and not returned):
        return None
    return owed.not_before


def converge_goal(state: t.State, request: i.Converge, now: float) -> t.Goal | None:
    """What is to be reached now; None where nothing is to be done."""
    nodes = tuple(
        member.node
        for member in request.members
        if member.connected and _is_due(state, member.node, now)
    )
    if not nodes or not may_converge(state) or state.spec is None:
        return None
    release = state.committed[-1]
    spec = replace(state.spec, settings=release.settings)
    return t.Goal(kind="converge", release=release, nodes=nodes, spec=spec)


def _is_due(state: t.State, node: str, now: float) -> bool:
    at = converge_at(state, node, returned=True)  # whether it has is known to who asks
    return at is not None and at <= now


def pay(draft: Draft, request: i.Converge, goal: t.Goal, plan: tuple[t.Step, ...]) -> None:
    """Begin the rollout; where the nodes have all they should, their debts are over."""
    state = draft.state
    if not plan:
        draft.emit(ev.DebtsPaid(nodes=goal.nodes))
        return
    for action in state.chores_open.values():
        if action.work.at in goal.nodes:
            draft.emit(ev.ActionEnded(action=action.id, outcome="cancelled"))
    draft.emit(
        ev.Started(
            rollout=request.rollout,
            kind=goal.kind,
            strategy=goal.spec.strategy,
            release=goal.release,
            previous=goal.release,
            nodes=goal.nodes,
            journals={member.node: member.journal_id for member in request.members},
            plan=plan,
            spec=goal.spec,
            request_id="",
            requested_by="tidegate",
            message="; ".join(f"{node} {state.debts[node]}" for node in goal.nodes),
        )
    )
