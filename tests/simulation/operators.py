"""What people ask of the controller in the simulation. To add a request: a function with its line
in `REQUESTS`, and how often it is drawn.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import drawn
from programs import Program, random_program

from tidegate_controller.errors import TidegateError
from tidegate_controller.log import encode
from tidegate_protos.v1 import operator_pb2 as pb

if TYPE_CHECKING:
    from collections import Counter
    from random import Random

    from lives import ControllerLife
    from world import App, World

    from tidegate_controller.core import types as t

TRIES = 40  # of a request that the controller has not answered
REMEMBERED = 10  # requests that may be sent once more
PEOPLE = ("ada", "bob")
TRIED = 3  # answers that somebody tries before giving a rollout up


Call = Callable[["ControllerLife"], Awaitable[Any]]


async def insist(world: "World", call: Call) -> Any:
    """Ask until there is an answer, as the command line does with the same request id. An error is
    an answer; None where the controller never came back."""
    world.asked = [*world.asked[-REMEMBERED:], call]
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


async def deploy(
    world: "World",
    app: "App",
    program: Program,
    *,
    by: str = "ada",
    again: bool = False,
    supersede: bool = False,
    queue: bool = False,
    override_freeze: bool = False,
) -> Any:
    """A `RolloutReply`, or the error that was the answer."""
    how = ", queued" * queue + ", in spite of freezes" * override_freeze
    world.tell(f"asked        deploy {app.stream} {program.version} ({program.fate}){how}")
    request = deploy_request(world, app, program, by)
    request.again, request.supersede, request.queue = again, supersede, queue
    if override_freeze:
        request.override_freeze, request.message = True, "it cannot wait"
    return await insist(world, lambda controller: controller.requests.deploy(request))


def deploy_request(world: "World", app: "App", program: Program, by: str) -> pb.DeployRequest:
    return pb.DeployRequest(
        request_id=request_id(world),
        version=program.version,
        digest=program.digest,
        spec=encode(app.spec()),
        requested_by=by,
        url="http://artifacts/x",
        size_bytes=program.size_bytes,
    )


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
        request_id=request_id(world),
        rollout=rollout,
        answer=said,
        answered_by="ada",
        comment="it cannot wait",
    )
    return await insist(world, lambda controller: controller.control.answer(request))


async def plan(world: "World", app: "App", program: Program) -> Any:
    """What a deployment would do; nothing comes of it."""
    request = pb.PlanRequest(deploy=deploy_request(world, app, program, "ada"))
    return await insist(world, lambda controller: controller.requests.plan(request))


async def pause(world: "World", rollout: str) -> Any:
    request = _control(world, "pause", rollout)
    return await insist(world, lambda controller: controller.control.pause(request))


async def resume(world: "World", rollout: str) -> Any:
    request = _control(world, "resume", rollout)
    return await insist(world, lambda controller: controller.control.resume(request))


async def abort(world: "World", rollout: str, *, no_rollback: bool = False) -> Any:
    request = _control(world, "abort", rollout)
    request.no_rollback = no_rollback
    return await insist(world, lambda controller: controller.control.abort(request))


def _control(world: "World", what: str, rollout: str) -> pb.ControlRequest:
    world.tell(f"asked        {what} {rollout}")
    return pb.ControlRequest(request_id=request_id(world), rollout=rollout, requested_by="ada")


async def once_more(world: "World", rollout: str) -> Any:
    """`retry` of a rollout that has ended."""
    world.tell(f"asked        retry {rollout}, which has ended")
    request = pb.AnswerRequest(
        request_id=request_id(world), rollout=rollout, answer="retry", answered_by="ada"
    )

    async def call(controller: "ControllerLife") -> Any:
        return await controller.requests.deploy(await controller.control.once_more(request))

    return await insist(world, call)


async def quarantine(world: "World", app: "App", release: str, *, lift: bool = False) -> Any:
    """`release`: a version or a digest."""
    world.tell(f"asked        {'unquarantine' if lift else 'quarantine'} {app.stream} {release}")
    request = pb.QuarantineRequest(
        request_id=request_id(world), release=release, requested_by="ada", lift=lift
    )
    stream = app.stream
    return await insist(world, lambda controller: controller.control.quarantine(stream, request))


async def lock(
    world: "World", app: "App", by: str, *, unlock: bool = False, force: bool = False
) -> Any:
    world.tell(f"asked        {by}: {'unlock' if unlock else 'lock'} {app.stream}")
    request = pb.LockRequest(
        request_id=request_id(world), requested_by=by, unlock=unlock, force=force
    )
    stream = app.stream
    return await insist(world, lambda controller: controller.control.lock(stream, request))


async def freeze(
    world: "World", app: "App", seconds: float = 0.0, *, by: str = "ada", lift: bool = False
) -> Any:
    """From now on for so long, or lift that."""
    asked = "lift the freeze" if lift else f"freeze for {seconds:g} s"
    world.tell(f"asked        {by}: {asked} {app.stream}")
    request = pb.FreezeRequest(
        request_id=request_id(world), requested_by=by, reason="peak", seconds=seconds, lift=lift
    )
    stream = app.stream
    return await insist(world, lambda controller: controller.control.freeze(stream, request))


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


def under_way(world: "World") -> "list[t.Rollout]":
    if not world.controller.listens:
        return []
    streams = world.controller.engine.streams.values()
    return [stream.state.rollout for stream in streams if stream.state.rollout is not None]


def queued(world: "World") -> list[str]:
    """Rollouts that wait for their turn."""
    if not world.controller.listens:
        return []
    streams = world.controller.engine.streams.values()
    return [entry.rollout for stream in streams for entry in stream.state.queue]


def waiting(world: "World") -> list[tuple[str, tuple[str, ...]]]:
    """Rollouts that wait for a person, with what may be answered."""
    return [(r.id, r.waiting.answers) for r in under_way(world) if r.waiting is not None]


async def attend(world: "World", rng: "Random", said: "Counter[str]") -> None:
    """People look after all rollouts: what is paused is resumed, what is asked is answered. After
    some tries a rollout is given up. `said`: how often somebody has answered each."""
    for rollout in under_way(world):
        if rollout.paused is not None:
            await (resume if rng.random() < 0.7 else abort)(world, rollout.id)
        elif rollout.waiting is not None:
            said[rollout.id] += not rollout.waiting.kind.startswith(("approval", "promotion"))
            choices = [one for one in rollout.waiting.answers if one != "abort"]
            give_up = said[rollout.id] > TRIED
            await answer(world, rollout.id, "abort" if give_up else rng.choice(choices))


# --- At random -----------------------------------------------------------------------------------


async def some_deploy(world: "World", app: "App", rng: "Random") -> None:
    old = _known(world, app)
    if old and rng.random() < 0.3:
        program = rng.choice(old[-3:])  # which may have been undone, or rolled back from
    else:
        version = str(len(old) + 1)
        program = world.programs.add(random_program(rng, app.name, version, list(app.nodes)))
    how = rng.choices(("", "supersede", "queue"), (4, 3, 3))[0]
    await deploy(
        world,
        app,
        program,
        by=rng.choice(PEOPLE),
        again=rng.random() < 0.2,
        supersede=how == "supersede",
        queue=how == "queue",
        override_freeze=rng.random() < 0.15,
    )


def _known(world: "World", app: "App") -> list[Program]:
    return [p for p in world.programs.by_digest.values() if p.app == app.name]


async def some_rollback(world: "World", app: "App", rng: "Random") -> None:
    to = rng.choice(_known(world, app)).version if rng.random() < 0.2 else ""
    await rollback(world, app, to=to, without_absent=rng.random() < 0.5)


async def some_answer(world: "World", app: "App", rng: "Random") -> None:
    for rollout, answers in waiting(world):
        await answer(world, rollout, rng.choice([*answers, *answers, "abort"]))


async def some_steering(world: "World", app: "App", rng: "Random") -> None:
    """Mostly of what is under way; now and then of what it is too late for."""
    rollouts = [rollout.id for rollout in under_way(world)]
    if rng.random() < 0.2:
        rollouts += queued(world)
    if rng.random() < 0.1:
        rollouts = list(world.judge.ended)[-2:]
    for rollout in rollouts:
        what = rng.choices(("pause", "resume", "abort", "drop it", "promote"), (3, 4, 1, 1, 2))[0]
        if what == "pause":
            await pause(world, rollout)
        elif what == "resume":
            await resume(world, rollout)
        elif what == "promote":
            await answer(world, rollout, "promote")
        else:
            await abort(world, rollout, no_rollback=what == "drop it")


async def some_retry(world: "World", app: "App", rng: "Random") -> None:
    if world.judge.ended:
        await once_more(world, world.judge.ended[-1])


async def some_quarantine(world: "World", app: "App", rng: "Random") -> None:
    program = rng.choice(_known(world, app))
    await quarantine(
        world,
        app,
        rng.choice([program.version, program.digest]),
        lift=rng.random() < 0.5,
    )


async def some_lock(world: "World", app: "App", rng: "Random") -> None:
    """And a while later it is unlocked; meanwhile somebody may deploy."""
    holder = rng.choice(PEOPLE)
    await lock(world, app, holder)
    if rng.random() < 0.5:
        await some_deploy(world, app, rng)
    await asyncio.sleep(rng.choice([5.0, 30.0, 120.0]))
    await lock(world, app, rng.choice(PEOPLE), unlock=True, force=rng.random() < 0.3)


async def some_plan(world: "World", app: "App", rng: "Random") -> None:
    await plan(world, app, rng.choice(_known(world, app)))


async def some_repetition(world: "World", app: "App", rng: "Random") -> None:
    """A request comes once more, as from somebody who did not hear the answer."""
    world.tell("asked        once more what was asked before")
    await insist(world, rng.choice(world.asked))


async def some_clean_up(world: "World", app: "App", rng: "Random") -> None:
    await clean_up(world, app)


async def some_removal(world: "World", app: "App", rng: "Random") -> None:
    """Of a node that is gone, or said to be; rather of one that no rollout is about."""
    nodes = list(app.nodes)
    if world.controller.listens:
        gone = [node for node in nodes if node not in world.controller.engine.fleet.sessions]
        about = {node for rollout in under_way(world) for node in rollout.nodes}
        nodes = [node for node in gone if node not in about] or gone or nodes
    node = rng.choice(nodes)
    if not _is_last_of_group(world, node):  # no release could get anywhere then
        await remove_node(world, node)


def _is_last_of_group(world: "World", node: str) -> bool:
    """Of server groups that are slots of an app."""
    groups = any("slots" in app.more for app in world.apps.values())
    if not groups or not world.controller.listens:
        return False
    left = world.controller.engine.fleet.registered.keys() - {node}
    group = world.agents[node].labels["group"]
    return all(world.agents[other].labels["group"] != group for other in left)


async def some_change(world: "World", app: "App", rng: "Random") -> None:
    """Of the configuration, by which somebody deploys then."""
    drawn.change(rng, app)
    world.tell(f"changed      the configuration of {app.stream}: {app.strategy}, {app.nodes}")
    await some_deploy(world, app, rng)


async def some_freeze(world: "World", app: "App", rng: "Random") -> None:
    """By hand; some are lifted, before they are over or after."""
    await freeze(world, app, rng.choice([3.0, 20.0, 90.0]), by=rng.choice(PEOPLE))
    if rng.random() < 0.4:
        await asyncio.sleep(rng.choice([0.0, 5.0, 30.0]))
        await freeze(world, app, lift=True)


# --- Aimed at what a rollout is doing -------------------------------------------------------------


async def lock_and_unlock(world: "World", app: "App", rng: "Random") -> None:
    await lock(world, app, "bob")
    await lock(world, app, "bob", unlock=True)


async def freeze_and_lift(world: "World", app: "App", rng: "Random") -> None:
    await freeze(world, app, 60.0)
    await asyncio.sleep(rng.choice([0.0, 0.0, 8.0]))
    await freeze(world, app, lift=True)


async def quarantine_and_lift(world: "World", app: "App", rng: "Random") -> None:
    brought = {rollout.release.version for rollout in under_way(world)}
    others = [program for program in _known(world, app) if program.version not in brought]
    program = rng.choice(others or _known(world, app))
    await quarantine(world, app, program.digest)
    await quarantine(world, app, program.digest, lift=True)


async def pause_and_resume(world: "World", app: "App", rng: "Random") -> None:
    for rollout in under_way(world):
        await pause(world, rollout.id)
        await asyncio.sleep(rng.choice([0.5, 5.0, 40.0]))
        await resume(world, rollout.id)


async def abort_it(world: "World", app: "App", rng: "Random") -> None:
    for rollout in under_way(world):
        await abort(world, rollout.id, no_rollback=rng.random() < 0.3)


async def take_its_place(world: "World", app: "App", rng: "Random") -> None:
    """Where it stands still and has moved nothing."""
    program = rng.choice(_known(world, app))
    await deploy(world, app, program, supersede=True, again=True, override_freeze=True)


async def wait_for_a_turn(world: "World", app: "App", rng: "Random") -> None:
    version = str(len(_known(world, app)) + 1)
    program = random_program(rng, app.name, version, list(app.nodes))
    await deploy(world, app, world.programs.add(program), queue=True)


async def a_good_one(world: "World", app: "App", rng: "Random") -> None:
    program = world.program(app.name, str(len(_known(world, app)) + 1))
    await deploy(world, app, program, by=rng.choice(PEOPLE))


async def promote_it(world: "World", app: "App", rng: "Random") -> None:
    for rollout in under_way(world):
        await answer(world, rollout.id, "promote")


Ask = Callable[["World", "App", "Random"], Awaitable[None]]

# Each with how often it is drawn, beside the others.
REQUESTS: dict[str, tuple[Ask, float]] = {
    "deploy": (some_deploy, 8.0),
    "rollback": (some_rollback, 2.5),
    "answer": (some_answer, 1.0),
    "steer": (some_steering, 1.5),
    "retry": (some_retry, 1.0),
    "quarantine": (some_quarantine, 1.0),
    "change": (some_change, 1.0),
    "lock": (some_lock, 1.0),
    "freeze": (some_freeze, 1.5),
    "plan": (some_plan, 0.4),
    "repeat": (some_repetition, 1.5),
    "clean up": (some_clean_up, 0.7),
    "remove node": (some_removal, 0.5),
}

# Likewise of those that are asked for once some stream is in a phase that was drawn.
AIMED: dict[str, tuple[Ask, float]] = {
    "lock, unlock": (lock_and_unlock, 1.0),
    "freeze, lift": (freeze_and_lift, 1.0),
    "quarantine, lift": (quarantine_and_lift, 1.0),
    "pause, resume": (pause_and_resume, 1.0),
    "abort it": (abort_it, 0.5),
    "supersede": (take_its_place, 1.0),
    "queue": (wait_for_a_turn, 1.0),
    "freeze": (some_freeze, 1.0),
    "deploy a good one": (a_good_one, 0.5),
    "promote": (promote_it, 0.5),
    "answer": (some_answer, 1.0),
    "deploy": (some_deploy, 0.5),
    "rollback": (some_rollback, 1.0),
    "clean up": (some_clean_up, 0.5),
    "remove node": (some_removal, 0.5),
}
