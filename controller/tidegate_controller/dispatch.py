"""Where an action goes: to the effects of the controller, or as a command to its node.

Called by the engine with every action that was issued, and again after a start or a Hello.
"""

import logging
from collections.abc import Callable

from tidegate_controller.core import types as t
from tidegate_controller.core.inputs import Result
from tidegate_controller.effects import Effects
from tidegate_controller.fleet import Fleet
from tidegate_controller.stream import Stream
from tidegate_controller.wire import ArtifactUrl, to_command
from tidegate_protos.v1 import agent_pb2 as pb

log = logging.getLogger(__name__)


class Dispatch:
    """`now` gives engine seconds; `failed` takes the end of an action that could not be put into a
    command: that fails, not the engine."""

    def __init__(
        self,
        fleet: Fleet,
        effects: Effects,
        artifact_url: ArtifactUrl,
        wall_seconds: Callable[[], float],
        now: Callable[[], float],
        failed: Callable[[Stream, Result], None],
    ) -> None:
        self._fleet = fleet
        self._effects = effects
        self._artifact_url = artifact_url
        self._wall_seconds = wall_seconds
        self._now = now
        self._failed = failed

    def __call__(self, stream: Stream, action: t.Action) -> None:
        """Send the action if its node is connected; if not, it is sent when the node comes."""
        if action.work.at == t.CONTROLLER:
            self._effects.start(stream.name, stream.state, action)
            return
        session = self._fleet.sessions.get(action.work.at)
        if session is None:
            return
        try:
            command = to_command(
                stream.name,
                stream.state,
                action,
                self._artifact_url,
                self._now(),
                self._wall_seconds,
            )
        except (ValueError, TypeError, AssertionError) as error:
            log.exception("no command could be made of %s", action.id)
            wrong = f"no command: {error}"
            self._failed(stream, Result(action=action.id, outcome="failed", error=wrong))
            return
        session.send(pb.Instruction(command=command))
