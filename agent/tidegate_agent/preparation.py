"""What makes a slot ready for a release: a tree of its own where it needs one, and the scripts
that the release brings along. Called by the handlers in commands.py.

What runs in the slot goes on running, and its tree is not touched: a rollback returns to it.
"""

import asyncio
from collections.abc import Collection
from pathlib import Path

from tidegate_agent import launching, users
from tidegate_agent.durable import make_folder
from tidegate_agent.errors import AgentError, NodeError
from tidegate_agent.fetch import disk_errors
from tidegate_agent.job import Job
from tidegate_agent.slot import Slot
from tidegate_agent.trees import Purpose, Tree
from tidegate_protos.threads import to_the_end
from tidegate_protos.v1 import agent_pb2 as pb

INSTALL = "install.sh"
TASKS = {"migrate": "migrate.sh"}
RESERVE_BYTES = 16 * 1024 * 1024  # left free for what the scripts write


def will_copy(slot: Slot, prepare: pb.PrepareSlot, release: Path) -> bool:
    """Whether room has to be found for a tree: the slot needs one, and has none of this revision
    to go back to."""
    return _needs_tree(prepare, release) and slot.trees.of(prepare.revision) is None


async def make_ready(
    slot: Slot, job: Job, release: Path, size_bytes: int, taken: Collection[int]
) -> None:
    """Publish a tree for this release, its `install.sh` done, if it needs one: where it has a
    script that is to be run, or a user of its own. `size_bytes`: of all its files. Raises
    AgentError; then nothing is prepared.
    """
    prepare, trees = job.command.prepare_slot, slot.trees
    installs = _installs(prepare, release)
    ready = trees.next()
    if ready is not None and ready.purpose.command == job.command.id:
        return  # done before, but its result could not be recorded
    trees.withdraw()
    await to_the_end(asyncio.to_thread(trees.sweep))
    if not _needs_tree(prepare, release):
        return
    make_folder(slot.folder)
    owner = users.find(prepare.service.user)
    if owner is not None:
        users.open_way(slot.folder, slot.home.parent.parent)
        users.check_way(slot.folder, owner)
    purpose = Purpose(
        digest=prepare.revision.digest,
        config=prepare.revision.config,
        port=await _port(slot, prepare.service.port, taken),
        told=installs or _has_tasks(release),
        command=job.command.id,
    )
    if former := _where_a_copy_has_no_room(slot, size_bytes, prepare.revision):
        await trees.publish(former.path, former.purpose)
        return
    with disk_errors(f"copying the release for slot {slot.name}", slot.folder, size_bytes):
        tree = await trees.make(prepare.revision.digest, release, owner)
        try:
            if installs:
                await _run(slot, job, INSTALL, Tree(tree, purpose), prepare.hooks.install_seconds)
            await trees.publish(tree, purpose)
        except BaseException:
            trees.withdraw()
            await trees.discard(tree)
            raise


async def run_task(slot: Slot, job: Job, release: Path | None) -> None:
    """Run the task's script in the slot's tree, if the release has one: once, whatever happens."""
    task = job.command.run_task
    script = TASKS.get(task.task)
    if script is None:
        raise AgentError(f"this agent knows no task {task.task[:80]!r}, only: {', '.join(TASKS)}")
    if release is None:
        raise NodeError(f"release {task.revision.digest} was not prepared on this node")
    if not (release / script).is_file():
        job.remark = f"this release has no {script}"
        return
    tree = slot.trees.of(task.revision)
    if tree is None:
        raise NodeError(
            f"slot {slot.name} was not prepared for release {task.revision.digest}, so there is "
            f"no place for its {script} to run in"
        )
    job.begin_once(script)
    await _run(slot, job, script, tree, task.hooks.migrate_seconds)


def log_of(slot: Slot, script: str) -> Path:
    """Where the script writes when it runs for the slot."""
    return slot.output.with_name(f"{slot.name}.{script.removesuffix('.sh')}.log")


def _installs(prepare: pb.PrepareSlot, release: Path) -> bool:
    return prepare.hooks.install and (release / INSTALL).is_file()


def _has_tasks(release: Path) -> bool:
    return any((release / task).is_file() for task in TASKS.values())


def _needs_tree(prepare: pb.PrepareSlot, release: Path) -> bool:
    return bool(_installs(prepare, release) or _has_tasks(release) or prepare.service.user)


async def _port(slot: Slot, asked: int, taken: Collection[int]) -> int:
    """Which port the start will have, as far as that can be known before: what runs in the slot
    now is stopped by then."""
    last = slot.record.port if slot.record is not None else 0
    if last and last == (asked or last) and await slot.runs():
        return last
    return slot.host.pick_port(f"{slot.home}/{slot.name}", asked, last, taken)


async def _run(slot: Slot, job: Job, script: str, tree: Tree, seconds: float) -> None:
    command = job.command
    work = command.run_task if command.HasField("run_task") else command.prepare_slot
    known = launching.words(
        app=command.app,
        environment=command.environment,
        version=work.version,
        slot=slot.name,
        node=slot.node,
        port=tree.purpose.port,
    )
    launch = launching.launch(
        ("bash", script),
        work.service,
        known,
        directory=tree.path,
        output=log_of(slot, script),
    )
    job.running(script, launch.output)
    await slot.host.run_script(script, launch, job.token, seconds, job.output)


def _where_a_copy_has_no_room(slot: Slot, size_bytes: int, revision: pb.Revision) -> Tree | None:
    """None where there is room. Else the slot's tree of the last start, if it is of this very
    revision, so that a full disk does not keep anybody from going back; else raises NodeError."""
    free, needed = slot.host.free_bytes(slot.home), size_bytes + RESERVE_BYTES
    if free >= needed:
        return None
    if (former := slot.trees.of(revision)) is not None:
        return former
    raise NodeError(
        f"not enough disk for slot {slot.name} to have a copy of the release: {free:,} bytes "
        f"free, about {needed:,} needed"
    )
