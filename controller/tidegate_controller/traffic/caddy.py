"""Traffic through Caddy: every upstream is a lane, a small file that says where it leads.

Caddy's `reverse_proxy` gets `lanes` upstreams in round robin. Each is a placeholder,
`tcp/{file.DIRECTORY/lane-NN}`, whose file Caddy reads anew for every request. So a shift is a few
files replaced by rename: the very next request goes the new way and nothing is ever reloaded (a
reload replaces Caddy's server and loses requests). Made by `traffic.ADAPTERS`, used by the shell.

What Caddy 2.11 does, and what follows from it:
- It needs leave to read the files as its own user: they are made 0644, the directory 0755.
- A lane that leads nowhere is answered 502 at once, and works again with the next request.
- Its passive health checks (`fail_duration`) mark the *lane* as down, not the address in it, and
  would shun a lane that has long moved on: leave them off.
- Retries (`lb_try_duration`) are off unless asked for, and no shift here needs them.
"""

import asyncio
import contextlib
import os
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tidegate_controller.core.spec import Traffic
from tidegate_controller.errors import TrafficError
from tidegate_controller.traffic.durable_lanes import former, kept, ready
from tidegate_protos.folders import sync_folder
from tidegate_protos.threads import to_the_end

NOWHERE = "127.0.0.1:0"  # nothing can listen on port 0, so this refuses at once, always
LANE_BYTES = 512  # more than any address; what is longer is not one of ours
LANES_MAX = 1000

_ADDRESS = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
_UNFIT = re.compile(r"[{}:\\\"`\x00-\x1f\x7f]")  # would end or change the placeholder


class Caddy:
    """The lanes of one app in one environment. `spec.directory` is taken from the working
    directory where it is relative; Caddy needs it absolute, see `caddyfile_upstreams`."""

    def __init__(self, spec: Traffic) -> None:
        self._spec = spec

    async def check(self, addresses: int) -> None:
        """Raise unless lanes could be moved to so many addresses now. Makes the directory if it is
        missing, moves nothing. Errors: `TrafficError`."""
        await asyncio.to_thread(_check, self._spec, addresses)

    async def state(self) -> Mapping[str, int]:
        """Address -> number of lanes (of `spec.lanes`) that lead there; a lane that leads nowhere
        or was never written counts for nobody. Errors: `TrafficError` on an unreadable lane."""
        lanes = await asyncio.to_thread(_read_strictly, lane_files(self._spec))
        return dict(Counter(lane for lane in lanes if lane is not None and lane != NOWHERE))

    async def shift(self, weights: Mapping[str, int]) -> None:
        """Share the lanes out by these weights (see `allocate`) and read them back. With no weight
        above 0 every request is answered 502 until the next shift. One at a time for a directory;
        one that is cancelled finishes first, so that its thread cannot run into the next one.
        Errors: `TrafficError`; where a new lane cannot be prepared, none has moved."""
        wanted = {address: _checked(address, weight) for address, weight in weights.items()}
        await to_the_end(asyncio.to_thread(_shift, self._spec, wanted))

    async def verify(self, weights: Mapping[str, int]) -> None:
        """Raise unless every lane leads where a shift to these weights has made it lead. Errors:
        `TrafficError`, with the lanes that do not."""
        await asyncio.to_thread(_verify, self._spec, weights)


def caddyfile_upstreams(spec: Traffic) -> list[str]:
    """What follows `to` in the `reverse_proxy` block of a Caddyfile, one upstream a lane; the same
    strings serve as `dial` in JSON. `tcp/` is needed: without it the Caddyfile reader takes the
    path's first slash for the end of a network's name and appends `:80`. Quote them where the
    path has spaces. Errors: `TrafficError` if the directory's name cannot stand there."""
    return [f"tcp/{{file.{path}}}" for path in lane_files(spec)]


def lane_files(spec: Traffic) -> list[Path]:
    """The absolute path of each lane's file, in lane order. Errors: `TrafficError`."""
    directory = Path(spec.directory).absolute()
    if _UNFIT.search(str(directory)):
        raise TrafficError(
            f"the traffic directory {str(directory)!r} has a character that Caddy's placeholders"
            ' cannot hold (one of { } : \\ " ` or a control character)',
            "choose another `directory` under [traffic]",
        )
    if not 1 <= spec.lanes <= LANES_MAX:
        raise TrafficError(
            f"`lanes` is {spec.lanes}, which is not between 1 and {LANES_MAX}",
            "set `lanes` under [traffic]; 20 suits up to about ten nodes",
        )
    return [directory / f"lane-{number:02d}" for number in range(spec.lanes)]


# -- who gets which lane (pure) ---------------------------------------------------------------


def allocate(current: Sequence[str | None], weights: Mapping[str, int]) -> list[str]:
    """The address of each lane, for as many lanes as `current` has (None: not known).

    Lanes are shared out by largest remainder, but no weight above 0 gets less than one lane. A
    lane keeps its address where the shares allow it: no allocation with these shares changes
    fewer. Free lanes are filled so that an address's turns are spread over the round. The same
    input gives the same result. Errors: `TrafficError` for more addresses than lanes.
    """
    held = Counter(lane for lane in current if lane is not None)
    shares = _shares(weights, len(current), held)
    if not shares:
        return [NOWHERE] * len(current)
    even = _evenly(shares)
    gaining = {address for address, share in shares.items() if share > held[address]}
    lanes: list[str | None] = [None] * len(current)
    for address, share in shares.items():
        mine = [number for number, lane in enumerate(current) if lane == address]
        # best kept: where the even order wants it; best given up: where a newcomer is wanted
        mine.sort(key=lambda n: 0 if even[n] == address else 2 if even[n] in gaining else 1)
        for number in mine[:share]:
            lanes[number] = address
    missing = Counter(shares)
    missing.subtract(lane for lane in lanes if lane is not None)
    for number, lane in enumerate(lanes):
        if lane is None and missing[even[number]] > 0:
            lanes[number] = even[number]
            missing[even[number]] -= 1
    rest = iter(_evenly(missing))
    return [next(rest) if lane is None else lane for lane in lanes]


def _shares(weights: Mapping[str, int], lanes: int, held: Mapping[str, int]) -> dict[str, int]:
    """Address -> lanes, in all `lanes` of them, or nothing if no weight is above 0. Of equal
    remainders, who would otherwise have to give up a lane comes first, then the alphabet."""
    wanted = {address: weight for address, weight in sorted(weights.items()) if weight > 0}
    if len(wanted) > lanes:
        raise _too_few_lanes(len(wanted), lanes)
    shares: dict[str, int] = {}
    free, total = lanes, sum(wanted.values())
    while small := [address for address, weight in wanted.items() if weight * free < total]:
        shares |= dict.fromkeys(small, 1)
        wanted = {address: weight for address, weight in wanted.items() if address not in shares}
        free, total = lanes - len(shares), sum(wanted.values())
    if not wanted:
        return shares
    floors = {address: weight * free // total for address, weight in wanted.items()}
    by_remainder = sorted(
        wanted,
        key=lambda a: (-(wanted[a] * free % total), held.get(a, 0) <= floors[a], a),
    )
    more = by_remainder[: free - sum(floors.values())]
    return shares | {address: floor + (address in more) for address, floor in floors.items()}


def _evenly(shares: Mapping[str, int]) -> list[str]:
    """Each address as often as its share, its turns as far apart as may be."""
    turns = [
        ((2 * turn + 1) / (2 * share), address)
        for address, share in shares.items()
        for turn in range(share)
    ]
    return [address for _, address in sorted(turns)]


def _checked(address: str, weight: int) -> int:
    """The weight, if Caddy could send traffic to this address."""
    match = _ADDRESS.fullmatch(address)
    if not match or not 1 <= int(match[1]) <= 65535:
        raise TrafficError(f"{address!r} is not an address: it must read host:port")
    if weight < 0:
        raise TrafficError(f"the weight of {address} is {weight}: it must be 0 or more")
    return weight


# -- files (run in a thread) ------------------------------------------------------------------


def _check(spec: Traffic, addresses: int) -> None:
    files = lane_files(spec)
    if addresses > len(files):
        raise _too_few_lanes(addresses, len(files))
    directory = made_directory(files[0].parent)
    _refuse_strays(files)
    _read_strictly(files)
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        raise TrafficError(
            f"{directory} cannot be written by user id {os.geteuid()}, which the controller runs "
            "as",
            f"give it that directory, for example with: chown {os.geteuid()} {directory}",
        )


def made_directory(directory: Path, *, parents: bool = False) -> Path:
    """The directory, made if its parent is there; with `parents` those too. Whatever the umask,
    each that is made can be read by Caddy, which runs as another user. Errors: `TrafficError`."""
    try:
        if directory.is_dir():
            return directory
        if directory.exists() or directory.is_symlink():
            raise TrafficError(
                f"the traffic directory {directory} is not a directory",
                "remove it, or choose another `directory` under [traffic]",
            )
        if parents and not directory.parent.exists():
            made_directory(directory.parent, parents=True)
        directory.mkdir()
        directory.chmod(0o755)
        sync_folder(directory.parent)
    except OSError as error:
        raise TrafficError(
            f"the traffic directory {directory} cannot be made: {error.strerror}",
            "choose another `directory` under [traffic], or make this one with: "
            f"mkdir -p {directory}",
        ) from error
    return directory


def _too_few_lanes(addresses: int, lanes: int) -> TrafficError:
    return TrafficError(
        f"{addresses} addresses are to get traffic, but there are {lanes} lanes",
        f"raise `lanes` under [traffic] to at least {addresses} (twice that shares out more"
        " evenly), and write Caddy's configuration anew with as many upstreams",
    )


def _shift(spec: Traffic, weights: Mapping[str, int]) -> None:
    """Prepare every new lane durably, then swap them all by rename, then compare."""
    files = lane_files(spec)
    directory = made_directory(files[0].parent)
    try:
        _refuse_strays(files)
        current = [lane if _is_lane(lane) else None for lane in map(_read, files)]
        wanted = allocate(current, weights)
        fresh = [
            (ready(file, lane), kept(file), file)
            for file, lane, old in zip(files, wanted, current, strict=True)
            if lane != old
        ]
        for new, _, file in fresh:
            new.replace(file)
        with contextlib.suppress(OSError):  # it would only have been quicker next time
            for _, old, file in fresh:
                if old is not None:
                    old.replace(former(file))
        sync_folder(directory)  # also where nothing changed: an earlier try may not have
    except OSError as error:
        raise TrafficError(
            f"the lanes in {directory} could not be written: {error}",
            "see that the disk has room and that the controller may write there",
        ) from error
    found = _read_strictly(files)
    if found != wanted:
        different = [file.name for file, a, b in zip(files, found, wanted, strict=True) if a != b]
        raise TrafficError(
            f"{directory} does not read back what was written: {', '.join(different[:5])} differ",
            "something else writes there; let one controller alone move this traffic",
        )


def _verify(spec: Traffic, weights: Mapping[str, int]) -> None:
    files = lane_files(spec)
    directory = files[0].parent
    if directory.is_dir():
        _refuse_strays(files)
    found = _read_strictly(files)
    missing = [file.name for file, lane in zip(files, found, strict=True) if lane is None]
    if missing:
        raise TrafficError(
            f"{len(missing)} of {len(files)} lanes in {directory} are missing "
            f"({_some(missing)}): requests that come to them are answered 502",
            "they are written anew by deploying the same release again",
            redeploy=True,
        )
    pairs = zip(files, found, allocate(found, weights), strict=True)
    astray = [f"{file.name} to {lane}" for file, lane, wanted in pairs if lane != wanted]
    if astray:
        raise TrafficError(
            f"{len(astray)} of {len(files)} lanes in {directory} lead elsewhere than traffic was "
            f"moved to ({_some(astray)})",
            "something else writes there; let one controller alone move this traffic, and have "
            "them written anew by deploying the same release again",
            redeploy=True,
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", …" if names[5:] else "")


def _refuse_strays(files: Sequence[Path]) -> None:
    """A lane beyond `lanes` keeps its old address, and Caddy would go on using it."""
    ours = {file.name for file in files}
    strays = sorted(set(_lane_names(files[0].parent)) - ours)
    if strays:
        raise TrafficError(
            f"{files[0].parent} has {len(strays)} lanes beyond `lanes` = {len(files)}, from"
            f" {strays[0]} on; if Caddy still has them as upstreams, they lead to an old address",
            f"set `lanes` back to {len(files) + len(strays)}, or write Caddy's configuration with"
            f" {len(files)} upstreams, load it, and then remove these files",
        )


def _lane_names(directory: Path) -> Iterable[str]:
    return (name for name in os.listdir(directory) if re.fullmatch(r"lane-[0-9]{2,}", name))


def _read(file: Path) -> str | None:
    """The lane as Caddy reads it (less one line end); None if it was never written."""
    try:
        with file.open("rb") as stream:
            content = stream.read(LANE_BYTES)
    except FileNotFoundError:
        return None
    return content.decode("utf-8", "replace").removesuffix("\n").removesuffix("\r")


def _read_strictly(files: Sequence[Path]) -> list[str | None]:
    """All lanes; `TrafficError` if one cannot be read or holds no address."""
    try:
        lanes = [_read(file) for file in files]
    except OSError as error:
        raise TrafficError(
            f"a lane cannot be read: {error}",
            "see that the controller may read the directory and that only lanes are in it",
        ) from error
    for file, lane in zip(files, lanes, strict=True):
        if lane is not None and not _is_lane(lane):
            raise TrafficError(
                f"{file} holds {lane[:60]!r}, which is not host:port",
                f"something else writes there; remove it (rm {shlex.quote(str(file))}) and have it "
                "written anew by deploying the same release again",
                redeploy=True,
            )
    return lanes


def _is_lane(lane: str | None) -> bool:
    return lane is not None and _ADDRESS.fullmatch(lane) is not None
