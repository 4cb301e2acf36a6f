"""The network between agents and the controller: late, cut, silent, and now and then out of order.

A `Line` is one connection. Within it messages arrive in order, unless the network is told to behave
like a broker: then commands are held, come twice, or come long after they were sent.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Generic, Protocol, TypeVar

import grpc
from virtual_time import OUTSIDE, VirtualLoop

from tidegate_protos.v1 import agent_pb2 as pb

KEEPALIVE_SECONDS = 30.0  # after so long without a sign an agent hangs up
REMEMBERED = 60  # commands and results of a node that may come again

T = TypeVar("T")


class Controller(Protocol):
    """Where lines end."""

    @property
    def listens(self) -> bool: ...
    def answer(self, line: "Line") -> None: ...


def broken(details: str) -> grpc.aio.AioRpcError:
    nothing = grpc.aio.Metadata()
    return grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, nothing, nothing, details)


class Pipe(Generic[T]):
    """One direction of a line. What is sent arrives in the order in which it was sent."""

    def __init__(self, loop: VirtualLoop, latency: Callable[[], float]) -> None:
        self.dead = False  # nothing arrives any more, and nobody notices
        self._loop = loop
        self._latency = latency
        self._arrived: deque[T | Exception | None] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._last = 0.0

    def send(self, item: T) -> None:
        self._last = max(self._last, self._loop.time() + self._latency())
        self._loop.call_at(self._last, self._arrive, item, context=OUTSIDE)

    def send_anyhow(self, item: T, seconds: float) -> None:
        """After so long, whatever else is under way."""
        self._loop.call_later(seconds, self._arrive, item, context=OUTSIDE)

    def end(self, seconds: float, error: Exception | None = None) -> None:
        self._loop.call_later(seconds, self._end, error, context=OUTSIDE)

    def _end(self, error: Exception | None) -> None:
        self._put(error)
        self.dead = True

    def _arrive(self, item: T) -> None:
        if not self.dead:
            self._put(item)

    def _put(self, item: T | Exception | None) -> None:
        self._arrived.append(item)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def __aiter__(self) -> AsyncIterator[T]:
        while True:
            while not self._arrived:
                self._waiter = self._loop.create_future()
                await self._waiter
            item = self._arrived.popleft()
            if item is None:
                return
            if isinstance(item, Exception):
                raise item
            yield item


class Line:
    """One connection of a node. The agent's side is a `session.Wire`."""

    def __init__(self, network: "Network", node: str) -> None:
        self.node = node
        self.network = network
        self.up: Pipe[pb.Report] = Pipe(network.loop, lambda: network.latency(node))
        self.down: Pipe[pb.Instruction] = Pipe(network.loop, lambda: network.latency(node))

    # The agent's side

    def __aiter__(self) -> AsyncIterator[pb.Instruction]:
        return aiter(self.down)

    async def write(self, report: pb.Report) -> None:
        self.network.sees_report(self, report)
        self.up.send(report)

    def cancel(self) -> None:
        self.cut(0.0)

    # The controller's side

    def tell(self, instruction: pb.Instruction) -> None:
        if not self.network.keeps(self, instruction):
            self.down.send(instruction)

    # What happens to it

    def cut(self, seconds: float) -> None:
        """Both sides notice within so long; what is under way is lost."""
        rng = self.network.rng
        self.up.dead = self.down.dead = True
        self.up.end(rng.uniform(0.0, seconds))
        self.down.end(rng.uniform(0.0, seconds), broken("the connection was reset"))

    def fall_silent(self) -> None:
        """Nothing arrives any more; the controller notices by itself, the agent by its pings."""
        self.up.dead = self.down.dead = True
        self.down.end(KEEPALIVE_SECONDS, broken("keepalive timed out"))


class Network:
    """All lines. `on_command` hears of each command that leaves the controller."""

    def __init__(
        self, loop: VirtualLoop, rng: Random, on_command: Callable[[pb.Command], None]
    ) -> None:
        self.loop = loop
        self.rng = rng
        self.controller: Controller | None = None
        self.lines: dict[str, Line] = {}
        self.parted: set[str] = set()  # nodes that cannot be reached
        self.slow: dict[str, float] = {}  # node -> seconds more for each message
        self.jumbled: set[str] = set()  # nodes whose commands overtake each other
        self.held: dict[str, list[pb.Instruction]] = {}  # commands that wait for their release
        self.sent: dict[str, deque[pb.Instruction]] = {}  # commands to each node, the last ones
        self.said: dict[str, deque[pb.Report]] = {}  # results of each node, the last ones
        self._owed: dict[str, list[pb.Instruction]] = {}  # to be delivered once there is a line
        self._on_command = on_command

    def latency(self, node: str) -> float:
        more = self.slow.get(node, 0.0)
        return self.rng.uniform(0.001, 0.01) + (self.rng.uniform(0.0, more) if more else 0.0)

    async def connect(self, node: str) -> Line:
        """Raises gRPC's error where there is no way, or nobody."""
        await asyncio.sleep(self.latency(node))
        if node in self.parted:
            await asyncio.sleep(2.0)
            raise broken("no route to the controller")
        if self.controller is None or not self.controller.listens:
            raise broken("connection refused")
        line = self.lines[node] = Line(self, node)
        self.controller.answer(line)
        for number, instruction in enumerate(self._owed.pop(node, [])):
            line.down.send_anyhow(instruction, 0.5 + 0.001 * number)
        return line

    # --- What it sees, and keeps ----------------------------------------------------------------

    def keeps(self, line: Line, instruction: pb.Instruction) -> bool:
        """Whether it delivers this in its own time."""
        if not instruction.HasField("command"):
            return False
        self._on_command(instruction.command)
        self.sent.setdefault(line.node, deque(maxlen=REMEMBERED)).append(instruction)
        if line.node in self.held:
            self.held[line.node].append(instruction)
            return True
        if line.node in self.jumbled:
            line.down.send_anyhow(instruction, self.rng.uniform(0.0, 5.0))
            return True
        return False

    def sees_report(self, line: Line, report: pb.Report) -> None:
        if report.HasField("finished"):
            self.said.setdefault(line.node, deque(maxlen=REMEMBERED)).append(report)

    # --- What a broker does ---------------------------------------------------------------------

    def hold(self, node: str) -> None:
        self.held.setdefault(node, [])

    def release(self, node: str) -> int:
        """Deliver what was held, over whatever line there is now; how many."""
        waiting = self.held.pop(node, [])
        for number, instruction in enumerate(waiting):
            self.deliver(node, instruction, 0.001 * (number + 1))
        return len(waiting)

    def deliver(self, node: str, instruction: pb.Instruction, seconds: float) -> None:
        """As a message of its own; to a node that is away, when it comes."""
        again = pb.Instruction()
        again.CopyFrom(instruction)
        line = self.lines.get(node)
        if line is None or line.down.dead:
            self._owed.setdefault(node, []).append(again)
        else:
            line.down.send_anyhow(again, seconds)

    def repeat_reports(self, node: str) -> None:
        if (line := self.lines.get(node)) is not None:
            for report in self.said.get(node, ()):
                line.up.send_anyhow(report, self.rng.uniform(0.0, 2.0))

    # --- What goes wrong ------------------------------------------------------------------------

    def part(self, node: str) -> None:
        self.parted.add(node)
        if (line := self.lines.get(node)) is not None:
            line.fall_silent()

    def join(self, node: str) -> None:
        self.parted.discard(node)

    def cut(self, node: str, seconds: float = 0.5) -> None:
        if (line := self.lines.get(node)) is not None:
            line.cut(seconds)

    def cut_all(self) -> None:
        for node in self.lines:
            self.cut(node)

    def heal(self) -> None:
        self.parted.clear()
        self.slow.clear()
        self.jumbled.clear()
        for node in list(self.held):
            self.release(node)
