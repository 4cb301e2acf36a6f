"""Tells each stream when its freezes are, as the wall clock is now.

Engine time stands still while no controller runs, and a wall clock may be stepped; so it is
reckoned anew at a start, at each deployment, and from time to time. Started by `server`;
`calendar_for` is called by whoever makes an input that needs one.
"""

import asyncio
import logging

from tidegate_controller.calendars import calendar_in_force, calendar_of
from tidegate_controller.core import types as t
from tidegate_controller.core.freezes import Calendar
from tidegate_controller.core.freezing import is_current
from tidegate_controller.core.inputs import ReadCalendar
from tidegate_controller.core.spec import Spec
from tidegate_controller.engine import Engine
from tidegate_controller.errors import UsageError

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0  # between looks: so much later may a freeze be seen to follow another


def calendar_for(engine: Engine, state: t.State, spec: Spec) -> Calendar:
    """Of a configuration that is asked for. Raises `UsageError` where a time zone is not known on
    this machine."""
    return calendar_of(spec.freeze, state.freeze, engine.outside.wall_seconds(), engine.now())


class FreezeClock:
    """Looks at all streams again and again."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._said: set[str] = set()  # streams whose freezes are not known, as the log says

    async def run(self, every: float = LOOK_SECONDS) -> None:
        """Until cancelled."""
        await self._engine.ready.wait()
        while True:
            for stream in tuple(self._engine.streams.values()):
                if not stream.fault:
                    with stream.confining("its freezes"):
                        await self._look_at(stream.name, stream.state)
            await asyncio.sleep(every)

    async def _look_at(self, name: str, state: t.State) -> None:
        engine = self._engine
        try:
            calendar = calendar_in_force(state, engine.outside.wall_seconds(), engine.now())
        except UsageError as error:
            if name not in self._said:
                log.error("%s: its freezes are not known: %s; %s", name, error.message, error.hint)
            self._said.add(name)
            return
        self._said.discard(name)
        if not is_current(state, calendar, self._engine.now()):
            await self._engine.submit_quietly(name, ReadCalendar(calendar=calendar))
