"""A move of traffic whose outcome nobody knows may be applied late, after the way back was written.
So may one that a controller which died had begun, though the next one has made it again.

So the places that it sends to stay unsettled, and none of them is stopped or started, until the
target was written once more, `SETTLE_SECONDS` after it was last, and reads back so: the rewrite,
which belongs to no step, is tried until it succeeds, and gives way to whatever else moves traffic.
A move to nobody sends to no place, but one that comes late takes the traffic of all.

Likewise it is written once more, without that, where something that has traffic is lost with its
disk or its node while others have some: the next move of a rollout may be hours away, as where a
person is awaited.
A balancer that a person moves has no such moves. Called by `chores`, `steps`, `deadline` and
`views`, and by `evolve` and its parts; plans begin with its step.
"""

from tidegate_controller.core import types as t
from tidegate_controller.core.changes import in_rollout, replace
from tidegate_controller.core.facts import is_gone, leads_nowhere, leads_somewhere, reachable
from tidegate_controller.core.floor import in_doubt, needed
from tidegate_controller.core.guards import NEVER

SETTLE = "settle"  # the step that begins a rollout where that is needed
REWRITE = "settle/traffic"  # what its action says for a step
SETTLE_SECONDS = 10.0
LOSS_SECONDS = 1.0  # so that what moves traffic anyway, as a converge does, goes first
WRITE_SECONDS = 60.0
DOUBLINGS_MAX = 6  # of the time until a rewrite that failed is tried again
TRIES_AWAITED = 5  # on the way back, before a node is left as it is


def after_doubt(state: t.State, work: t.Work) -> t.State:
    """A move has ended, or was made again, and may be applied late all the same."""
    if work.traffic is not None and work.traffic.adapter == "none":
        return state
    taking = {place for place, share in (work.weights or {}).items() if share}
    if not taking:
        return replace(state, may_empty=True)
    return replace(state, unsettled=state.unsettled | taking)


def is_begun_anew(state: t.State, action: t.Action) -> bool:
    """A move that an earlier controller had begun: this one has asked for the same again, and what
    that one had asked for may be done late, also where this has succeeded."""
    return action.work.verb == "route" and action.fence[0] < state.epoch


def after_move(state: t.State, work: t.Work, clock: float) -> t.State:
    """The balancer was written, and reads back so: this is what is written again."""
    if not _is_wanted_again(state, work):
        return state
    again = replace(work, prove=False, on_unknown="observe")
    return replace(state, rewrite=again, rewrite_at=clock + SETTLE_SECONDS, rewrites=0)


def after_loss(state: t.State, clock: float) -> t.State:
    """A disk was replaced, or a node removed."""
    traffic, rollout = state.traffic, state.rollout
    if rollout is not None and (rollout.undoing or rollout.cursor > 0 or traffic is None):
        traffic = rollout.spec.traffic  # which has passed its preflight, and may have moved some
    if traffic is None or state.weights is None or state.rewrite is not None:
        return state  # one that is open or awaited looks for itself
    work = t.Work(verb="route", at=t.CONTROLLER, weights=state.weights, traffic=traffic)
    if not _has_lost_some(state, work):
        return state
    return replace(after_move(state, work, clock), rewrite_at=clock + LOSS_SECONDS)


def _is_wanted_again(state: t.State, work: t.Work) -> bool:
    """Whether what was written last has to be written once more."""
    emptied = state.may_empty and any((work.weights or {}).values())
    return bool(state.unsettled or emptied or _has_lost_some(state, work))


def _has_lost_some(state: t.State, work: t.Work) -> bool:
    """Whether some of what has traffic leads nowhere, and some does not. Where a person moves it,
    the next rollout asks for that."""
    if work.traffic is not None and work.traffic.adapter == "none":
        return False
    return len({leads_nowhere(state, p) for p, share in state.settled.items() if share}) > 1


def presumed(state: t.State) -> t.Weights:
    """What has traffic, as far as can be said. Where nobody knows, and all that had it for certain
    is lost: what is well and may have it by a move of unknown outcome. A rollout is planned from
    that, and begins by writing it."""
    if state.weights is not None or leads_somewhere(state, state.settled):
        return state.settled
    return in_doubt(state) or state.settled


def as_presumed(state: t.State) -> t.State:
    """The state that plans are made from."""
    return replace(state, settled=presumed(state))


def goes_back_to_presumed(state: t.State) -> t.State:
    """The state with what its rollout goes back to, as long as that has moved nothing by itself:
    nodes are lost meanwhile, and others that were away say that they are well."""
    rollout = state.rollout
    if rollout is None or rollout.undoing or rollout.cursor == len(rollout.plan):
        return state
    begins = rollout.cursor == 0 or rollout.plan[rollout.cursor].id == SETTLE
    if not begins or any(action.work.verb == "route" for action in rollout.open.values()):
        return state
    having = presumed(state)
    if having is state.settled:
        return state
    before = reachable(state, rollout.before)
    having = {p: s for p, s in before.items() if not state.settled.get(p)} | dict(having)
    state = in_rollout(state, before=having)
    return replace(state, left=state.left.union(p for p in having if not state.settled.get(p)))


def before_rollout(state: t.State, clock: float) -> t.State:
    """Somebody waits for it now, however long ago it was tried in vain."""
    if state.rewrite is None:
        return state
    soon = min(state.rewrite_at, clock + SETTLE_SECONDS)
    return replace(state, rewrite_at=soon, rewrites=0)


def after_rewrite(
    state: t.State, work: t.Work, ok: bool, clock: float, *, failed_before: bool
) -> t.State:
    """Whatever a late move has brought to a place is over now, and has to drain from now on. Not
    yet where a rewrite has failed before, which may come late as well. Then, and where something
    was lost meanwhile, it is written once more: `after_move` has said when."""
    if ok and failed_before and _is_wanted_again(state, work):
        return state
    if ok:
        late = {place: clock for place in state.unsettled if not (work.weights or {}).get(place)}
        idle = {**state.idle_since, **dict(sorted(late.items()))}
        state = replace(state, idle_since=idle, unsettled=frozenset(), may_empty=False)
        over = not _is_wanted_again(state, work)
        return replace(state, rewrite=None if over else state.rewrite, rewrites=0)
    pause = SETTLE_SECONDS * 2.0 ** min(state.rewrites + 1, DOUBLINGS_MAX)
    state = after_doubt(state, work)
    return replace(state, rewrite_at=clock + pause, rewrites=state.rewrites + 1)


def rewrite_now(state: t.State) -> t.Work | None:
    """What is to be written, without places that lead nowhere any more, and on the way back with
    those in doubt that the floor needs; None: nothing now, as while another move is under way."""
    if state.rewrite is None or state.weights is None or state.reconciling:
        return None
    opened = [*(state.rollout.open.values() if state.rollout else ()), *state.chores_open.values()]
    if any(action.work.verb == "route" for action in opened):
        return None
    weights = state.rewrite.weights or {}
    left = dict(reachable(state, weights))
    if state.rollout is not None and state.rollout.undoing:  # forward its plan reckons without them
        left |= needed(state, left, in_doubt(state))
    return replace(state.rewrite, weights=left or nowhere(state, weights))


def nowhere(state: t.State, weights: t.Weights) -> t.Weights:
    """Where traffic goes of whose places none leads anywhere: to nobody if all are gone with their
    disks, else where it went, since others may serve yet."""
    return {} if all(is_gone(state, place) for place in weights) else weights


def rewrite_opens_at(state: t.State) -> float:
    """Engine time from which it is to be written, if nothing else changes."""
    return NEVER if rewrite_now(state) is None else state.rewrite_at


def is_settling(state: t.State, place: t.Place | None) -> bool:
    """Whether the place will be settled before long, as far as anybody can tell."""
    awaited = state.rewrite is not None and state.rewrites < TRIES_AWAITED
    return awaited and place in state.unsettled
