"""Apps by the names that people give them.

Called by `operator_service` and `deploy_requests`, before a request goes anywhere, and by `views`.
"""

from tidegate_controller.core import types as t
from tidegate_controller.core.facts import join_stream, split_stream
from tidegate_controller.engine import Engine
from tidegate_controller.errors import UsageError


def ever_deployed(state: t.State) -> bool:
    """Whether a rollout ever began, or is to; or somebody has to decide whether one has."""
    begun = state.rollout or state.committed or state.undone
    return bool(begun or state.queue or state.reconciling)


def refuse_unknown(engine: Engine, app: str) -> None:
    """Raise `UsageError` with the names that there are, where nothing was ever deployed as this."""
    streams = engine.streams.values()
    known = {split_stream(each.name)[0] for each in streams if ever_deployed(each.state)}
    if app not in known:
        listed = ", ".join(sorted(known)) or "none yet"
        raise UsageError(f"nothing was ever deployed as {app[:80]}", f"known apps: {listed}")


def find_stream(engine: Engine, app: str, environment: str) -> str:
    """The stream of an app; without an environment the only one there is. Raises `UsageError`."""
    found = [
        stream.name
        for stream in engine.streams.values()
        if ever_deployed(stream.state)
        and split_stream(stream.name)[0] == app
        and environment in ("", split_stream(stream.name)[1])
    ]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(sorted(split_stream(name)[1] for name in found))
        raise UsageError(f"{app} runs in several environments: {names}", "name one with -e")
    refuse_unknown(engine, app)
    there = sorted(
        where
        for name, where in (split_stream(stream.name) for stream in engine.streams.values())
        if name == app and ever_deployed(engine.streams[join_stream(name, where)].state)
    )
    raise UsageError(
        f"nothing was ever deployed as {app[:80]} in {environment[:80]}",
        f"its environments: {', '.join(there)}; see: tidegate status",
    )
