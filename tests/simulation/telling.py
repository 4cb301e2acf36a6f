"""Events in one line each, for a trace that a person reads."""

from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t


def describe(event: ev.Event) -> str:
    name = type(event).__name__
    if isinstance(event, ev.ActionIssued):
        action = event.action
        return f"{name} {_work(action.work)} #{_number(action.id)} try {action.attempt}"
    if isinstance(event, ev.ActionEnded):
        return f"{name} #{_number(event.action)} {event.outcome} {event.error}".rstrip()
    if isinstance(event, ev.Started):
        steps = ", ".join(step.id for step in event.plan)
        return f"{name} {event.rollout} {event.kind} {event.release.version}: {steps}"
    if isinstance(event, ev.Replanned):
        steps = ", ".join(step.id for step in event.plan) or "nothing to do"
        return f"{name} {steps}, because {event.reason}"
    if isinstance(event, ev.Ended):
        chores = ", ".join(f"{c.work.verb} {c.work.place or c.work.at}" for c in event.chores)
        return f"{name} {event.rollout} {event.state} {event.reason} | then {chores}"
    if isinstance(event, ev.Observed):
        known = event.known
        return f"{name} {event.place} running={known.running} healthy={known.healthy}"
    fields = {key: getattr(event, key) for key in event.__struct_fields__}
    words = " ".join(str(value)[:100] for value in fields.values())
    return f"{name} {words}"


def _work(work: t.Work) -> str:
    if work.verb == "route":
        return f"route {dict(work.weights or {})}"
    return f"{work.verb} {work.place or work.at}"


def _number(action: str) -> str:
    """Epoch and version are enough within a stream."""
    return "-".join(action.rsplit("-", 2)[1:])
