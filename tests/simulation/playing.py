"""A small world for written histories: one app on a few nodes, and what happens in plain words.

@on_stage("a", "b")
async def test_a_command_that_slept(stage: Stage) -> None:
    await stage.deployed("1")
    stage.hold_commands("a")
    …
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import invariants
import operators
from world import LOOK_SECONDS, App, World, finally_holds, run

from tidegate_controller.core import types as t
from tidegate_controller.core.releases import active_release
from tidegate_controller.errors import TidegateError
from tidegate_protos.v1 import agent_pb2 as pb
from tidegate_protos.v1 import operator_pb2 as op

SHORT_SECONDS = 0.005  # nothing that agents are asked to do takes less


class Stage:
    """All waits are in virtual time. `app` may be changed before the first deployment."""

    def __init__(self, world: World, nodes: tuple[str, ...]) -> None:
        self.world = world
        for node in nodes:
            world.add_node(node)
        self.app = world.add_app(App("shop", list(nodes)))

    def configure(self, strategy: str = "blue-green", **more: Any) -> None:
        """`more`: fields of the spec."""
        self.app.strategy, self.app.more = strategy, more

    # --- What people do -------------------------------------------------------------------------

    async def begin(self, version: str, **behaviour: Any) -> str:
        """Ask for a deployment once all are here; the rollout's id. Raises the refusal.
        `behaviour`: of `Program`."""
        await self.world.until(self.world.all_here)
        return await self.begin_with_whom_is_here(version, **behaviour)

    async def begin_with_whom_is_here(self, version: str, **behaviour: Any) -> str:
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

    async def rollback(self, *, without_absent: bool = False) -> str:
        """How it ended."""
        reply = operators.rollback(self.world, self.app, without_absent=without_absent)
        _rollout(await reply)
        return await self.ended()

    async def abort(self) -> None:
        assert self.state.rollout is not None
        request = op.ControlRequest(
            request_id=operators.request_id(self.world),
            rollout=self.state.rollout.id,
            requested_by="ada",
        )
        _rollout(await operators.insist(self.world, lambda c: c.control.abort(request)))

    async def unquarantine(self, version: str) -> None:
        request = op.QuarantineRequest(
            request_id=operators.request_id(self.world),
            release=version,
            requested_by="ada",
            lift=True,
        )
        stream = self.app.stream
        await operators.insist(self.world, lambda c: c.control.quarantine(stream, request))

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

    def let_later_ones_through(self, node: str) -> Callable[[], None]:
        """What has been held sleeps on; what is sent from now on arrives. Call it to wake them."""
        slept = self.world.network.held.pop(node)
        assert slept, "nothing had been sent"

        def arrive() -> None:
            for number, instruction in enumerate(slept):
                self.world.network.deliver(node, instruction, 0.01 * number)

        return arrive

    def kill_agent(self, node: str, steps: int = 0) -> None:
        """So many awaits from now; it is started again, as systemd does."""
        self.world.agents[node].kill_after(steps)

    def cut_off(self, node: str) -> None:
        """The controller cannot reach it; all else goes on there."""
        self.world.network.part(node)

    def reach_again(self, node: str) -> None:
        self.world.network.join(node)

    def goes_down(self, node: str) -> None:
        """The machine does not answer, nothing runs on it, and it stays so."""
        self.cut_off(node)
        self.world.agents[node].stop()
        self.world.machines[node].reboot()

    def comes_up(self, node: str) -> None:
        self.reach_again(node)
        self.world.agents[node].start()

    def crash(self, node: str) -> None:
        """All that runs there."""
        machine = self.world.machines[node]
        for service in list(machine.services.values()):
            machine.crash(service)

    def fail_all_checks(self, seconds: float) -> None:
        """Of whatever runs now, as where the database of all has died."""
        for machine in self.world.machines.values():
            for service in machine.services.values():
                service.flapping_until = self.world.now + seconds

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

    async def until(self, done: Callable[[], bool], every: float = LOOK_SECONDS) -> None:
        assert await self.world.until(done, every=every), "it never came to that"

    async def gone(self, node: str) -> None:
        """Until the controller has noticed."""
        sessions = self.world.controller.engine.fleet.sessions
        await self.until(lambda: node not in sessions)

    async def at(self, step: str) -> None:
        """Until the rollout is at this step, however short that is."""
        await self.until(lambda: self.step == step, every=SHORT_SECONDS)

    async def asked(self) -> t.Wait:
        """Until a person is; what."""
        await self.until(lambda: self.question is not None)
        assert self.question is not None
        return self.question

    async def ended(self) -> str:
        """Until the rollout that is under way has ended, whatever begins after it; how."""
        controller = self.world.controller
        await self.until(lambda: controller.listens)
        present = self._under_way
        await self.until(lambda: controller.listens and (not present or self._under_way != present))
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
    def _under_way(self) -> str:
        return self.state.rollout.id if self.state.rollout is not None else ""

    @property
    def step(self) -> str:
        rollout = self.state.rollout
        if rollout is None or rollout.cursor == len(rollout.plan):
            return ""
        return rollout.plan[rollout.cursor].id

    @property
    def question(self) -> t.Wait | None:
        """What a person is asked just now."""
        if not self.world.controller.listens or self.state.rollout is None:
            return None
        return self.state.rollout.waiting

    @property
    def owed(self) -> Mapping[str, str]:
        """Node or place -> what it owes, in words."""
        return self.state.debts

    @property
    def active(self) -> str:
        """The version that the log has as the one that was deployed last."""
        release = active_release(self.state)
        return release.version if release else ""

    @property
    def quarantined(self) -> list[str]:
        return [each.version for each in self.state.quarantined]

    @property
    def moves(self) -> int:
        """How often traffic really moved."""
        return self.world.balancer(self.app.stream).moves

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

    def started(self, node: str) -> list[str]:
        """Versions of all processes that were ever begun there."""
        return [service.version for service in self.world.machines[node].services.values()]

    def on_disk(self, node: str) -> set[str]:
        """Versions that are unpacked there."""
        releases = self.world.machines[node].folder / "apps" / self.app.name / "releases"
        programs = self.world.programs
        return {programs.of(path.stem).version for path in releases.glob("*.ok")}

    def commands(self, node: str, kind: str) -> int:
        """How many of this kind it was sent, of the last ones."""
        sent = self.world.network.sent.get(node, ())
        return sum(one.command.WhichOneof("work") == kind for one in sent)

    def script_runs(self, script: str) -> int:
        """How often it was begun, on all nodes."""
        counts = [machine.script_runs for machine in self.world.machines.values()]
        return sum(n for runs in counts for (_, name), n in runs.items() if name == script)

    def outcomes(self, node: str) -> list[str]:
        """What the node has said of commands, the last ones."""
        said = self.world.network.said.get(node, ())
        return [pb.Outcome.Name(report.finished.outcome)[8:].lower() for report in said]


def _rollout(reply: Any) -> str:
    if isinstance(reply, TidegateError):
        raise reply
    return str(reply.rollout)


Test = Callable[..., Awaitable[None]]


def on_stage(*nodes: str, seed: int = 1) -> Callable[[Test], Callable[[], None]]:
    """A test of pytest's that lets the history happen, and breaks no invariant meanwhile. What else
    the history takes is given by pytest."""

    def made(history: Test) -> Callable[[], None]:
        def test(**given: Any) -> None:
            async def story(world: World) -> None:
                try:
                    await history(Stage(world, nodes), **given)
                except AssertionError as failure:
                    failure.add_note("\n".join(world.trace))
                    raise

            run(seed, story, tracing=True)

        test.__name__, test.__doc__ = history.__name__, history.__doc__
        _, *others = inspect.signature(history).parameters.values()
        test.__signature__ = inspect.Signature(others)  # type: ignore[attr-defined]
        return test

    return made
