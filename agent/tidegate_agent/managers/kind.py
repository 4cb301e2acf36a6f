"""What every service manager is given and has to answer.

A handle is what a manager needs to know its service again, also after the agent's restart: a few
strings and numbers, which the journal keeps as JSON.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from tidegate_agent.processes import Launch

Handle = Mapping[str, str | int]
Ending = Literal["stopped", "killed", "cut short", "gone"]
BY_FORCE: Collection[Ending] = ("killed", "cut short")  # what an operator should hear of


@dataclass(frozen=True)
class Place:
    """The slot that a manager works for."""

    folder: Path  # the slot's own
    output: Path  # where a child's output goes
    unit: str  # of systemd; empty where the service has none


class Sight(NamedTuple):
    """What a manager sees of a service. `alive`: it is there, be it only about to start or to end.
    `problem`: why it does not serve yet or any more; empty where it does, as far as is known."""

    alive: bool
    problem: str


class Ended(NamedTuple):
    """How a service ended, in words to go on with; whether the manager starts it again itself."""

    how: str
    returns: bool = False


class Manager(Protocol):
    """Of one slot, called from one task. All raise ServiceError or NodeError with what went wrong,
    in a sentence."""

    renews: bool  # whether a start after an end needs a token of its own

    async def start(self, launch: Launch, token: str) -> Handle:
        """Start it and return as soon as it runs (not: is healthy). The token is in the journal
        before, and a service that carries it is found by it."""

    async def find(self, token: str) -> Handle | None:
        """The service that was started with this token, if it runs or is about to; or what it has
        left behind, which `look` says is not alive, for `stop`."""

    async def look(self, handle: Handle) -> Sight:
        """At just this service: not one that was started since, or after a reboot."""

    async def wait(self, handle: Handle) -> Ended:
        """Return once it has ended. Several may wait."""

    async def stop(self, handle: Handle, grace_seconds: float) -> Ending:
        """End it and all that descends from it or has its token: asked first, killed after the
        grace; "cut short" if the manager had killed it before that, "gone" if it had ended by
        itself. Cancelled, it can be called again."""

    async def tail(self, handle: Handle) -> str:
        """The last lines that it wrote, as plain text."""


def ending_in_words(ending: Ending, grace_seconds: float) -> str:
    """For a log, and for the result of a command."""
    return {
        "stopped": "stopped",
        "killed": f"killed, having ignored SIGTERM for {grace_seconds:g} s",
        "cut short": "killed, having ignored SIGTERM for as long as its unit says",
        "gone": "had ended before",
    }[ending]
