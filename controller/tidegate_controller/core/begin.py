"""The beginning of a rollout, whether an operator has asked for it or a node pays what it owes.

Called by `deploying` and `debts`, with a plan that is not empty.
"""

from collections.abc import Mapping

from tidegate_controller.core import events as ev
from tidegate_controller.core import inputs as i
from tidegate_controller.core import types as t
from tidegate_controller.core.draft import Draft
from tidegate_controller.core.floor import zones_of
from tidegate_controller.core.freezes import Calendar
from tidegate_controller.core.releases import active_release
from tidegate_controller.core.spec import Struct
from tidegate_controller.core.strategies import STRATEGIES


class Asked(Struct, frozen=True, kw_only=True):
    """Who has asked for the rollout, why, and what of. `absent`: node -> what it will owe."""

    rollout: str
    members: tuple[i.Member, ...]
    by: str
    message: str
    request_id: str = ""
    commit: str = ""
    calendar: Calendar | None = None
    override_freeze: bool = False
    absent: Mapping[str, str] = {}
    notes: tuple[str, ...] = ()


def begin(draft: Draft, asked: Asked, goal: t.Goal, plan: tuple[t.Step, ...]) -> None:
    """Chores that are under way on its nodes give way to it."""
    treated = {work.at for step in plan for work in step.works}
    for action in draft.state.chores_open.values():
        if action.work.at in treated:
            draft.emit(ev.ActionEnded(action=action.id, outcome="cancelled"))
    draft.emit(
        ev.Started(
            rollout=asked.rollout,
            kind=goal.kind,
            strategy=goal.spec.strategy,
            release=goal.release,
            previous=active_release(draft.state),
            nodes=goal.nodes,
            journals={member.node: member.journal_id for member in asked.members},
            plan=plan,
            spec=goal.spec,
            request_id=asked.request_id,
            requested_by=asked.by,
            message=asked.message,
            commit=asked.commit,
            absent=asked.absent,
            notes=asked.notes,
            zones=zones_of(goal) if STRATEGIES[goal.spec.strategy].in_place else {},
            gone=goal.gone,
            calendar=asked.calendar,
            override_freeze=asked.override_freeze,
            again=goal.again,
        )
    )
