"""Strategies: each is a module with one pure function that turns a request into a plan.

To add one: a module beside `blue_green` with the same `steps` and a `STRATEGY` of its own, and a
line in `STRATEGIES`. The engine knows none of them: it runs plans, and asks what `kind` has.
"""

from tidegate_controller.core.strategies import blue_green, canary, rolling
from tidegate_controller.core.strategies.kind import Strategy

STRATEGIES: dict[str, Strategy] = {
    "blue-green": blue_green.STRATEGY,
    "canary": canary.STRATEGY,
    "rolling": rolling.STRATEGY,
}
