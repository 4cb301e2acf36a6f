"""A controller that does nothing of itself: it welcomes agents and hands out what it is given."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

from tidegate_protos.v1 import agent_pb2 as pb
from tidegate_protos.v1.agent_pb2_grpc import AgentLinkServicer, add_AgentLinkServicer_to_server


class FakeController(AgentLinkServicer):
    """`reports` are all that came, `hellos` the first of each connection."""

    def __init__(self) -> None:
        self.address = ""
        self.hellos: list[pb.Hello] = []
        self.reports: list[pb.Report] = []
        self.welcome = pb.Welcome(epoch=1, heartbeat_seconds=0.05, log_id="log-1")
        self.refusal = ""
        self._instructions: asyncio.Queue[pb.Instruction] = asyncio.Queue()  # the last agent's

    @asynccontextmanager
    async def running(self) -> AsyncIterator["FakeController"]:
        server = grpc.aio.server()
        add_AgentLinkServicer_to_server(self, server)
        self.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        try:
            yield self
        finally:
            await server.stop(None)

    async def Connect(
        self,
        request_iterator: AsyncIterator[pb.Report],
        context: "grpc.aio.ServicerContext[pb.Report, pb.Instruction]",
    ) -> AsyncIterator[pb.Instruction]:
        if self.refusal:
            await context.abort(grpc.StatusCode.ALREADY_EXISTS, self.refusal)
        reports = aiter(request_iterator)
        hello = (await anext(reports)).hello
        instructions = self._instructions = asyncio.Queue()
        self.hellos.append(hello)
        yield pb.Instruction(welcome=self.welcome)
        reading = asyncio.create_task(self._read(reports))
        try:
            while not reading.done():
                waiting = asyncio.create_task(instructions.get())
                await asyncio.wait({waiting, reading}, return_when=asyncio.FIRST_COMPLETED)
                if not waiting.done():
                    waiting.cancel()
                    return
                yield waiting.result()
        finally:
            reading.cancel()

    async def _read(self, reports: AsyncIterator[pb.Report]) -> None:
        async for report in reports:
            self.reports.append(report)

    def send(self, command: pb.Command) -> pb.Command:
        self._instructions.put_nowait(pb.Instruction(command=command))
        return command

    def finished(self, command_id: str) -> list[pb.Finished]:
        found = (report.finished for report in self.reports if report.HasField("finished"))
        return [finished for finished in found if finished.command_id == command_id]
