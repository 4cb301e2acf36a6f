"""What each command does on this node. To add one: a message in `agent.proto`, a handler here.

A handler may be cancelled at any await and run again after a crash: each goes on from what it
finds. It raises `AgentError` when it fails, and returns the slot whose state goes with the result.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tidegate_agent import cleaning, inspection, launching, preparation, users
from tidegate_agent.app import App
from tidegate_agent.errors import AgentError
from tidegate_agent.job import Job
from tidegate_agent.managers import BY_FORCE, ending_in_words
from tidegate_agent.releases import room_needed
from tidegate_agent.slot import Slot


async def inspect(app: App, job: Job) -> Slot:
    return await inspection.inspect(app, job.command)


async def prepare_slot(app: App, job: Job) -> Slot:
    prepare = job.command.prepare_slot
    slot = await app.own_slot(prepare.slot, job.command.environment)
    artifact = prepare.artifact
    if app.releases.path(artifact.digest, prepare.revision.config) is None:
        await cleaning.make_way(app, room_needed(artifact.size_bytes))
    strip = artifact.strip_components if artifact.HasField("strip_components") else None
    release = await app.releases.prepare(
        artifact.digest,
        artifact.size_bytes,
        lambda: job.command.prepare_slot.artifact.url,
        job.fetched,
        note=job.note,
        config=prepare.revision.config,
        strip_components=strip,
    )
    size_bytes = app.releases.unpacked_bytes(artifact.digest)
    if preparation.will_copy(slot, prepare, release):
        await cleaning.make_way(app, size_bytes)
    await preparation.make_ready(slot, job, release, size_bytes, app.ports_but(slot))
    launching.check_program(prepare.service, users.find(prepare.service.user))
    return slot


async def run_task(app: App, job: Job) -> Slot:
    task = job.command.run_task
    slot = await app.own_slot(task.slot, job.command.environment)
    release = app.releases.path(task.revision.digest, task.revision.config)
    await preparation.run_task(slot, job, release)
    return slot


async def start_slot(app: App, job: Job) -> Slot:
    start = job.command.start_slot
    slot = await app.own_slot(start.slot, job.command.environment)
    release = app.releases.path(start.revision.digest, start.revision.config)
    await slot.start(job, release, app.ports_but(slot))
    return slot


async def switch_slot(app: App, job: Job) -> Slot:
    switch = job.command.switch_slot
    if switch.lease_seconds:
        raise AgentError("this agent cannot move traffic itself, so it gives no lease")
    return await app.switch(switch.slot, job.command.environment)


async def stop_slot(app: App, job: Job) -> Slot:
    stop = job.command.stop_slot
    slot = await app.own_slot(stop.slot, job.command.environment)
    how = await slot.stop(stop.grace_seconds)
    if how in BY_FORCE:
        job.remark = ending_in_words(how, stop.grace_seconds)
    return slot


async def cleanup(app: App, job: Job) -> None:
    tally = await cleaning.clean_up(app, job.command.environment, job.command.cleanup)
    job.remark, job.cleaned = "; ".join(tally.problems), tally.message()


@dataclass(frozen=True)
class Handler:
    """`changes`: it changes something, so it needs a fence and is done alone; whatever only looks
    runs beside everything else and is not remembered. `scripts`: it runs some of the release's,
    which an agent that died has left running."""

    run: Callable[[App, Job], Awaitable[Slot | None]]
    changes: bool = True
    scripts: bool = False


HANDLERS = {
    "inspect": Handler(inspect, changes=False),
    "prepare_slot": Handler(prepare_slot, scripts=True),
    "run_task": Handler(run_task, scripts=True),
    "start_slot": Handler(start_slot),
    "switch_slot": Handler(switch_slot),
    "stop_slot": Handler(stop_slot),
    "cleanup": Handler(cleanup),
}
