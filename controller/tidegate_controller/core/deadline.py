"""When time alone will make a difference. The engine, which sets its timers by it, calls it."""

from tidegate_controller.core import failures, steps
from tidegate_controller.core import types as t
from tidegate_controller.core.chores import chore_opens_at, waiting_chores
from tidegate_controller.core.facts import is_paused
from tidegate_controller.core.guards import NEVER
from tidegate_controller.core.settling import rewrite_opens_at


def next_deadline(state: t.State) -> float | None:
    """Engine time at which a Tick will make a difference, or None."""
    times = [action.deadline for action in state.chores_open.values()]
    if is_paused(state):
        return min(times, default=None)
    times += [chore_opens_at(state, chore) for chore in waiting_chores(state)]
    times.append(rewrite_opens_at(state))
    if (rollout := state.rollout) and rollout.entered_at is not None:
        step = rollout.plan[rollout.cursor]
        times += steps.open_until(state, rollout)
        if rollout.frozen is not None:  # its end changes nothing while a person is asked
            times.append(NEVER if steps.stands_still(rollout) else rollout.frozen.ends)
        elif rollout.waiting is None and not steps.in_doubt(rollout, step):
            times.append(steps.step_ends_at(rollout, step))
        idle = not (rollout.open or rollout.waiting or steps.to_issue(rollout, step))
        if step.hold_seconds and idle:
            times.append(steps.held_at(rollout, step))
        if not steps.stands_still(rollout):
            times += [steps.missed_at(state, place) for place in rollout.passed]
        times.append(failures.too_many_lost_at(state, step))
        times += [steps.may_issue_at(state, step, index) for index in steps.to_issue(rollout, step)]
    return min((time for time in times if time != NEVER), default=None)
