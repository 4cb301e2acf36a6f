"""The agent as a whole: what it says of itself, what it refuses, how often it speaks."""

import asyncio
import errno
import platform
from pathlib import Path

import pytest
from one_node import PATIENCE_SECONDS, OneNode, until

from tidegate_agent import agent, main, procfs
from tidegate_agent.app import App
from tidegate_agent.errors import JournalError
from tidegate_agent.journal import SlotRecord
from tidegate_protos.v1 import agent_pb2 as pb

STOP = {"stop_slot": pb.StopSlot(slot="blue")}


async def test_a_hello_says_what_machine_this_is(node: OneNode) -> None:
    hello = await node.agent.hello()
    assert hello.boot_id == procfs.boot_id()
    assert set(hello.facts) == {
        "os",
        "kernel",
        "cpus",
        "memory_bytes",
        "disk_bytes",
        "user",
        "python",
        "hostname",
    }
    assert hello.facts["kernel"] == platform.release()
    assert int(hello.facts["memory_bytes"]) > 1 << 20
    assert int(hello.facts["disk_bytes"]) > 1 << 20


async def test_a_fact_that_cannot_be_told_keeps_no_agent_from_connecting(
    node: OneNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> dict[str, str]:
        raise FileNotFoundError(2, "No such file or directory", "/etc/os-release")

    monkeypatch.setattr(platform, "freedesktop_os_release", missing)
    assert (await node.agent.hello()).facts["os"].startswith("unknown: [Errno 2]")


async def test_a_hello_says_how_far_each_app_has_obeyed(node: OneNode) -> None:
    assert list((await node.agent.hello()).fences) == []
    for environment in ("production", "staging"):
        await node.do(**STOP, environment=environment)
    await node.start_anew()
    told = {fence.environment: fence for fence in (await node.agent.hello()).fences}
    assert {name: told[name].fence.version for name in told} == {"production": 1, "staging": 2}
    assert {(fence.app, fence.fence.epoch) for fence in told.values()} == {("shop", 1)}


async def test_the_controllers_log_is_remembered_over_restarts(node: OneNode) -> None:
    assert (await node.agent.hello()).log_id == ""
    node.agent.welcomed(pb.Welcome(log_id="log-1"))
    await node.start_anew()
    assert (await node.agent.hello()).log_id == "log-1"
    node.agent.welcomed(pb.Welcome())
    assert (await node.agent.hello()).log_id == "log-1"
    node.agent.welcomed(pb.Welcome(log_id="log-2"))
    assert (await node.agent.hello()).log_id == "log-2"


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"node": "another"}, "not another"),
        ({"app": "../shop"}, "'../shop' or its environment has a name that is not allowed"),
        ({"environment": "a/b"}, "has a name that is not allowed"),
        ({"journal_id": "old"}, "the command was made for another journal"),
    ],
)
async def test_what_is_not_meant_for_this_agent_is_refused(
    node: OneNode, more: dict[str, str], text: str
) -> None:
    finished = await node.do(**STOP, **more)
    assert finished.outcome == pb.OUTCOME_REFUSED
    assert text in finished.error


async def test_a_slot_that_changes_all_the_time_is_reported_now_and_then_and_in_the_end(
    node: OneNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent, "HEALTH_SECONDS", 0.1)
    await node.done(node.take(node.command(**STOP)))
    for number in range(200):
        node.slot.changed(bool(number % 2), f"change {number}")
    await until(lambda: bool(node.health()))
    assert [slot.detail for slot in node.health()] == ["change 199"]
    for number in range(200):
        node.slot.changed(bool(number % 2), f"more {number}")
    await until(lambda: node.health()[-1].detail == "more 199")
    assert len(node.health()) == 2


async def test_slots_are_reported_beside_each_other(node: OneNode) -> None:
    await node.done(node.take(node.command(**STOP)))
    for slot in node.app.slots.values():
        slot.changed(False, f"{slot.name} is down")
    await until(lambda: len(node.health()) == 2)
    assert {slot.slot: slot.detail for slot in node.health()} == {
        "blue": "blue is down",
        "green": "green is down",
    }


def test_the_controllers_name_is_no_nodes_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ending:
        main.main(
            ["run", "--node", "controller", "--data", str(tmp_path), "--controller", "[::1]:7420"]
        )
    assert ending.value.code == 2
    assert "'controller' is what the controller itself is called" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [
        JournalError("the journal cannot be read: disk I/O error"),
        OSError(errno.ENOSPC, "No space left on device"),
    ],
)
async def test_a_command_that_cannot_be_taken_for_the_nodes_sake_is_the_nodes_fault(
    node: OneNode, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(_: str) -> None:
        raise error

    monkeypatch.setattr(node.agent, "_executor", fails)
    finished = await node.do(cleanup=pb.Cleanup())
    assert finished.outcome == pb.OUTCOME_FAILED
    assert finished.error == str(error)
    assert finished.blame == pb.BLAME_ENVIRONMENT


async def test_apps_are_taken_up_beside_each_other_and_the_trouble_of_one_is_not_theirs(
    node: OneNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    everybody, cared_for = asyncio.Barrier(3), list[str]()

    async def recover(app: App, records: list[SlotRecord]) -> None:
        assert [record.app for record in records] == [app.name]
        await asyncio.wait_for(everybody.wait(), PATIENCE_SECONDS)
        if app.name == "mail":
            raise OSError(errno.EIO, "Input/output error")
        await asyncio.sleep(0.05)
        cared_for.append(app.name)

    monkeypatch.setattr(App, "recover", recover)
    for name in ("mail", "shop", "wiki"):
        start = pb.StartSlot(slot="blue")
        record = SlotRecord(name, "blue", "production", start, 8001, "wanted", "token", None)
        node.agent._journal.save_slot(record)
    with pytest.raises(OSError, match="Input/output error"):
        await node.start_anew()
    assert sorted(cared_for) == ["shop", "wiki"]
