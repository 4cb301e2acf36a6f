"""What `tidegate doctor` and `tidegate-agent doctor` find: how it is said, and what both look at.

Nothing here changes anything, not even for a moment: a daemon may be at work where it looks.
"""

import json
import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

GIB = 1024**3
CLOCK_SECONDS = 300.0  # what was written so far in the future shows that the clock was set back
TIMEDATECTL_SECONDS = 5.0

Level = Literal["ok", "warn", "fail"]


class Finding(NamedTuple):
    """`what` is a sentence, `mend` what to do or to type about it; empty where nothing is."""

    level: Level
    what: str
    mend: str = ""


def exit_code(findings: Sequence[Finding]) -> int:
    return int(any(finding.level == "fail" for finding in findings))


def as_text(findings: Sequence[Finding]) -> str:
    lines = []
    for finding in findings:
        lines.append(f"{finding.level:4}  {finding.what}")
        if finding.mend:
            word = "mend" if finding.level == "fail" else "next"
            lines.append(f"      {word}: {finding.mend}")
    counts = {
        level: sum(finding.level == level for finding in findings) for level in ("warn", "fail")
    }
    lines.append("")
    if counts["fail"] or counts["warn"]:
        lines.append(f"{counts['fail']} to mend, {counts['warn']} to look at")
    else:
        lines.append("nothing to mend")
    return "\n".join(lines)


def as_json(findings: Sequence[Finding]) -> str:
    """`{"findings": [{"level", "what", "mend"}], "fails": N}`"""
    fails = sum(finding.level == "fail" for finding in findings)
    document = {"findings": [each._asdict() for each in findings], "fails": fails}
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


# --- A daemon's folder ---------------------------------------------------------------------------


def folder(data: Path, *, mend: str, is_private: bool) -> Iterator[Finding]:
    """Is it there, whose is it, and who may enter? `mend`: how to make one."""
    try:
        status = data.stat()
    except OSError as error:
        yield Finding("fail", f"{data} cannot be used: {error.strerror}", mend)
        return
    owner = user_name(status.st_uid)
    if os.geteuid() not in (0, status.st_uid):
        yield Finding(
            "fail",
            f"{data} belongs to {owner}, and this is {user_name(os.geteuid())}",
            f"look as the user that the daemon runs as: sudo -u {owner} …",
        )
    elif not os.access(data, os.R_OK | os.W_OK | os.X_OK):
        yield Finding(
            "fail",
            f"nothing can be written in {data}",
            f"chmod u+rwx {data}; is its disk read-only?",
        )
    elif is_private and status.st_mode & 0o077:
        yield Finding("warn", f"others than {owner} may look into {data}", f"chmod go-rwx {data}")
    else:
        yield Finding("ok", f"{data} belongs to {owner}, who can write there")


def room(data: Path, fail_bytes: int, warn_bytes: int) -> Finding:
    """How much is free on the disk that holds the folder."""
    try:
        free = shutil.disk_usage(data).free
    except OSError as error:
        return Finding("warn", f"how much room {data} has cannot be told: {error.strerror}")
    what = f"{free / GIB:.1f} GiB are free on the disk of {data}"
    if free >= warn_bytes:
        return Finding("ok", what)
    level: Level = "fail" if free < fail_bytes else "warn"
    return Finding(level, f"only {what}", f"make room; what takes it: du -xh {data} | sort -h")


def clock(data: Path) -> Iterator[Finding]:
    """Is it set back behind what was written here, and does anything keep it right?"""
    try:
        newest = max(path.stat().st_mtime for path in (data, *data.iterdir()))
    except OSError:
        newest = 0.0
    ahead = newest - time.time()
    if ahead > CLOCK_SECONDS:
        yield Finding(
            "warn",
            f"the clock was set back: files in {data} are from {ahead / 3600:.1f} hours ahead",
            "set it right, best by NTP: timedatectl set-ntp true",
        )
    is_kept = _clock_is_kept()
    if is_kept is False:
        yield Finding(
            "warn",
            "nothing keeps this machine's clock right",
            "timedatectl set-ntp true, or install chrony",
        )
    elif ahead <= CLOCK_SECONDS:
        yield Finding(
            "ok", "the clock " + ("is kept right" if is_kept else "has not been set back")
        )


def _clock_is_kept() -> bool | None:
    """What systemd says; None where it is not there to be asked."""
    if not Path("/run/systemd/system").is_dir():
        return None
    command = ["timedatectl", "show", "--property=NTPSynchronized", "--value"]
    answer = run(command, TIMEDATECTL_SECONDS)
    return None if answer is None else {"yes": True, "no": False}.get(answer.strip())


def lock_holder(lock: Path) -> int | None:
    """The pid of the daemon that has locked the file; None where none has. The kernel is asked:
    trying the lock would keep a daemon from its own for a moment."""
    try:
        status = lock.stat()
        held = Path("/proc/locks").read_text("ascii")
    except OSError:
        return None
    for line in held.splitlines():
        fields = line.split()  # 1: FLOCK ADVISORY WRITE pid major:minor:inode start end
        if len(fields) < 6 or fields[1] != "FLOCK":
            continue
        pid, (disk, _, inode) = int(fields[4]), fields[5].rpartition(":")
        if inode == str(status.st_ino):
            of_disk = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
            # Some file systems tell `stat` another number for the disk than the kernel's own.
            if disk == of_disk or b"tidegate" in _command_line(pid):
                return pid
    return None


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def run(command: Sequence[str], seconds: float) -> str | None:
    """What a command of the system's says; None where it is missing, fails or takes too long."""
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, check=True, errors="replace"
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout
