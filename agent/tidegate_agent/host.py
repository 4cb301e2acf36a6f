"""What the agent reaches beside its own files and its link: services, their health, scripts, the
network that artifacts come from, room on the disk, ports, the clock, chance.

Made once by agent.py and handed down to whoever needs a part of it. The simulation in the tests
gives an agent another host; all else of an agent is the same there.
"""

from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tidegate_agent import fetch, health, machine, managers, output, ports, scripts, unpacker
from tidegate_agent.health import Check, Context
from tidegate_agent.managers import Kind
from tidegate_agent.processes import Launch
from tidegate_agent.unpacker import Unpacked
from tidegate_protos.archives.contents import Limits
from tidegate_protos.v1 import agent_pb2 as pb


class Fetcher(Protocol):
    """Brings an artifact into a file; see `fetch.fetch`."""

    async def __call__(
        self,
        part: Path,
        name: str,
        size_bytes: int,
        patience: fetch.Patience,
        url: Callable[[], str],
        progress: Callable[[int, int], None],
        note: Callable[[str], None],
    ) -> None: ...


@dataclass(frozen=True)
class Host:
    """The machine itself, unless somebody says otherwise. Each is documented where it is from."""

    manager: Callable[[str], Kind] = managers.manager
    check_of: Callable[[pb.HealthCheck, Mapping[str, str], Context], Check] = health.check_of
    run_script: Callable[[str, Launch, str, float, Callable[[str], None]], Awaitable[None]] = (
        scripts.run
    )
    end_scripts: Callable[[str], Awaitable[None]] = scripts.end_leftovers
    fetch: Fetcher = fetch.fetch
    unpack: Callable[[Path, Path, Limits], Awaitable[Unpacked]] = unpacker.unpack
    free_bytes: Callable[[Path], int] = machine.free_bytes
    keep_short: Callable[[Path], Coroutine[None, None, None]] = output.keep_short
    pick_port: Callable[[str, int, int, Collection[int]], int] = ports.pick
    port_holder: Callable[[int], str | None] = ports.holder
    facts: Callable[[Path], dict[str, str]] = machine.facts
    heartbeat: Callable[[Path], pb.Heartbeat] = machine.heartbeat
    boot_id: Callable[[], str] = machine.boot_id
    wall_seconds: Callable[[], float] = machine.wall_seconds
    new_id: Callable[[], str] = machine.new_id


THIS = Host()
