"""A small world for written histories: one app on a few nodes, and what happens in plain words.

@on_stage("a", "b")
async def test_a_command_that_slept(stage: Stage) -> None:
    await stage.deployed("1")
    stage.hold_commands("a")
    …
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import invariants
import operators
from world import App, World, finally_holds, run

from tidegate_controller.core import types as t
from tidegate_controller.errors import TidegateError
from tidegate_protos.v1 import agent_pb2 as pb


class Stage:
    """All waits are in virtual time. `app` may be changed before the first deployment."""

    def __init__(self, world: World, nodes: tuple[str, ...]) -> None:
        self.world = world
        for node in nodes:
            world.add_node(node)
        self.app = world.add_app(App("shop", list(nodes)))

    # --- What people do -------------------------------------------------------------------------

    async def begin(self, version: str, **behaviour: Any) -> str:
        """Ask for a deployment; the rollout's id. Raises the refusal. `behaviour`: of `Program`."""
        await self.world.until(self.world.all_here)
        known = [p for p in self.world.programs.by_digest.values() if p.version == version]
        program = known[0] if known else self.world.program("shop", version, **behaviour)
        return _rollout(await operators.deploy(self.world, self.app, program))

    async def deploy(self, version: str, **behaviour: Any) -> str:
        """How the rollout ended."""
        await self.begin(version, **behaviour)
        return await self.ended()

    async def deployed(self, *versions: str) -> None:
        for version in versions:
            assert await self.deploy(version) == "succeeded"

    async def rollback(self) -> str:
        """How it ended."""
        _rollout(await operators.rollback(self.world, self.app))
        return await self.ended()

    async def answer(self, said: str) -> None:
        (rollout, _), *_ = operators.waiting(self.world)
        await operators.answer(self.world, rollout, said)

    # --- What happens to machines and lines -----------------------------------------------------

    def hold_commands(self, node: str) -> None:
        """They sleep in a queue until `release`."""
        self.world.network.hold(node)

    def release(self, node: str) -> int:
        """How many had slept."""
        return self.world.network.release(node)

    def send_again(self, node: str) -> int:
        """Every command that it was ever sent; how many."""
        sent = list(self.world.network.sent.get(node, ()))
        for number, instruction in enumerate(sent):
            self.world.network.deliver(node, instruction, 0.01 * number)
        return len(sent)

    async def wipe_disk(self, node: str, away_seconds: float = 5.0) -> None:
        """The machine comes back with an empty one."""
        life = self.world.agents[node]
        life.stop()
        await asyncio.sleep(0.1)
        self.world.machines[node].wipe()
        await asyncio.sleep(away_seconds)
        life.start()

    async def controller_away(self, seconds: float) -> None:
        self.world.controller.stop()
        await asyncio.sleep(seconds)
        self.world.controller.start()

    # --- Waiting --------------------------------------------------------------------------------

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def until(self, done: Callable[[], bool]) -> None:
        assert await self.world.until(done), "it never came to that"

    async def at(self, step: str) -> None:
        """Until the rollout is at this step."""
        await self.until(lambda: self.step == step)

    async def ended(self) -> str:
        """Until the rollout has ended; how."""
        await self.until(lambda: self.world.controller.listens and self.state.rollout is None)
        return self.endings[-1]

    async def settled(self) -> None:
        """Until nothing is left to be done; then all must be as the log says."""
        self.world.heal()
        await self.until(lambda: self.world.idle() and self.world.all_here())
        finally_holds(self.world)
        invariants.every_node_runs_what_the_log_says(self.world, self.app.stream)

    # --- What can be seen -----------------------------------------------------------------------

    @property
    def state(self) -> t.State:
        return self.world.state(self.app.stream)

    @property
    def step(self) -> str:
        rollout = self.state.rollout
        if rollout is None or rollout.cursor == len(rollout.plan):
            return ""
        return rollout.plan[rollout.cursor].id

    @property
    def endings(self) -> list[str]:
        return self.world.judge.past(self.app.stream).endings

    @property
    def serving(self) -> dict[str, str]:
        """Node -> version that really gets its requests."""
        return self.world.serving(self.app.stream)

    def running(self, node: str) -> list[str]:
        """Versions that really run there."""
        services = self.world.machines[node].services.values()
        return [service.version for service in services if service.alive]

    def outcomes(self, node: str) -> list[str]:
        """What the node has said of commands, the last ones."""
        said = self.world.network.said.get(node, ())
        return [pb.Outcome.Name(report.finished.outcome)[8:].lower() for report in said]


def _rollout(reply: Any) -> str:
    if isinstance(reply, TidegateError):
        raise reply
    return str(reply.rollout)


Test = Callable[[Stage], Awaitable[None]]


def on_stage(*nodes: str, seed: int = 1) -> Callable[[Test], Callable[[], None]]:
    """A test of pytest's that lets the history happen, and breaks no invariant meanwhile."""

    def made(history: Test) -> Callable[[], None]:
        async def story(world: World) -> None:
            await history(Stage(world, nodes))

        def test() -> None:
            run(seed, story, tracing=True)

        test.__name__, test.__doc__ = history.__name__, history.__doc__
        return test

    return made
