"""The operators' side of the controller: what the CLI calls, over the local socket or TCP."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import wraps
from typing import Any, TypeVar

import grpc
import msgspec

from tidegate_controller import artifact_requests, documents, release_views, views
from tidegate_controller.admission import gathered, refuse_shared, rollback_nodes
from tidegate_controller.artifacts import ArtifactStore
from tidegate_controller.config import render_digest
from tidegate_controller.config_checks import VERSION_FORM
from tidegate_controller.core import events as ev
from tidegate_controller.core import types as t
from tidegate_controller.core.inputs import Deploy, Rollback
from tidegate_controller.core.spec import Spec
from tidegate_controller.engine import Engine, RolloutPlace
from tidegate_controller.errors import Refused, TidegateError, UsageError
from tidegate_controller.history import History, find_rollout
from tidegate_controller.log import Record, read_log, read_stream
from tidegate_controller.threads import to_the_end
from tidegate_controller.wire import split_stream
from tidegate_protos.rules import NAME, VERSION
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
        self._history = History(engine.log.path)
        self._history_lock = asyncio.Lock()

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

    # --- Rollouts -----------------------------------------------------------------------------

    @_answering
    async def Deploy(self, request: pb.DeployRequest) -> pb.RolloutReply:
        spec = _checked_spec(request.spec)
        if not VERSION.fullmatch(request.version):
            raise UsageError(
                f"the version {request.version[:80]!r} is not of the form: {VERSION_FORM}"
            )
        revision = t.Revision(digest=request.digest, config=render_digest(spec.settings))
        release = t.Release(
            version=request.version,
            revision=revision,
            size_bytes=await artifact_requests.size_of(self._store, request),
            settings=spec.settings,
            url=request.url,
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
        seq = self._place_of(rollout).seq - 1
        return pb.RolloutReply(rollout=rollout, stream=stream, seq=seq)

    def _find_stream(self, app: str, environment: str) -> str:
        found = [
            stream.name
            for stream in self.engine.streams.values()
            if stream.state.version
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
        known = {split_stream(s.name)[0] for s in self.engine.streams.values() if s.state.version}
        if app not in known:
            listed = ", ".join(sorted(known)) or "none yet"
            raise UsageError(f"nothing was ever deployed as {app}", f"known apps: {listed}")

    @_answering
    async def ListNodes(self, request: pb.ListNodesRequest) -> pb.Document:
        return _document(views.nodes(self.engine))

    @_answering
    async def ListRollouts(self, request: pb.ListRolloutsRequest) -> pb.Document:
        found = await self._rollouts()
        if request.app:
            self._known_app(request.app)
            found = [view for view in found if view.app == request.app]
        newest = list(reversed(found))[: request.limit or None]
        return _document(documents.RolloutList(rollouts=newest))

    async def _rollouts(self) -> list[documents.RolloutSummary]:
        async with self._history_lock:
            return await to_the_end(asyncio.to_thread(self._history.catch_up))

    @_answering
    async def ListReleases(self, request: pb.ListReleasesRequest) -> pb.Document:
        rollouts, notes = await self._rollouts(), await asyncio.to_thread(self._store.notes)
        states = {stream.name: stream.state for stream in self.engine.streams.values()}
        return _document(release_views.releases(states, rollouts, notes, request.app))

    @_answering
    async def ShowRollout(self, request: pb.ShowRolloutRequest) -> pb.Document:
        place = self._place_of(request.rollout)
        path = self.engine.log.path
        view = await asyncio.to_thread(find_rollout, path, place.stream, place.version)
        return _document(view)

    def _place_of(self, rollout: str) -> RolloutPlace:
        place = self.engine.rollouts.get(rollout)
        if place is None:
            raise UsageError(f"there is no rollout {rollout[:80]}", "see: tidegate rollout list")
        return place

    async def ReadLog(self, request: pb.ReadLogRequest, context: Any) -> AsyncIterator[pb.Document]:
        """Records after the cursor; with `follow` it goes on, with a rollout until that ends."""
        await self.engine.ready.wait()
        try:
            found = self._of_rollout(request) if request.rollout else self._of_all(request)
            async for record in found:
                yield _document(views.event_view(record))
        except TidegateError as error:
            await _abort(context, error)

    async def _of_all(self, request: pb.ReadLogRequest) -> AsyncIterator[Record]:
        path, cursor = self.engine.log.path, request.after_seq
        while True:
            records = await asyncio.to_thread(read_log, path, cursor, READ_CHUNK)
            for record in records:
                yield record
                cursor = record.seq
            if not records:
                if not request.follow:
                    return
                await self.engine.wait_for_append(cursor)

    async def _of_rollout(self, request: pb.ReadLogRequest) -> AsyncIterator[Record]:
        """From its Started to its Ended, and what else happened in its stream meanwhile."""
        place = self._place_of(request.rollout)
        path, version = self.engine.log.path, place.version - 1
        while True:
            last_seq = self.engine.log.last_seq
            records = await asyncio.to_thread(read_stream, path, place.stream, version, READ_CHUNK)
            for record in records:
                version = record.version
                if record.seq > request.after_seq:
                    yield record
                event = record.event
                if isinstance(event, ev.Ended) and event.rollout == request.rollout:
                    return
            if not records:
                if not request.follow:
                    return
                await self.engine.wait_for_append(last_seq)


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
