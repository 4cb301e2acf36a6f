"""The log of Monday in the place of Tuesday's, in a written history. The judge forgets with it what
it has learnt from the log since; what machines and balancers do it goes on knowing.
"""

import copy
from pathlib import Path

import operators
from playing import Stage

from tidegate_controller import reconcile_requests
from tidegate_controller.artifacts import ArtifactStore
from tidegate_controller.backup import backup
from tidegate_controller.log import read_log
from tidegate_controller.restore import restore
from tidegate_protos.v1 import operator_pb2 as op


class Monday:
    """A backup that is made now, beside the controller."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._file = stage.world.folder / "monday.backup"
        backup(stage.world.folder, self._file, replace=False, artifacts=False)
        judge = stage.world.judge
        self._known = copy.deepcopy((judge.pasts, judge.issued, judge.seq, judge.clock))

    async def comes_back(self) -> None:
        """Tuesday's log is lost; the controller begins anew with this one."""
        world = self._stage.world
        world.controller.stop()
        await self._stage.sleep(1.0)
        restore(self._file, world.folder, replace=True)
        self._judge_from_here()
        world.controller.start()
        await self._stage.until(lambda: world.controller.listens and world.all_here())

    def _judge_from_here(self) -> None:
        judge, path = self._stage.world.judge, self._stage.world.controller.log.path
        judge.pasts, judge.issued, judge.seq, judge.clock = self._known
        for record in read_log(Path(path), judge.seq, 1 << 30):
            judge.seq, judge.clock = record.seq, record.clock
            judge.take(record.stream, judge.past(record.stream), record.event)
        judge.epoch = self._stage.state.epoch


async def decide(stage: Stage, decision: str) -> str:
    """What counts: `adopt`, what runs; `converge`, the log. The rollout that it begins, or ""."""
    world = stage.world
    request = op.ReconcileRequest(
        request_id=operators.request_id(world),
        app=stage.app.name,
        environment=stage.app.environment,
        decision=decision,
        requested_by="ada",
    )
    store, stream = ArtifactStore(Path("artifacts")), stage.app.stream
    reply = await operators.insist(
        world, lambda c: reconcile_requests.reconcile(c.engine, store, stream, request)
    )
    if isinstance(reply, Exception):
        raise reply
    return str(reply.rollout)
