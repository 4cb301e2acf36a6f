"""Unpack one archive into a new directory: the child process that releases.py starts.

    python -m tidegate_agent.unpack ARCHIVE DEST --max-bytes N --max-members N --max-path N
                                    --max-seconds N

DEST must not exist. On success it holds exactly the archive's content, durable, and stdout has the
line {"files": n, "bytes": n, "folders": [NAME, …]}; otherwise DEST is gone, exit code 1,
{"error": "one sentence"}. `folders` lie one in the other, each alone there, around all the rest.

The format is told by the first bytes; `tidegate_protos.archives` has a reader for each, and the
rules that hold for all; tree.py writes. An archive is hostile until proven otherwise. Only the
standard library is imported, and little of it, since each deployment pays for the start; for
.tar.zst its library besides.
"""

import argparse
import json
import os
import resource
import signal
import stat
import sys

from tidegate_agent.tree import OPEN_DIR, Tree, c_function, explain
from tidegate_protos.archives import FORMATS
from tidegate_protos.archives.contents import Contents, Limits
from tidegate_protos.archives.reading import File, Refused
from tidegate_protos.formats import ACCEPTED, HEAD_BYTES, describe, recognise

ADDRESS_SPACE_BYTES = 1 << 30
OPEN_FILES = 512  # the directories kept open, two members' ancestors, and a few more
PR_SET_PDEATHSIG = 1


def open_archive(path: str) -> tuple[int, str]:
    """A descriptor of the file and its format, a key of FORMATS. Raises Refused."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a fifo must not hang us
    what, status, form = "", os.fstat(fd), ""
    if stat.S_ISDIR(status.st_mode):
        what = "a folder"
    elif not stat.S_ISREG(status.st_mode):
        what = "no regular file"
    elif not status.st_size:
        what = "an empty file"
    elif not (form := recognise(head := os.pread(fd, HEAD_BYTES, 0))):
        what = describe(head)
    if what:
        os.close(fd)
        raise Refused(f"the artifact is {what}; an artifact is {ACCEPTED}")
    return fd, form


def unpack(archive_fd: int, form: str, dest: str, limits: Limits) -> Contents:
    """Everything or nothing: an error of any kind takes DEST away again."""
    os.mkdir(dest, 0o755)
    root_fd = os.open(dest, OPEN_DIR)
    try:
        tree = Tree(root_fd, limits)
        file = File(archive_fd, limits.max_seconds, limits.max_members)
        for member in FORMATS[form](file):
            tree.add(member)
        tree.contents.finish()
        tree.close()
        try:
            tree.make_durable()
        except OSError as error:
            raise Refused(explain(error, root_fd, "the release", tree.contents.bytes)) from error
        return tree.contents
    except BaseException:
        import shutil  # noqa: PLC0415 - slow to import, and good deployments never need it

        shutil.rmtree(dest, ignore_errors=True)
        raise
    finally:
        os.close(root_fd)


def confine(max_bytes: int, max_seconds: float) -> None:
    """Limits that hold even if the checks above have a hole; and no life after the parent's."""
    cpu_seconds = int(max_seconds) + 2  # the deadline comes first, with a better message
    for what, limit in (
        (resource.RLIMIT_AS, ADDRESS_SPACE_BYTES),
        (resource.RLIMIT_FSIZE, max_bytes),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        bound = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(what, (bound, bound))
    if (prctl := c_function("prctl")) is not None:
        prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
    os.umask(0)  # modes are exactly what the rules above say


def failed(sentence: str) -> int:
    print(json.dumps({"error": sentence}))
    return 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="tidegate_agent.unpack")
    parser.add_argument("archive")
    parser.add_argument("dest")
    for limit in ("bytes", "members", "path"):
        parser.add_argument(f"--max-{limit}", type=int, required=True)
    parser.add_argument("--max-seconds", type=float, required=True)
    args = parser.parse_args()
    limits = Limits(args.max_bytes, args.max_members, args.max_path, args.max_seconds)
    confine(limits.max_bytes, limits.max_seconds)
    try:
        archive_fd, form = open_archive(args.archive)
        held = unpack(archive_fd, form, args.dest, limits)
    except Refused as refusal:
        return failed(str(refusal))
    except OSError as error:
        return failed(f"cannot unpack: {error.strerror} ({error.filename})")
    except MemoryError:
        return failed("unpacking needs more memory than it is allowed")
    print(json.dumps({"files": held.files, "bytes": held.bytes, "folders": held.folders()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
