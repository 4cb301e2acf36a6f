"""A machine that systemd runs, made of namespaces of this one: for tests of what only systemd does.

Its root is a folder with `/usr` of this machine read-only in it; `/etc` and `/var` are its own and
outlive a reboot. The network is this machine's. What it mounts goes with its init, whatever kills
that. Needs root, and Linux with cgroup v2 beside or without v1.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PATIENCE_SECONDS = 30.0
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# What /usr brings along and a machine without devices and consoles cannot do, or must not do to
# the kernel that it shares.
MASKED = (
    *("systemd-sysctl.service", "systemd-update-utmp.service", "systemd-logind.service"),
    *("systemd-update-utmp-runlevel.service", "systemd-modules-load.service", "getty.target"),
    *("systemd-udev-trigger.service", "systemd-udevd.service", "systemd-random-seed.service"),
    *("systemd-firstboot.service", "systemd-sysusers.service", "sys-kernel-debug.mount"),
    *("sys-kernel-tracing.mount", "sys-kernel-config.mount", "dev-hugepages.mount"),
    *("dev-mqueue.mount", "sys-fs-fuse-connections.mount"),
)
FOLDERS = (
    *("etc/systemd/system", "var/log", "var/tmp", "before"),
    *("usr", "proc", "sys", "run", "tmp", "dev", "root"),
)
COPIED = ["group", "hosts", "ld.so.cache", "nsswitch.conf", "passwd", "dbus-1", "polkit-1"]

# $1: the root; the rest: what is bound into it read-only, at its own place.
BOOT = """
set -eu
root=$1; shift
mount --make-rprivate /
mount --bind "$root" "$root"
mount --bind -o ro /usr "$root/usr"
mount -t proc proc "$root/proc"
mount --bind -o ro "$root/proc/sys" "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for place in "$@"; do  # which may be beneath any of these
    mkdir -p "$root$place"
    mount --bind -o ro "$place" "$root$place"
done
for device in null zero full random urandom tty; do
    : > "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
cd "$root"
mkdir -p before
pivot_root . before
umount -l before
mount --make-rshared /
exec env -i container=tidegate PATH="$PATH" \\
    /usr/lib/systemd/systemd --system --unit=multi-user.target
"""


def missing() -> str:
    """Why there can be no such machine here; empty where there can."""
    if os.geteuid() != 0:
        return "only root may make namespaces and boot a systemd in them"
    programs = ("unshare", "nsenter", "setpriv", "mount", "pivot_root", "systemctl", "journalctl")
    absent = [program for program in programs if shutil.which(program) is None]
    if not Path("/usr/lib/systemd/systemd").exists():
        absent.append("/usr/lib/systemd/systemd")
    if absent:
        return f"no {', '.join(absent)} here; apt-get install systemd util-linux mount"
    if _cgroups() is None:
        return "no cgroup v2 hierarchy is mounted here"
    return ""


class SystemdNode:
    """`folder` becomes its root; the test may write there what the machine finds at its boot."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        self._cgroup = (_cgroups() or Path()) / f"tidegate-{os.getpid()}-{folder.name}"
        self._outer: subprocess.Popen[bytes] | None = None
        self._init = 0
        self._bound = sorted(
            path
            for path in {REPOSITORY, Path(sys.prefix), Path(sys.base_prefix)}
            if not path.is_relative_to("/usr")
        )
        self._furnish()

    def _furnish(self) -> None:
        for name in FOLDERS:
            (self.root / name).mkdir(parents=True)
        for name in ("bin", "sbin", "lib", "lib64"):
            (self.root / name).symlink_to(f"usr/{name}")
        for name in COPIED:
            source = Path("/etc") / name
            if source.is_dir():
                shutil.copytree(source, self.root / "etc" / name, symlinks=True)
            elif source.exists():
                shutil.copy(source, self.root / "etc" / name)
        (self.root / "etc/polkit-1/rules.d").mkdir(parents=True, exist_ok=True)
        (self.root / "etc/machine-id").touch()
        for unit in MASKED:
            (self.root / "etc/systemd/system" / unit).symlink_to("/dev/null")

    def boot(self) -> None:
        """Return once its default target is reached."""
        self._cgroup.mkdir()
        script = self.root / "boot.sh"
        script.write_text(BOOT)
        self._outer = subprocess.Popen(
            [
                *("sh", "-c", 'echo 0 > "$0" && exec "$@"', str(self._cgroup / "cgroup.procs")),
                *("setpriv", "--pdeathsig", "KILL"),  # it shall not outlive the tests
                *("unshare", "-m", "-u", "-i", "-p", "-C", "--fork", "--kill-child"),
                *("sh", str(script), str(self.root), *map(str, self._bound)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={"PATH": PATH},
        )
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children")
        self._until(lambda: bool(children.read_text().split()), "namespaces")
        self._init = int(children.read_text())
        # Until then its root is this machine's, and so would be the systemd that is asked.
        program = Path(f"/proc/{self._init}/comm")
        self._until(lambda: program.read_text() == "systemd\n", "its own root")
        self._until(self._is_up, "systemd")

    def _is_up(self) -> bool:
        said = self.run("systemctl", "is-system-running", "--wait", check=False)
        return said.strip() in ("running", "degraded")

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        give_up = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert self._outer is not None
            assert self._outer.poll() is None, f"{what}: it ended with {self._outer.returncode}"
            assert time.monotonic() < give_up, f"waited in vain for {what}"
            time.sleep(0.02)

    def run(self, *command: str, check: bool = True) -> str:
        """What the command says on its standard output, and on its standard error."""
        ended = subprocess.run(
            ["nsenter", "-t", str(self._init), "-m", "-u", "-i", "-p", "-C", "-r", "-w", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={"PATH": PATH, "LC_ALL": "C.UTF-8"},
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        if check:
            assert ended.returncode == 0, f"{command}: {ended.returncode}: {ended.stdout}"
        return ended.stdout

    def power_off(self) -> None:
        """As if the plug was pulled: all its processes are killed at once."""
        if self._outer is None:
            return
        self._outer.kill()  # takes the init along, and that everything
        self._outer.wait(PATIENCE_SECONDS)
        self._outer = None
        give_up = time.monotonic() + PATIENCE_SECONDS
        while self._cgroup.exists():
            for folder, _, _ in os.walk(self._cgroup, topdown=False):
                try:
                    os.rmdir(folder)
                except OSError:
                    assert time.monotonic() < give_up, f"cannot remove {folder}"
            time.sleep(0.02)


def _cgroups() -> Path | None:
    """Where the unified hierarchy of control groups is mounted."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    return None
