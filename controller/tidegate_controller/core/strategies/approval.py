"""Steps that are done when a person has said so. Called by the strategies."""

from tidegate_controller.core import types as t


def approval(goal: t.Goal) -> list[t.Step]:
    """Before the first traffic moves, where the environment wants that somebody looks first. The
    way back asks nobody."""
    if goal.kind != "deploy" or not goal.spec.approval:
        return []
    return [gate(goal, "approval", "approve", "Approve")]


def promotion(goal: t.Goal, *, last: bool) -> list[t.Step]:
    """After each wave but the last, where the next one waits for somebody to look at this one."""
    if goal.kind != "deploy" or last or goal.spec.waves.promote == "auto":
        return []
    return [gate(goal, "promotion", "promote", "Promote")]


def gate(goal: t.Goal, kind: t.Gate, step_id: str, name: str) -> t.Step:
    """The deadline begins once it was said: until then a node that is away may come back."""
    health = goal.release.settings.health
    return t.Step(
        id=step_id,
        name=name,
        gate=kind,
        deadline_seconds=goal.spec.pace.away_seconds + health.deadline_seconds,
    )
