"""Streams of documents from the controller, which outlast a restart of it. Made by `client`."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

import grpc
import msgspec

from tidegate_controller import documents
from tidegate_controller.errors import LOG_KEY, TAKEN_KEY, NotReachable, TidegateError
from tidegate_protos.v1 import operator_pb2 as pb

RETRY_SECONDS = 0.5
PATIENCE_SECONDS = 120.0  # a controller that was there and is away is waited for this long

D = TypeVar("D", bound=documents.Document)


class Speaker(Protocol):
    """A connection to one controller. `reached`: it has answered before."""

    reached: bool

    def to_error(self, error: Any) -> TidegateError:
        """What a status of gRPC means."""


class Reading(Iterator[D]):
    """A stream of documents from the controller. A `patient` one that the controller breaks off, as
    in a restart, waits for it and goes on where it was; `lost` says that it does so right now.

    `in_one_log`: where it goes on in another log than it began in, it raises `TidegateError`, since
    the cursor means nothing there. `cancel`, from another thread, ends it.
    """

    def __init__(
        self,
        client: Speaker,
        call: Callable[[int], Any],
        kind: type[D],
        seq_of: Callable[[D], int],
        after_seq: int,
        *,
        patient: bool,
        in_one_log: bool = False,
    ) -> None:
        self._client, self._call, self._kind, self._seq_of = client, call, kind, seq_of
        self._seq, self._patient = after_seq, patient
        self._in_one_log, self._log_id = in_one_log, ""
        self._replies: Any = None
        self._away_since: float | None = None
        self._cancelled = threading.Event()

    @property
    def lost(self) -> bool:
        return self._away_since is not None

    def cancel(self) -> None:
        self._cancelled.set()
        if self._replies is not None:
            self._replies.cancel()

    def __next__(self) -> D:
        while not self._cancelled.is_set():
            if self._replies is None:
                self._replies = self._call(self._seq)
                if self._cancelled.is_set():  # meanwhile
                    self._replies.cancel()
                said = dict(self._replies.initial_metadata())
                if TAKEN_KEY in said:
                    self._found()
                    self._refuse_another(said.get(LOG_KEY, ""))
            try:
                item = parse(next(self._replies), self._kind)
            except grpc.RpcError as error:
                self._replies = None
                self._wait(error)
            else:
                self._seq = max(self._seq, self._seq_of(item))
                self._found()
                return item
        raise StopIteration

    def _found(self) -> None:
        """The controller is there, though perhaps with nothing new to tell."""
        self._client.reached, self._away_since = True, None

    def _refuse_another(self, log_id: str) -> None:
        if self._in_one_log and self._log_id and log_id and log_id != self._log_id:
            self._replies.cancel()
            raise TidegateError(
                f"the log was restored from a backup meanwhile: after event {self._seq} it is not "
                "what it was",
                "read it anew, from its beginning: tidegate log --follow",
            )
        self._log_id = log_id or self._log_id

    def _wait(self, error: grpc.RpcError) -> None:
        """A moment, before it is tried again; raises what is no use waiting for."""
        failure = self._client.to_error(error)
        away = isinstance(failure, NotReachable) and self._client.reached
        now = time.monotonic()
        self._away_since = self._away_since or now
        if self._cancelled.is_set():
            return
        if not (self._patient and away) or now - self._away_since > PATIENCE_SECONDS:
            raise failure from error
        self._cancelled.wait(RETRY_SECONDS)


def parse(reply: pb.Document, kind: type[D]) -> D:
    return msgspec.json.decode(reply.json, type=kind)
