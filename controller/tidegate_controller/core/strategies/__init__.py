"""Strategies: each is a module with one pure function that turns a request into a plan.

To add one: a module beside `blue_green` with the same `steps`, and a line in `STRATEGIES`.
The engine knows none of them; it only runs plans.
"""

from collections.abc import Callable

from tidegate_controller.core import types as t
from tidegate_controller.core.strategies import blue_green, canary, rolling

Builder = Callable[[t.State, t.Goal], tuple[t.Step, ...]]

STRATEGIES: dict[str, Builder] = {
    "blue-green": blue_green.steps,
    "canary": canary.steps,
    "rolling": rolling.steps,
}
