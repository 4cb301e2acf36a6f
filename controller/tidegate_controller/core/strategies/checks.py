"""The step in which the controller asks whether the new release is good: a gate after a wave."""

from tidegate_controller.core import types as t

ANSWER_SECONDS = 15.0  # beyond its own deadline, until a check counts as lost


def check_steps(goal: t.Goal) -> list[t.Step]:
    """All checks of the spec at once; none in a rollback, which goes to what is known. A converge
    brings nothing new either: the release passed them when it came."""
    checks = goal.spec.checks
    if goal.kind != "deploy" or not checks:
        return []
    works = tuple(
        t.Work(verb="check", at=t.CONTROLLER, check=name, on_unknown="ask") for name in checks
    )
    longest = max(check.deadline_seconds + check.timeout_seconds for check in checks.values())
    return [
        t.Step(
            id="check",
            name="Check",
            works=works,
            deadline_seconds=longest + ANSWER_SECONDS,
        )
    ]
