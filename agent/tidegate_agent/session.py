"""One connection to the controller, from Hello until it ends, whatever carries it.

Called by the transports: link.py has gRPC's.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from tidegate_agent.agent import Agent
from tidegate_protos.v1 import agent_pb2 as pb

log = logging.getLogger(__name__)

REPORTS_MAX = 1000  # waiting for a slow controller; then the connection is opened anew
HEARTBEAT_SECONDS = 5.0  # until the controller names its own


class Wire(Protocol):
    """What a connection has to offer. Its errors are the transport's own, and end the session."""

    def __aiter__(self) -> AsyncIterator[pb.Instruction]:
        """What the controller says, until it hangs up."""

    async def write(self, report: pb.Report) -> None: ...

    def cancel(self) -> object:
        """Hang up."""


async def converse(agent: Agent, wire: Wire, on_welcome: Callable[[], None]) -> None:
    """Say Hello, take what comes, report, until the wire ends."""
    reports: asyncio.Queue[pb.Report] = asyncio.Queue(REPORTS_MAX)

    def send(report: pb.Report) -> None:
        try:
            reports.put_nowait(report)
        except asyncio.QueueFull:
            log.warning("the controller takes no reports")
            wire.cancel()

    with agent.reporting_to(send):  # before the Hello is made, or what changes meanwhile is lost
        hello = pb.Report(hello=await agent.hello())
        sender = asyncio.create_task(_send_all(hello, reports, wire))
        sender.add_done_callback(lambda task: _hang_up(task, wire))
        beating: asyncio.Task[None] | None = None
        try:
            async for instruction in wire:
                if instruction.HasField("welcome"):
                    on_welcome()
                    agent.welcomed(instruction.welcome)
                    every = instruction.welcome.heartbeat_seconds or HEARTBEAT_SECONDS
                    if beating is not None:
                        beating.cancel()
                    beating = asyncio.create_task(_beat(agent, every))
                else:
                    agent.take(instruction)
        finally:
            for task in (sender, beating):
                if task is not None:
                    task.cancel()


def _hang_up(sender: "asyncio.Task[None]", wire: Wire) -> None:
    """A connection that takes no reports is none, though instructions may still come."""
    if sender.cancelled():
        return
    log.info("the link takes no reports any more: %s", sender.exception())
    wire.cancel()


async def _beat(agent: Agent, every: float) -> None:
    """A sign of life, whatever can or cannot be measured."""
    while True:
        try:
            heartbeat = agent.heartbeat()
        except Exception:
            log.exception("the machine could not be measured")
            heartbeat = pb.Heartbeat()
        agent.report(pb.Report(heartbeat=heartbeat))
        await asyncio.sleep(every)


async def _send_all(hello: pb.Report, reports: asyncio.Queue[pb.Report], wire: Wire) -> None:
    await wire.write(hello)
    while True:
        await wire.write(await reports.get())
