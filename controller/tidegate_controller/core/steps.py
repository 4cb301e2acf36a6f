"""Questions about the step that a rollout is at: what may be issued, what is wrong, what is done.

Asked by `decide`, which acts on the answers, and by `failures`, `freezing` and `reports`.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.draft import Draft
from tidegate_controller.core.facts import (
    has_moved,
    is_gone,
    is_paused,
    is_seen,
    place_of,
    scripts_at_work,
)
from tidegate_controller.core.guards import NEVER, opens_at
from tidegate_controller.core.listed import NODES_TOLD, first_few
from tidegate_controller.core.settling import is_settling
from tidegate_controller.core.wellness import is_unwell
from tidegate_controller.core.works import (
    is_done,
    is_void,
    kept_back,
    moves_left,
    unproven,
    where,
    work_now,
)

RETRY_SECONDS_MAX = 30.0
ERRORS_TOLD = 3  # of those that are alike, as of a release that fails everywhere


def to_issue(rollout: t.Rollout, step: t.Step) -> list[int]:
    """Works of the step that were not issued yet, or failed and may be tried again."""
    if stands_still(rollout):
        return []
    opened = {action.index for action in rollout.open.values()}
    full = room_of(rollout, step) == 0
    waiting = []
    for index, work in enumerate(step.works):
        if is_void(rollout, step, index) or (full and work.at != t.CONTROLLER):
            continue
        done = rollout.done.get(index)
        again = done is not None and (done.again or _is_retried(step, index, done))
        if index not in opened and (done is None or again):
            waiting.append(index)
    return waiting


def stands_still(rollout: t.Rollout) -> bool:
    """A person decides what a failure leads to: until then nothing more is begun."""
    return rollout.waiting is not None and rollout.waiting.kind in ("failure", "lost")


def room_of(rollout: t.Rollout, step: t.Step) -> int:
    """How many more works of the step may run now."""
    return max(0, step.parallel - len(rollout.open))


def _is_retried(step: t.Step, index: int, done: t.Done) -> bool:
    """Whether what has failed is tried again without anybody asking for it."""
    failed = done.outcome != "ok" and not _is_asked(step.works[index], done)
    return failed and step.retry_seconds is not None


def _is_asked(work: t.Work, done: t.Done) -> bool:
    """Nobody knows whether it was done, and it must not be done twice: a person decides."""
    return done.outcome == "unknown" and work.on_unknown == "ask" and not done.again


class Question(NamedTuple):
    """What a person has to decide."""

    why: str
    kind: t.WaitKind = "question"
    answers: tuple[t.Answer, ...] = ("continue", "retry", "abort")
    nodes: Mapping[str, t.Dropped] = {}  # that `continue` would go on without


def question(draft: Draft, step: t.Step) -> Question | None:
    """What a person has to decide, if there is anything."""
    rollout, version = draft.rollout, draft.rollout.release.version
    if step.gate and step.id not in rollout.approved:
        if step.gate == "approval":
            why = f"approval, before version {version} gets any traffic"
            return Question(why, "approval", ("approve", "abort"))
        why = f"promotion, before version {version} gets more traffic"
        return Question(why, "promotion", ("promote", "abort"))
    asked = [d.error for i, d in sorted(rollout.done.items()) if _is_asked(step.works[i], d)]
    silent = [action for action in rollout.open.values() if is_asked_about(draft, action)]
    asked += [_gone(action.work) for action in silent]
    if asked and len(silent) == len(rollout.open):
        return Question(first_few(asked, NODES_TOLD, "; "))
    if rollout.undoing and is_late(draft, step):
        held = kept_back(draft.state, step)  # then nothing is tried any more, whatever was before
        tried = held or _told(rollout.done.values()) or "no answer"
        why = f"{step.title} does not succeed, and is tried again and again: {tried}"
        seen = not held and any(is_seen(step.works[index]) for index in _undone(rollout))
        return Question(why, answers=("retry", "abort") if seen else Question("").answers)
    return None


def is_held_by_scripts(state: t.State) -> bool:
    """Whether a step that has failed is to wait until scripts that run have ended. Not where the
    release has traffic, which is urgent: nothing is sent to their nodes for it."""
    rollout = state.rollout
    assert rollout is not None
    return bool(scripts_at_work(rollout)) and not has_moved(state, rollout)


def question_of_scripts(draft: Draft, fault: str) -> Question | None:
    """What a person is asked where only nodes that are away know of them; None while others run."""
    scripts = scripts_at_work(draft.rollout)
    if not all(is_asked_about(draft, action) for action in scripts):
        return None
    gone = first_few((_gone(action.work) for action in scripts), NODES_TOLD, "; ")
    return Question(f"{fault}; {gone}", answers=("abort",))


def left_at_work(rollout: t.Rollout) -> str:
    """What a rollout leaves running that is given up, in words."""
    left = scripts_at_work(rollout)
    if not left:
        return ""
    nodes = first_few(sorted(action.work.at for action in left), NODES_TOLD)
    return f"; {left[0].work.task}.sh may run on at {nodes}: the next deployment there would end it"


def _told(works: Iterable[t.Done]) -> str:
    return first_few((done.error for done in works), ERRORS_TOLD, "; ")


def _undone(rollout: t.Rollout) -> list[int]:
    """Works of the step that were begun and are not done."""
    failed = [index for index, done in rollout.done.items() if done.outcome != "ok"]
    return [*failed, *(action.index for action in rollout.open.values())]


def _gone(work: t.Work) -> str:
    doing = f" while it ran {work.task}.sh, which may have run half way," if work.task else ""
    return f"{work.at} went away{doing} and did not come back in time"


def is_asked_about(draft: Draft, action: t.Action) -> bool:
    """Only its node, which is away, knows whether it was done. It stays open while a person is
    asked: the node may come back first, and say so."""
    if not _is_silent(draft.state, action):
        return False
    return draft.rollout.waiting is not None or draft.now >= deadline_of(draft.state, action)


def _is_silent(state: t.State, action: t.Action) -> bool:
    """Its node has gone, and a person is asked rather than that it is taken for failed."""
    return action.work.on_unknown == "ask" and action.work.at in state.away


def may_issue_at(state: t.State, step: t.Step, index: int) -> float:
    """Engine time from which the work may be issued, if nothing else changes."""
    assert state.rollout is not None
    work = work_now(state, step, index)
    assert work is not None, "it is not to be done any more"
    times = [opens_at(state, guard, work) for guard in step.guards]
    if work.verb == "route" and index != moves_left(state.rollout, step)[-1]:
        times.append(NEVER)
    done = state.rollout.done.get(index)
    if done is not None and not done.again:
        pause = (step.retry_seconds or 0.0) * 2.0 ** min(done.attempt - 1, 10)
        times.append(done.at + min(pause, RETRY_SECONDS_MAX))
    return max(times, default=0.0)


def deadline_of(state: t.State, action: t.Action) -> float:
    """A rollout does not wait to the end for a node that has gone; a chore does. A person who has
    been asked about it has all the time."""
    rollout = state.rollout
    if is_paused(state) and rollout is not None and action.id in rollout.open:
        return NEVER
    away = state.away.get(action.work.at)
    if rollout is None or action.id not in rollout.open or away is None:
        return action.deadline
    if rollout.waiting is not None and _is_silent(state, action):
        return NEVER
    return min(action.deadline, away.until)


def open_until(state: t.State, rollout: t.Rollout) -> list[float]:
    """Engine times at which a Tick ends an open action, or lets a person be asked about it. About
    nodes that have gone that is when all other actions have ended, however long it is for one."""
    silent: list[float] = []
    others: list[float] = []
    for action in rollout.open.values():
        kind = silent if _is_silent(state, action) else others
        kind.append(deadline_of(state, action))
    return others or [max(silent, default=NEVER)]


def fault_of(draft: Draft, step: t.Step) -> str:
    """Why the step cannot succeed any more; empty while it can."""
    state, rollout = draft.state, draft.rollout
    bad = bad_works(rollout, step)
    if len(bad) > step.failures_allowed and step.retry_seconds is None:
        errors = [
            f"{where(step.works[index])}: {done.error}" for index, done in sorted(bad.items())
        ]
        return first_few(errors, ERRORS_TOLD, "; ")
    for place in sorted(rollout.passed):
        if wrong := wrong_with(draft, place):
            return wrong
    if is_late(draft, step) and not (rollout.undoing and step.retry_seconds is not None):
        last = _told(bad.values()) or kept_back(state, step) or unproven(state, step)
        away = first_few((f"{node} is away" for node in sorted(state.away)), NODES_TOLD, "; ")
        seconds = step_ends_at(rollout, step) - (rollout.entered_at or 0.0)
        return f"not done within {seconds:.0f} s" + (away and f"; {away}") + (last and f": {last}")
    return ""


def wrong_with(draft: Draft, place: t.Place) -> str:
    """Why a place that had passed keeps the step from succeeding; empty while it does not."""
    if other := other_release_of(draft.state, place):
        return other
    if is_gone(draft.state, place):
        return f"{place} is gone with its node's disk"
    if is_unwell(draft.state, place):
        return f"{place} had passed its checks and failed again{detail_of(draft, place)}"
    if draft.now >= missed_at(draft.state, place):
        return (
            f"{place} had passed its checks; {place.node} went away and did not come back in time"
        )
    return ""


def other_release_of(state: t.State, place: t.Place) -> str:
    """What is wrong where a place that had passed came back with another release, whose health
    says nothing of this one. Of nodes that the rollout is not about nobody says what they run."""
    rollout, revision = state.rollout, place_of(state, place).revision
    assert rollout is not None
    if revision in (None, rollout.release.revision) or rollout.before.get(place):
        return ""  # what served before may serve again in a rehearsal
    if place.node not in rollout.nodes:
        return ""
    version = rollout.release.version
    return (
        f"{place} does not have {version} any more, as after a disk was put back to an earlier day"
    )


def missed_at(state: t.State, place: t.Place) -> float:
    """Engine time at which a place that had passed is given up, since its node has gone. While a
    person is asked, only one that has traffic: nothing else is urgent."""
    rollout = state.rollout
    assert rollout is not None
    if rollout.waiting is not None and not state.settled.get(place):
        return NEVER
    away = state.away.get(place.node)
    return NEVER if away is None else away.until


def bad_works(rollout: t.Rollout, step: t.Step) -> dict[int, t.Done]:
    """Works of the step that have failed, and that nobody does again or is asked about."""
    return {
        index: done
        for index, done in rollout.done.items()
        if done.outcome != "ok"
        and not done.again
        and not is_void(rollout, step, index)
        and not _is_asked(step.works[index], done)
    }


def step_ends_at(rollout: t.Rollout, step: t.Step) -> float:
    """Engine time at which the step is late: works that cannot run all at once take longer."""
    assert rollout.entered_at is not None
    batches = max(1, -(-len(step.works) // step.parallel))
    return rollout.entered_at + step.deadline_seconds * batches


def in_doubt(rollout: t.Rollout, step: t.Step) -> bool:
    """Whether something may have been done that a person is asked about. The step is not late then:
    the deadline of each action leads to the question, which the end of the step would forestall.
    Nor is one on the way back that goes as far as it can: each of its works has its own time."""
    if rollout.undoing and step.failures_allowed:
        return True
    unsure = any(_is_asked(step.works[index], done) for index, done in rollout.done.items())
    return unsure or any(action.work.on_unknown == "ask" for action in rollout.open.values())


def is_late(draft: Draft, step: t.Step) -> bool:
    """Whether its time is over, and neither a person nor the end of a freeze is waited for."""
    rollout = draft.rollout
    if rollout.waiting is not None or rollout.frozen is not None:
        return False
    if draft.now < step_ends_at(rollout, step):
        return False
    return not in_doubt(rollout, step) and not is_satisfied(draft, step)


def detail_of(draft: Draft, place: t.Place) -> str:
    """What was just said of the place, if this decision is about that."""
    said = [e.detail for e in draft.events if isinstance(e, ev.Observed) and e.place == place]
    return f": {said[-1]}" if said and said[-1] else ""


def is_satisfied(draft: Draft, step: t.Step) -> bool:
    """Whether all is done, and all that passed are known to be healthy: no news is no success."""
    rollout = draft.rollout
    if rollout.passed and rollout.healthy_since is None:
        return False
    if step.gate and step.id not in rollout.approved:
        return False
    due = [index for index in range(len(step.works)) if not is_void(rollout, step, index)]
    failed = sum(not is_done(rollout, index) for index in due)
    if rollout.open or failed > step.failures_allowed:
        return False
    if step.failures_allowed and any(_may_come(draft, step, index) for index in due):
        return False
    return draft.now >= held_at(rollout, step)


def _may_come(draft: Draft, step: t.Step, index: int) -> bool:
    """Whether the work was never tried, and passing time will let it: else it is as good as
    failed."""
    never = index not in draft.rollout.done
    soon = is_settling(draft.state, step.works[index].place)
    return never and (soon or may_issue_at(draft.state, step, index) != NEVER)


def held_at(rollout: t.Rollout, step: t.Step) -> float:
    """Engine time at which the step's hold is over, if all that passed stay healthy until then. A
    person may have cut it short."""
    if not step.hold_seconds:
        return 0.0
    if rollout.healthy_since is None or rollout.entered_at is None:
        return NEVER
    if step.id in rollout.approved:
        return 0.0
    return max(rollout.healthy_since, rollout.entered_at) + step.hold_seconds
