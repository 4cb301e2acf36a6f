"""Ten hosts to deploy to over ssh, all of them this machine: one sshd on ten ports of loopback.

Everything is in one folder: the server's configuration and key, the client's key and configuration,
and a folder for each host. The server is Debian's, started by hand; it needs root.
"""

import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tidegate_controller.demo.local_fleet import free_port

SSHD = "/usr/sbin/sshd"
PRIVILEGE_FOLDER = Path("/run/sshd")  # sshd of Debian wants it to be there
START_SECONDS = 10.0
SERVER = """
ListenAddress 127.0.0.1
HostKey {folder}/host_key
PidFile none
AuthorizedKeysFile {folder}/key.pub
AuthenticationMethods publickey
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
MaxStartups 200
MaxSessions 100
Subsystem sftp internal-sftp
"""
CLIENT = """
IdentityFile {folder}/key
IdentitiesOnly yes
User root
StrictHostKeyChecking no
UserKnownHostsFile {folder}/known_hosts
LogLevel ERROR
"""


@dataclass(frozen=True)
class Host:
    name: str
    port: int
    root: Path  # where its releases go


def missing() -> str:
    """Why there can be no such hosts here, or nothing."""
    lacks = [tool for tool in (SSHD, "ssh", "scp", "ssh-keygen") if shutil.which(tool) is None]
    if not lacks:
        return ""
    return f"{', '.join(lacks)} missing; on Debian and Ubuntu: apt install openssh-server"


class SshHosts:
    """`folder` is to be empty. Nothing runs until `start`."""

    def __init__(self, folder: Path, number: int) -> None:
        self.folder = folder
        self.client_config = folder / "ssh_config"
        self.key = folder / "key"
        self.hosts: list[Host] = []
        self._number = number
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.folder.mkdir(parents=True)
        PRIVILEGE_FOLDER.mkdir(exist_ok=True)
        for name in ("host_key", "key"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name)],
                check=True,
            )
        for number in range(1, self._number + 1):
            root = self.folder / "hosts" / f"web-{number}"
            self.hosts.append(Host(root.name, free_port(), root))
        ports = "".join(f"Port {host.port}\n" for host in self.hosts)
        server = self.folder / "sshd_config"
        server.write_text(ports + SERVER.format(folder=self.folder))
        aliases = "".join(
            f"Host {host.name}\nHostName 127.0.0.1\nPort {host.port}\n" for host in self.hosts
        )
        self.client_config.write_text(f"{aliases}Host *{CLIENT.format(folder=self.folder)}")
        command = [SSHD, "-D", "-f", str(server), "-E", str(self.folder / "sshd.log")]
        self._server = subprocess.Popen(command)
        for host in self.hosts:
            self._wait(host.port)

    def stop(self) -> None:
        if self._server is not None:
            self._server.terminate()
            self._server.wait()

    def _wait(self, port: int) -> None:
        give_up = time.monotonic() + START_SECONDS
        while time.monotonic() < give_up:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.05)
        raise SystemExit(f"sshd does not listen: {(self.folder / 'sshd.log').read_text()[-2000:]}")
