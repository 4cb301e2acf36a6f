"""What systemctl and journalctl may answer, and what the agent makes of it."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from fake_systemd import FAILED, FakeSystemd

from tidegate_agent.errors import NodeError, ServiceError
from tidegate_agent.managers import systemctl

UNIT = "shop@blue.service"

pytestmark = pytest.mark.usefixtures("systemd")


@pytest.mark.parametrize(
    ("result", "code", "status", "words"),
    [
        ("exit-code", "1", "3", "exited with code 3"),
        ("exit-code", "1", "203", "exited with code 203 (systemd's own for EXEC, where its journ"),
        ("signal", "2", "9", "was killed by SIGKILL"),
        ("signal", "2", "40", "was killed by signal 40"),
        ("core-dump", "3", "11", "was killed by SIGSEGV"),
        ("timeout", "2", "15", "did not start or end in the time that its unit gives it (Timeout"),
        ("watchdog", "2", "6", "did not answer its watchdog (WatchdogSec=) and was killed"),
        ("start-limit-hit", "1", "3", "was started so often that systemd gave up (StartLimitBur"),
        ("oom-kill", "2", "9", "was killed for lack of memory"),
        ("resources", "0", "0", "could not be started for lack of something that the unit names"),
        ("protocol", "1", "0", "did not do what its Type= asks for"),
        ("success", "1", "0", "exited with code 0"),
        ("success", "0", "0", "ended without an error: it exited with code 0, or somebody stoppe"),
        ("something-new", "1", "7", "exited with code 7"),
    ],
)
async def test_how_a_run_ended_is_said_in_words(
    systemd: FakeSystemd, result: str, code: str, status: str, words: str
) -> None:
    ended = {**FAILED, "Result": result, "ExecMainCode": code, "ExecMainStatus": status}
    systemd.shows(ended)
    assert (await systemctl.show(UNIT)).how().startswith(words)


async def test_an_answer_that_lacks_something_is_no_answer(systemd: FakeSystemd) -> None:
    systemd.answer("show", "LoadState=loaded\nActiveState=active\n")
    with pytest.raises(NodeError, match="systemctl said nothing of LoadError, NeedDaemonReload,"):
        await systemctl.show(UNIT)


async def test_silence_is_no_answer(systemd: FakeSystemd) -> None:
    systemd.answer("show", "")
    with pytest.raises(NodeError, match="systemctl said nothing of LoadState"):
        await systemctl.show(UNIT)


async def test_a_systemd_that_hangs_is_given_up(
    systemd: FakeSystemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    systemd.answer("show", "", "hang")
    monkeypatch.setattr(systemctl, "CALL_SECONDS", 0.2)
    with pytest.raises(NodeError, match=r"^systemctl show did not answer within 0\.2 s$"):
        await systemctl.show(UNIT)


async def test_questions_that_hang_keep_no_thread_from_other_work(
    systemd: FakeSystemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    systemd.answer("show", "", "hang")
    monkeypatch.setattr(systemctl, "CALL_SECONDS", 1.0)
    asked = [asyncio.create_task(systemctl.show(UNIT)) for _ in range(2 * systemctl.THREADS)]
    while not (systemd.folder / "calls").exists():
        await asyncio.sleep(0.01)
    for one in asked:
        one.cancel()
    await asyncio.wait(asked)
    hanging = [thread for thread in threading.enumerate() if thread.name.startswith("systemctl")]
    assert 0 < len(hanging) <= systemctl.THREADS
    assert (await asyncio.to_thread(threading.current_thread)) not in hanging


async def test_a_machine_without_systemctl_says_so(
    systemd: FakeSystemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(systemd.folder / "nowhere"))
    with pytest.raises(NodeError, match="^there is no systemctl on this node; units need a mach"):
        await systemctl.show(UNIT)


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (
            "Failed to start shop@blue.service: Interactive authentication required.\nSee system",
            NodeError,
            r"which runs as \w+, may not start shop@blue\.service; allow it by a rule of polkit",
        ),
        (
            "Failed to start shop@blue.service: Access denied\n",
            NodeError,
            r"may not start shop@blue\.service; ",
        ),
        (
            "System has not been booted with systemd as init system (PID 1). Can't operate.\n",
            NodeError,
            "systemd cannot be asked on this node: System has not been booted with systemd",
        ),
        (
            "Failed to start shop@blue.service: Unit is \x1b[31mtired\x1b[0m.\nSee 'systemctl",
            ServiceError,
            r"^systemctl start shop@blue\.service: Failed to start shop@blue\.service: Unit is "
            r"tired\.$",
        ),
        ("", ServiceError, r"^systemctl start shop@blue\.service: exit code 1$"),
    ],
)
async def test_a_refusal_is_told_in_words(
    systemd: FakeSystemd, said: str, kind: type[Exception], words: str
) -> None:
    systemd.answer("start", said, "error")
    with pytest.raises(kind, match=words):
        await systemctl.tell("start", UNIT)


async def test_the_journal_is_asked_again_where_it_is_late(
    systemd: FakeSystemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemctl, "JOURNAL_SECONDS", 0.01)
    systemd.answer("journal", "")
    systemd.answer("journal", "first\n\x1b[31mlast\x1b[0m\n")
    assert await systemctl.last_lines("A=b") == "first\nlast"


async def test_a_journal_that_may_not_be_read_is_no_reason_to_fail(systemd: FakeSystemd) -> None:
    said = "No journal files were opened due to insufficient permissions."
    systemd.answer("journal", said, "error")
    tail = await systemctl.last_lines("A=b")
    assert tail.startswith("(the journal may not be read by ")
    assert tail.endswith("; put it into the group systemd-journal, and restart the agent)")


async def test_of_a_journal_as_long_as_you_like_the_end_is_kept(systemd: FakeSystemd) -> None:
    systemd.answer("journal", "x" * 100_000 + "\nthe end\n")
    tail = await systemctl.last_lines("A=b")
    assert len(tail) <= systemctl.TAIL_BYTES
    assert tail.endswith("\nthe end")
