"""The agents' side of the controller over gRPC: one bidirectional stream an agent."""

import logging
from collections.abc import AsyncIterator
from contextlib import aclosing

import grpc

from tidegate_controller.agent_session import AgentSessions, TurnedAway
from tidegate_controller.engine import Engine
from tidegate_controller.errors import TidegateError
from tidegate_controller.nodes import Nodes
from tidegate_protos.v1 import agent_pb2 as pb
from tidegate_protos.v1.agent_pb2_grpc import AgentLinkServicer

log = logging.getLogger(__name__)

CODES = {
    "silent": grpc.StatusCode.DEADLINE_EXCEEDED,
    "wrong": grpc.StatusCode.INVALID_ARGUMENT,
    "taken": grpc.StatusCode.ALREADY_EXISTS,
}

Context = grpc.aio.ServicerContext[pb.Report, pb.Instruction]


class AgentService(AgentLinkServicer):
    """Carries the sessions of agents."""

    def __init__(self, engine: Engine, nodes: Nodes) -> None:
        self._sessions = AgentSessions(engine, nodes)

    async def Connect(
        self, request_iterator: AsyncIterator[pb.Report], context: Context
    ) -> AsyncIterator[pb.Instruction]:
        conversation = self._sessions.converse(_until_the_end(request_iterator), "grpc")
        try:
            async with aclosing(conversation) as instructions:
                async for instruction in instructions:
                    yield instruction
        except TurnedAway as refusal:
            await context.abort(CODES[refusal.kind], refusal.why)
        except TidegateError as error:  # the controller is about to end, and says why
            await context.abort(grpc.StatusCode.UNAVAILABLE, error.message)


async def _until_the_end(reports: AsyncIterator[pb.Report]) -> AsyncIterator[pb.Report]:
    """A stream that breaks has ended like one that was closed."""
    try:
        async for report in reports:
            yield report
    except grpc.aio.AioRpcError as error:
        log.debug("a stream broke: %s", error.code().name)
