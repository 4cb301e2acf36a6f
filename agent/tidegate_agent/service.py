"""What one slot runs, or shall run, by its record: how its words, its manager, its variables and
its health check hang together. Made by slot.py of each record anew.
"""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from tidegate_agent import health, launching
from tidegate_agent.health import Check
from tidegate_agent.host import Host
from tidegate_agent.journal import SlotRecord
from tidegate_agent.managers import Handle, Manager, Place


class Service:
    """`folder` is the slot's own, `output` where a child's output goes."""

    def __init__(
        self, record: SlotRecord, node: str, folder: Path, output: Path, host: Host
    ) -> None:
        self.record = record
        self._node = node
        self._folder = folder
        self._output = output
        self._host = host

    @property
    def manager(self) -> Manager:
        """Raises AgentError where this agent has no such one."""
        told = self.record.start.service
        unit = launching.unit_name(told, self._words) if told.unit else ""
        return self._host.manager(told.manager).of(Place(self._folder, self._output, unit))

    async def start(self) -> Handle:
        told = self.record.start.service
        launch = launching.launch(
            (launching.filled(part, self._words) for part in told.command),
            told,
            self._words,
            directory=self._folder / "release",
            output=self._output,
            secrets=not told.unit,  # a unit names the file of its secrets itself
        )
        return await self.manager.start(launch, self.record.token)

    async def present(self) -> Handle | None:
        """What runs by the record, or is about to. Its handle is of the last start that could be
        recorded, its token of the last start."""
        handle = self.record.handle
        if handle is not None and (await self.manager.look(handle)).alive:
            return handle
        return await self.manager.find(self.record.token)

    def took_its_place(self, present: Handle | None) -> bool:
        """Whether what is present only has the token of what was recorded and has ended: started in
        its place by a restart that could not be recorded, or merely left behind by it."""
        recorded = self.record.handle
        return self.manager.renews and recorded is not None and present != recorded

    async def begun(self) -> bool:
        """Whether a start that was not heard of to its end has begun anything, or still will."""
        return await self.manager.find(self.record.token) is not None

    async def find(self) -> Handle | None:
        """What is to be ended, or taken up: what ran last, which may have left something behind.
        Where a start after an end has another token, all that carries this one is of the same."""
        handle = self.record.handle
        if handle is not None and self.manager.renews:
            return handle
        return await self.present() or handle

    async def problem(self) -> str:
        """Why the manager says that it does not serve; empty where it may."""
        handle = self.record.handle
        return (
            "nothing was started" if handle is None else (await self.manager.look(handle)).problem
        )

    def check(self, problem: Callable[[], Awaitable[str]]) -> Check:
        """How its health is asked; `problem` is the manager's word. Raises AgentError where that
        makes no sense."""
        told = self.record.start.service
        context = health.Context(
            directory=self._folder / "release",
            environment=lambda: launching.all_variables(told, self._words),
            user=told.user,
            problem=problem,
        )
        return self._host.check_of(self.record.start.health, self._words, context)

    @property
    def _words(self) -> Mapping[str, str]:
        record = self.record
        return launching.words(
            app=record.app,
            environment=record.environment,
            version=record.start.version,
            slot=record.slot,
            node=self._node,
            port=record.port,
        )
