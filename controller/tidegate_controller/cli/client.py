"""The CLI's connection to the controller; statuses become the errors that they were."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import grpc

from tidegate_controller import documents
from tidegate_controller.cli.reading import PATIENCE_SECONDS, RETRY_SECONDS, Reading, parse
from tidegate_controller.cli.target import target_of
from tidegate_controller.errors import (
    HINT_KEY,
    NotReachable,
    Refused,
    TidegateError,
    UsageError,
)
from tidegate_protos.v1 import operator_pb2 as pb
from tidegate_protos.v1.operator_pb2_grpc import OperatorStub

CALL_SECONDS = 60.0
UPLOAD_SECONDS = 3600.0
CHUNK_BYTES = 512 * 1024
AT_ONCE_SECONDS = 5.0  # of a call that is made again and again anyway
OPTIONS = [
    ("grpc.max_receive_message_length", -1),  # its own controller's: a plan has all nodes in it
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
]
# In gRPC's own words about a server that speaks something else.
NOT_GRPC = (
    "Received http2 header with status",
    "Stream removed (Data frame",
    "Failed parsing HTTP/2",
)
LISTENS = "127.0.0.1:7420"  # a controller, where nobody says otherwise

A = TypeVar("A")
D = TypeVar("D", bound=documents.Document)


class Client:
    """One controller. `address`: "HOST:PORT"; None: TIDEGATE_CONTROLLER, else the local socket."""

    def __init__(self, address: str | None, call_seconds: float = CALL_SECONDS) -> None:
        self.target = target_of(address)
        self._call_seconds = call_seconds
        self._channel = grpc.insecure_channel(self.target, options=OPTIONS)
        self.reached = False  # once it has answered, it is waited for when it is away
        self._stub = OperatorStub(self._channel)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    # --- Calls --------------------------------------------------------------------------------

    def artifact(self, digest: str) -> pb.ArtifactReply:
        """Whether the controller has it; if so it stays there for the next hour."""
        return self._call(self._stub.HasArtifact, pb.ArtifactRef(digest=digest))

    def upload(
        self,
        path: Path,
        digest: str,
        label: pb.ArtifactLabel | None = None,
        sent: Callable[[int], None] = lambda _: None,
    ) -> None:
        """`sent` is told how many more bytes were taken, from another thread."""
        chunks = _chunks(path, digest, label, sent)
        self._translate(lambda: self._stub.Upload(chunks, timeout=UPLOAD_SECONDS))

    def fetch_artifact(self, request: pb.FetchRequest) -> pb.ArtifactReply:
        return self._translate(lambda: self._stub.FetchArtifact(request, timeout=UPLOAD_SECONDS))

    def deploy(self, request: pb.DeployRequest) -> pb.RolloutReply:
        return self._patiently(lambda: self._call(self._stub.Deploy, request))

    def rollback(self, request: pb.RollbackRequest) -> pb.RolloutReply:
        return self._patiently(lambda: self._call(self._stub.Rollback, request))

    def answer(self, request: pb.AnswerRequest) -> pb.RolloutReply:
        return self._patiently(lambda: self._call(self._stub.Answer, request))

    def pause(self, request: pb.ControlRequest) -> pb.RolloutReply:
        return self._patiently(lambda: self._call(self._stub.Pause, request))

    def resume(self, request: pb.ControlRequest) -> pb.RolloutReply:
        return self._patiently(lambda: self._call(self._stub.Resume, request))

    def abort(self, request: pb.ControlRequest) -> pb.RolloutReply:
        return self._patiently(lambda: self._call(self._stub.Abort, request))

    def clean_up(self, request: pb.CleanUpRequest) -> pb.CleanUpReply:
        return self._patiently(lambda: self._call(self._stub.CleanUp, request))

    def reconcile(self, request: pb.ReconcileRequest) -> pb.RolloutReply:
        return self._patiently(lambda: self._call(self._stub.Reconcile, request))

    def reconcile_view(self) -> documents.ReconcileView:
        request = pb.GetReconcileRequest()
        return self._read(self._stub.GetReconcile, request, documents.ReconcileView)

    def replay(self, rollout: str) -> documents.ReplayView:
        request = pb.ReplayRequest(rollout=rollout)
        return self._read(self._stub.Replay, request, documents.ReplayView)

    def quarantine(self, request: pb.QuarantineRequest) -> documents.QuarantineView:
        return self._read(self._stub.Quarantine, request, documents.QuarantineView)

    def lock(self, request: pb.LockRequest) -> documents.LockView:
        return self._read(self._stub.Lock, request, documents.LockView)

    def freeze(self, request: pb.FreezeRequest) -> documents.FreezeView:
        return self._read(self._stub.Freeze, request, documents.FreezeView)

    def remove_node(self, request: pb.RemoveNodeRequest) -> str:
        return self._call(self._stub.RemoveNode, request).message

    def plan(self, request: pb.PlanRequest) -> documents.PlanView:
        return self._read(self._stub.Plan, request, documents.PlanView)

    def status(self, app: str, *, balancers: bool = False) -> documents.Status:
        """`balancers`: each is asked whether traffic goes where it was moved to."""
        request = pb.StatusRequest(app=app, balancers=balancers)
        return self._read(self._stub.GetStatus, request, documents.Status)

    def status_at_once(self, app: str) -> documents.Status:
        """Without waiting for a controller that is away: then it raises `NotReachable`."""
        request = pb.StatusRequest(app=app)
        reply = self._translate(lambda: self._stub.GetStatus(request, timeout=AT_ONCE_SECONDS))
        return parse(reply, documents.Status)

    def rollouts(self, app: str, limit: int) -> documents.RolloutList:
        request = pb.ListRolloutsRequest(app=app, limit=limit)
        return self._read(self._stub.ListRollouts, request, documents.RolloutList)

    def rollout(self, rollout: str) -> documents.RolloutView:
        request = pb.ShowRolloutRequest(rollout=rollout)
        return self._read(self._stub.ShowRollout, request, documents.RolloutView)

    def releases(self, app: str) -> documents.ReleaseList:
        request = pb.ListReleasesRequest(app=app)
        return self._read(self._stub.ListReleases, request, documents.ReleaseList)

    def controller(self) -> documents.ControllerView:
        request = pb.ControllerRequest()
        return self._read(self._stub.GetController, request, documents.ControllerView)

    def nodes(self) -> documents.NodeList:
        return self._read(self._stub.ListNodes, pb.ListNodesRequest(), documents.NodeList)

    def node(self, node: str) -> documents.NodeDetail:
        return self._read(self._stub.ShowNode, pb.ShowNodeRequest(node=node), documents.NodeDetail)

    def events(
        self, after_seq: int = 0, rollout: str = "", *, follow: bool = False
    ) -> Reading[documents.EventView]:
        """Events after the cursor, oldest first; with `follow` it goes on as they come."""

        def call(seq: int) -> Any:
            request = pb.ReadLogRequest(after_seq=seq, rollout=rollout, follow=follow)
            return self._stub.ReadLog(request)

        def seq_of(event: documents.EventView) -> int:
            return event.seq

        kind = documents.EventView
        return Reading(self, call, kind, seq_of, after_seq, patient=follow, in_one_log=True)

    def follow(self, rollout: str, after_seq: int = 0) -> Reading[documents.FollowItem]:
        """A rollout's events after the cursor, with how its open commands get on, to its end."""

        def call(seq: int) -> Any:
            return self._stub.Follow(pb.FollowRequest(rollout=rollout, after_seq=seq))

        def seq_of(item: documents.FollowItem) -> int:
            return item.event.seq if item.event else 0

        return Reading(self, call, documents.FollowItem, seq_of, after_seq, patient=True)

    def expect(self) -> "Client":
        """Wait for a controller that is known to be starting, from the first call on."""
        self.reached = True
        return self

    def _read(self, method: Callable[..., pb.Document], request: Any, kind: type[D]) -> D:
        return parse(self._patiently(lambda: self._call(method, request)), kind)

    # --- Errors -------------------------------------------------------------------------------

    def _call(self, method: Callable[..., A], request: Any) -> A:
        return self._translate(lambda: method(request, timeout=self._call_seconds))

    def _translate(self, call: Callable[[], A]) -> A:
        try:
            answer = call()
        except grpc.RpcError as error:
            raise self.to_error(error) from error
        self.reached = True
        return answer

    def _patiently(self, call: Callable[[], A]) -> A:
        """For what may safely be asked twice: a controller that was there and is away is asked
        again, since it may be restarting."""
        give_up = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return call()
            except NotReachable:
                if not self.reached or time.monotonic() > give_up:
                    raise
                time.sleep(RETRY_SECONDS)

    def to_error(self, error: Any) -> TidegateError:
        code, message = error.code(), error.details() or ""
        metadata = dict(error.trailing_metadata() or ())
        hint = metadata.get(HINT_KEY, b"").decode()
        if code == grpc.StatusCode.INVALID_ARGUMENT:
            return UsageError(message, hint)
        if code == grpc.StatusCode.FAILED_PRECONDITION:
            return Refused(message, hint)
        if any(words in message for words in NOT_GRPC):
            return NotReachable(
                f"what answers at {self.target} is no Tidegate controller",
                "name the controller: --controller HOST:PORT, or TIDEGATE_CONTROLLER; what it "
                "listens on stands in its first lines of log",
            )
        if code == grpc.StatusCode.UNAVAILABLE and hint:  # it is there, and about to end
            return NotReachable(message, hint)
        if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
            there = LISTENS if self.target.startswith("unix:") else self.target
            return NotReachable(
                f"no controller answers at {self.target}",
                f"start one: tidegate controller run --data DIR --listen {there}; or name the one "
                "that runs: --controller HOST:PORT, or TIDEGATE_CONTROLLER",
            )
        if code == grpc.StatusCode.ABORTED:
            return TidegateError(message, hint)
        if code == grpc.StatusCode.DEADLINE_EXCEEDED:
            return NotReachable(
                f"the controller at {self.target} did not answer in time",
                "the request may have been carried out: see tidegate rollout list",
            )
        return TidegateError(f"{code.name}: {message}", hint)


def _chunks(
    path: Path, digest: str, label: pb.ArtifactLabel | None, sent: Callable[[int], None]
) -> Iterator[pb.UploadChunk]:
    with path.open("rb") as file:
        yield pb.UploadChunk(digest=digest, size_bytes=path.stat().st_size, label=label)
        while data := file.read(CHUNK_BYTES):
            yield pb.UploadChunk(data=data)
            sent(len(data))
