"""The ways to bring a release to hosts that deploy.py compares, but for Tidegate (its_own_way.py).

All of them end alike: the tree is in `releases/VERSION`, `current` names it, and the service runs
in it. What each does on the way stands in ways/. None of these syncs the disk.
"""

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ssh_hosts import SshHosts

WAYS = Path(__file__).resolve().parent / "ways"
TOOLS = {"ansible": "ansible-core", "pyinfra": "pyinfra"}  # way -> package in the index
ANSIBLE = """
[defaults]
host_key_checking = False
forks = {hosts}
interpreter_python = /usr/bin/python3
local_tmp = {folder}/tmp
[ssh_connection]
pipelining = True
control_path_dir = {folder}/cp
"""


@dataclass(frozen=True)
class Release:
    version: str
    archive: Path

    @property
    def digest(self) -> str:
        with self.archive.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


class Way(Protocol):
    """`groups`: those of cpu_groups.py in which its processes run."""

    name: str
    groups: tuple[str, ...]

    def roots(self) -> Sequence[Path]:
        """The folder of each host."""
        ...

    def tree(self, root: Path) -> Path:
        """The release that is active on the host with this folder."""
        ...

    def command(self, release: Release) -> tuple[Sequence[str | Path], Mapping[str, str]]:
        """What brings the release to all hosts, and variables for it."""
        ...


class Bare:
    """What nobody can do without: hash, unpack, link, start; nothing goes from host to host."""

    name, groups = "bare work", ("client",)

    def __init__(self, folder: Path, hosts: int) -> None:
        self._roots = [folder / f"web-{number}" for number in range(1, hosts + 1)]
        for root in self._roots:
            root.mkdir(parents=True)

    def roots(self) -> Sequence[Path]:
        return self._roots

    def tree(self, root: Path) -> Path:
        return root / "current"

    def command(self, release: Release) -> tuple[Sequence[str | Path], Mapping[str, str]]:
        given = (release.version, release.digest, release.archive, sys.executable)
        return ["sh", WAYS / "bare.sh", *given, *self._roots], {}


class OverSsh:
    """What the ways through sshd have in common: a folder a host, `folder/web-N`."""

    name = ""
    groups = ("client", "sshd")

    def __init__(self, folder: Path, hosts: SshHosts) -> None:
        self.folder, self.hosts = folder, hosts
        for root in self.roots():
            root.mkdir(parents=True)

    def roots(self) -> Sequence[Path]:
        return [self.folder / host.name for host in self.hosts.hosts]

    def tree(self, root: Path) -> Path:
        return root / "current"


class Script(OverSsh):
    """scp and ssh to all hosts at once."""

    name = "ssh/scp script"

    def command(self, release: Release) -> tuple[Sequence[str | Path], Mapping[str, str]]:
        given = (release.version, release.digest, release.archive, sys.executable)
        targets = [f"{root.name}={root}" for root in self.roots()]
        return ["sh", WAYS / "script.sh", *given, self.hosts.client_config, *targets], {}


class Ansible(OverSsh):
    """ansible-playbook with as many forks as hosts, pipelining, connections kept, no facts."""

    name = "Ansible"

    def __init__(self, folder: Path, hosts: SshHosts, programs: Path) -> None:
        super().__init__(folder, hosts)
        self._program = programs / "ansible-playbook"
        self._config = folder / "ansible.cfg"
        self._config.write_text(ANSIBLE.format(hosts=len(hosts.hosts), folder=folder))
        self._inventory = folder / "inventory.ini"
        self._inventory.write_text(
            "".join(
                f"{host.name} ansible_host=127.0.0.1 ansible_port={host.port} ansible_user=root "
                f"ansible_ssh_private_key_file={hosts.key} root={folder / host.name}\n"
                for host in hosts.hosts
            )
        )

    def command(self, release: Release) -> tuple[Sequence[str | Path], Mapping[str, str]]:
        given = words_of(release)
        words = " ".join(f"{name}={value}" for name, value in given.items())
        command = [self._program, "-i", self._inventory, "-e", words, WAYS / "playbook.yml"]
        return command, {"ANSIBLE_CONFIG": str(self._config), "ANSIBLE_HOME": str(self.folder)}


class Pyinfra(OverSsh):
    """pyinfra, which does all hosts at once by itself."""

    name = "pyinfra"

    def __init__(self, folder: Path, hosts: SshHosts, programs: Path) -> None:
        super().__init__(folder, hosts)
        self._program = programs / "pyinfra"
        self._inventory = folder / "inventory.py"
        entries = [
            (
                host.name,
                {
                    "ssh_hostname": "127.0.0.1",
                    "ssh_port": host.port,
                    "ssh_user": "root",
                    "ssh_key": str(hosts.key),
                    "ssh_strict_host_key_checking": "off",
                    "ssh_known_hosts_file": str(folder / "known_hosts"),
                    "root": str(folder / host.name),
                },
            )
            for host in hosts.hosts
        ]
        self._inventory.write_text(f"hosts = {entries!r}\n")

    def command(self, release: Release) -> tuple[Sequence[str | Path], Mapping[str, str]]:
        given = words_of(release)
        data = [word for name, value in given.items() for word in ("--data", f"{name}={value}")]
        return [self._program, "-y", *data, self._inventory, WAYS / "operations.py"], {}


def words_of(release: Release) -> dict[str, str | Path]:
    """What a playbook or a deploy of pyinfra has to be told."""
    return {
        "version": release.version,
        "archive": release.archive,
        "ways": WAYS,
        "python": sys.executable,
    }


def programs_of(tool: str) -> Path:
    """The folder with the tool's programs, in a virtual environment of its own that is made once.
    Raises CalledProcessError where that is not possible."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    programs = cache / "tidegate-bench" / tool / "bin"
    if not (programs / ".complete").exists():
        pip = [programs / "python", "-m", "pip", "--disable-pip-version-check", "install", "-q"]
        subprocess.run([sys.executable, "-m", "venv", programs.parent], check=True)
        subprocess.run([*pip, TOOLS[tool]], check=True, stdout=sys.stderr)
        (programs / ".complete").touch()
    return programs
