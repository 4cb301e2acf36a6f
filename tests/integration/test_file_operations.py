"""A sample of the crash points of an agent's file operations, and their order on disk.

All of them: `make sweep` (file_operations.py), which needs strace as these do.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import traces
from file_operations import INJECTIONS, Sweep, Work, why_no_traces
from traces import Call, never_synced, problems_of_order

WHY_NOT = why_no_traces()
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sweep]:
    with Sweep(tmp_path_factory.mktemp("sweep")) as sweep:
        yield sweep


@pytest.fixture(params=["first", "next"])
def work(request: pytest.FixtureRequest, sweep: Sweep) -> Work:
    return sweep.works[request.param]


# --- Harm ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("injection", INJECTIONS)
def test_whatever_fails_or_dies_what_serves_stays_and_the_next_attempt_ends_well(
    sweep: Sweep, injection: str
) -> None:
    points = sweep.sample(injection)
    results = list(sweep.harm(injection, points))
    assert [str(result) for result in results if result.problems] == []
    assert len(results) == len(points) >= len(traces.KINDS)
    outcomes = {result.outcome for result in results}
    assert outcomes == ({"died", "told"} if injection == "killed" else {"told", "went on"})


# --- Order ---------------------------------------------------------------------------------------


def test_what_a_name_shows_was_synced_before_and_the_name_itself_right_after(work: Work) -> None:
    assert problems_of_order(work.calls, work.home) == []
    renames = [call for call in work.calls if call.name in traces.KINDS["rename"]]
    shown = [Path(call.paths[-1]).name for call in renames]
    (marker,) = (name for name in shown if name.endswith(".ok"))
    release = marker.removesuffix(".ok")
    wanted = [release, marker, "release", "current"]
    assert [name for name in shown if name in wanted] == wanted


def test_no_sync_could_be_left_out(work: Work) -> None:
    """Each of them that is taken from the trace is missed: the order is really looked at. Those at
    an agent's start are there for what a killed one has left, and here none was."""
    names = [call.name for call in work.calls]
    begun = names.index("syncfs")
    syncs = [at for at, name in enumerate(names) if name in ("fsync", "syncfs") and at >= begun]
    assert len(syncs) > 5
    for at in syncs:
        without = work.calls[:at] + work.calls[at + 1 :]
        assert problems_of_order(without, work.home) != [], work.calls[at]


def test_no_sync_may_come_later(work: Work) -> None:
    late = list(work.calls)
    for number in range(len(late) - 2, -1, -1):
        if late[number].name == "fsync" and late[number + 1].name in ("rename", "fsync"):
            late[number], late[number + 1] = late[number + 1], late[number]
    assert problems_of_order(late, work.home) != []


DATA = Path("/data")
OPENED = Call("agent", "openat", 1, ("/data/a/x.tmp",), creates=True)
WRITTEN = Call("agent", "write", 1, ("/data/a/x.tmp",))
SYNCED = Call("agent", "fsync", 1, ("/data/a/x.tmp",))
SHOWN = Call("agent", "rename", 1, ("/data/a/x.tmp", "/data/a/next"))
NAMED = Call("agent", "fsync", 2, ("/data/a",))


def test_the_good_order_of_a_made_up_trace_is_good() -> None:
    assert problems_of_order([OPENED, WRITTEN, SYNCED, SHOWN, NAMED], DATA) == []


@pytest.mark.parametrize(
    ("calls", "problem"),
    [
        ([OPENED, WRITTEN, SHOWN, NAMED], "rename to a/next before a/x.tmp was synced"),
        ([OPENED, SYNCED, WRITTEN, SHOWN, NAMED], "rename to a/next before a/x.tmp was synced"),
        ([OPENED, WRITTEN, SHOWN, SYNCED, NAMED], "rename to a/next before a/x.tmp was synced"),
        ([OPENED, WRITTEN, SYNCED, SHOWN], "the end before the rename to a/next was synced"),
        ([OPENED, WRITTEN, SYNCED, NAMED, SHOWN], "the end before the rename to a/next was synced"),
        (
            [SHOWN, Call("agent", "unlink", 1, ("/data/b",)), NAMED],
            "removal of b before the rename to a/next was synced",
        ),
        (
            [
                Call("agent", "write", 1, ("/data/a/tree/file",)),
                Call("agent", "symlink", 1, ("/data/a/x.tmp",), "tree"),
                SHOWN,
                NAMED,
            ],
            "rename to a/next before a/tree/file was synced",
        ),
        (
            [
                Call("agent", "mkdir", 1, ("/data/a/tree",), creates=True),
                Call("agent", "symlink", 1, ("/data/a/x.tmp",), "tree"),
                SHOWN,
                NAMED,
            ],
            "rename to a/next before the name a/tree was synced",
        ),
    ],
    ids=[
        *("never synced", "written after the sync", "synced after the rename", "the name never"),
        *(
            "the name too early",
            "something is removed first",
            "a file in a target",
            "a target's name",
        ),
    ],
)
def test_a_bad_order_is_found(calls: list[Call], problem: str) -> None:
    assert problem in problems_of_order(calls, DATA)


def test_what_a_killed_agent_did_not_sync_the_next_one_has_to() -> None:
    killed = [OPENED, WRITTEN, SYNCED, SHOWN]
    assert never_synced(killed, DATA) != []
    assert never_synced([*killed, replace(NAMED, role="worker")], DATA) == []


def test_a_sync_that_was_begun_counts_when_it_has_ended() -> None:
    lines = [
        '7 unlink("counted calls of agent") = -1 ENOENT (No such file or directory)',
        "7 fsync(3</data/a> <unfinished ...>",
        '8 rename("/data/a/x", "/data/a/y") = 0',
        "7 <... fsync resumed>)             = 0",
        "7 fsync(3</data/a>)                = -1 EIO (Input/output error) (INJECTED)",
        '7 symlink("slots/blue", "/data/.current.0a1b2c3d") = 0',
    ]
    assert traces.read("\n".join(lines)) == [
        Call("", "rename", 1, ("/data/a/x", "/data/a/y"), "/data/a/x"),
        Call("agent", "fsync", 1, ("/data/a",)),
        Call("agent", "symlink", 1, ("/data/.current.0a1b2c3d",), "slots/blue"),
    ]
