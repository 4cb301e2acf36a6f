"""One connection, by a wire that does what a test wants."""

import asyncio
from collections.abc import AsyncIterator

from one_node import OneNode, until

from tidegate_agent.session import converse
from tidegate_protos.v1 import agent_pb2 as pb

OFTEN_SECONDS = 0.01


class FakeWire:
    """Gives what it is given, then nothing until somebody hangs up."""

    def __init__(self, *instructions: pb.Instruction, fails: bool = False) -> None:
        self.instructions = instructions
        self.fails = fails
        self.over = asyncio.Event()
        self.reports: list[pb.Report] = []

    async def __aiter__(self) -> AsyncIterator[pb.Instruction]:
        for instruction in self.instructions:
            yield instruction
        await self.over.wait()

    async def write(self, report: pb.Report) -> None:
        if self.fails:
            raise BrokenPipeError("nobody reads")
        self.reports.append(report)

    def cancel(self) -> None:
        self.over.set()


def welcome() -> pb.Instruction:
    return pb.Instruction(welcome=pb.Welcome(heartbeat_seconds=OFTEN_SECONDS))


async def test_a_wire_that_takes_no_reports_is_hung_up(node: OneNode) -> None:
    wire = FakeWire(welcome(), fails=True)
    async with asyncio.timeout(10.0):
        await converse(node.agent, wire, lambda: None)
    assert wire.over.is_set()


async def test_after_a_second_welcome_one_heart_beats_and_none_after_the_end(
    node: OneNode,
) -> None:
    before = asyncio.all_tasks()
    wire = FakeWire(welcome(), welcome())
    talk = asyncio.create_task(converse(node.agent, wire, lambda: None))
    await until(lambda: len(wire.reports) > 3)
    beating = [task for task in asyncio.all_tasks() - before if "_beat" in repr(task.get_coro())]
    assert len(beating) == 1
    wire.cancel()
    await talk
    await asyncio.wait(beating)
