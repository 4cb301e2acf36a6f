"""A decision in the making, and the only place where an action comes to be."""

from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.evolve import evolve


class Draft:
    """A decision in the making: the events so far and the state that they add up to."""

    def __init__(self, state: t.State, now: float) -> None:
        self.state = state
        self.now = now
        self.events: list[ev.Event] = []

    def emit(self, event: ev.Event) -> None:
        self.events.append(event)
        self.state = evolve(self.state, event, self.now)

    @property
    def rollout(self) -> t.Rollout:
        assert self.state.rollout is not None
        return self.state.rollout

    def issue(self, step: str, index: int, work: t.Work, deadline: float, attempt: int = 1) -> None:
        """Intend a work. The action's id and fence are the place of this event in the log."""
        state = self.state
        version = state.version + 1
        action = t.Action(
            id=f"{state.log_id}-{state.stream}-{state.epoch}-{version}",
            fence=(state.epoch, version),
            step=step,
            index=index,
            work=work,
            deadline=deadline,
            attempt=attempt,
            journal_id=state.journals.get(work.at, ""),
        )
        self.emit(ev.ActionIssued(action=action))


def pending(state: t.State) -> tuple[t.Action, ...]:
    """Actions that were issued and have not ended: to be sent, and sent again after a restart."""
    opened = tuple(state.rollout.open.values()) if state.rollout else ()
    return opened + tuple(state.chores_open.values())
