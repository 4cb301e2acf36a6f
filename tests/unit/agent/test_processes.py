"""The `process` service manager with real children: started, lost, found again, ended."""

import asyncio
import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tidegate_agent import processes, procfs
from tidegate_agent.errors import NodeError, ServiceError
from tidegate_agent.processes import (
    TOKEN_VARIABLE,
    Instance,
    Launch,
    alive,
    find,
    spawn,
    stop,
    wait_exit,
)

PATIENCE_SECONDS = 20.0
SLEEP = "import time; time.sleep(60)"
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(60)
"""
# Starts one more, prints its pid; "own group" and "own session" are what daemons do.
PARENT = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {child!r}], start_new_session={session})
print("child", child.pid, flush=True)
{then}
"""
# What an agent does, up to the moment when it is killed.
AGENT = """
import dataclasses, json, sys, time
from pathlib import Path
from tidegate_agent.processes import Launch, spawn
command, directory, token = json.loads(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
instance = spawn(Launch(tuple(command), {}, directory, directory / "output"), token)
print(json.dumps(dataclasses.asdict(instance)), flush=True)
sys.stdin.read()
"""


@dataclass
class Yard:
    """Starts children in a directory of the test, and cleans up after it."""

    directory: Path
    tokens: list[str] = field(default_factory=list)

    @property
    def output(self) -> Path:
        return self.directory / "output"

    def token(self) -> str:
        self.tokens.append(uuid.uuid4().hex)
        return self.tokens[-1]

    def launch(self, *command: str, **environment: str) -> Launch:
        return Launch(command, environment, self.directory, self.output)

    def python(self, code: str, **environment: str) -> Instance:
        launch = self.launch(sys.executable, "-c", textwrap.dedent(code), **environment)
        return spawn(launch, self.token())

    def read(self, start: str = "") -> str:
        """The output, once it has a whole line that starts so."""
        lines: list[str] = []

        def printed() -> bool:
            lines[:] = self.output.read_text().splitlines(keepends=True)
            return any(line.startswith(start) and line.endswith("\n") for line in lines)

        until(printed)
        return "".join(lines)

    def child_pid(self) -> int:
        return int(self.read("child").split("child ")[1].split()[0])

    def agent(self, *command: str) -> "subprocess.Popen[bytes]":
        """An agent that starts the command, says so and waits for the end of its input."""
        options = ["-X", "dev", "-W", "error"]
        arguments = [json.dumps(command), str(self.directory), self.token()]
        return subprocess.Popen(
            [sys.executable, *options, "-c", AGENT, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )

    def lost(self, *command: str) -> Instance:
        """Started by an agent that was killed with SIGKILL since."""
        with self.agent(*command) as agent:
            assert agent.stdout is not None
            instance = Instance(**json.loads(agent.stdout.readline()))
            agent.kill()
        assert agent.returncode == -signal.SIGKILL
        return instance


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    yard = Yard(tmp_path)
    yield yard
    everyone = list(procfs.everyone())
    sessions = {
        process.session
        for process in everyone
        for token in yard.tokens
        if procfs.has_variable(process.pid, TOKEN_VARIABLE, token)
    }
    for process in everyone:
        if process.session in sessions:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def running(pid: int) -> bool:
    process = procfs.look(pid)
    return process is not None and process.running


def variables(instance: Instance) -> Mapping[str, str]:
    file = Path(f"/proc/{instance.pid}/environ")
    until(lambda: file.read_bytes() != b"")  # it is, while the kernel loads the program
    data = file.read_text()
    return dict(item.split("=", 1) for item in data.split("\0") if item)


def open_descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def open_pidfds() -> int:
    count = 0
    for number in open_descriptors():
        with contextlib.suppress(FileNotFoundError):
            count += "pidfd" in os.readlink(f"/proc/self/fd/{number}")
    return count


@contextlib.contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Each call that wants one fails meanwhile, as if another thread had taken the last."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def patient(waiting: "asyncio.Task[int | None]") -> int | None:
    return await asyncio.wait_for(waiting, PATIENCE_SECONDS)


# --- Starting --------------------------------------------------------------------------------


def test_a_child_leads_a_session_of_its_own_and_is_alive(yard: Yard) -> None:
    instance = yard.python(SLEEP)
    assert os.getsid(instance.pid) == os.getpgid(instance.pid) == instance.pid
    assert alive(instance)
    assert instance.boot_id == procfs.boot_id()


def test_a_child_gets_little_of_the_agents_environment(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_SECRET", "hunter2")
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.delenv("HOME")
    instance = yard.python(SLEEP, LOG_LEVEL="info", TIDEGATE_INSTANCE="forged", LANG="C")
    seen = dict(variables(instance))
    assert seen.pop("HOME")
    assert seen == {
        "PATH": "/usr/bin:/bin",
        "LANG": "C",
        "LOG_LEVEL": "info",
        TOKEN_VARIABLE: instance.token,
    }


async def test_output_and_errors_are_appended_and_input_is_empty(yard: Yard) -> None:
    yard.output.write_text("before\n")
    code = "import os, sys; os.write(1, b'out\\n'); os.write(2, b'err\\n'); print(sys.stdin.read())"
    await wait_exit(yard.python(code))
    assert yard.output.read_text() == "before\nout\nerr\n\n"


def test_a_child_inherits_no_descriptor_and_the_agent_keeps_none(yard: Yard) -> None:
    before = open_descriptors()
    with Path(sys.executable).open("rb") as file:
        os.set_inheritable(file.fileno(), True)
        instance = yard.python(STUBBORN)
        yard.read("ready")
        assert sorted(os.listdir(f"/proc/{instance.pid}/fd")) == ["0", "1", "2"]
    assert open_descriptors() <= before


async def test_values_are_never_seen_by_a_shell(yard: Yard) -> None:
    nasty = "$(touch owned); `touch owned` && * ~ 'x' \"y\"\n|"
    code = "import os, sys; print(repr(sys.argv[1]), repr(os.environ['VALUE']))"
    launch = yard.launch(sys.executable, "-c", code, nasty, VALUE=nasty)
    assert await wait_exit(spawn(launch, yard.token())) == 0
    assert yard.output.read_text() == f"{nasty!r} {nasty!r}\n"
    assert not (yard.directory / "owned").exists()


async def test_a_command_with_a_slash_is_looked_for_from_its_directory(yard: Yard) -> None:
    program = yard.directory / "serve"
    program.write_text(f"#!{sys.executable}\nprint('served')\n")
    program.chmod(0o755)
    assert await wait_exit(spawn(yard.launch("./serve"), yard.token())) == 0
    assert yard.output.read_text() == "served\n"


def test_of_a_long_path_in_which_a_command_is_not_found_the_beginning_is_named(yard: Yard) -> None:
    path = ":".join(f"/opt/tool-{number}/bin" for number in range(9))
    with pytest.raises(ServiceError) as error:
        spawn(yard.launch("pyhton3", PATH=path), yard.token())
    assert str(error.value) == (
        "command not found: 'pyhton3', in PATH /opt/tool-0/bin:/opt/tool-1/bin:/opt/tool-2/bin:"
        "/opt/tool-3/bin and 5 more folders"
    )


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ((), "the command is empty"),
        (("",), "the command is empty"),
        (("no-such-program",), r"^command not found: 'no-such-program', in PATH /"),
        (("./missing",), r"^command not found: './missing', in /.+$"),
        (("./plain",), r"^not executable: './plain', in /.+$"),
        (("./",), r"^command not found: './', in /.+$"),
        (("./orphan",), r"^cannot start './orphan' in /.+: the interpreter that it asks for"),
        (("./noise",), r"^cannot start './noise' in /.+: it is neither a program"),
        (("./orphan", "a\0b"), r"^cannot start './orphan' in /.+: embedded null byte"),
        (("a\0b",), r"'a\\x00b'"),
    ],
)
def test_what_cannot_be_started_is_named_with_its_place(
    yard: Yard, command: tuple[str, ...], text: str
) -> None:
    for name, content, mode in (
        ("plain", "#!/bin/sh\n", 0o644),
        ("orphan", "#!/no/such/interpreter\n", 0o755),
        ("noise", "\x7fnoise", 0o755),
    ):
        (yard.directory / name).write_text(content)
        (yard.directory / name).chmod(mode)
    before = open_descriptors()
    with pytest.raises(ServiceError, match=text):
        spawn(yard.launch(*command), yard.token())
    assert open_descriptors() <= before


def test_a_missing_directory_is_named(yard: Yard) -> None:
    launch = replace(yard.launch(sys.executable), directory=yard.directory / "gone")
    with pytest.raises(ServiceError, match=r"the directory /.+/gone is missing"):
        spawn(launch, yard.token())


def test_an_output_that_cannot_be_written_is_named(yard: Yard) -> None:
    launch = replace(yard.launch(sys.executable), output=yard.directory / "gone" / "output")
    with pytest.raises(ServiceError, match=r"cannot write output to /.+/gone/output: No such"):
        spawn(launch, yard.token())


def test_a_variable_with_an_impossible_name_is_refused(yard: Yard) -> None:
    launch = replace(yard.launch(sys.executable), environment={"A=B": "c"})
    with pytest.raises(ServiceError, match="illegal environment variable name"):
        spawn(launch, yard.token())


# --- Finding ---------------------------------------------------------------------------------


def test_a_child_survives_kill_9_of_its_agent_and_is_found_again(yard: Yard) -> None:
    instance = yard.lost(sys.executable, "-c", STUBBORN)
    yard.read("ready")
    assert alive(instance)
    assert find(instance.token) == instance


def test_a_pid_that_another_process_has_now_is_not_mistaken(yard: Yard) -> None:
    instance = yard.python(SLEEP)
    assert not alive(replace(instance, started_ticks=instance.started_ticks - 1))
    assert not alive(replace(instance, boot_id="5b1a3ae6-0000-4000-8000-000000000000"))


async def test_nothing_is_sent_to_a_process_that_only_has_the_pid(yard: Yard) -> None:
    bystander = yard.python(SLEEP)
    ticks = bystander.started_ticks - 1
    former = replace(bystander, token=yard.token(), started_ticks=ticks)
    assert await patient(asyncio.create_task(wait_exit(former))) is None
    assert await stop(former, 5) == "gone"
    assert await stop(replace(bystander, token=yard.token(), boot_id="of last week"), 5) == "gone"
    assert alive(bystander)


@pytest.mark.parametrize("pid", [-1, 0, 1, 2**22 + 1])
async def test_a_pid_that_cannot_be_ours_is_gone(yard: Yard, pid: int) -> None:
    fake = Instance(yard.token(), pid, 1, procfs.boot_id())
    assert not alive(fake)
    assert await patient(asyncio.create_task(wait_exit(fake))) is None
    assert await stop(fake, 1) == "gone"


def test_an_unknown_token_finds_nothing(yard: Yard) -> None:
    instance = yard.python(STUBBORN)
    yard.read("ready")
    assert find(yard.token()) is None
    assert find(instance.token[:-1]) is None


def test_the_leader_is_found_even_if_only_its_child_still_carries_the_token(yard: Yard) -> None:
    forget = f"os.execve(sys.executable, [sys.executable, '-c', {STUBBORN!r}], {{}})"
    instance = yard.python(PARENT.format(child=SLEEP, session=False, then=forget))
    yard.read("ready")
    assert not procfs.has_variable(instance.pid, TOKEN_VARIABLE, instance.token)
    assert find(instance.token) == instance


async def test_a_dead_leader_is_not_found(yard: Yard) -> None:
    instance = yard.python("pass")
    until(lambda: not running(instance.pid))  # a zombie until somebody asks
    assert find(instance.token) is None
    assert not alive(instance)
    assert procfs.look(instance.pid) is None


async def test_an_agent_without_a_descriptor_left_does_not_take_what_runs_for_dead(
    yard: Yard,
) -> None:
    instance = yard.python(SLEEP)
    with no_descriptor_left():
        with pytest.raises(NodeError, match="cannot be told: Too many open files"):
            alive(instance)
        with pytest.raises(NodeError, match="cannot be told"):
            find(instance.token)
        with pytest.raises(NodeError, match="cannot be told"):
            await wait_exit(instance)
        with pytest.raises(NodeError, match="cannot be told"):
            await stop(instance, 5)
    assert alive(instance)
    until(lambda: find(instance.token) == instance)  # it shows no token while it is being loaded


# --- Waiting ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("pass", 0),
        ("raise SystemExit(3)", 3),
        ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL),
    ],
)
async def test_the_exit_code_of_an_own_child_is_known_to_each_who_waits(
    yard: Yard, code: str, expected: int
) -> None:
    instance = yard.python(code)
    waiting = [asyncio.create_task(wait_exit(instance)) for _ in range(3)]
    assert [await patient(one) for one in waiting] == [expected] * 3
    assert await wait_exit(instance) == expected  # also to one who comes late
    assert procfs.look(instance.pid) is None  # no zombie


async def test_an_adopted_child_is_waited_for_without_a_code(yard: Yard) -> None:
    instance = yard.lost(sys.executable, "-c", SLEEP)
    waiting = asyncio.create_task(wait_exit(instance))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    os.kill(instance.pid, signal.SIGKILL)
    assert await patient(waiting) is None
    assert not alive(instance)


async def test_a_cancelled_wait_leaves_no_descriptor_and_the_child_alone(yard: Yard) -> None:
    instance = yard.python(SLEEP)
    waiting = asyncio.create_task(wait_exit(instance))
    await asyncio.sleep(0.05)
    assert open_pidfds() == 1
    waiting.cancel()
    await asyncio.wait({waiting})
    assert waiting.cancelled()
    assert open_pidfds() == 0
    assert alive(instance)
    again = asyncio.create_task(wait_exit(instance))  # with the same number of a descriptor
    await asyncio.sleep(0.05)
    os.kill(instance.pid, signal.SIGKILL)
    assert await patient(again) == -signal.SIGKILL


def test_a_new_start_collects_what_has_ended_and_nobody_waited_for(yard: Yard) -> None:
    ended = yard.python("pass")
    until(lambda: not running(ended.pid))
    yard.python(SLEEP)
    assert procfs.look(ended.pid) is None


def test_an_agent_that_ends_leaves_its_child_running_without_a_warning(yard: Yard) -> None:
    with yard.agent(sys.executable, "-c", SLEEP) as agent:
        said, complaints = agent.communicate(timeout=PATIENCE_SECONDS)
    assert (agent.returncode, complaints) == (0, b"")
    assert alive(Instance(**json.loads(said)))


# --- Ending ----------------------------------------------------------------------------------


async def test_a_child_that_heeds_sigterm_is_stopped(yard: Yard) -> None:
    instance = yard.python(SLEEP)
    assert await stop(instance, PATIENCE_SECONDS) == "stopped"
    assert not alive(instance)
    assert await wait_exit(instance) == -signal.SIGTERM
    assert procfs.look(instance.pid) is None


async def test_a_child_that_ends_in_its_own_time_keeps_its_exit_code(yard: Yard) -> None:
    instance = yard.python(
        """
        import signal, sys, time
        def end(*_):
            time.sleep(0.2)
            print("drained", flush=True)
            sys.exit(7)
        signal.signal(signal.SIGTERM, end)
        print("ready", flush=True)
        time.sleep(60)
        """
    )
    yard.read("ready")
    assert await stop(instance, PATIENCE_SECONDS) == "stopped"
    assert await wait_exit(instance) == 7
    assert yard.output.read_text() == "ready\ndrained\n"


async def test_a_child_that_ignores_sigterm_is_killed_after_its_grace_and_it_is_said(
    yard: Yard,
) -> None:
    instance = yard.python(STUBBORN)
    yard.read("ready")
    started = time.monotonic()
    assert await stop(instance, 0.3) == "killed"
    assert time.monotonic() - started >= 0.3
    assert await wait_exit(instance) == -signal.SIGKILL


async def test_an_adopted_child_that_ignores_sigterm_is_killed_too(yard: Yard) -> None:
    instance = yard.lost(sys.executable, "-c", STUBBORN)
    yard.read("ready")
    assert await stop(instance, 0.1) == "killed"
    assert not running(instance.pid)


@pytest.mark.parametrize("session", [False, True], ids=["same group", "own session"])
async def test_grandchildren_are_stopped_too(yard: Yard, session: bool) -> None:
    code = PARENT.format(child=SLEEP, session=session, then="time.sleep(60)")
    instance = yard.python(code)
    grandchild = yard.child_pid()
    assert await stop(instance, PATIENCE_SECONDS) == "stopped"
    assert not running(grandchild)


@pytest.mark.parametrize("session", [False, True], ids=["same group", "own session"])
async def test_a_grandchild_that_outlives_the_leader_is_killed_after_the_grace(
    yard: Yard, session: bool
) -> None:
    code = PARENT.format(child=STUBBORN, session=session, then="time.sleep(60)")
    instance = yard.python(code)
    grandchild = yard.child_pid()
    yard.read("ready")
    assert await stop(instance, 0.3) == "killed"
    assert not running(grandchild)
    assert await wait_exit(instance) == -signal.SIGTERM


async def test_what_a_crashed_leader_left_behind_is_ended_too(yard: Yard) -> None:
    instance = yard.python(PARENT.format(child=SLEEP, session=False, then="os._exit(1)"))
    grandchild = yard.child_pid()
    assert await wait_exit(instance) == 1
    assert running(grandchild)
    assert await stop(instance, PATIENCE_SECONDS) == "gone"
    assert not running(grandchild)


# The main process has ended; its worker is in its session, its helper in one of its own.
LEFT = """
import os, subprocess, sys, time
sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
worker = subprocess.Popen(sleep)
time.sleep(0.1)
helper = subprocess.Popen(sleep, start_new_session=True)
print("child", worker.pid, helper.pid, flush=True)
os._exit(1)
"""


@pytest.mark.parametrize("known", ["helper", "main", "main of another boot"])
async def test_all_that_carries_the_token_is_ended_whatever_its_age(yard: Yard, known: str) -> None:
    main = yard.python(LEFT)
    assert await wait_exit(main) == 1
    worker, helper = (int(pid) for pid in yard.read("child").split()[1:])
    if known == "helper":
        # It shows no token while it is being loaded.
        until(lambda: (found := find(main.token)) is not None and found.pid == helper)
        main = replace(main, pid=helper, started_ticks=procfs.look(helper).started_ticks)
    elif known == "main of another boot":
        main = replace(main, boot_id="of last week")
    await stop(main, PATIENCE_SECONDS)
    assert not running(worker)
    assert not running(helper)


async def test_what_a_dead_leader_has_left_in_its_session_can_be_ended_by_the_token(
    yard: Yard,
) -> None:
    main = yard.python(PARENT.format(child=SLEEP, session=False, then="os._exit(1)"))
    grandchild = yard.child_pid()
    assert await wait_exit(main) == 1
    left = find(main.token)
    assert left is not None
    assert not alive(left)
    assert await stop(left, PATIENCE_SECONDS) == "gone"
    assert not running(grandchild)
    assert find(main.token) is None


async def test_a_left_over_whose_program_is_just_being_loaded_is_ended_too(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel shows no environment of it then, so it seems to be nobody's."""
    instance = yard.python(PARENT.format(child=SLEEP, session=False, then="os._exit(1)"))
    grandchild = yard.child_pid()
    assert await wait_exit(instance) == 1
    usual, looks = procfs._environment, Counter[int]()

    def empty_at_first(pid: int) -> bytes:
        looks[pid] += 1
        return b"" if pid == grandchild and looks[pid] <= 4 else usual(pid)

    monkeypatch.setattr(procfs, "_environment", empty_at_first)
    assert await stop(instance, PATIENCE_SECONDS) == "gone"
    assert not running(grandchild)


async def test_a_left_over_that_has_long_shown_no_environment_is_not_waited_for(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot be told from somebody else's, and a second look would say nothing new."""
    instance = yard.python(PARENT.format(child=SLEEP, session=False, then="os._exit(1)"))
    grandchild = yard.child_pid()
    assert await wait_exit(instance) == 1
    looked = Counter[int]()
    usual = procfs._environment

    def empty(pid: int) -> bytes:
        looked[pid] += 1
        return b"" if pid == grandchild else usual(pid)

    monkeypatch.setattr(procfs, "_environment", empty)
    monkeypatch.setattr(processes, "LOADING_AGE_SECONDS", 0.0)
    assert await stop(instance, PATIENCE_SECONDS) == "gone"
    assert looked[grandchild] == 1
    monkeypatch.undo()
    assert await stop(instance, PATIENCE_SECONDS) == "gone"
    assert not running(grandchild)


def test_the_age_of_a_process_is_counted_from_its_start() -> None:
    own = procfs.look(os.getpid())
    first = procfs.look(1)
    assert own is not None
    assert first is not None
    assert 0 <= own.age_seconds <= first.age_seconds


async def test_each_process_gets_sigterm_once(yard: Yard) -> None:
    counting = """
import signal, time
count = 0
def note(*_):
    global count
    count += 1
signal.signal(signal.SIGTERM, note)
print("ready", flush=True)
while not count:
    time.sleep(0.01)
time.sleep(0.3)
print("counted", count, flush=True)
"""
    instance = yard.python(PARENT.format(child=counting, session=False, then=counting))
    until(lambda: yard.output.read_text().count("ready") == 2)
    assert await stop(instance, PATIENCE_SECONDS) == "stopped"
    assert yard.output.read_text().count("counted 1\n") == 2


async def test_stopping_twice_is_gone_the_second_time(yard: Yard) -> None:
    instance = yard.python(SLEEP)
    assert await stop(instance, PATIENCE_SECONDS) == "stopped"
    assert await stop(instance, PATIENCE_SECONDS) == "gone"


async def test_a_cancelled_stop_leaves_no_descriptor_and_can_be_repeated(yard: Yard) -> None:
    instance = yard.python(STUBBORN)
    yard.read("ready")
    stopping = asyncio.create_task(stop(instance, 60))
    await asyncio.to_thread(until, lambda: open_pidfds() == 1)
    stopping.cancel()
    await asyncio.wait({stopping})
    assert stopping.cancelled()
    assert open_pidfds() == 0
    assert alive(instance)
    assert await stop(instance, 0.1) == "killed"


async def test_a_process_of_another_user_cannot_be_stopped_and_it_is_said(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(_pid: int, _number: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    instance = yard.python(SLEEP)
    monkeypatch.setattr(os, "killpg", forbidden)
    with pytest.raises(ServiceError, match=f"cannot stop pid {instance.pid}: it runs as another"):
        await stop(instance, 1)


async def test_a_process_of_another_user_keeps_no_other_from_being_stopped(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = yard.python(PARENT.format(child=SLEEP, session=True, then="time.sleep(60)"))
    grandchild = yard.child_pid()
    usual = signal.pidfd_send_signal

    def denied(pidfd: int, number: int) -> None:
        if f"Pid:\t{instance.pid}\n" in Path(f"/proc/self/fdinfo/{pidfd}").read_text():
            raise PermissionError(1, "Operation not permitted")
        usual(pidfd, number)

    monkeypatch.setattr(signal, "pidfd_send_signal", denied)
    with pytest.raises(ServiceError, match=f"cannot stop pid {instance.pid}: it runs as another"):
        await stop(instance, 1)
    assert alive(instance)
    await asyncio.to_thread(until, lambda: not running(grandchild))
