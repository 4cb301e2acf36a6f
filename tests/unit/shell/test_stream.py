"""What a stream of the shell says of its log."""

import msgspec
import pytest

from tidegate_controller.core import types as t
from tidegate_controller.stream import Stream


def at(epoch: int, version: int) -> t.State:
    return msgspec.structs.replace(t.State(), epoch=epoch, version=version)


@pytest.fixture
def stream() -> Stream:
    """Two versions of the first epoch, two of the second."""
    stream = Stream("shop@prod")
    for epoch, version in ((1, 1), (1, 2), (2, 3), (2, 4)):
        stream.state = at(epoch, version)
    return stream


def test_it_holds_what_was_written_in_an_epoch_and_no_more(stream: Stream) -> None:
    held = {
        (epoch, version)
        for epoch in range(4)
        for version in range(1, 6)
        if stream.holds(epoch, version)
    }
    assert held == {(1, 1), (1, 2), *((2, version) for version in range(1, 5))}


def test_it_takes_for_held_what_lies_before_where_it_began_to_read() -> None:
    stream = Stream("shop@prod")
    stream.state = at(epoch=7, version=100)
    stream.state = at(epoch=8, version=101)
    assert stream.holds(5, 90)
    assert stream.holds(7, 100)
    assert not stream.holds(7, 101)
    assert stream.holds(8, 101)
    assert not stream.holds(8, 102)
