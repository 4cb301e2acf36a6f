"""The same for pyinfra, which runs this for each host. `put` compares checksums on both sides."""

from pyinfra import host
from pyinfra.operations import files, server

root, version, ways = host.data.root, host.data.version, host.data.ways
files.put(
    name="Bring the archive", src=host.data.archive, dest=f"{root}/incoming.tar.gz", mode="644"
)
files.directory(name="Make the folder", path=f"{root}/releases/{version}")
server.shell(
    name="Unpack", commands=[f"tar -xzf {root}/incoming.tar.gz -C {root}/releases/{version}"]
)
files.link(name="Switch", path=f"{root}/current", target=f"releases/{version}")
server.shell(name="Restart", commands=[f"sh {ways}/restart.sh {root} {host.data.python}"])
