"""The operators' side of the controller: what the CLI calls, over the local socket or TCP."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import wraps
from typing import Any, TypeVar

import grpc
import msgspec

from tidegate_controller import (
    artifact_requests,
    documents,
    log_reading,
    reconcile_requests,
    release_views,
    views,
)
from tidegate_controller.artifacts import ArtifactStore
from tidegate_controller.control_requests import Control
from tidegate_controller.core.draft import pending
from tidegate_controller.deploy_requests import Requests
from tidegate_controller.engine import Engine
from tidegate_controller.errors import (
    HINT_KEY,
    LOG_KEY,
    TAKEN_KEY,
    Refused,
    ShuttingDown,
    TidegateError,
    UsageError,
)
from tidegate_controller.history import find_rollout
from tidegate_controller.history_keeper import HistoryKeeper
from tidegate_controller.log import Record
from tidegate_controller.named_apps import find_stream, refuse_unknown
from tidegate_controller.nodes import Nodes
from tidegate_controller.replay import replay_rollout
from tidegate_controller.wire import action_prefix
from tidegate_protos.v1 import operator_pb2 as pb
from tidegate_protos.v1.operator_pb2_grpc import OperatorServicer

CODES: dict[type[TidegateError], grpc.StatusCode] = {
    UsageError: grpc.StatusCode.INVALID_ARGUMENT,
    Refused: grpc.StatusCode.FAILED_PRECONDITION,
    ShuttingDown: grpc.StatusCode.UNAVAILABLE,
}


Q = TypeVar("Q")
A = TypeVar("A")


async def _abort(context: Any, error: TidegateError) -> None:
    code = CODES.get(type(error), grpc.StatusCode.ABORTED)
    await context.abort(code, error.message, ((HINT_KEY, error.hint.encode()),))


def _answering(
    method: Callable[["OperatorService", Q], Awaitable[A]],
) -> Callable[["OperatorService", Q, Any], Awaitable[A]]:
    """What is raised on purpose becomes a status, which the CLI turns back into the error."""

    @wraps(method)
    async def answer(self: "OperatorService", request: Q, context: Any) -> A:
        try:
            await self.engine.ready.wait()
            return await method(self, request)
        except TidegateError as error:
            await _abort(context, error)
            raise

    return answer


def _document(view: documents.Document) -> pb.Document:
    return pb.Document(json=msgspec.json.encode(view))


class OperatorService(OperatorServicer):
    """Answers the CLI. Every request is checked here again: a client may be of any version."""

    def __init__(self, engine: Engine, nodes: Nodes, store: ArtifactStore) -> None:
        self.engine = engine
        self._store = store
        self._nodes = nodes
        self._requests = Requests(engine, nodes, store)
        self._control = Control(engine)
        self._history = HistoryKeeper(engine)

    # --- Artifacts ----------------------------------------------------------------------------

    @_answering
    async def HasArtifact(self, request: pb.ArtifactRef) -> pb.ArtifactReply:
        return artifact_requests.reply(self._store, request.digest)

    @_answering
    async def Upload(self, chunks: AsyncIterator[pb.UploadChunk]) -> pb.ArtifactReply:
        return await artifact_requests.upload(self._store, chunks)

    @_answering
    async def FetchArtifact(self, request: pb.FetchRequest) -> pb.ArtifactReply:
        return await artifact_requests.fetch(self._store, request)

    # --- Requests -----------------------------------------------------------------------------

    @_answering
    async def Deploy(self, request: pb.DeployRequest) -> pb.RolloutReply:
        return await self._requests.deploy(request)

    @_answering
    async def Rollback(self, request: pb.RollbackRequest) -> pb.RolloutReply:
        return await self._requests.rollback(request)

    @_answering
    async def Plan(self, request: pb.PlanRequest) -> pb.Document:
        return _document(await self._requests.plan(request))

    @_answering
    async def Answer(self, request: pb.AnswerRequest) -> pb.RolloutReply:
        if request.answer == "retry" and self._control.has_to_begin(request):
            return await self._requests.deploy(await self._control.once_more(request))
        return await self._control.answer(request)

    @_answering
    async def Pause(self, request: pb.ControlRequest) -> pb.RolloutReply:
        return await self._control.pause(request)

    @_answering
    async def Resume(self, request: pb.ControlRequest) -> pb.RolloutReply:
        return await self._control.resume(request)

    @_answering
    async def Abort(self, request: pb.ControlRequest) -> pb.RolloutReply:
        return await self._control.abort(request)

    @_answering
    async def Quarantine(self, request: pb.QuarantineRequest) -> pb.Document:
        stream = find_stream(self.engine, request.app, request.environment)
        return _document(await self._control.quarantine(stream, request))

    @_answering
    async def Lock(self, request: pb.LockRequest) -> pb.Document:
        stream = find_stream(self.engine, request.app, request.environment)
        return _document(await self._control.lock(stream, request))

    @_answering
    async def Freeze(self, request: pb.FreezeRequest) -> pb.Document:
        stream = find_stream(self.engine, request.app, request.environment)
        return _document(await self._control.freeze(stream, request))

    @_answering
    async def CleanUp(self, request: pb.CleanUpRequest) -> pb.CleanUpReply:
        return await self._requests.clean_up(request)

    @_answering
    async def RemoveNode(self, request: pb.RemoveNodeRequest) -> pb.Done:
        return pb.Done(message=await self._requests.remove_node(request))

    @_answering
    async def Reconcile(self, request: pb.ReconcileRequest) -> pb.RolloutReply:
        stream = find_stream(self.engine, request.app, request.environment)
        return await reconcile_requests.reconcile(self.engine, self._store, stream, request)

    # --- Reading ------------------------------------------------------------------------------

    @_answering
    async def GetStatus(self, request: pb.StatusRequest) -> pb.Document:
        if request.app:
            refuse_unknown(self.engine, request.app)
        if request.balancers:
            return _document(await views.status_with_balancers(self.engine, request.app))
        return _document(views.status(self.engine, request.app))

    @_answering
    async def ListNodes(self, request: pb.ListNodesRequest) -> pb.Document:
        return _document(views.nodes(self.engine))

    @_answering
    async def ShowNode(self, request: pb.ShowNodeRequest) -> pb.Document:
        changes = await self._history.changes_of(request.node)
        return _document(views.node_detail(self.engine, request.node, changes))

    @_answering
    async def GetReconcile(self, request: pb.GetReconcileRequest) -> pb.Document:
        return _document(await reconcile_requests.view_with_balancers(self.engine))

    @_answering
    async def GetController(self, request: pb.ControllerRequest) -> pb.Document:
        return _document(views.controller(self.engine))

    @_answering
    async def ListRollouts(self, request: pb.ListRolloutsRequest) -> pb.Document:
        found = await self._history.rollouts()
        if request.app:
            refuse_unknown(self.engine, request.app)
            found = [view for view in found if view.app == request.app]
        newest = list(reversed(found))[: request.limit or None]
        return _document(documents.RolloutList(rollouts=newest))

    @_answering
    async def ListReleases(self, request: pb.ListReleasesRequest) -> pb.Document:
        rollouts = await self._history.rollouts()
        notes = await asyncio.to_thread(self._store.notes)
        states = {stream.name: stream.state for stream in self.engine.streams.values()}
        return _document(release_views.releases(states, rollouts, notes, request.app))

    @_answering
    async def ShowRollout(self, request: pb.ShowRolloutRequest) -> pb.Document:
        place = self.engine.place_of(request.rollout)
        path = self.engine.log.path
        heard = self._nodes.board.said
        view = await asyncio.to_thread(find_rollout, path, place.stream, place.version, heard)
        return _document(view)

    @_answering
    async def Replay(self, request: pb.ReplayRequest) -> pb.Document:
        place = self.engine.place_of(request.rollout)
        path = self.engine.log.path
        return _document(
            await asyncio.to_thread(replay_rollout, path, place.stream, request.rollout)
        )

    async def ReadLog(self, request: pb.ReadLogRequest, context: Any) -> AsyncIterator[pb.Document]:
        """Records after the cursor; with `follow` it goes on, with a rollout until that ends."""
        await self._take(context)
        try:
            engine, after, follow = self.engine, request.after_seq, request.follow
            if after > engine.log.last_seq:
                raise UsageError(
                    f"the log has no event {after}: it was restored from a backup since",
                    "read it anew, from its beginning: tidegate log",
                )
            if request.rollout:
                found = log_reading.of_rollout(engine, request.rollout, after, follow=follow)
            else:
                found = log_reading.of_all(engine, after, follow=follow)
            async for record in found:
                yield _document(views.event_view(record))
        except TidegateError as error:
            await _abort(context, error)

    async def Follow(self, request: pb.FollowRequest, context: Any) -> AsyncIterator[pb.Document]:
        """A rollout's events until it has ended, with news of its open commands in between."""
        await self._take(context)
        try:
            place = self.engine.place_of(request.rollout)
            prefix = action_prefix(self.engine.log.log_id, place.stream)
            records = log_reading.of_rollout(
                self.engine, request.rollout, request.after_seq, follow=True
            )
            opened = {action.id for action in pending(self.engine.state(place.stream))}
            with self._nodes.board.following(opened) as news:
                async for item in log_reading.interleaved(records, news):
                    view = documents.FollowItem(sent_at=self.engine.at())
                    if isinstance(item, Record):
                        view.event = views.event_view(item)
                    elif item.action.startswith(prefix):
                        view.progress = item
                    else:
                        continue
                    yield _document(view)
        except TidegateError as error:
            await _abort(context, error)

    async def _take(self, context: Any) -> None:
        """Whoever follows knows at once that somebody is there, whenever the first event comes."""
        await self.engine.ready.wait()
        await context.send_initial_metadata(((TAKEN_KEY, "1"), (LOG_KEY, self.engine.log.log_id)))
