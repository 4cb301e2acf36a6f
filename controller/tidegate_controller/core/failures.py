"""Failures: which nodes they are of, whether the rollout may go on without them, what else follows.

Called by `decide` once `steps.fault_of` has found that a step cannot succeed as it is; how many may
fail, `deploying` asks as well.
"""

from collections.abc import Mapping

from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.draft import Draft
from tidegate_controller.core.facts import is_seen, only_leaves, place_of
from tidegate_controller.core.freezing import freeze_of
from tidegate_controller.core.guards import NEVER
from tidegate_controller.core.listed import NODES_TOLD, first_few
from tidegate_controller.core.shares import at_most
from tidegate_controller.core.spec import Policy
from tidegate_controller.core.steps import (
    Question,
    bad_works,
    is_late,
    missed_at,
    other_release_of,
    wrong_with,
)
from tidegate_controller.core.wellness import is_well, runs_unwell
from tidegate_controller.core.works import (
    breach_without,
    is_done,
    is_for_all,
    is_kept,
    is_stranded_without,
    is_void,
    kept_back,
    moves_left,
    moving,
    weights_without,
    where,
)

Culprits = Mapping[str, t.Dropped]  # node -> what is wrong with it


def allowed_failures(policy: Policy, nodes: int) -> int:
    """How many of so many nodes may fail or be away."""
    return at_most(policy.max_failed_nodes, nodes) if nodes >= policy.of_at_least else 0


def may_be_dropped(state: t.State, step: t.Step, found: Culprits) -> bool:
    """Whether the rollout may go on without these nodes, by its policy and the floor."""
    rollout = state.rollout
    assert rollout is not None
    if rollout.undoing or not found or not is_anything_left(rollout, step, found):
        return False
    if is_stranded_without(state, found) or breach_without(state, found):
        return False
    if step.rehearses and any(not found[n].lost for n in _rehearsing(state, step) & found.keys()):
        return False  # the way back does not work there, so it may work nowhere
    if rollout.kind == "converge":  # each node that is behind is a matter of its own
        return True
    failed = {*rollout.dropped, *rollout.absent, *found}
    total = len(rollout.nodes) + len(rollout.absent)
    return len(failed) <= allowed_failures(rollout.policy, total)


def _rehearsing(state: t.State, step: t.Step) -> set[str]:
    """The node on which the way back is tried: the step treats it, or it serves with the release
    before."""
    rollout = state.rollout
    assert rollout is not None
    old = {p.node for p in rollout.passed if _runs_another(state, p)}
    return old.union(work.at for work in step.works)


def _runs_another(state: t.State, place: t.Place) -> bool:
    rollout, revision = state.rollout, place_of(state, place).revision
    return rollout is not None and revision not in (None, rollout.release.revision)


def too_many_lost_at(state: t.State, step: t.Step) -> float:
    """Engine time at which, while a person is asked about nodes that were lost, so many others are
    given up for lost that together they are more than may."""
    rollout = state.rollout
    if rollout is None or rollout.waiting is None or rollout.waiting.kind != "lost":
        return NEVER
    asked = rollout.waiting.nodes
    times = {p.node: missed_at(state, p) for p in rollout.passed if p.node not in asked}
    gone = {node: at for node, at in times.items() if at != NEVER}
    found = {**asked, **dict.fromkeys(gone, t.Dropped(why=""))}
    return max(gone.values()) if gone and not may_be_dropped(state, step, found) else NEVER


def question_of(draft: Draft, step: t.Step, fault: str, found: Culprits) -> Question | None:
    """What a person is asked before anything follows from the fault; None where nobody is."""
    rollout = draft.rollout
    if rollout.undoing or rollout.kind == "converge":
        return None
    kind: t.WaitKind = "failure"
    if may_be_dropped(draft.state, step, found):
        unseen = [node for node in sorted(found) if _is_lost_in_traffic(draft.state, node)]
        if not unseen:
            return None
        kind, why = "lost", f"{fault}; it was lost with {rollout.release.version} in traffic there"
    elif found and all(_fails_on_both(draft.state, node) for node in found):
        why = f"{fault}; the release before fails its checks there too, so going back mends nothing"
    elif rollout.policy.on_failure == "pause":
        why = f"{step.title} failed: {fault}"
        if found and not is_anything_left(rollout, step, found):
            why = f"{why}; no node is left on which {rollout.release.version} has been good"
    else:
        return None
    if too_few := breach_without(draft.state, found):
        why = f"{why}; {too_few}"
    answers: tuple[t.Answer, ...] = ("retry", "abort")
    if _may_continue(draft.state, step, found):
        answers = ("continue", *answers)
    return Question(why, kind, answers, found)


def _may_continue(state: t.State, step: t.Step, found: Culprits) -> bool:
    """Whether a person may say that it goes on all the same: without these nodes, or where it is
    no matter of single ones, as if what has failed were done, or with less than the floor. Where
    traffic goes, a balancer says that can be asked: nobody else."""
    rollout = state.rollout
    assert rollout is not None
    if found:
        left = is_anything_left(rollout, step, found)
        return left and not is_stranded_without(state, found)
    if any(is_seen(step.works[index]) for index in bad_works(rollout, step)):
        return False
    return bool(bad_works(rollout, step) or kept_back(state, step))


def _is_lost_in_traffic(state: t.State, node: str) -> bool:
    """Whether the node has gone while it served the new release, as if that had killed it."""
    rollout = state.rollout
    assert rollout is not None
    serving = [place for place, share in state.settled.items() if share and place.node == node]
    return node in state.away and any(not rollout.before.get(place) for place in serving)


def _fails_on_both(state: t.State, node: str) -> bool:
    return all(runs_unwell(state, t.Place.of(node, slot)) for slot in t.SLOTS)


def drop_nodes(draft: Draft, step: t.Step, found: Culprits) -> None:
    """Go on without these nodes."""
    rollout = draft.rollout
    for action in list(rollout.open.values()):
        if action.work.at in found or action.work.verb == "route":  # it goes out again without them
            error = f"{first_few(sorted(found), NODES_TOLD)} failed"
            draft.emit(ev.ActionEnded(action=action.id, outcome="cancelled", error=error))
    for index, (node, culprit) in enumerate(sorted(found.items())):
        last = index == len(found) - 1
        draft.emit(
            ev.NodeDropped(
                rollout=rollout.id,
                node=node,
                why=culprit.why,
                blame=culprit.blame,
                lost=culprit.lost,
                reroute=_reroute(draft, step, set(found)) if last else None,
            )
        )


def is_anything_left(rollout: t.Rollout, step: t.Step, found: Culprits) -> bool:
    """Whether there would be a node that the release has passed on, or may pass on in this step:
    where all have failed that were tried, the next ones need not be. A node that had no traffic
    before, where others had, shows nothing: it may be broken, and has failed before. Of nodes that
    are to get what they owe each is a matter of its own."""
    gone = {*rollout.dropped, *found}
    if rollout.kind == "converge":
        return bool(set(rollout.nodes) - gone)
    served = {place.node for place, share in rollout.before.items() if share}
    tried = {work.at for work in step.works if work.at != t.CONTROLLER}
    if served and not tried & served:
        tried = set()
    well = {place.node for place in rollout.passed}
    some = set(rollout.nodes)
    if rollout.spec.slots:  # the group that serves is not what the release may pass on
        some = {work.at for each in rollout.plan for work in each.works} - {t.CONTROLLER}
    return bool((tried or well or some) - gone or well - gone)


def _reroute(draft: Draft, step: t.Step, found: set[str]) -> t.Work | None:
    """What takes traffic away from these nodes where they have it and must not keep it; none where
    the step moves traffic anyway, but for what waits for the end of a freeze."""
    state, rollout = draft.state, draft.rollout
    frozen = freeze_of(draft, step) is not None
    for index in moves_left(rollout, step):
        if not frozen or only_leaves(state, step.works[index]):
            return None
    taking = [place for place, share in state.settled.items() if share and place.node in found]
    if all(is_kept(state, place) for place in taking):
        return None
    weights = weights_without(state, found)
    if weights == state.weights:
        return None  # the floor needs them where they are
    return moving(weights, rollout.spec.traffic)


def blame_of(draft: Draft, step: t.Step, found: Culprits) -> t.Blame:
    """Whose fault it is that the rollout is undone; "" where nobody can say."""
    blames = {culprit.blame for culprit in found.values()}
    if not found:
        blames = {done.blame for done in bad_works(draft.rollout, step).values()}
    return "release" if "release" in blames else blames.pop() if len(blames) == 1 else ""


# --- Who it was ----------------------------------------------------------------------------------


def culprits(draft: Draft, step: t.Step) -> Culprits:
    """The nodes that keep the step from succeeding, each with what is wrong there. None at all
    where it is not a matter of single nodes."""
    state, rollout = draft.state, draft.rollout
    found: dict[str, t.Dropped] = {}
    for index, done in sorted(bad_works(rollout, step).items()):
        work = step.works[index]
        if is_for_all(rollout, work):
            return {}
        why = f"{where(work)}: {done.error}"
        found.setdefault(work.at, _failed_work(state, work, done, why))
    for place in sorted(rollout.passed):
        if wrong := wrong_with(draft, place):
            found.setdefault(place.node, _unwell(draft, place, wrong))
    if is_late(draft, step):
        late = _late(draft, step)
        return {} if late is None else late | found
    return found


def _failed_work(state: t.State, work: t.Work, done: t.Done, why: str) -> t.Dropped:
    if done.outcome == "unknown" or (done.outcome == "expired" and work.at in state.away):
        return t.Dropped(why=why, blame="environment", lost=True)
    blame = done.blame
    if state.rollout and work.revision not in (None, state.rollout.release.revision):
        blame = ""  # of a rehearsal: the release before, and who knows what has broken that
    if blame == "release" and work.place is not None and runs_unwell(state, work.place.other):
        blame = "environment"  # the release before fails as well
    return t.Dropped(why=why, blame=blame)


def _unwell(draft: Draft, place: t.Place, why: str) -> t.Dropped:
    state = draft.state
    unknown = place.node in state.away or place_of(state, place).revision is None
    if unknown or other_release_of(state, place):
        return t.Dropped(why=why, blame="environment", lost=True)
    if runs_unwell(state, place.other):
        return t.Dropped(
            why=f"{why}; {place.other}, the release before, fails its checks too",
            blame="environment",
        )
    if _runs_another(state, place):
        return t.Dropped(why=why)  # in a rehearsal: who knows what has broken that
    return t.Dropped(why=why, blame="release")


def _late(draft: Draft, step: t.Step) -> dict[str, t.Dropped] | None:
    """Nodes that have not done their part in time. None where none of them is what is awaited."""
    state, rollout = draft.state, draft.rollout
    found: dict[str, t.Dropped] = {}
    for index, work in enumerate(step.works):
        if is_void(rollout, step, index) or is_done(rollout, index):
            continue
        if is_for_all(rollout, work):
            if work.verb != "route" or index in {action.index for action in rollout.open.values()}:
                return None
            continue  # it has not been issued: those whose health is not known stand in its way
        found[work.at] = _too_late(state, work.at, f"{where(work)}: not done in time")
    for place in sorted(rollout.passed):
        if not is_well(state, place):
            why = f"{place}: nobody knows whether it is healthy"
            found.setdefault(place.node, _too_late(state, place.node, why))
    return found or None


def _too_late(state: t.State, node: str, why: str) -> t.Dropped:
    if node in state.away:
        why = f"{node} went away and did not come back in time"
        return t.Dropped(why=why, blame="environment", lost=True)
    return t.Dropped(why=why)
