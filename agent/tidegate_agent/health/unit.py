"""The health check `unit`: the service manager says that the app runs, and that is enough.

And what every check begins with while a slot starts: an app whose manager does not say yet that it
is up is not asked.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tidegate_agent.errors import AgentError
from tidegate_agent.health.kind import Context, Fill, Kind
from tidegate_protos.v1 import agent_pb2 as pb


@dataclass(frozen=True)
class Unit:
    """`problem` is the service manager's word for this slot; empty where it has nothing to say."""

    problem: Callable[[], Awaitable[str]]

    def __str__(self) -> str:
        return "state of the service"

    async def ask(self, timeout_seconds: float) -> str | None:
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self.problem() or None
        except TimeoutError:
            return f"the service manager did not answer within {timeout_seconds:g} s"
        except (AgentError, OSError) as error:
            return f"the service manager could not be asked: {error}"


class OnceUp:
    """Asks the manager until it says that the app is up, and from then on only what `kind` asks."""

    def __init__(self, kind: Kind, problem: Callable[[], Awaitable[str]]) -> None:
        self._kind = kind
        self._manager: Unit | None = Unit(problem)

    def __str__(self) -> str:
        return str(self._kind)

    async def ask(self, timeout_seconds: float) -> str | None:
        if self._manager is not None:
            if (said := await self._manager.ask(timeout_seconds)) is not None:
                return said
            self._manager = None
        return await self._kind.ask(timeout_seconds)


def of(_health: pb.HealthCheck, _fill: Fill, context: Context) -> Unit:
    return Unit(context.problem)
