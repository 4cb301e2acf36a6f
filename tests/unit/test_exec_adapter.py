"""The adapter `exec`: what its command is asked and may answer, and that none outlives its end."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tidegate_controller.core.spec import Traffic
from tidegate_controller.errors import TrafficError
from tidegate_controller.traffic import balancer_of
from tidegate_controller.traffic.by_command import ANSWER_BYTES, TAIL_BYTES, ByCommand

PATIENCE_SECONDS = 30.0  # only ever reached where a test fails
BALANCER = """
case "$*" in
    check*) [ "$2" -le 3 ] || { echo "room for 3 addresses" >&2; exit 4; } ;;
    read) cat "$STATE" ;;
    write) cat > "$STATE" ;;
    *) exit 99 ;;
esac
"""
# Writes its process id, and those of two children that have left its session and go on for ever.
SPREADS = """
echo $$ >> "$PIDS"
exec 3>&1 4>&2 > /dev/null 2>&1
setsid sh -c 'echo $$ >> "$PIDS"; while :; do sleep 0.05; done' 3>&- 4>&- &
(setsid sh -c 'echo $$ >> "$PIDS"; while :; do sleep 0.05; done' 3>&- 4>&- &)
while [ "$(wc -l < "$PIDS")" -lt 3 ]; do sleep 0.01; done
"""
HALF_DONE = f"{SPREADS}\nsleep 20\ntouch $PIDS.done\n"


@pytest.fixture
def pids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where `SPREADS` says who it is; whatever is left of it is killed after the test."""
    path = tmp_path / "pids"
    path.touch()
    monkeypatch.setenv("PIDS", str(path))
    yield path
    for pid in alive(path):
        os.kill(pid, signal.SIGKILL)


def alive(pids: Path) -> list[int]:
    return [int(pid) for pid in pids.read_text().split() if psutil.pid_exists(int(pid))]


def is_done(pids: Path) -> bool:
    return pids.with_name(f"{pids.name}.done").exists()


def until(holds: Callable[[], bool], what: str) -> None:
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < give_up, what
        time.sleep(0.01)


def program(tmp_path: Path, text: str, name: str = "move") -> Path:
    path = tmp_path / name
    path.write_text(f"#!/bin/sh\n{text}")
    path.chmod(0o755)
    return path


def adapter(*command: object, timeout_seconds: float = PATIENCE_SECONDS) -> ByCommand:
    words = tuple(map(str, command))
    return ByCommand(Traffic(adapter="exec", command=words, timeout_seconds=timeout_seconds))


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the small balancer in `BALANCER` remembers."""
    path = tmp_path / "state"
    path.write_text("{}")
    monkeypatch.setenv("STATE", str(path))
    return path


# --- What it is asked ----------------------------------------------------------------------------


async def test_weights_are_written_and_read_back(tmp_path: Path, state: Path) -> None:
    balancer = adapter(program(tmp_path, BALANCER))
    await balancer.check(3)
    assert await balancer.state() == {}
    await balancer.shift({"10.0.0.1:8001": 100, "[::1]:8002": 50, "10.0.0.3:1": 0})
    assert json.loads(state.read_text()) == {"10.0.0.1:8001": 100, "[::1]:8002": 50}
    assert await balancer.state() == {"10.0.0.1:8001": 100, "[::1]:8002": 50}
    await balancer.shift({})
    assert await balancer.state() == {}


async def test_shares_that_somebody_has_changed_since_are_seen(tmp_path: Path, state: Path) -> None:
    balancer = adapter(program(tmp_path, BALANCER))
    await balancer.shift({"a:1": 100, "b:1": 100})
    await balancer.verify({"a:1": 1, "b:1": 1, "c:1": 0})
    state.write_text('{"a:1": 100, "b:1": 50}')
    with pytest.raises(TrafficError, match="a:1 100, b:1 50 in place of") as error:
        await balancer.verify({"a:1": 100, "b:1": 100})
    assert "deploy the same release again" in error.value.hint


async def test_words_of_its_own_come_before_what_is_asked(tmp_path: Path) -> None:
    told = tmp_path / "told"
    move = program(tmp_path, f'printf "%s|" "$@" >> {told}; [ "$5" != read ] || echo "{{}}"')
    awkward = ("$(touch x); `id`", "", "a b", "*")
    await adapter(move, *awkward).check(2)
    await adapter(move, *awkward).shift({})
    expected = "$(touch x); `id`||a b|*|"
    assert told.read_text() == f"{expected}check|2|{expected}write|{expected}read|"


async def test_it_runs_in_the_root_folder_with_the_controllers_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LB_TOKEN", "hunter2")
    seen = tmp_path / "seen"
    await adapter(program(tmp_path, f'echo "$PWD $LB_TOKEN" > {seen}')).check(1)
    assert seen.read_text() == "/ hunter2\n"


async def test_a_program_is_found_where_programs_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "exit 0", "my-balancer")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    await adapter("my-balancer").check(1)


async def test_shares_are_compared_whatever_they_add_up_to(tmp_path: Path, state: Path) -> None:
    halves = program(tmp_path, 'case $1 in read) echo "{\\"a:1\\": 1, \\"b:1\\": 1}" ;; esac')
    await adapter(halves).shift({"a:1": 100, "b:1": 100})
    with pytest.raises(TrafficError, match="a:1 1, b:1 1 in place of a:1 100, b:1 50"):
        await adapter(halves).shift({"a:1": 100, "b:1": 50})


async def test_what_is_not_read_back_as_written_is_an_error(tmp_path: Path, state: Path) -> None:
    deaf = program(tmp_path, BALANCER.replace('write) cat > "$STATE"', "write) true"))
    with pytest.raises(TrafficError) as raised:
        await adapter(deaf).shift({"a:1": 100})
    assert raised.value.message == (
        f"{deaf} read does not read back what was written: nothing in place of a:1 100"
    )


# --- How it can fail -----------------------------------------------------------------------------


async def test_a_refusal_says_the_exit_code_and_what_the_command_said(
    tmp_path: Path, state: Path
) -> None:
    move = program(tmp_path, BALANCER)
    with pytest.raises(TrafficError) as raised:
        await adapter(move).check(4)
    assert raised.value.message == f"{move} check 4 exited with 4; it said: room for 3 addresses"
    assert raised.value.output_tail == "room for 3 addresses\n"


async def test_only_the_end_of_what_it_says_is_kept(tmp_path: Path) -> None:
    loud = program(tmp_path, 'seq 1 100000 >&2; printf "\\033[31mlast\\033[0m\\n\\n" >&2; exit 1')
    with pytest.raises(TrafficError) as raised:
        await adapter(loud).check(1)
    assert raised.value.message.endswith("exited with 1; it said: last")
    assert raised.value.output_tail.endswith("100000\nlast\n\n")
    assert len(raised.value.output_tail) <= TAIL_BYTES


async def test_a_signal_is_said_as_shells_do(tmp_path: Path) -> None:
    with pytest.raises(TrafficError, match="check 1 exited with 139$"):
        await adapter(program(tmp_path, "kill -SEGV $$")).check(1)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("", "truncated"),
        ("[]", "Expected `object`, got `array`"),
        ("{", "truncated"),
        ('{"a:1": "100"}', "Expected `int`, got `str`"),
        ('{"a:1": 1.5}', "Expected `int`, got `float`"),
        ('{"a:1": true}', "Expected `int`, got `bool`"),
        ('{"a:1": NaN}', "invalid"),
        ('{"a:1": 1e999}', "out of range"),
        ('{"a:1": -1}', "the share of a:1 is -1"),
        ('{"a": 1}', "'a' is not HOST:PORT"),
        ('{"a:1": 1} more', "trailing"),
    ],
)
async def test_an_answer_that_is_none_is_named(tmp_path: Path, answer: str, why: str) -> None:
    move = program(tmp_path, f"cat <<'EOF'\n{answer}\nEOF\n")
    with pytest.raises(TrafficError, match="did not answer with JSON such as") as raised:
        await adapter(move).state()
    assert why in raised.value.message
    assert raised.value.output_tail == f"{answer}\n"


async def test_an_endless_answer_is_cut_off(tmp_path: Path) -> None:
    with pytest.raises(TrafficError, match=f"read wrote more than {ANSWER_BYTES:,} bytes"):
        await adapter(program(tmp_path, f"head -c {ANSWER_BYTES + 1} /dev/zero")).state()


@pytest.mark.parametrize("command", [(), ("",), ("no-such-program-here",), ("/etc/passwd",)])
async def test_a_program_that_cannot_be_run_is_named(command: tuple[str, ...]) -> None:
    with pytest.raises(TrafficError, match="there is no program '.*' on the controller's machine"):
        await adapter(*command).check(1)


async def test_a_file_that_is_no_program_is_named(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("not a program")
    text.chmod(0o755)
    with pytest.raises(TrafficError, match=f"exited with 127; it said: cannot run {text}: Exec"):
        await adapter(text).check(1)


# --- Nothing of it outlives its end --------------------------------------------------------------


async def test_a_command_that_takes_too_long_is_killed_with_all_it_started(
    tmp_path: Path, pids: Path
) -> None:
    move = program(tmp_path, HALF_DONE)
    slow = adapter(move, timeout_seconds=3.0)
    with pytest.raises(TrafficError) as raised:
        await slow.check(1)
    assert raised.value.message == f"{move} check 1 did not end within 3s and was killed"
    assert len(pids.read_text().split()) == 3
    assert alive(pids) == []
    assert not is_done(pids)


async def test_a_command_that_is_cancelled_is_killed_with_all_it_started(
    tmp_path: Path, pids: Path
) -> None:
    run = asyncio.create_task(adapter(program(tmp_path, HALF_DONE)).shift({"a:1": 1}))
    while len(pids.read_text().split()) < 3:
        await asyncio.sleep(0.01)
    run.cancel()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert alive(pids) == []
    assert not is_done(pids)


async def test_a_command_that_is_cancelled_before_it_runs_does_nothing(tmp_path: Path) -> None:
    done = tmp_path / "done"
    run = asyncio.create_task(adapter(program(tmp_path, f"sleep 0.5; touch {done}")).check(1))
    await asyncio.sleep(0)  # it has begun, and the program has not
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert not done.exists()


async def test_what_a_command_leaves_running_is_killed_when_it_ends(
    tmp_path: Path, pids: Path
) -> None:
    await adapter(program(tmp_path, SPREADS)).check(1)
    assert len(pids.read_text().split()) == 3
    assert alive(pids) == []


def test_when_the_controller_is_killed_a_half_done_command_does_not_go_on(
    tmp_path: Path, pids: Path
) -> None:
    move = program(tmp_path, HALF_DONE)
    controller = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import asyncio, sys\n"
            "from tidegate_controller.core.spec import Traffic\n"
            "from tidegate_controller.traffic.by_command import ByCommand\n"
            "spec = Traffic(adapter='exec', command=tuple(sys.argv[1:]), timeout_seconds=1000.0)\n"
            "asyncio.run(ByCommand(spec).shift({'a:1': 1}))\n",
            str(move),
        ]
    )
    try:
        until(lambda: len(pids.read_text().split()) == 3, "the command did not start")
        assert len(alive(pids)) == 3
    finally:
        controller.kill()
        controller.wait()
    until(lambda: alive(pids) == [], "the command goes on")
    assert not is_done(pids)


# --- Which balancer ------------------------------------------------------------------------------


def test_two_commands_are_two_balancers_and_one_is_one(tmp_path: Path) -> None:
    one = Traffic(adapter="exec", command=("lb", "shop"))
    same = Traffic(adapter="exec", command=("lb", "shop"), timeout_seconds=1.0)
    other = Traffic(adapter="exec", command=("lb", "blog"))
    assert balancer_of(one) == balancer_of(same) == "by lb shop"
    assert balancer_of(other) != balancer_of(one)
    assert balancer_of(Traffic(adapter="none")) == ""
    (tmp_path / "link").symlink_to(tmp_path)
    directories = (str(tmp_path), str(tmp_path / "link"))
    lanes = [balancer_of(Traffic(adapter="caddy", directory=each)) for each in directories]
    assert lanes == [f"in {tmp_path}"] * 2
