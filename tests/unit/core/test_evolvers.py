"""What an event means stands in one table."""

from typing import get_args

from tidegate_controller.core import events as ev
from tidegate_controller.core.evolve import EVOLVERS

OF_THE_CONTROLLER = {ev.EpochBegan, ev.NodeRegistered, ev.NodeRemoved}  # in no app's stream


def test_every_event_of_a_stream_means_something() -> None:
    assert set(EVOLVERS) == set(get_args(ev.AnyEvent)) - OF_THE_CONTROLLER
