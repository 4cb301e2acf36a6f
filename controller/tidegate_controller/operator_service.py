"""The operators' side of the controller: what the CLI calls, over the local socket or TCP."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import wraps
from typing import Any, TypeVar

import grpc
import msgspec

from tidegate_controller import documents, views
from tidegate_controller.admission import gathered, refuse_shared, rollback_nodes
from tidegate_controller.agent_service import NAME
from tidegate_controller.artifacts import ArtifactStore
from tidegate_controller.config import render_digest
from tidegate_controller.config_checks import VERSION, VERSION_FORM
from tidegate_controller.core import types as t
from tidegate_controller.core.inputs import Deploy, Rollback
from tidegate_controller.core.spec import Spec
from tidegate_controller.engine import Engine, RolloutPlace
from tidegate_controller.errors import Refused, TidegateError, UsageError
from tidegate_controller.log import Record, read_log
from tidegate_controller.wire import split_stream
from tidegate_protos.v1 import operator_pb2 as pb
from tidegate_protos.v1.operator_pb2_grpc import OperatorServicer

HINT_KEY = "tidegate-hint-bin"  # trailing metadata: what to type next, UTF-8
READ_CHUNK = 500  # records read from the log at a time

CODES: dict[type[TidegateError], grpc.StatusCode] = {
    UsageError: grpc.StatusCode.INVALID_ARGUMENT,
    Refused: grpc.StatusCode.FAILED_PRECONDITION,
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

    def __init__(self, engine: Engine, store: ArtifactStore) -> None:
        self.engine = engine
        self._store = store
        self._admission = asyncio.Lock()

    # --- Artifacts ----------------------------------------------------------------------------

    @_answering
    async def HasArtifact(self, request: pb.ArtifactRef) -> pb.ArtifactReply:
        path = self._store.path(request.digest)
        size = path.stat().st_size if path else 0
        return pb.ArtifactReply(digest=request.digest, present=path is not None, size_bytes=size)

    @_answering
    async def Upload(self, chunks: AsyncIterator[pb.UploadChunk]) -> pb.ArtifactReply:
        first = await anext(aiter(chunks), None)
        if first is None:
            raise UsageError("the upload was empty")

        async def data() -> AsyncIterator[bytes]:
            yield first.data
            async for chunk in chunks:
                yield chunk.data

        path = await self._store.store(first.digest, data())
        size = path.stat().st_size
        return pb.ArtifactReply(digest=first.digest, present=True, size_bytes=size)

    # --- Rollouts -----------------------------------------------------------------------------

    @_answering
    async def Deploy(self, request: pb.DeployRequest) -> pb.RolloutReply:
        spec = _checked_spec(request.spec)
        if not VERSION.fullmatch(request.version):
            raise UsageError(
                f"the version {request.version[:80]!r} is not of the form: {VERSION_FORM}"
            )
        path = self._store.path(request.digest)
        if path is None:
            raise UsageError("the artifact is not on the controller", "upload it first")
        revision = t.Revision(digest=request.digest, config=render_digest(spec.settings))
        release = t.Release(
            version=request.version,
            revision=revision,
            size_bytes=path.stat().st_size,
            settings=spec.settings,
        )
        stream = f"{spec.app}@{spec.environment}"
        names = await gathered(self.engine, spec)
        deploy = Deploy(
            request_id=request.request_id,
            rollout=self.engine.next_rollout_id(),
            release=release,
            spec=spec,
            members=self.engine.fleet.members(names),
            requested_by=request.requested_by[:200],
        )
        async with self._admission:
            refuse_shared(self.engine, stream, names, spec)
            state = await self.engine.submit(stream, deploy)
        nothing = (
            f"{spec.app} {release.version} is already active on all {len(names)} nodes "
            f"of {spec.environment}"
        )
        return self._reply(state, request.request_id, stream, nothing)

    @_answering
    async def Rollback(self, request: pb.RollbackRequest) -> pb.RolloutReply:
        stream = self._find_stream(request.app, request.environment)
        state = self.engine.streams[stream].state
        names = rollback_nodes(state)
        rollback = Rollback(
            request_id=request.request_id,
            rollout=self.engine.next_rollout_id(),
            members=self.engine.fleet.members(names),
            requested_by=request.requested_by[:200],
        )
        async with self._admission:
            refuse_shared(self.engine, stream, names, None)
            state = await self.engine.submit(stream, rollback)
        nothing = "the earlier release is already active everywhere"
        return self._reply(state, request.request_id, stream, nothing)

    def _reply(self, state: t.State, request_id: str, stream: str, nothing: str) -> pb.RolloutReply:
        """The rollout that the request began, now or when it was first made."""
        known_id, rollout = state.last_request
        if known_id != request_id:
            return pb.RolloutReply(stream=stream, message=nothing)
        seq = self._place_of(rollout).started_seq - 1
        return pb.RolloutReply(rollout=rollout, stream=stream, seq=seq)

    def _find_stream(self, app: str, environment: str) -> str:
        found = [
            stream.name
            for stream in self.engine.streams.values()
            if views.ever_deployed(stream.state)
            and split_stream(stream.name)[0] == app
            and environment in ("", split_stream(stream.name)[1])
        ]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(sorted(split_stream(name)[1] for name in found))
            raise UsageError(f"{app} runs in several environments: {names}", "name one with -e")
        where = f" in {environment}" if environment else ""
        raise UsageError(f"nothing was ever deployed as {app}{where}", "see: tidegate status")

    # --- Reading ------------------------------------------------------------------------------

    @_answering
    async def GetStatus(self, request: pb.StatusRequest) -> pb.Document:
        if request.app:
            self._known_app(request.app)
        return _document(views.status(self.engine, request.app))

    def _known_app(self, app: str) -> None:
        streams = self.engine.streams.values()
        known = {split_stream(s.name)[0] for s in streams if views.ever_deployed(s.state)}
        if app not in known:
            listed = ", ".join(sorted(known)) or "none yet"
            raise UsageError(f"nothing was ever deployed as {app}", f"known apps: {listed}")

    @_answering
    async def ListNodes(self, request: pb.ListNodesRequest) -> pb.Document:
        return _document(views.nodes(self.engine))

    @_answering
    async def ListRollouts(self, request: pb.ListRolloutsRequest) -> pb.Document:
        found = views.rollouts(await self._read_all(0, ""))
        if request.app:
            self._known_app(request.app)
            found = [view for view in found if view.app == request.app]
        newest = list(reversed(found))[: request.limit or None]
        return _document(documents.RolloutList(rollouts=newest))

    @_answering
    async def ShowRollout(self, request: pb.ShowRolloutRequest) -> pb.Document:
        stream = self._place_of(request.rollout).stream
        for view in views.rollouts(await self._read_all(0, stream)):
            if view.rollout == request.rollout:
                return _document(view)
        raise UsageError(f"there is no rollout {request.rollout}", "see: tidegate rollout list")

    def _place_of(self, rollout: str) -> RolloutPlace:
        place = self.engine.rollouts.get(rollout)
        if place is None:
            raise UsageError(f"there is no rollout {rollout[:80]}", "see: tidegate rollout list")
        return place

    async def _read_all(self, after_seq: int, stream: str) -> list[Record]:
        return await asyncio.to_thread(read_log, self.engine.log.path, after_seq, stream, -1)

    async def ReadLog(self, request: pb.ReadLogRequest, context: Any) -> AsyncIterator[pb.Document]:
        """Records after the cursor; with `follow` it goes on, with a rollout until that ends."""
        await self.engine.ready.wait()
        try:
            stream = self._place_of(request.rollout).stream if request.rollout else request.stream
            async for record in self._records(request, stream):
                yield _document(views.event_view(record))
        except TidegateError as error:
            await _abort(context, error)

    async def _records(self, request: pb.ReadLogRequest, stream: str) -> AsyncIterator[Record]:
        cursor = request.after_seq
        if request.rollout:  # it begins with its Started, and nothing after its Ended is its own
            cursor = max(cursor, self._place_of(request.rollout).started_seq - 1)
        while True:
            last = self.engine.log.last_seq
            may_grow = request.follow and self._is_open(request.rollout)
            records = await asyncio.to_thread(
                read_log, self.engine.log.path, cursor, stream, READ_CHUNK
            )
            for record in records:
                cursor = record.seq
                event = record.event
                another = isinstance(event, t.Started) and event.rollout != request.rollout
                if request.rollout and another:
                    return
                yield record
                if isinstance(event, t.Ended) and event.rollout == request.rollout:
                    return
            if len(records) == READ_CHUNK:
                continue
            if not may_grow:
                return
            cursor = max(cursor, last)
            await self.engine.wait_for_append(cursor)

    def _is_open(self, rollout: str) -> bool:
        """Whether more can come: always of the whole log, of a rollout until it has ended."""
        if not rollout:
            return True
        present = self.engine.stream(self._place_of(rollout).stream).state.rollout
        return present is not None and present.id == rollout


def _checked_spec(data: bytes) -> Spec:
    try:
        spec = msgspec.json.decode(data, type=Spec)
    except msgspec.DecodeError as error:
        raise UsageError(
            f"the configuration that was sent cannot be read: {error}",
            "use a tidegate command of the controller's version",
        ) from error
    for name in (spec.app, spec.environment):
        if not NAME.fullmatch(name):
            raise UsageError(f"the name {name[:80]!r} is not of the form {NAME.pattern}")
    return spec
