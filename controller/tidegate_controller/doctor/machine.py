"""What a controller needs on its machine: its folder, its log, its ports."""

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from tidegate_controller import data_folder
from tidegate_controller.addresses import refuse_taken, split_loopback
from tidegate_controller.errors import TidegateError
from tidegate_controller.log import RESTORE, LogError, decode_event, verified
from tidegate_controller.options import PROGRAM, Options
from tidegate_protos import findings
from tidegate_protos.findings import GIB, Finding
from tidegate_protos.settings import files

ROOM_FAIL_BYTES = 256 * 1024**2
ROOM_WARN_BYTES = 2 * GIB


def look(options: Options, local: Path) -> Iterator[Finding]:
    """`local`: where the local socket is, or would be."""
    data = options.data
    found = ", ".join(map(str, files(PROGRAM, os.environ)))
    yield Finding("ok", f"settings come from {found or 'no file, since there is none'}")
    make = f"tidegate controller init --data {data}"
    yield from findings.folder(data, mend=make, is_private=True)
    if data.is_dir():
        yield findings.room(data, ROOM_FAIL_BYTES, ROOM_WARN_BYTES)
        yield from findings.clock(data)
        yield from _log(data / data_folder.LOG)
        yield from _artifacts(data / data_folder.ARTIFACTS)
    pid = running(data)
    if pid is None:
        yield from _ports(options)
        yield Finding(
            "warn",
            f"no controller works on {data}",
            f"systemctl start tidegate-controller, or tidegate controller run --data {data}",
        )
    else:
        yield Finding("ok", f"a controller works on {data} (pid {pid})")
        yield _socket(local)


def running(data: Path) -> int | None:
    """The pid of the controller that works on the folder."""
    return findings.lock_holder(data / data_folder.LOCK)


def _log(path: Path) -> Iterator[Finding]:
    if not path.exists():
        yield Finding("ok", f"there is no log at {path} yet: no controller ever ran here")
        return
    count, at = 0, ""
    try:
        for record in verified(path):
            decode_event(record)  # which is what fails where its kind is not known
            count, at = record.seq, record.at
    except LogError as error:
        yield Finding("fail", error.message, error.hint or RESTORE)
        return
    last = f", the last one of {at}" if at else ""
    yield Finding("ok", f"the log can be read and its hashes hold: {count:,} events{last}")


def _artifacts(folder: Path) -> Iterator[Finding]:
    if not folder.is_dir():
        return
    try:
        sizes = [file.stat().st_size for file in folder.iterdir() if file.is_file()]
    except OSError as error:
        yield Finding(
            "fail",
            f"{folder} cannot be read: {error.strerror}",
            f"look at who owns it: ls -ld {folder}",
        )
        return
    yield Finding("ok", f"{folder} holds {sum(sizes) / GIB:.1f} GiB in {len(sizes)} files")


def _ports(options: Options) -> Iterator[Finding]:
    """Of a controller that is about to be started."""
    for flag, address in (("--listen", options.listen), ("--http", options.http)):
        if address is None:
            continue
        try:
            refuse_taken(*split_loopback(address, flag), flag)
        except TidegateError as error:
            yield Finding("fail", error.message, error.hint)
        else:
            yield Finding("ok", f"{address} is free to listen on")


def _socket(path: Path) -> Finding:
    try:
        status = path.stat()
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(os.fspath(path))
    except OSError as error:
        return Finding(
            "warn",
            f"the local socket {path} does not answer: {error.strerror}",
            "name the controller: --controller HOST:PORT; the socket belongs to the controller's "
            "user, and --socket says where it is",
        )
    if stat.S_IMODE(status.st_mode) & 0o077:
        return Finding("fail", f"others may use the local socket {path}", f"chmod 600 {path}")
    return Finding("ok", f"the local socket {path} answers")
