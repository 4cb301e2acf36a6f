#!/usr/bin/env python3
"""A release to ten hosts: Tidegate, a script of ssh and scp, Ansible, pyinfra, and the bare work.

    sudo .venv/bin/python bench/deploy.py

All hosts are this machine: ten agents of one controller, and ten ports of one sshd, which is
started by hand. Ansible and pyinfra come from the package index, once, into the cache folder. The
ways take turns over several rounds, each round with a release that nobody has seen, so that ratios
are of one machine at one time. After each turn every tree is read back, and the service must run in
it.

Processor time is that of all processes of a way, sshd's sessions, agents and controller included,
until a second after its end. Needs root: for sshd, and to count that (cpu_groups.py). Takes about
12 GB beneath TMPDIR; nothing is removed before the end, since ext4 avoids inodes that were freed in
the last minute and looks long for others.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psutil

import ssh_hosts
from big_artifact import Content, digest_of_tree
from contenders import TOOLS, Ansible, Bare, Pyinfra, Release, Script, Way, programs_of
from cpu_groups import CpuGroups
from its_own_way import Tidegate

SERVICE_SECONDS = 5.0
WAYS = ("bare", "tidegate", "script", "pyinfra", "ansible")


@dataclass
class Figures:
    """Of one way, a number for each round."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


class Bench:
    """`ways` are ready; what they take is in `figures`, by name."""

    def __init__(
        self, folder: Path, content: Content, groups: CpuGroups, settle_seconds: float
    ) -> None:
        self.ways: list[Way] = []
        self.figures: dict[str, Figures] = {}
        self._folder, self._content, self._groups = folder, content, groups
        self._settle_seconds = settle_seconds

    def round(self, number: int) -> None:
        """One turn of each way, begun by another one each time."""
        version = str(number)
        release = Release(version, self._content.pack(version, self._folder))
        first = number % len(self.ways)
        for way in self.ways[first:] + self.ways[:first]:
            wall, cpu = self._turn(way, release)
            print(f"  round {number}: {way.name:14} {wall:6.2f} s", file=sys.stderr, flush=True)
            figures = self.figures.setdefault(way.name, Figures())
            figures.wall.append(wall)
            figures.cpu.append(cpu)
        release.archive.unlink()

    def _turn(self, way: Way, release: Release) -> tuple[float, float]:
        """Wall and processor seconds."""
        command, more = way.command(release)
        os.sync()  # nobody pays for what another has left to be written
        before = self._groups.seconds(*way.groups)
        with self._groups.within("client"):
            began = time.monotonic()
            done = subprocess.run(
                command,
                env={**os.environ, **more},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
            wall = time.monotonic() - began
        if done.returncode:
            sys.exit(f"{way.name} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        time.sleep(self._settle_seconds)
        cpu = self._groups.seconds(*way.groups) - before
        self._check(way, release.version)
        return wall, cpu

    def _check(self, way: Way, version: str) -> None:
        """The release must be on each host, complete, and the service must run in it."""
        wanted = self._content.digest(version)
        trees = [way.tree(root).resolve() for root in way.roots()]
        for tree in trees:
            if digest_of_tree(tree) != wanted:
                sys.exit(f"{way.name}: {tree} is not version {version}")
        give_up = time.monotonic() + SERVICE_SECONDS
        while missing := set(map(str, trees)) - _folders_of_processes():
            if time.monotonic() > give_up:
                sys.exit(f"{way.name}: no service runs in {', '.join(sorted(missing))}")
            time.sleep(0.1)


def _folders_of_processes() -> set[str]:
    found = set()
    for process in psutil.process_iter():
        try:
            found.add(process.cwd())
        except psutil.Error:
            continue  # ended meanwhile
    return found


def make_ways(
    wanted: list[str], folder: Path, hosts: int, groups: CpuGroups, exits: ExitStack
) -> tuple[list[Way], list[str]]:
    """All that can be had, started; and a sentence for each that cannot."""
    ways: list[Way] = []
    left_out: list[str] = []
    if "bare" in wanted:
        ways.append(Bare(folder / "bare", hosts))
    if "tidegate" in wanted:
        tidegate = Tidegate(folder / "tidegate", hosts)
        exits.callback(tidegate.fleet.stop)
        with groups.within("tidegate"):
            tidegate.start()
        ways.append(tidegate)
    over_ssh = [way for way in wanted if way in ("script", "ansible", "pyinfra")]
    if over_ssh and (reason := ssh_hosts.missing()):
        left_out += [f"{way}: {reason}" for way in over_ssh]
    elif over_ssh:
        server = ssh_hosts.SshHosts(folder / "ssh", hosts)
        exits.callback(server.stop)
        with groups.within("sshd"):
            server.start()
        makers: dict[str, Callable[[Path], Way]] = {
            "ansible": lambda programs: Ansible(folder / "ansible", server, programs),
            "pyinfra": lambda programs: Pyinfra(folder / "pyinfra", server, programs),
        }
        if "script" in over_ssh:
            ways.append(Script(folder / "script", server))
        for way in [way for way in over_ssh if way in TOOLS]:
            try:
                ways.append(makers[way](programs_of(way)))
            except (OSError, subprocess.CalledProcessError) as error:
                left_out.append(f"{way}: {TOOLS[way]} could not be installed: {error}")
    return ways, left_out


def say(bench: Bench, hosts: int) -> None:
    """A row a way. Ratios are medians of those within each round."""
    bare, own = bench.figures.get("bare work"), bench.figures.get("Tidegate")
    print(
        f"{'':14}  {'wall: min':>9} {'median':>8}  {'CPU a host: min':>15} {'median':>8}  "
        f"{'CPU / bare':>10}  {'wall / Tidegate':>15}"
    )
    for name, found in bench.figures.items():
        work = _ratio(found.cpu, bare.cpu) if bare else "-"
        time_ = _ratio(found.wall, own.wall) if own else "-"
        cpu = [seconds / hosts for seconds in found.cpu]
        print(
            f"{name:14}  {min(found.wall):7.2f} s {median(found.wall):6.2f} s  "
            f"{min(cpu):13.2f} s {median(cpu):6.2f} s  {work:>10}  {time_:>15}"
        )


def _ratio(these: list[float], those: list[float]) -> str:
    return f"{median(a / b for a, b in zip(these, those, strict=True)):.2f}"


def main() -> int:
    parser = argparse.ArgumentParser(description="A release to ten hosts, in several ways.")
    parser.add_argument("--hosts", type=int, default=10)
    parser.add_argument("--files", type=int, default=2200, help="of the release")
    parser.add_argument("--rounds", type=int, default=5, help="after one to warm up")
    parser.add_argument("--only", nargs="+", choices=WAYS, default=list(WAYS), metavar="WAY")
    parser.add_argument(
        "--settle", type=float, default=1.0, help="seconds for what a way does after its end"
    )
    parser.add_argument("--quick", action="store_true", help="two hosts, 50 files, one round")
    options = parser.parse_args()
    if options.quick:
        options.hosts, options.files, options.rounds, options.settle = 2, 50, 1, 0.0
    content = Content(options.files)
    with ExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="tidegate-bench-")))
        groups = CpuGroups()
        exits.callback(groups.close)
        bench = Bench(folder, content, groups, options.settle)
        bench.ways, left_out = make_ways(options.only, folder, options.hosts, groups, exits)
        for sentence in left_out:
            print(f"LEFT OUT: {sentence}", file=sys.stderr, flush=True)
        bench.round(0)
        bench.figures.clear()
        packed_bytes = 0
        for number in range(1, options.rounds + 1):
            bench.round(number)
        steps = [way.steps() for way in bench.ways if isinstance(way, Tidegate)]
        packed_bytes = content.pack("size", folder).stat().st_size
    print(
        f"{options.hosts} hosts, {options.files + 1:,} files, {packed_bytes / 1e6:.1f} MB packed, "
        f"{content.unpacked_bytes / 1e6:.1f} MB unpacked; {options.rounds} rounds"
    )
    say(bench, options.hosts)
    for sentence in left_out:
        print(f"left out: {sentence}")
    for step in steps:
        print(
            "Tidegate's last: " + ", ".join(f"{name} {took:.2f} s" for name, took in step.items())
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
