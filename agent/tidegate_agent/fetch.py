"""Fetch one artifact by its digest over HTTP(S) into a file that a later attempt can resume.

Used by releases.py. The network is the standard library's, in a thread: fastest measured. A URL
is a place to look; the digest counts. Trouble is retried until the caller's deadline cancels.
All apps of an agent share a few places to fetch at, so that they finish one by one.
"""

import asyncio
import contextlib
import errno
import hashlib
import http.client
import logging
import os
import random
import re
import shutil
import socket
import threading
import urllib.error
import urllib.request
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tidegate_agent.errors import ArtifactError
from tidegate_agent.web import opener, public

log = logging.getLogger(__name__)

FETCHES_AT_ONCE = 4  # of one agent, whatever its apps
CHUNK_BYTES = 256 * 1024
GONE = (404, 410)
RETRIED = (401, 403, 408, 425, 429)  # and 5xx: a moment or a renewed URL can mend these
CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
PART_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC

# One semaphore a running agent; a loop is one, and has none of another's waiters.
_places: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = (
    weakref.WeakKeyDictionary()
)


@dataclass(frozen=True)
class Patience:
    """How long to wait for what, in seconds."""

    connect_seconds: float = 10.0
    read_seconds: float = 30.0  # between two pieces of an answer
    first_pause_seconds: float = 0.5  # doubles with each failure in a row, less up to half
    longest_pause_seconds: float = 30.0
    progress_every_seconds: float = 0.5


async def fetch(
    part: Path,
    name: str,
    size_bytes: int,
    patience: Patience,
    url: Callable[[], str],
    progress: Callable[[int, int], None],
    note: Callable[[str], None],
) -> None:
    """Bring the artifact with these hex digits into `part`; see `Fetch.run`."""
    await Fetch(part, name, size_bytes, patience).run(url, progress, note)


class _Retry(Exception):
    """This attempt failed in a way that another may not."""


class _Cut(Exception):
    """The fetch was cancelled; nobody listens any more."""


class Fetch:
    """One artifact on its way into `part`. `done` bytes of it are there and hashed."""

    def __init__(self, part: Path, name: str, size_bytes: int, patience: Patience) -> None:
        self.done = 0
        self._part = part
        self._name = name  # the digest's hex digits
        self._size = size_bytes
        self._patience = patience
        self._hash = hashlib.sha256()
        self._loaded = False
        self._resumed = False  # some of the bytes came from an earlier answer or process
        self._started_over = False
        # Once `_cut` is set under the lock, a thread that still hangs in the network writes no
        # more: the next fetch of the same file may already be running.
        self._lock = threading.Lock()
        self._is_cut = False
        self._socket: socket.socket | None = None

    async def run(
        self,
        url: Callable[[], str],
        progress: Callable[[int, int], None],
        note: Callable[[str], None],
    ) -> None:
        """Return when `part` is the whole artifact. Raises ArtifactError where waiting is no use.

        `url` is asked before each attempt; `note` gets a sentence for each that failed.
        """
        failures = 0
        places = _places.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(FETCHES_AT_ONCE))
        while True:
            before = self.done
            if places.locked():
                note(f"waiting: {FETCHES_AT_ONCE} other artifacts are being fetched")
            try:
                async with places:  # not while pausing, which would hold up the others
                    await self._in_thread(url(), progress)
                return
            except _Retry as trouble:
                failures = 1 if self.done > before else failures + 1
                pause = self._pause_seconds(failures)
                sentence = f"{trouble}; next attempt in {pause:.1f} s"
            log.warning("%s", sentence)
            note(sentence)
            await asyncio.sleep(pause)

    def _pause_seconds(self, failures: int) -> float:
        longest = self._patience.longest_pause_seconds
        pause = min(longest, self._patience.first_pause_seconds * 2.0 ** min(failures - 1, 30))
        return pause * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret

    async def _in_thread(self, url: str, progress: Callable[[int, int], None]) -> None:
        """One attempt. A daemon thread, not a pool: a name that never resolves holds up nobody."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()

        def tell(error: BaseException | None) -> None:
            if ended.done() or self._is_cut:
                return
            if error is None:
                ended.set_result(None)
            else:
                ended.set_exception(error)

        def work() -> None:
            error: BaseException | None = None
            try:
                self._attempt(url)
            except BaseException as raised:
                error = raised
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(tell, error)

        threading.Thread(target=work, name=f"fetch {self._name[:12]}", daemon=True).start()
        try:
            every = self._patience.progress_every_seconds
            while not (await asyncio.wait({ended}, timeout=every))[0]:
                progress(self.done, self._size)
            ended.result()
        finally:
            if not ended.done():
                self._cut()
        progress(self.done, self._size)

    def _cut(self) -> None:
        with self._lock:
            self._is_cut = True
            if self._socket is not None:
                # Closing does not wake a thread that waits in recv; shutdown does. Past the
                # TLS layer, which has a shutdown of its own that talks to the peer.
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def connected(self, sock: socket.socket) -> None:
        """From the thread: this socket must be shut down if the fetch is cancelled."""
        with self._lock:
            if self._is_cut:
                raise _Cut
            sock.settimeout(self._patience.read_seconds)
            self._socket = sock

    # --- From here on in the thread --------------------------------------------------------------

    def _attempt(self, url: str) -> None:
        with self._writing():
            fd = os.open(self._part, PART_FLAGS, 0o600)
        try:
            if not self._loaded or os.fstat(fd).st_size != self.done:
                self._load(fd)
            if self.done < self._size:
                self._download(fd, url)
            self._verify(fd)
        finally:
            os.close(fd)

    def _load(self, fd: int) -> None:
        """Hash what an earlier process left, or somebody has put in its place meanwhile."""
        self.done, self._hash = 0, hashlib.sha256()
        if os.fstat(fd).st_size > self._size:
            self._restart(fd)
        while data := os.pread(fd, CHUNK_BYTES, self.done):
            with self._writing():
                self._hash.update(data)
                self.done += len(data)
        self._loaded = True
        self._resumed = self.done > 0

    def _download(self, fd: int, url: str) -> None:
        where = public(url)
        headers = {"Accept-Encoding": "identity", "User-Agent": "tidegate-agent"}
        if self.done:
            headers["Range"] = f"bytes={self.done}-"
        try:
            request = urllib.request.Request(url, headers=headers)  # noqa: S310 - checked above
            with opener(self.connected).open(
                request, timeout=self._patience.connect_seconds
            ) as response:
                self._begin(fd, response, where)
                while left := self._size - self.done:
                    # read1: what has arrived, so that a break loses nothing
                    if not (data := response.read1(min(left, CHUNK_BYTES))):
                        raise _Retry(f"{where} ended early, {left} bytes of {self._size} missing")
                    self._store(fd, data)
        except urllib.error.HTTPError as error:
            self._judge(fd, error, where)
        except http.client.InvalidURL as error:
            raise ArtifactError(f"the artifact's address is malformed: {where}") from error
        except (OSError, http.client.HTTPException) as error:
            reason = str(getattr(error, "reason", "") or error or type(error).__name__)[:200]
            reason = reason if reason.isprintable() else repr(reason)
            raise _Retry(f"cannot fetch {where}: {reason}") from error

    def _begin(self, fd: int, response: http.client.HTTPResponse, where: str) -> None:
        """Is this answer the artifact, and from which byte on?"""
        if response.status == 206 and self.done:
            found = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if found and int(found[1]) == self.done and found[2] in (str(self._size), "*"):
                self._resumed = True
                return
            self._restart(fd)
            raise _Retry(f"{where} resumes with something else; starting over")
        if response.status != 200:
            raise _Retry(f"{where} answered {response.status}")
        if response.length not in (None, self._size):
            offered = f"{where} offers {response.length} bytes"
            raise ArtifactError(f"{offered}, the artifact has {self._size}")
        if self.done:  # the server knows no Range
            self._restart(fd)

    def _judge(self, fd: int, error: urllib.error.HTTPError, where: str) -> None:
        with error:
            meaning = http.client.responses.get(error.code, "")  # not the server's words
            answer = f"{where} answered {error.code} {meaning}".rstrip()
        if error.code == 416 and self.done:
            self._restart(fd)
            raise _Retry(f"{answer}; starting over") from error
        if error.code in GONE:
            raise ArtifactError(f"the artifact is not there: {answer}") from error
        if error.code in RETRIED or error.code >= 500:
            raise _Retry(answer) from error
        raise ArtifactError(f"the artifact cannot be fetched: {answer}") from error

    def _store(self, fd: int, data: bytes) -> None:
        with self._writing():
            rest = memoryview(data)
            while rest:
                written = os.pwrite(fd, rest, self.done)
                self._hash.update(rest[:written])
                self.done += written
                rest = rest[written:]

    def _restart(self, fd: int) -> None:
        with self._writing():
            os.ftruncate(fd, 0)
            self.done, self._hash, self._resumed = 0, hashlib.sha256(), False

    def _verify(self, fd: int) -> None:
        found = self._hash.hexdigest()
        if found == self._name:
            return
        if self._resumed and not self._started_over:
            self._started_over = True  # the old bytes may be to blame; only once
            self._restart(fd)
            raise _Retry("the artifact does not fit what was fetched earlier; starting over")
        raise ArtifactError(
            f"the artifact has the digest sha256:{found}, not sha256:{self._name}; "
            "nothing was unpacked"
        )

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Alone with the file, unless the fetch was cut; its disk errors are not the network's."""
        folder, missing = self._part.parent, self._size - self.done
        with self._lock, disk_errors("fetching the artifact", folder, missing):
            if self._is_cut:
                raise _Cut
            yield


@contextlib.contextmanager
def disk_errors(doing: str, folder: Path, needed_bytes: int) -> Iterator[None]:
    """Turns the file system's errors into one sentence for the operator, an ArtifactError."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            there = next(place for place in (folder, *folder.parents) if place.exists())
            free = f"{shutil.disk_usage(there).free:,} bytes free"
            text = f"disk full while {doing}: {free} in {there}, {needed_bytes:,} needed"
        else:
            text = f"disk error while {doing}: {error.strerror} ({error.filename or folder})"
        raise ArtifactError(text) from error
