"""The `process` manager: plain children that outlive the agent (processes.py)."""

from tidegate_agent import output, processes
from tidegate_agent.health.kind import exit_in_words
from tidegate_agent.managers.kind import Ended, Ending, Handle, Place, Sight
from tidegate_agent.processes import Instance, Launch


class Processes:
    renews = True  # else what an app has left behind would be taken for it

    def __init__(self, place: Place) -> None:
        self._output = place.output

    async def start(self, launch: Launch, token: str) -> Handle:
        return _handle(processes.spawn(launch, token))

    async def find(self, token: str) -> Handle | None:
        instance = processes.find(token)
        return None if instance is None else _handle(instance)

    async def look(self, handle: Handle) -> Sight:
        alive = processes.alive(_instance(handle))
        return Sight(alive, "" if alive else "the process has ended")

    async def wait(self, handle: Handle) -> Ended:
        code = await processes.wait_exit(_instance(handle))
        return Ended("ended with an unknown code" if code is None else exit_in_words(code))

    async def stop(self, handle: Handle, grace_seconds: float) -> Ending:
        return await processes.stop(_instance(handle), grace_seconds)

    async def tail(self, handle: Handle) -> str:
        return output.tail(self._output)


def _handle(instance: Instance) -> Handle:
    return {
        "token": instance.token,
        "pid": instance.pid,
        "started_ticks": instance.started_ticks,
        "boot_id": instance.boot_id,
    }


def _instance(handle: Handle) -> Instance:
    return Instance(
        str(handle["token"]),
        int(handle["pid"]),
        int(handle["started_ticks"]),
        str(handle["boot_id"]),
    )
