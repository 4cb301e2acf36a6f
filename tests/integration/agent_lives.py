"""Lives of the real agent, each in a process of its own, forked from one that has all it needs.

file_operations.py starts this, beneath strace or not, and writes an order a line to it, as JSON. In
a life an agent comes up, prepares a release in a slot, starts it, switches to it, cleans up and
leaves. The answer is one line: how the process ended and how far it came.
"""

import asyncio
import gc
import json
import logging
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from counted_calls import enter
from one_node import prepare_slot, service, start_slot

from tidegate_agent import unpacker
from tidegate_agent.agent import Agent
from tidegate_protos.v1 import agent_pb2 as pb

APP = "shop"
LIFE_SECONDS = 60.0
WORKS = ("prepare_slot", "start_slot", "switch_slot", "cleanup")


@dataclass(frozen=True)
class Order:
    """`works`: how many of WORKS. A later `attempt` is the same work as new commands, as after a
    failure; the same attempt is what a controller sends again. `wanted`: see counted_calls.py."""

    node: str
    data: str
    slot: str
    url: str
    digest: str
    size_bytes: int
    attempt: int = 1
    works: int = len(WORKS)
    wanted: tuple[str, str, int] = ("", "", 0)


@dataclass(frozen=True)
class Ending:
    """`code`: 0, or what ended the process, as subprocess has it. `done`: outcome and error of each
    command. `broken`: what the agent could not go on with. `warnings`: what it has logged."""

    code: int
    done: dict[str, tuple[str, str]]
    broken: str
    warnings: list[str]

    @property
    def ok(self) -> bool:
        return not self.code and not self.broken and all(o == "OK" for o, _ in self.done.values())

    @property
    def errors(self) -> list[str]:
        """In words, all that the operator is told."""
        told = [error for outcome, error in self.done.values() if outcome != "OK"]
        return told + [self.broken] * bool(self.broken)


class Life:
    def __init__(self, order: Order) -> None:
        self.done: dict[str, tuple[str, str]] = {}
        self.broken = ""
        self.warnings: list[str] = []
        self._order = order
        self._finished: dict[str, asyncio.Future[pb.Finished]] = {}

    async def run(self) -> None:
        order, loop = self._order, asyncio.get_running_loop()
        loop.set_default_executor(
            ThreadPoolExecutor(1, initializer=enter, initargs=("worker", order.wanted))
        )
        start = (
            f"import sys; sys.path.append({str(Path(__file__).parent)!r}); "
            f"from counted_calls import enter; enter('unpack', {order.wanted!r}); "
        )
        unpacker.START_UNPACK = start + unpacker.START_UNPACK
        enter("agent", order.wanted)
        try:
            agent = Agent(order.node, Path(order.data), {}, "127.0.0.1")
            with agent.reporting_to(self._take):
                await agent.start()
                await self._work(agent)
                await agent.stop()
        except Exception as error:
            logging.getLogger(__name__).exception("the agent cannot go on")
            self.broken = str(error)

    async def _work(self, agent: Agent) -> None:
        for name in WORKS[: self._order.works]:
            command = self._command(agent, name)
            self._finished[command.id] = asyncio.get_running_loop().create_future()
            agent.take(pb.Instruction(command=command))
            finished = await asyncio.wait_for(self._finished[command.id], LIFE_SECONDS)
            outcome = pb.Outcome.Name(finished.outcome).removeprefix("OUTCOME_")
            self.done[name] = (outcome, finished.error)
            if finished.outcome != pb.OUTCOME_OK:
                return

    def _take(self, report: pb.Report) -> None:
        ended = self._finished.get(report.finished.command_id)
        if ended is not None and not ended.done():
            ended.set_result(report.finished)

    def _command(self, agent: Agent, name: str) -> pb.Command:
        order = self._order
        version = 10 * order.attempt + WORKS.index(name)
        command = pb.Command(
            id=f"{name}-{order.digest[-8:]}-{order.attempt}",
            node=order.node,
            journal_id=agent._journal.journal_id,
            app=APP,
            environment="production",
            fence=pb.Fence(epoch=1, version=version),
            deadline_seconds=LIFE_SECONDS,
        )
        command.expires_at.seconds = int(time.time()) + 3600
        sleeper = service(command=["sleep", "3600"])
        if name == "prepare_slot":
            command.prepare_slot.CopyFrom(prepare_slot(order.digest, order.slot, service=sleeper))
            command.prepare_slot.artifact.url = order.url
            command.prepare_slot.artifact.size_bytes = order.size_bytes
        elif name == "start_slot":
            by_running = {"unit": pb.UnitCheck(), "http": None, "healthy_after_seconds": 0.0}
            start = start_slot(order.digest, order.slot, service=sleeper, **by_running)
            command.start_slot.CopyFrom(start)
        elif name == "switch_slot":
            command.switch_slot.slot = order.slot
        else:
            command.cleanup.releases = 0
        return command


class Kept(logging.Handler):
    """Warnings, as text."""

    def __init__(self, into: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._into = into

    def emit(self, record: logging.LogRecord) -> None:
        self._into.append(self.format(record))


def live(order: Order, answer: int) -> None:
    """In the forked process: all of a life, and then no more of Python's own leaving."""
    life = Life(order)
    logging.getLogger().handlers = [Kept(life.warnings)]
    asyncio.run(life.run())
    with open(answer, "w") as pipe:
        json.dump([life.done, life.broken, life.warnings], pipe)
    os._exit(0)


def main() -> None:
    gc.freeze()  # what is not touched need not be copied for each life
    for line in sys.stdin:
        fields = json.loads(line)
        order = Order(**{**fields, "wanted": tuple(fields["wanted"])})
        here, there = os.pipe()
        if not (pid := os.fork()):
            os.close(here)
            try:
                live(order, there)
            finally:
                os._exit(70)
        os.close(there)
        with open(here) as pipe:
            text = pipe.read()
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        done, broken, warnings = json.loads(text) if text else ({}, "", [])
        print(json.dumps(asdict(Ending(code, done, broken, warnings))), flush=True)


if __name__ == "__main__":
    main()
