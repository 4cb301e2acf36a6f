"""The health check `exec`: real commands that answer, fail, talk, hang, and leave others behind."""

import asyncio
import os
import pwd
import sys
import tempfile
from pathlib import Path

import pytest

from tidegate_agent.errors import AgentError, ServiceError
from tidegate_agent.health import kind as kinds
from tidegate_agent.health.exec import MARK_VARIABLE, Exec
from tidegate_agent.processes import TOKEN_VARIABLE
from tidegate_agent.procfs import look


def path() -> dict[str, str]:
    return {"PATH": os.environ["PATH"]}


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")


def script(folder: Path, text: str, name: str = "check") -> str:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return f"./{name}"


async def asked(folder: Path, text: str, timeout_seconds: float = 20, *words: str) -> str | None:
    return await Exec((script(folder, text), *words), folder, path).ask(timeout_seconds)


async def gone(pid_file: Path) -> None:
    """Return once the process with the number in this file has ended."""
    pid = int(pid_file.read_text())
    async with asyncio.timeout(10):
        while (process := look(pid)) is not None and process.running:
            await asyncio.sleep(0.02)


# --- Answers -------------------------------------------------------------------------------------


async def test_a_command_that_exits_with_0_is_healthy_whatever_it_says(tmp_path: Path) -> None:
    assert await asked(tmp_path, "echo all is bad; exit 0") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("exit 3", "exited with code 3, without any output"),
        ("kill -9 $$", "was killed by SIGKILL, without any output"),
        ("echo first; echo last; exit 1", "exited with code 1; its last line: last"),
        ("echo out; echo err >&2; exit 1", "exited with code 1; its last line: err"),
        ("printf 'no end'; exit 1", "exited with code 1; its last line: no end"),
        ("printf 'last\\n\\n  \\n'; exit 1", "exited with code 1; its last line: last"),
        (r"printf '\033[31mred\033[0m\007\n'; exit 1", "exited with code 1; its last line: red"),
        (r"printf '\377\n'; exit 1", "exited with code 1; its last line: \ufffd"),
    ],
)
async def test_any_other_end_is_told_with_the_last_line_as_plain_text(
    tmp_path: Path, text: str, said: str
) -> None:
    assert await asked(tmp_path, text) == f"./check {said}"


async def test_a_command_that_says_very_much_does_not_hang_and_its_end_is_kept(
    tmp_path: Path,
) -> None:
    problem = await asked(
        tmp_path, "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo the end; exit 1"
    )
    assert problem == "./check exited with code 1; its last line: the end"
    problem = await asked(tmp_path, "head -c 3000000 /dev/zero | tr '\\0' x; exit 1")
    assert problem == f"./check exited with code 1; its last line: {'x' * 200}"


async def test_arguments_are_passed_on_as_they_are_and_no_shell_sees_them(tmp_path: Path) -> None:
    problem = await asked(tmp_path, 'echo "$#: $1"; exit 1', 20, "$HOME; `id` *", "two words")
    assert (
        problem
        == "./check '$HOME; `id` *' 'two words' exited with code 1; its last line: 2: $HOME; `id` *"
    )


async def test_it_runs_in_the_release_with_the_variables_of_the_app_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTS_SECRET", "hunter2")
    words = (
        sys.executable,
        "-c",
        "import os, sys; sys.exit(f'{os.getcwd()} {sorted(os.environ)}')",
    )
    problem = await Exec(words, tmp_path, lambda: {"LC_ALL": "C", TOKEN_VARIABLE: "the app's"}).ask(
        20
    )
    assert problem is not None
    assert problem.endswith(f"its last line: {tmp_path} ['LC_ALL', '{MARK_VARIABLE}']")


async def test_variables_that_cannot_be_had_are_told(tmp_path: Path) -> None:
    def unreadable() -> dict[str, str]:
        raise AgentError("/etc/shop/env cannot be read")

    problem = await Exec(("true",), tmp_path, unreadable).ask(20)
    assert problem == "/etc/shop/env cannot be read"


async def test_it_gets_no_input(tmp_path: Path) -> None:
    assert await asked(tmp_path, "read line && exit 1; exit 0") is None


# --- What cannot be run --------------------------------------------------------------------------


async def test_what_cannot_be_run_says_why_and_where(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("text")
    (tmp_path / "odd").write_text("neither program nor script")
    (tmp_path / "odd").chmod(0o755)
    where = f"cannot be run in {tmp_path}"
    for name, why in {
        "./missing": "No such file or directory: ./missing",
        "missing-in-path": "No such file or directory: missing-in-path",
        "./plain": "Permission denied: ./plain",
        "./odd": "Exec format error: ./odd",
    }.items():
        assert await Exec((name,), tmp_path, path).ask(20) == f"{name} {where}: {why}"
    nowhere = tmp_path / "nowhere"
    problem = await Exec(("true",), nowhere, path).ask(20)
    assert problem == f"true cannot be run in {nowhere}: No such file or directory: {nowhere}"


@pytest.mark.parametrize("command", [(), ("",)])
def test_an_empty_command_is_refused_when_the_check_is_made(command: tuple[str, ...]) -> None:
    with pytest.raises(ServiceError, match="the command is empty"):
        Exec(command, Path("/"), path)


# --- Users ---------------------------------------------------------------------------------------


async def test_a_user_that_the_node_does_not_have_is_named(tmp_path: Path) -> None:
    problem = await Exec(("true",), tmp_path, path, "no-such-user").ask(20)
    assert problem == "there is no user 'no-such-user' on this node"


async def test_the_agents_own_user_needs_no_rights(tmp_path: Path) -> None:
    me = pwd.getpwuid(os.geteuid()).pw_name
    assert await Exec(("true",), tmp_path, path, me).ask(20) is None


@needs_root
async def test_it_runs_as_the_user_of_the_app_with_that_ones_groups() -> None:
    nobody = pwd.getpwnam("nobody")
    problem = await Exec(
        ("sh", "-c", "echo $(id -u) $(id -G); exit 1"), Path("/"), path, "nobody"
    ).ask(20)
    groups = " ".join(str(group) for group in os.getgrouplist("nobody", nobody.pw_gid))
    assert problem is not None
    assert problem.endswith(f"its last line: {nobody.pw_uid} {groups}")


@needs_root
async def test_a_check_of_another_user_is_killed_at_the_timeout_too() -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        folder = Path(name)
        folder.chmod(0o777)
        text = "setsid sh -c 'echo $$ > pid; exec sleep 1000' & sleep 1000"
        assert await Exec(("sh", "-c", text), folder, path, "nobody").ask(1.5) is not None
        await gone(folder / "pid")


# --- What hangs, and what is left behind ---------------------------------------------------------


async def test_a_command_that_hangs_is_killed_at_the_timeout_and_its_last_line_told(
    tmp_path: Path,
) -> None:
    text = "trap '' TERM INT HUP; echo $$ > pid; echo connecting; while :; do sleep 1; done"
    problem = await asked(tmp_path, text, 0.7)
    said = "./check did not end within 0.7 s and was killed; its last line: connecting"
    assert problem == said
    await gone(tmp_path / "pid")


LEAVING = {
    "in its group": "sleep 1000 & echo $! > pid",
    "in a session of its own": "setsid sh -c 'echo $$ > pid; exec sleep 1000' &",
    "two generations down": "(setsid sh -c '(sleep 1000 & echo $! > pid; wait) &' &)",
}


@pytest.mark.parametrize("how", LEAVING)
async def test_what_a_hanging_command_has_started_is_killed_with_it(
    tmp_path: Path, how: str
) -> None:
    text = f"{LEAVING[how]}\nwhile :; do sleep 1; done"
    problem = await asked(tmp_path, text, 1.5)
    assert problem is not None
    assert "was killed" in problem
    await gone(tmp_path / "pid")


@pytest.mark.parametrize("output", ["", ">/dev/null 2>&1"])
async def test_what_a_command_leaves_in_its_group_is_killed_when_it_ends(
    tmp_path: Path, output: str
) -> None:
    assert await asked(tmp_path, f"sleep 1000 {output} &\necho $! > pid; exit 0") is None
    await gone(tmp_path / "pid")


async def test_a_command_that_nobody_waits_for_any_more_is_killed(tmp_path: Path) -> None:
    text = "setsid sh -c 'echo $$ > pid; exec sleep 1000' &\nsleep 1000"
    asking = asyncio.create_task(asked(tmp_path, text, 600))
    async with asyncio.timeout(10):
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            await asyncio.sleep(0.02)
    asking.cancel()
    await asyncio.wait({asking})
    assert asking.cancelled()
    await gone(tmp_path / "pid")


async def test_nothing_stays_open_and_no_zombie_stays(tmp_path: Path) -> None:
    def ours() -> tuple[int, set[str]]:
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        return len(os.listdir("/proc/self/fd")), set(children)

    await asked(tmp_path, "exit 1")
    before = ours()
    for text, timeout_seconds in {"exit 0": 20.0, "exit 1": 20, "sleep 1000": 0.3}.items():
        await asked(tmp_path, text, timeout_seconds)
    await Exec(("./missing",), tmp_path, path).ask(20)
    assert ours() == before


@pytest.mark.parametrize(
    ("code", "words"),
    [(0, "exited with code 0"), (-15, "was killed by SIGTERM"), (-40, "was killed by signal 40")],
)
def test_exit_codes_in_words(code: int, words: str) -> None:
    assert kinds.exit_in_words(code) == words
