"""A stream from the controller outlasts breaks in the connection, however many there are in all."""

from collections.abc import Callable, Iterator
from itertools import islice
from types import SimpleNamespace
from typing import Any

import grpc
import msgspec
import pytest

from tidegate_controller.cli import reading
from tidegate_controller.cli.reading import PATIENCE_SECONDS, RETRY_SECONDS, Reading
from tidegate_controller.documents import Document
from tidegate_controller.errors import LOG_KEY, TAKEN_KEY, NotReachable, TidegateError
from tidegate_protos.v1 import operator_pb2 as pb


class Numbered(Document, kw_only=True):
    seq: int


class Client:
    reached = False

    def to_error(self, _: Any) -> TidegateError:
        return NotReachable("no controller answers", "")


class Call:
    """One that brings these numbers, or breaks. `taken`: a controller has it, whose log is `log`.
    `before_end`: what happens meanwhile."""

    def __init__(
        self,
        *numbers: int,
        taken: bool = True,
        before_end: Callable[[], object] = lambda: None,
        log: str = "before",
    ) -> None:
        self._log = log
        self._taken, self._left, self._before_end = taken, list(numbers), before_end

    def initial_metadata(self) -> tuple[tuple[str, str], ...]:
        return ((TAKEN_KEY, "1"), (LOG_KEY, self._log)) if self._taken else ()

    def __next__(self) -> pb.Document:
        if self._left:
            return pb.Document(json=msgspec.json.encode(Numbered(seq=self._left.pop(0))))
        self._before_end()
        raise grpc.RpcError

    def cancel(self) -> None:
        return


class Clock:
    """Time passes as calls last, and while the next one is waited for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 1000.0
        monkeypatch.setattr(reading, "time", SimpleNamespace(monotonic=lambda: self.seconds))

    def passes(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def read(calls: Iterator[Call], clock: Clock, *, in_one_log: bool = False) -> Reading[Numbered]:
    found: Reading[Numbered] = Reading(
        Client(),
        lambda _: next(calls),
        Numbered,
        lambda each: each.seq,
        0,
        patient=True,
        in_one_log=in_one_log,
    )
    pause: Any = SimpleNamespace(is_set=lambda: False, wait=clock.passes)
    found._cancelled = pause
    return found


def test_a_break_is_forgotten_once_a_controller_has_the_call_though_it_says_nothing(
    clock: Clock,
) -> None:
    lost = []

    def quiet() -> None:
        lost.append(items.lost)
        clock.passes(10 * PATIENCE_SECONDS)

    items = read(iter([Call(1), Call(before_end=quiet), Call(before_end=quiet), Call(2)]), clock)
    assert [next(items).seq, next(items).seq] == [1, 2]
    assert lost == [False, False]


def test_a_controller_that_stays_away_is_given_up(clock: Clock) -> None:
    lost = []

    def away() -> Iterator[Call]:
        yield Call(1)
        while True:
            yield Call(taken=False, before_end=lambda: lost.append(items.lost))

    items = read(away(), clock)
    next(items)
    with pytest.raises(NotReachable):
        next(items)
    assert all(lost)
    assert len(lost) >= PATIENCE_SECONDS / RETRY_SECONDS


def test_a_log_that_was_restored_meanwhile_is_not_read_on_from_a_cursor_of_the_one_before(
    clock: Clock,
) -> None:
    calls = [Call(1), Call(taken=False), Call(2), Call(3, log="restored")]
    items = read(iter(calls), clock, in_one_log=True)
    assert [next(items).seq, next(items).seq] == [1, 2]
    with pytest.raises(TidegateError, match="restored from a backup meanwhile: after event 2"):
        next(items)
    assert [each.seq for each in islice(read(iter([Call(1), Call(2, log="r")]), clock), 2)] == [
        1,
        2,
    ]
