"""What people ask of the controller in the simulation. To add a request: a function with its line
in `REQUESTS`, and how often it is drawn.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from programs import Program, random_program

from tidegate_controller.errors import TidegateError
from tidegate_controller.log import encode
from tidegate_protos.v1 import operator_pb2 as pb

if TYPE_CHECKING:
    from random import Random

    from lives import ControllerLife
    from world import App, World

TRIES = 40  # of a request that the controller has not answered


async def insist(world: "World", call: Callable[["ControllerLife"], Awaitable[Any]]) -> Any:
    """Ask until there is an answer, as the command line does with the same request id. An error is
    an answer; None where the controller never came back."""
    for _ in range(TRIES):
        try:
            return await world.controller.ask(call)
        except ConnectionError:
            await asyncio.sleep(1.0)
        except TidegateError as refusal:
            world.tell(f"refused      {refusal.message}")
            return refusal
    return None


def request_id(world: "World") -> str:
    world.requests += 1
    return f"request-{world.requests}"


async def deploy(world: "World", app: "App", program: Program, *, again: bool = False) -> Any:
    """A `RolloutReply`, or the error that was the answer."""
    world.tell(f"asked        deploy {app.stream} {program.version} ({program.fate})")
    request = pb.DeployRequest(
        request_id=request_id(world),
        version=program.version,
        digest=program.digest,
        spec=encode(app.spec()),
        requested_by="ada",
        again=again,
        url="http://artifacts/x",
        size_bytes=program.size_bytes,
    )
    return await insist(world, lambda controller: controller.requests.deploy(request))


async def rollback(
    world: "World", app: "App", *, to: str = "", without_absent: bool = False
) -> Any:
    world.tell(f"asked        rollback {app.stream} {to}")
    request = pb.RollbackRequest(
        request_id=request_id(world),
        app=app.name,
        environment=app.environment,
        requested_by="ada",
        without_absent=without_absent,
        to=to,
    )
    return await insist(world, lambda controller: controller.requests.rollback(request))


async def answer(world: "World", rollout: str, said: str) -> Any:
    world.tell(f"asked        {said} {rollout}")
    if said == "continue" and world.controller.listens:
        world.move_by_hand(rollout)
    request = pb.AnswerRequest(
        request_id=request_id(world), rollout=rollout, answer=said, answered_by="ada"
    )
    return await insist(world, lambda controller: controller.control.answer(request))


async def clean_up(world: "World", app: "App") -> Any:
    world.tell(f"asked        cleanup {app.stream}")
    request = pb.CleanUpRequest(
        request_id=request_id(world),
        app=app.name,
        environment=app.environment,
        requested_by="ada",
    )
    return await insist(world, lambda controller: controller.requests.clean_up(request))


async def remove_node(world: "World", node: str) -> Any:
    world.tell(f"asked        remove node {node}")
    request = pb.RemoveNodeRequest(node=node, requested_by="ada")
    return await insist(world, lambda controller: controller.requests.remove_node(request))


def waiting(world: "World") -> list[tuple[str, tuple[str, ...]]]:
    """Rollouts that wait for a person, with what may be answered."""
    if not world.controller.listens:
        return []
    found = []
    for stream in world.controller.engine.streams.values():
        rollout = stream.state.rollout
        if rollout is not None and rollout.waiting is not None:
            found.append((rollout.id, rollout.waiting.answers))
    return found


# --- At random -----------------------------------------------------------------------------------


async def some_deploy(world: "World", app: "App", rng: "Random") -> None:

    old = [p for p in world.programs.by_digest.values() if p.app == app.name]
    if old and rng.random() < 0.2:
        program = rng.choice(old)
    else:
        version = str(len(old) + 1)
        program = world.programs.add(random_program(rng, app.name, version, list(app.nodes)))
    await deploy(world, app, program, again=rng.random() < 0.2)


async def some_rollback(world: "World", app: "App", rng: "Random") -> None:
    await rollback(world, app, without_absent=rng.random() < 0.5)


async def some_answer(world: "World", app: "App", rng: "Random") -> None:
    for rollout, answers in waiting(world):
        await answer(world, rollout, rng.choice([*answers, "abort"]))


async def some_clean_up(world: "World", app: "App", rng: "Random") -> None:
    await clean_up(world, app)


async def some_removal(world: "World", app: "App", rng: "Random") -> None:
    """Of a node that is gone, or said to be."""
    node = rng.choice(list(app.nodes))
    await remove_node(world, node)


Ask = Callable[["World", "App", "Random"], Awaitable[None]]

# Each with how often it is drawn, beside the others.
REQUESTS: dict[str, tuple[Ask, float]] = {
    "deploy": (some_deploy, 8.0),
    "rollback": (some_rollback, 3.0),
    "answer": (some_answer, 4.0),
    "clean up": (some_clean_up, 1.0),
    "remove node": (some_removal, 0.5),
}
