"""A health check as a whole: how to ask, how often, and from when on the answer counts.

`check_of` makes one of what the controller sent; `watch` uses it.
"""

import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from tidegate_agent.errors import ServiceError
from tidegate_agent.health import exec as execute
from tidegate_agent.health import grpc, http, tcp, unit
from tidegate_agent.health.kind import Context, Fill, Kind
from tidegate_protos.rules import render
from tidegate_protos.v1 import agent_pb2 as pb

HASTE_SECONDS = 2.0

# Each is made of its own part of the message.
KINDS: dict[str, Callable[[pb.HealthCheck, Fill, Context], Kind]] = {
    "http": http.of,
    "tcp": tcp.of,
    "exec": execute.of,
    "grpc": grpc.of,
    "unit": unit.of,
}


@dataclass(frozen=True)
class Check:
    """`kind` is asked every `every_seconds`; `failures` in a row make a healthy slot unhealthy.

    After a start nothing is asked for `start_grace_seconds`; the deadline counts from the start.
    Raises ServiceError where a value makes no sense.
    """

    kind: Kind
    every_seconds: float
    timeout_seconds: float
    failures: int
    healthy_after_seconds: float
    deadline_seconds: float
    start_grace_seconds: float = 0.0

    def __post_init__(self) -> None:
        for name in ("every_seconds", "timeout_seconds", "deadline_seconds", "failures"):
            value: float = getattr(self, name)
            if not (value > 0 and math.isfinite(value)):
                raise ServiceError(f"health check: {name} must be above 0, not {value}")
        for name in ("healthy_after_seconds", "start_grace_seconds"):
            value = getattr(self, name)
            if not (value >= 0 and math.isfinite(value)):
                raise ServiceError(f"health check: {name} must be 0 or more, not {value}")


def check_of(health: pb.HealthCheck, words: Mapping[str, str], context: Context) -> Check:
    """The check that the controller sent, with `words` for its placeholders. Raises ServiceError
    for what cannot be asked."""

    def fill(text: str) -> str:
        try:
            return render(text, words)
        except ValueError as error:
            raise ServiceError(f"health check: {error}") from error

    kind = health.WhichOneof("kind")
    if kind is None:
        raise ServiceError(
            f"the health check is of a kind that this agent does not know; it knows: "
            f"{', '.join(KINDS)}"
        )
    return Check(
        kind=KINDS[kind](health, fill, context),
        every_seconds=health.every_seconds,
        timeout_seconds=health.timeout_seconds,
        failures=health.failures,
        healthy_after_seconds=health.healthy_after_seconds,
        deadline_seconds=health.deadline_seconds,
        start_grace_seconds=health.start_grace_seconds,
    )


def once_up(check: Check, problem: Callable[[], Awaitable[str]]) -> Check:
    """The same check for a slot that starts: `problem` is why its manager says that the app is not
    up yet. Nothing else is asked before that is empty."""
    return replace(check, kind=unit.OnceUp(check.kind, problem))


def in_haste(check: Check) -> Check:
    """The same check for an agent that starts, and is not ready before it has the answer."""
    return replace(check, timeout_seconds=min(check.timeout_seconds, HASTE_SECONDS))


async def probe(check: Check) -> str | None:
    """Ask once: None if healthy, else one sentence that says what was wrong.

    Takes `timeout_seconds` at most.
    """
    return await check.kind.ask(check.timeout_seconds)
