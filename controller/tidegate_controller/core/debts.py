"""What is owed after a rollout that went on, or ended, without all being as it should; and when
nodes pay.

A debt of a node is paid in a rollout of the kind `converge`, which brings it to the release that is
active and touches no other. What is said of a place, or of the traffic, waits for the next request.
Called by `decide`, and by `convergence`, which knows who is connected.
"""

from collections.abc import Iterable

from tidegate_controller.core import events as ev
from tidegate_controller.core import inputs as i
from tidegate_controller.core import types as t
from tidegate_controller.core.amiss import UNTIL_ASKED, amiss
from tidegate_controller.core.begin import Asked, begin
from tidegate_controller.core.changes import replace
from tidegate_controller.core.draft import Draft
from tidegate_controller.core.facts import is_gone, is_misnamed, place_of, split_stream
from tidegate_controller.core.freezing import freeze_at
from tidegate_controller.core.listed import NODES_TOLD, first_few
from tidegate_controller.core.releases import active_release
from tidegate_controller.core.unpaid import why_unpaid
from tidegate_controller.core.wellness import is_well

TRIES_BY_ITSELF = 3  # for what is not the release's fault; then the node has to come back first
BACKOFF_SECONDS = 60.0  # before another try, doubled each time
BACKOFF_SECONDS_MAX = 3600.0
TRAFFIC_UNKNOWN = "nobody knows where traffic goes; the next deploy or rollback settles that first"


def owed_for(dropped: t.Dropped, now: float, before: t.Owed | None = None) -> t.Owed:
    """When a node that was dropped is tried again. `before`: what it owed already."""
    if dropped.lost:
        return t.Owed()
    tries = (before.tries if before else 0) + 1
    pause = min(BACKOFF_SECONDS * 2.0 ** (tries - 1), BACKOFF_SECONDS_MAX)
    by_itself = dropped.blame == "environment" and tries <= TRIES_BY_ITSELF
    return t.Owed(tries=tries, not_before=now + pause, needs_return=not by_itself)


def debts_after_commit(state: t.State) -> dict[str, str]:
    """Nodes that the rollout went on without, and those that have lost what it did not touch."""
    rollout = state.rollout
    assert rollout is not None
    version = rollout.release.version
    debts = {}
    for node, dropped in sorted(rollout.dropped.items()):
        kept = [p for p, share in state.settled.items() if share and p.node == node]
        serves = f"{kept[0].slot} goes on serving what it had" if kept else "it takes no traffic"
        debts[node] = f"does not have {version} ({dropped.why}); {serves} until it has"
    theirs = [p for p, share in state.settled.items() if share and p.node in rollout.standing]
    return debts | lost_with_disks(place for place in theirs if is_gone(state, place))


def lost_with_disks(serving: Iterable[t.Place]) -> dict[str, str]:
    """What nodes owe that come back without these places, which had traffic."""
    return {place.node: f"{place} is gone with the node's disk" for place in serving}


def debts_after_undo(state: t.State) -> dict[str, str]:
    """Nodes that took traffic before the rollout and could not get it back, and those that serve
    with its release still; of a converge also those that it was for."""
    rollout = state.rollout
    assert rollout is not None
    debts = {}
    for place, share in sorted(state.settled.items()):
        began = place in rollout.begun and not rollout.before.get(place)
        if share and began and rollout.previous != rollout.release:
            debts[place.node] = (
                f"{place} serves with {rollout.release.version} still, as too little of what "
                "served before could be brought back"
            )
    for place, share in sorted(rollout.before.items()):
        if place not in state.places:
            continue  # its node was removed
        if share and not state.settled.get(place):
            debts[place.node] = (
                f"{place.other} has the traffic still, as {place} could not be brought back"
                if state.settled.get(place.other)
                else f"{place} was away or not healthy when traffic moved back; it takes none "
                "until it converges"
            )
    return debts | debts_after_failed_converge(state, rollout.reason)


def debts_after_giving_up(state: t.State) -> dict[str, str]:
    """What is left open when somebody gives up an undo."""
    rollout = state.rollout
    assert rollout is not None
    if state.weights is not None:
        return debts_after_undo(state)
    return {t.CONTROLLER: TRAFFIC_UNKNOWN} | debts_after_failed_converge(state, rollout.reason)


def debts_left(state: t.State, reason: str) -> dict[str, str]:
    """What is where, of a rollout that has stopped and of which nothing is undone."""
    rollout = state.rollout
    assert rollout is not None
    version, debts = rollout.release.version, {}
    app, environment = split_stream(state.stream)
    back = f"tidegate rollback {app} -e {environment}"
    for place in sorted(place for place in rollout.begun if not rollout.before.get(place)):
        if state.settled.get(place):
            debts[str(place)] = (
                f"{version} serves there since {rollout.id}, which stopped; deploy it again to "
                f"finish that, or go back: {back}"
            )
        elif place_of(state, place).running is not False:
            debts[str(place)] = (
                f"{version} was left there without traffic by {rollout.id}, which stopped; the "
                "next deployment stops it"
            )
    for place in sorted(rollout.halted):
        if not (state.settled.get(place) or state.settled.get(place.other)):
            debts[str(place)] = (
                f"was stopped by {rollout.id}, which stopped itself; {place.node} takes no traffic "
                "until the next deploy or rollback"
            )
    serving = {place.node for place, share in state.settled.items() if share}
    for place, share in sorted(rollout.before.items()):
        if place not in state.places:
            continue  # its node was removed
        if share and place not in rollout.halted and place.node not in serving:
            debts[str(place)] = (
                f"was taken out of traffic by {rollout.id}, which stopped; it takes none until the "
                "next deploy or rollback"
            )
    for found, why in amiss(state).items():  # since an earlier one
        debts.setdefault(found, why + UNTIL_ASKED)
    for place, share in sorted(state.settled.items()):
        if share and is_misnamed(state, place):
            before = f"{debts[place]}; " if place in debts else ""
            debts[str(place)] = (
                f"{before}{wrong_after_reboot(place)}; the next deploy or rollback mends that"
            )
    if state.weights is None:
        debts[t.CONTROLLER] = TRAFFIC_UNKNOWN
    return debts | debts_after_failed_converge(state, reason)


def wrong_after_reboot(place: t.Place) -> str:
    """What a debt says of a place that serves while `current` names another slot, or none."""
    return (
        f"{place.node} may start the wrong slot after a reboot, as `current` does not name "
        f"{place.slot}"
    )


def with_all_amiss(state: t.State, debts: dict[str, str], ending: t.Ending) -> dict[str, str]:
    """These debts of a rollout that ends, and those of all other nodes that are not as they should
    be: an earlier one may have left them so while nobody knew where traffic went. They pay, unless
    this one leaves all as it is: then so it stays until somebody asks for another."""
    rollout = state.rollout
    assert rollout is not None
    others = amiss(replace(state, debts={**state.debts, **debts}))
    if ending == "succeeded" or rollout.undoing:
        return {place.node: why for place, why in others.items()} | debts
    return {str(place): why + UNTIL_ASKED for place, why in others.items()} | debts


def owed_after(state: t.State, debts: dict[str, str], now: float) -> dict[str, t.Owed]:
    """For each node with one of these debts, when it pays. That of others stays as it is. What was
    only put off, to make room for another rollout, is due as it was."""
    rollout = state.rollout
    assert rollout is not None
    owed = {}
    put_off = rollout.nodes if rollout.superseded and rollout.kind == "converge" else ()
    for node in debts:
        if t.Place(node).slot or node == t.CONTROLLER:
            continue
        if node in put_off:
            owed[node] = replace(state.owed.get(node, t.Owed()), needs_return=False)
            continue
        gone = node in state.away or node in rollout.absent or _is_back(state, node)
        theirs = [place for place in (*state.settled, *rollout.before) if place.node == node]
        gone |= any(is_gone(state, place) for place in theirs)
        unwell = t.Dropped(why="", blame="environment" if gone else rollout.blame, lost=gone)
        dropped = rollout.dropped.get(node, unwell)
        if rollout.kind == "converge":  # a node that goes each time is not tried again at once
            dropped = replace(dropped, lost=False)
        owed[node] = owed_for(dropped, now, state.owed.get(node))
    return owed


def _is_back(state: t.State, node: str) -> bool:
    """Whether an undo has moved traffic while nobody could ask the node, which is well after all:
    nothing but that keeps its traffic from it."""
    rollout = state.rollout
    assert rollout is not None
    theirs = [p for p, share in rollout.before.items() if share and p.node == node]
    undone = rollout.undoing and rollout.kind != "converge"  # which has a try of its own
    return undone and any(is_well(state, p) for p in theirs)


def debts_after_failed_converge(state: t.State, reason: str) -> dict[str, str]:
    """The nodes owe what they did: the debt says why it could not be paid. None after a rollout of
    another kind."""
    rollout = state.rollout
    assert rollout is not None
    if rollout.kind != "converge":
        return {}
    why = f"{rollout.id} could not bring it: {reason}"
    return dict.fromkeys(rollout.nodes, f"does not have {rollout.release.version}: {why}")


def debtors(state: t.State) -> dict[str, t.Owed]:
    """Nodes that owe a release. Where a log does not say when they pay: after their return."""
    return {
        node: state.owed.get(node, t.Owed(needs_return=True))
        for node in state.debts
        if node != t.CONTROLLER and not t.Place(node).slot and node in state.members
    }


def may_converge(state: t.State) -> bool:
    """Whether anything can be paid now: there is a release that nothing keeps from the nodes."""
    if state.rollout is not None or state.spec is None or active_release(state) is None:
        return False
    return not why_unpaid(state)


def converge_at(state: t.State, node: str, *, returned: bool) -> float | None:
    """Engine time from which the node may be brought to the active release; None: not as it is.
    `returned`: its agent has come anew since the last try."""
    owed = debtors(state).get(node)
    if owed is None or not may_converge(state) or (owed.needs_return and not returned):
        return None
    return owed.not_before


def converge_goal(state: t.State, request: i.Converge, now: float) -> t.Goal | None:
    """What is to be reached now; None where nothing is to be done."""
    connected = {member.node for member in request.members if member.connected}
    nodes = tuple(n for n in request.nodes if n in connected and _is_due(state, n, now))
    if not nodes or not may_converge(state) or state.spec is None:
        return None
    if freeze_at(state, now):
        return None
    release = state.committed[-1]
    spec = replace(state.spec, settings=release.settings)
    return t.Goal(
        kind="converge",
        release=release,
        nodes=nodes,
        spec=spec,
        members=tuple(member.node for member in request.members),
        gone=i.gone_of(request.members),
        labels=i.labels_of(request.members),
    )


def _is_due(state: t.State, node: str, now: float) -> bool:
    at = converge_at(state, node, returned=True)  # whether it has is known to who asks
    return at is not None and at <= now


def pay(draft: Draft, request: i.Converge, goal: t.Goal, plan: tuple[t.Step, ...]) -> None:
    """Begin the rollout; where the nodes have all they should, their debts are over."""
    state = draft.state
    if not plan:
        draft.emit(ev.DebtsPaid(nodes=goal.nodes))
        return
    asked = Asked(
        rollout=request.rollout,
        members=tuple(member for member in request.members if member.node in goal.nodes),
        by="tidegate",
        message=first_few((f"{n} {state.debts[n]}" for n in goal.nodes), NODES_TOLD, "; "),
    )
    begin(draft, asked, goal, plan)
