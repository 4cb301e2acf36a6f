"""Every crash point of an agent's file operations: killed before it, or given an error by it.

    PYTHONPATH=tests/unit/agent python tests/integration/file_operations.py   all (`make sweep`)

An agent brings an app's first release into service, and another one the next release after it
(agent_lives.py). strace tells each call that changes a name or syncs; then each of them in turn is
the one before which the process is killed, that finds the disk full, that fails.
Whatever happened: what served is as it was, what a name shows is complete, and an error is told in
words. Done once more without harm, all of it ends well and nothing is left over (aftermath.py).
"""

import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import artifact_web
import traces
from aftermath import Content, content, differences, leftovers, lies, shown
from agent_lives import Ending, Order
from hostile_archives import archive, member, symlink
from one_node import apps_of, end_apps

HERE = Path(__file__).parent
WHEN = 100  # the number of the call that strace harms; no thread makes so many by itself
INJECTIONS = {"killed": "signal=KILL", "disk full": "error=ENOSPC", "I/O error": "error=EIO"}
WORDS = {  # what an error has to say
    "killed": re.compile("killed by SIGKILL"),  # the process that unpacks
    "disk full": re.compile(r"No space left on device|disk full|journal .*: disk I/O error"),
    "I/O error": re.compile(r"Input/output error|journal .*: disk I/O error"),
}


def why_no_traces() -> str:
    """Why this machine cannot do it, with what to type; empty where it can."""
    if shutil.which("strace") is None:
        return "strace is missing: apt-get install strace (as root, make test does it)"
    tried = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, text=True)
    return f"strace cannot trace here: {tried.stderr.strip()}" if tried.returncode else ""


def artifact(number: int, *more: bytes) -> bytes:
    run = member(b"app/run", b"run %d" % number)
    again = member(b"app/again", kind=b"1", link=b"app/run")
    data = member(b"data", bytes([number]) * 5000)
    return archive(run, again, symlink(b"link", b"app/run"), data, *more)


SCRIPT = member(b"migrate.sh", b"exit 0")  # a release with a script gets a tree of the slot's own
FIRST, OLDER, NEXT = artifact(1), artifact(2, SCRIPT), artifact(3, SCRIPT)


class Agents:
    """A process that lives agents' lives on demand, beneath strace with these arguments or not."""

    def __init__(self, *strace: str) -> None:
        command = [sys.executable, str(HERE / "agent_lives.py")]
        self._process = subprocess.Popen(
            ["strace", "-f", "-y", *strace, *command] if strace else command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )

    def live(self, order: Order) -> Ending:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(order)) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return Ending(**{**answer, "done": {k: tuple(v) for k, v in answer["done"].items()}})

    def __enter__(self) -> "Agents":
        return self

    def __exit__(self, *_: object) -> None:
        """strace ends after all that was begun beneath it, so the apps have to end before."""
        self._process.communicate(timeout=60)


@dataclass(frozen=True)
class Point:
    """A call that changes a name or syncs: whose, and which of its calls of that name."""

    work: str
    role: str
    name: str
    number: int
    what: str

    @property
    def kind(self) -> str:
        return next(kind for kind, names in traces.KINDS.items() if self.name in names)

    def __str__(self) -> str:
        return f"{self.work}, {self.role}, {self.name} {self.number} ({self.what})"


@dataclass
class Work:
    """What is done in a folder like `start`, traced in `home`; `after` is its content then."""

    start: Path
    order: Order
    home: Path = Path()
    after: Content = field(default_factory=dict)
    calls: list[traces.Call] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)


@dataclass(frozen=True)
class Result:
    """`outcome`: the process "died", the error was "told", or it "went on" without."""

    point: Point
    injection: str
    outcome: str
    problems: list[str]

    def __str__(self) -> str:
        return f"{self.injection}: {self.point}: {self.outcome}; " + "; ".join(self.problems)


class Sweep:
    """`folder` is for all it makes. Use it in a `with` block; threads may `harm` at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.works: dict[str, Work] = {}
        self._nodes = f"node-{uuid.uuid4().hex[:12]}"
        self._numbers = itertools.count()
        self._ending = contextlib.ExitStack()
        self._urls: dict[bytes, str] = {}
        self._served: set[int] = set()

    def __enter__(self) -> "Sweep":
        with contextlib.ExitStack() as ending:
            for data in (FIRST, OLDER, NEXT):
                server = ending.enter_context(artifact_web.running())
                server.answers = [artifact_web.whole(data)]
                self._urls[data] = server.url()
            ending.callback(end_apps, self._nodes)
            self._once()
            self._ending = ending.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    @property
    def points(self) -> list[Point]:
        return [point for work in self.works.values() for point in work.points]

    def sample(self, injection: str) -> list[Point]:
        """Of each kind the first, the one in the middle and the last are where it is killed, and
        the last is what fails; of the calls with one name the first finds the disk full."""
        groups: dict[str, list[Point]] = {}
        for point in self.points:
            group = point.name if injection == "disk full" else point.kind
            groups.setdefault(group, []).append(point)
        places = {"killed": (0, 0.5, 1), "disk full": (0,), "I/O error": (1,)}[injection]
        chosen = [group[int(at * (len(group) - 1))] for group in groups.values() for at in places]
        return list(dict.fromkeys(chosen))

    # --- Without harm -------------------------------------------------------------------------

    def _once(self) -> None:
        """An app's first release, and the next one where that one serves, traced once each."""
        empty, served = self.folder / "empty", self.folder / "served"
        empty.mkdir()
        served.mkdir()
        first = self._order(FIRST, "blue", 1, served)
        with Agents() as agents:
            assert agents.live(first).ok
            assert agents.live(replace(self._order(OLDER, "green", 2, served), works=1)).ok
        self._served = apps_of(self._nodes)
        assert len(self._served) == 1
        self._trace("first", Work(empty, first))
        self._trace("next", Work(served, self._order(NEXT, "green", 3, served)))

    def _order(self, data: bytes, slot: str, attempt: int, folder: Path) -> Order:
        digest, url = artifact_web.digest_of(data), self._urls[data]
        return Order(self._nodes, str(folder), slot, url, digest, len(data), attempt)

    def _trace(self, name: str, work: Work) -> None:
        trace = self.folder / f"{name}.trace"
        tracing = ["-o", str(trace), "-e", f"trace={traces.calls(traces.ALL)}"]
        with Agents("--seccomp-bpf", *tracing) as agents, self._folder(work) as order:
            ending = agents.live(order)
            assert ending.ok, ending
            work.home = Path(order.data)
            work.after = content(work.home)
        work.calls = traces.read(trace.read_text())
        for call in work.calls:
            if call.role and call.name in traces.POINTS and call.is_beneath(work.home):
                what = shown(os.path.relpath(call.paths[-1], work.home))
                work.points.append(Point(name, call.role, call.name, call.number, what))
        assert 0 < max(point.number for point in work.points) < WHEN
        self.works[name] = work

    @contextlib.contextmanager
    def _folder(self, work: Work) -> Iterator[Order]:
        """A folder of its own, and a node whose apps end with it."""
        number = next(self._numbers)
        data, node = self.folder / f"life-{number}", f"{self._nodes}-{number}"
        shutil.copytree(work.start, data, symlinks=True)
        try:
            yield replace(work.order, data=str(data), node=node)
        finally:
            end_apps(node)
            shutil.rmtree(data)

    # --- With harm ----------------------------------------------------------------------------

    def harm(self, injection: str, points: Iterable[Point]) -> Iterator[Result]:
        """Harm each of the points in this way, and see what comes of it."""
        trace = self.folder / f"{injection.replace('/', '-')}.trace"
        trace.touch()
        inject = f"inject={traces.calls(traces.POINTS)}:{INJECTIONS[injection]}:when={WHEN}"
        options = ["-o", str(trace), "-e", inject, "-e", f"trace={traces.calls(traces.ALL)}"]
        if injection != "killed":  # strace 6.1 is faster with this, but does not send the signal
            options.append("--seccomp-bpf")
        with Agents(*options) as agents, trace.open() as written:
            for point in points:
                with self._folder(self.works[point.work]) as order:
                    wanted = (point.role, point.name, WHEN - point.number)
                    ending = agents.live(replace(order, wanted=wanted))
                    found = After(self.works[point.work], point, injection, order, ending)
                    found.look(harmed := written.read())
                    # A controller sends the same to an agent that died, and else something new.
                    attempt = order.attempt + (not found.died)
                    found.look_again(agents.live(replace(order, attempt=attempt)))
                    if found.died:
                        calls = traces.read(harmed + written.read())
                        found.problems += traces.never_synced(calls, Path(order.data))
                    if apps_of(self._nodes) != self._served:
                        found.problems.append("the app that served does not run any more")
                    yield found.result()


class After:
    """One work that was harmed, and what is wrong with what it has left."""

    def __init__(
        self, work: Work, point: Point, injection: str, order: Order, ending: Ending
    ) -> None:
        self.problems: list[str] = []
        self.died = ending.code == -signal.SIGKILL
        self._work, self._data = work, Path(order.data)
        self._point, self._injection, self._ending = point, injection, ending

    def look(self, trace: str) -> None:
        ending, before = self._ending, content(self._work.start)
        self.problems += lies(self._data, before, self._work.after)
        if not re.search(r"\(INJECTED\)|\+\+\+ killed by SIGKILL", trace):
            self.problems.append("it was not reached: the calls are not those that were counted")
        if ending.code and not self.died:
            self.problems.append(f"the agent ended with exit code {ending.code}")
        if ending.errors and not WORDS[self._injection].search("; ".join(ending.errors)):
            self.problems.append(f"the error does not say why: {ending.errors}")
        if not self.died and "cannot remove" not in "".join(ending.warnings):
            self.problems += leftovers(self._data, before, self._work.after)

    def look_again(self, ending: Ending) -> None:
        if not ending.ok:
            self.problems.append(f"done again, it failed: {ending.errors or ending.code}")
        self.problems += differences(self._data, self._work.after)

    def result(self) -> Result:
        outcome = "died" if self.died else "told" if self._ending.errors else "went on"
        return Result(self._point, self._injection, outcome, self.problems)


def sweep_all(folder: Path) -> list[Result]:
    """Harm every point in every way; results are shown as they come."""

    def harmed(injection: str) -> list[Result]:
        results = []
        for result in sweep.harm(injection, sweep.points):
            results.append(result)
            if result.problems:
                print(result, flush=True)
        return results

    with Sweep(folder) as sweep, ThreadPoolExecutor(len(INJECTIONS)) as threads:
        return [result for results in threads.map(harmed, INJECTIONS) for result in results]


def main() -> int:
    if why := why_no_traces():
        print(why, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="tidegate-sweep-") as folder:
        results = sweep_all(Path(folder))
    print(f"{'':10}{'points':>8}" + "".join(f"  {injection:24}" for injection in INJECTIONS))
    for kind in traces.KINDS:
        line = f"{kind:10}"
        of_kind = [result for result in results if result.point.kind == kind]
        line += f"{len({result.point for result in of_kind}):8}"
        for injection in INJECTIONS:
            outcomes = Counter(one.outcome for one in of_kind if one.injection == injection)
            line += f"  {', '.join(f'{n} {what}' for what, n in sorted(outcomes.items())):24}"
        print(line.rstrip())
    bad = sum(bool(result.problems) for result in results)
    print(f"{len(results)} times harmed, {len(results) - bad} ended well")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
