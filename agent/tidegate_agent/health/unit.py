"""The health check `unit`: the service manager says that the app runs, and that is enough."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tidegate_agent.errors import AgentError
from tidegate_agent.health.kind import Context, Fill
from tidegate_protos.v1 import agent_pb2 as pb


@dataclass(frozen=True)
class Unit:
    """`is_active` is the service manager's word for this slot."""

    is_active: Callable[[], Awaitable[bool]]

    def __str__(self) -> str:
        return "state of the service"

    async def ask(self, timeout_seconds: float) -> str | None:
        try:
            async with asyncio.timeout(timeout_seconds):
                active = await self.is_active()
        except TimeoutError:
            return f"the service manager did not answer within {timeout_seconds:g} s"
        except (AgentError, OSError) as error:
            return f"the service manager could not be asked: {error}"
        return None if active else "the service manager says that the service is not active"


def of(_health: pb.HealthCheck, _fill: Fill, context: Context) -> Unit:
    return Unit(context.is_active)
