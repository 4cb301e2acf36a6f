"""Service managers: who starts what a slot runs, and ends it. A manager is a module here with a
class like `kind.Manager`, and a line in `MANAGERS`; slot.py knows no other word of them.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tidegate_agent.errors import NodeError
from tidegate_agent.managers.kind import (
    BY_FORCE,
    Ended,
    Ending,
    Handle,
    Manager,
    Place,
    Sight,
    ending_in_words,
)
from tidegate_agent.managers.process import Processes
from tidegate_agent.managers.systemd import Units

__all__ = [
    "BY_FORCE",
    "MANAGERS",
    "Ended",
    "Ending",
    "Handle",
    "Manager",
    "Place",
    "Sight",
    "ending_in_words",
    "manager",
]


@dataclass(frozen=True)
class Kind:
    """`of` makes the manager of one place. `check` raises NodeError where nothing could be started
    there, before anything is; None: there is nothing that could be in its way."""

    of: Callable[[Place], Manager]
    check: Callable[[Place], Awaitable[None]] | None = None


MANAGERS = {"process": Kind(Processes), "systemd": Kind(Units, lambda place: Units(place).check())}


def manager(name: str) -> Kind:
    """Raises NodeError where this agent has no such manager."""
    if name not in MANAGERS:
        known = ", ".join(MANAGERS)
        raise NodeError(
            f"this agent has no service manager {name[:80]!r}, only: {known}; a newer agent may "
            "have it"
        )
    return MANAGERS[name]
