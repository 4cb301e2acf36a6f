"""What the controller reaches beside its log and its agents: balancers, places that are to answer
before they get traffic, the clocks.

Made once, for the engine, and handed down to whoever needs a part of it. The simulation in the
tests gives the engine another world; all else of the controller is the same there.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tidegate_controller import checks, clock, proof
from tidegate_controller.core import types as t
from tidegate_controller.core.spec import Traffic as TrafficSpec
from tidegate_controller.traffic import Traffic, adapter_of


@dataclass(frozen=True)
class Outside:
    """The world itself, unless somebody says otherwise. Each is documented where it is from."""

    traffic: Callable[[TrafficSpec], Traffic] = adapter_of
    prove: Callable[[str, t.Release, t.Place, str], Awaitable[None]] = proof.prove
    ask: checks.Ask = checks.ask
    boot_seconds: Callable[[], float] = clock.boot_seconds
    wall_seconds: Callable[[], float] = clock.wall_seconds


WORLD = Outside()
