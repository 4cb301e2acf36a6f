"""What a strategy is: how its plans are made, and what the engine has to know of it besides."""

from collections.abc import Callable
from typing import NamedTuple

from tidegate_controller.core import types as t

Builder = Callable[[t.State, t.Goal], tuple[t.Step, ...]]


class Strategy(NamedTuple):
    """`in_place`: nodes stop what serves before they start the release, so a floor counts, and the
    way back starts things again. `has_groups`: `slots` may make two groups of servers of its nodes.
    """

    steps: Builder
    in_place: bool = False
    has_groups: bool = False
