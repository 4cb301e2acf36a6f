"""What a freeze holds up: deployments that are to begin, and what of a rollout under way would move
traffic or start something. Never the way back, nor what a person goes back to.

Called by `decide`, `deploying`, `failures` and `queueing`; when freezes are, is in `freezes`.
"""

from tidegate_controller.core import events as ev
from tidegate_controller.core import inputs as i
from tidegate_controller.core import types as t
from tidegate_controller.core.changes import replace
from tidegate_controller.core.draft import Draft
from tidegate_controller.core.facts import split_stream
from tidegate_controller.core.freezes import (
    DRIFT_SECONDS,
    Calendar,
    Window,
    are_alike,
    covering,
)
from tidegate_controller.core.guards import FLOOR, UNFROZEN
from tidegate_controller.core.settling import SETTLE
from tidegate_controller.core.steps import to_issue
from tidegate_controller.errors import Refused

HELD_UP: tuple[t.Verb, ...] = ("task", "start", "route", "stop")


def freeze_at(state: t.State, now: float, calendar: Calendar | None = None) -> Window | None:
    """The freeze that counts at this moment. `calendar`: of another configuration than that in
    force."""
    windows = (state.calendar if calendar is None else calendar).windows
    return covering((*windows, state.freeze), now)


def refuse_frozen(state: t.State, request: i.Deploy, now: float) -> None:
    """Raises `Refused`, with the freeze and what overrides it."""
    window = freeze_at(state, now, request.calendar)
    if window is None or request.override_freeze:
        return
    spec = request.spec
    raise Refused(
        f"{spec.app} in {spec.environment} is not deployed now: {window.named}",
        f"wait for its end, by itself with --queue; or deploy in spite of it: --override-freeze -m "
        f"REASON. To go back is always allowed: tidegate rollback {spec.app} -e {spec.environment}",
    )


def on_freeze(draft: Draft, request: i.Freeze) -> None:
    if request.window.ends <= draft.now:
        raise Refused(
            f"a freeze until {request.window.until} would be over already",
            "name a later end: --for 4h, or --until",
        )
    hand = draft.state.freeze
    longer = hand.ends - request.window.ends if hand is not None else 0.0
    if hand is not None and hand.by != request.window.by and longer > DRIFT_SECONDS:
        app, environment = split_stream(draft.state.stream)
        raise Refused(
            f"there is a longer {hand.named}",
            f"if that is to end sooner, lift it first: tidegate freeze {app} -e {environment} "
            "--lift",
        )
    draft.emit(ev.FreezeSet(window=request.window, request_id=request.request_id))


def on_lift_freeze(draft: Draft, request: i.LiftFreeze) -> None:
    state = draft.state
    hand, window = state.freeze, freeze_at(state, draft.now)
    # One that is over counts again where the wall clock is set back: it is not to, once lifted.
    if hand is not None and (hand.ends > draft.now or window is None):
        draft.emit(
            ev.FreezeLifted(
                by=request.requested_by, reason=request.reason, request_id=request.request_id
            )
        )
    elif window is not None:
        raise Refused(
            f"the {window.named} was not asked for by hand: it stands in tidegate.toml",
            "deploy in spite of it: tidegate deploy --override-freeze -m REASON",
        )


def on_read_calendar(draft: Draft, request: i.ReadCalendar) -> None:
    if not is_current(draft.state, request.calendar, draft.now):
        draft.emit(ev.CalendarRead(calendar=request.calendar))


def is_current(state: t.State, calendar: Calendar, now: float) -> bool:
    """Whether it says what is known, but for what clocks drift apart."""
    hand = state.freeze
    over = hand is not None and hand.ends <= now
    moved = (
        hand is not None
        and hand.unix_until == calendar.hand_until
        and abs(hand.ends - calendar.hand_ends) > DRIFT_SECONDS
    )
    return not (over or moved) and are_alike(state.calendar.windows, calendar.windows)


def held_up(plan: tuple[t.Step, ...], kind: t.Kind) -> tuple[t.Step, ...]:
    """The plan, with a guard before whatever would move traffic or start something in a freeze.
    Nodes that have been taken out of service are brought back first: a freeze may last for days."""
    if kind == "rollback":
        return plan
    steps, are_out = [], False
    for step in plan:
        verbs = {work.verb for work in step.works}
        held = not are_out and step.id != SETTLE and verbs.intersection(HELD_UP)
        steps.append(replace(step, guards=(*step.guards, UNFROZEN)) if held else step)
        if "route" in verbs:
            drains = not any(work.prove for work in step.works)
            are_out = drains and FLOOR in step.guards
    return tuple(steps)


def freeze_of(draft: Draft, step: t.Step) -> Window | None:
    """The freeze that holds up what the step has not begun yet."""
    rollout = draft.rollout
    free = rollout.undoing or rollout.unfrozen_by or UNFROZEN not in step.guards
    return None if free else freeze_at(draft.state, draft.now)


def meet_freeze(draft: Draft, step: t.Step) -> bool:
    """Whether the rollout has begun to wait for the end of a freeze, or goes on, by this."""
    rollout = draft.rollout
    window = freeze_of(draft, step) if to_issue(rollout, step) else None
    if window == rollout.frozen:
        return False
    if window is None:
        draft.emit(ev.Thawed(rollout=rollout.id))
    else:
        draft.emit(ev.Frozen(rollout=rollout.id, window=window))
    return True
