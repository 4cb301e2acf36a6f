"""Traffic adapters: each moves requests between slots without losing one.

The engine speaks in places and weights; the shell turns places into addresses ("host:port") and
calls one of these. To add an adapter: a module beside `caddy` with the same four functions, and a
line in `ADAPTERS`.
"""

import os
import shlex
from collections.abc import Callable, Mapping
from typing import Protocol

from tidegate_controller.core.spec import Traffic as TrafficSpec
from tidegate_controller.traffic.by_command import ByCommand
from tidegate_controller.traffic.by_hand import ByHand
from tidegate_controller.traffic.caddy import Caddy


class Traffic(Protocol):
    """One balancer's view of one app in one environment. Weights: address -> share, absolute and
    complete; an address that is not named gets nothing. Errors: `TrafficError`."""

    async def check(self, addresses: int) -> None:
        """Raise unless the balancer could be moved to so many addresses now. Moves nothing."""

    async def state(self) -> Mapping[str, int] | None:
        """What the balancer sends where, read back from it; None where it cannot be asked."""

    async def shift(self, weights: Mapping[str, int]) -> None:
        """Move traffic to these weights and return once reading back agrees. Idempotent. When
        cancelled, nothing of it may happen after it has returned: the next move may follow."""

    async def verify(self, weights: Mapping[str, int]) -> None:
        """Raise unless the balancer is to the last part as a shift to these weights leaves it.
        Moves nothing. One that cannot be asked is taken to be."""


ADAPTERS: dict[str, Callable[[TrafficSpec], Traffic]] = {
    "caddy": Caddy,
    "exec": ByCommand,
    "none": ByHand,
}


def adapter_of(spec: TrafficSpec) -> Traffic:
    """What moves this traffic."""
    return ADAPTERS[spec.adapter](spec)


def balancer_of(spec: TrafficSpec) -> str:
    """Which balancer is meant, in words such as "in /srv/lanes": equal for two that would get into
    each other's way; empty where there is none to be moved."""
    if spec.adapter == "caddy":
        return f"in {os.path.realpath(spec.directory)}"
    return f"by {shlex.join(spec.command)}" if spec.adapter == "exec" else ""
