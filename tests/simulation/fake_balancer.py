"""A fake load balancer, and the adapter that moves it. What it really does is `truth`.

It refuses, hangs, takes its time, or does nothing and says that it did. What it was told and has
not done yet may happen any time: mostly not once it was told something else, but in one mood also a
few seconds after that. The last mood, which no seed draws, is later than anybody reckons with.
"""

import asyncio
from collections.abc import Callable, Mapping
from random import Random
from typing import Literal, get_args

from virtual_time import OUTSIDE, VirtualLoop

from tidegate_controller.errors import TrafficError

Mood = Literal[
    "refuses",
    "hangs",
    "hangs and does it later",
    "hangs and does it after the next",
    "lies",
    "slow",
    "hangs and does it in the end",
]
MOODS: tuple[Mood, ...] = tuple(  # that are drawn: the last is longer than anybody waits
    mood for mood in get_args(Mood) if mood != "hangs and does it in the end"
)
OVERTAKES_SECONDS = 8.0  # so long after the next move one that came before it may still be done

Weights = dict[str, int]


class Balancer:
    """Of one app in one environment. `on_change` hears of what it is about to do."""

    def __init__(
        self, loop: VirtualLoop, rng: Random, on_change: Callable[[Weights, bool], None]
    ) -> None:
        self.loop = loop
        self.rng = rng
        self.truth: Weights = {}
        self.moves = 0  # done so far
        self.moods: list[Mood] = []  # of the next moves
        self.late: list[Weights] = []  # told, answered with an error, and perhaps done yet
        self.late_seconds = 60.0  # until what it does in the end is done
        self.overtaking: list[Weights] = []  # likewise, and once it is told something else
        self.dead = False  # refuses everything
        self._on_change = on_change

    def has_caught_up(self) -> bool:
        """Nothing of what it was told is still to come."""
        return not self.late and not self.overtaking

    def may_serve(self) -> set[str]:
        """Addresses that get traffic, or may any moment."""
        return {
            address for weights in (self.truth, *self.late, *self.overtaking) for address in weights
        }

    def write(self, weights: Mapping[str, int]) -> None:
        self.take_note()
        self._do(dict(weights), late=False)

    def take_note(self) -> None:
        """It is told something else: what it was told before is over, or is done soon."""
        self.late.clear()
        for told in self.overtaking:
            self._overtake(told, self.rng.uniform(0.5, OVERTAKES_SECONDS))

    def write_after_the_next(self, weights: Mapping[str, int]) -> None:
        """Or in a while, where there is none."""
        told = dict(weights)
        self.overtaking.append(told)
        self._overtake(told, self.rng.uniform(1.0, 60.0))

    def _overtake(self, told: Weights, seconds: float) -> None:
        def act() -> None:
            if any(told is other for other in self.overtaking):
                self.overtaking = [other for other in self.overtaking if other is not told]
                self._do(told, late=True)

        self.loop.call_later(seconds, act, context=OUTSIDE)

    def write_later(
        self, weights: Mapping[str, int], seconds: float, *, anyhow: bool = False
    ) -> None:
        told = dict(weights)
        self.late.append(told)

        def act() -> None:
            if anyhow or any(told is other for other in self.late):
                self.late.clear()
                self._do(told, late=True)

        self.loop.call_later(seconds, act, context=OUTSIDE)

    def _do(self, weights: Weights, late: bool) -> None:
        self._on_change(weights, late)
        self.truth = weights
        self.moves += 1

    async def answer(self) -> None:
        """As long as it takes to say anything."""
        await asyncio.sleep(self.rng.uniform(0.005, 0.1))
        if self.dead:
            raise TrafficError("the balancer refuses the connection", "")


class Adapter:
    """The module `traffic` has such for real balancers."""

    def __init__(self, balancer: Balancer) -> None:
        self._balancer = balancer

    async def check(self, addresses: int) -> None:
        await self._balancer.answer()

    async def state(self) -> Mapping[str, int] | None:
        await self._balancer.answer()
        return self._balancer.truth

    async def verify(self, weights: Mapping[str, int]) -> None:
        await self._balancer.answer()
        if self._balancer.truth != weights:
            raise TrafficError("the balancer sends requests elsewhere", "")

    async def shift(self, weights: Mapping[str, int]) -> None:
        balancer = self._balancer
        wanted = dict(weights)
        await balancer.answer()
        mood = balancer.moods.pop(0) if balancer.moods else ""
        if mood == "refuses":
            raise TrafficError("the balancer refuses to be moved", "")
        if mood == "hangs":
            await asyncio.sleep(3600.0)
        if mood == "hangs and does it later":
            balancer.write_later(wanted, balancer.rng.uniform(1.0, 60.0))
            await asyncio.sleep(3600.0)
        if mood == "hangs and does it after the next":
            balancer.write_after_the_next(wanted)
            await asyncio.sleep(3600.0)
        if mood == "hangs and does it in the end":
            balancer.write_later(wanted, balancer.late_seconds, anyhow=True)
            await asyncio.sleep(3600.0)
        if mood == "slow":
            await asyncio.sleep(balancer.rng.uniform(1.0, 15.0))
        if mood == "lies":
            balancer.take_note()
        else:
            balancer.write(wanted)
        await balancer.answer()
        if balancer.truth != wanted:
            raise TrafficError("the balancer says otherwise when it is asked", "")
