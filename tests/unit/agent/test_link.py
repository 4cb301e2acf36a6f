"""The stream to the controller: opened past any proxy, kept alive by signs of life, opened anew."""

import asyncio
import logging
from collections.abc import AsyncIterator

import grpc
import psutil
import pytest
from fake_controller import FakeController
from one_node import OneNode, until

from tidegate_agent import link
from tidegate_agent.link import Link
from tidegate_protos.v1 import agent_pb2 as pb


@pytest.fixture
async def controller() -> AsyncIterator[FakeController]:
    async with FakeController().running() as controller:
        yield controller


@pytest.fixture
async def connect(node: OneNode, controller: FakeController) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.create_task(Link(node.agent, controller.address).run())
    yield task
    task.cancel()
    await asyncio.wait({task})


@pytest.mark.usefixtures("connect")
async def test_a_command_comes_and_its_result_goes(
    node: OneNode, controller: FakeController
) -> None:
    await until(lambda: bool(controller.hellos))
    command = controller.send(node.command(stop_slot=pb.StopSlot(slot="blue")))
    await until(lambda: bool(controller.finished(command.id)))
    assert controller.hellos[0].node == node.name
    assert (await node.agent.hello()).log_id == "log-1"


async def test_a_slot_that_changes_while_the_hello_is_made_is_reported_after_it(
    node: OneNode, controller: FakeController, monkeypatch: pytest.MonkeyPatch
) -> None:
    await node.started()
    hello = node.agent.hello

    async def slow() -> pb.Hello:
        made = await hello()
        node.slot.changed(False, "it turned ill just then")
        await asyncio.sleep(0.05)  # a second slot, whose manager takes its time
        return made

    monkeypatch.setattr(node.agent, "hello", slow)
    task = asyncio.create_task(Link(node.agent, controller.address).run())
    await until(lambda: any(report.HasField("health") for report in controller.reports))
    assert [slot.healthy for slot in controller.hellos[0].slots] == [pb.TRI_YES]
    (told,) = [report.health.slot for report in controller.reports if report.HasField("health")]
    assert told.healthy == pb.TRI_NO
    task.cancel()
    await asyncio.wait({task})


async def test_a_proxy_of_the_machine_is_not_asked_for_the_controller(
    node: OneNode, controller: FakeController, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    task = asyncio.create_task(Link(node.agent, controller.address).run())
    await until(lambda: bool(controller.hellos))
    task.cancel()
    await asyncio.wait({task})


@pytest.mark.usefixtures("connect")
async def test_signs_of_life_go_on_though_nothing_can_be_measured(
    controller: FakeController, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> object:
        raise psutil.Error

    monkeypatch.setattr(psutil, "virtual_memory", broken)
    await until(lambda: bool(controller.hellos))
    already = len(controller.reports)
    await until(lambda: len(controller.reports) >= already + 3)
    assert all(report.HasField("heartbeat") for report in controller.reports[already:])
    assert controller.reports[-1].heartbeat.memory_total_bytes == 0


async def test_that_the_name_is_taken_is_said_in_words_and_tried_again(
    node: OneNode,
    controller: FakeController,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(link, "RETRY_SECONDS_MIN", 0.01)
    controller.refusal = "another agent is connected as web-1; give this one another name"
    with caplog.at_level(logging.WARNING):
        task = asyncio.create_task(Link(node.agent, controller.address).run())
        await until(lambda: bool(caplog.records))
    (said,) = {record.getMessage() for record in caplog.records}
    assert "ALREADY_EXISTS" not in said
    assert "another agent is connected as web-1 (one that has died" in said
    assert "tried again" in said
    assert "stop this agent and start it with --node OTHER and a --data DIR of its own" in said
    controller.refusal = ""
    await until(lambda: bool(controller.hellos))  # it goes on trying
    task.cancel()
    await asyncio.wait({task})


async def test_the_same_trouble_is_logged_once_and_other_trouble_at_once(
    node: OneNode, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a network, which on a busy machine has troubles of its own to tell in between."""
    monkeypatch.setattr(link, "RETRY_SECONDS_MIN", 0.01)
    monkeypatch.setattr(link, "RETRY_SECONDS_MAX", 0.01)
    reason = "first reason"

    async def refused(_: Link) -> None:
        code, nothing = grpc.StatusCode.INVALID_ARGUMENT, grpc.aio.Metadata()
        raise grpc.aio.AioRpcError(code, nothing, nothing, reason)

    monkeypatch.setattr(Link, "_connect", refused)

    def said(level: int) -> list[str]:
        found = [record for record in caplog.records if record.name == link.__name__]
        return [record.getMessage() for record in found if record.levelno == level]

    with caplog.at_level(logging.DEBUG):
        task = asyncio.create_task(Link(node.agent, "127.0.0.1:1").run())
        await until(lambda: len(said(logging.DEBUG)) > 3)
        assert len(said(logging.WARNING)) == 1
        reason = "second reason"
        await until(lambda: len(said(logging.WARNING)) == 2)
        assert "second reason" in said(logging.WARNING)[1]
        monkeypatch.setattr(link, "TROUBLE_SECONDS", 0.0)
        await until(lambda: len(said(logging.WARNING)) > 3)
    task.cancel()
    await asyncio.wait({task})
