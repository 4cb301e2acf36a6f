"""An agent's call, without its transport: who is let in, what is said in which order."""

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any

import pytest
from without_doors import PATIENCE_SECONDS, SILENT, Agent, Desk

from tidegate_controller import agent_session, views
from tidegate_controller.agent_service import AgentService
from tidegate_controller.log import Batch, Record
from tidegate_protos.v1 import agent_pb2 as pb


class TurnedAway(Exception):
    """What the agent's call ends with."""


class Call:
    """The context of an agent's call."""

    async def abort(self, code: object, details: str) -> None:
        raise TurnedAway(details)


class Line:
    """An open call: what the agent says, and what it hears."""

    def __init__(self, desk: Desk) -> None:
        self._said: asyncio.Queue[pb.Report | None] = asyncio.Queue()
        service: Any = AgentService(desk.engine, desk.nodes)
        self._heard = service.Connect(self._reports(), Call())

    async def _reports(self) -> AsyncIterator[pb.Report]:
        while (report := await self._said.get()) is not None:
            yield report

    def say(self, **report: Any) -> None:
        self._said.put_nowait(pb.Report(**report))

    def hang_up(self) -> None:
        self._said.put_nowait(None)

    async def hear(self) -> pb.Instruction:
        """What comes next. Raises `StopAsyncIteration` at the end of the call."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await anext(self._heard)

    async def close(self) -> None:
        await self._heard.aclose()


async def connect(desk: Desk, hello: pb.Hello) -> pb.Instruction:
    """The answer to a Hello. Raises `TurnedAway`."""
    line = Line(desk)
    line.say(hello=hello)
    try:
        return await line.hear()
    finally:
        await line.close()


class SlowDisk:
    """The log's next append waits until it `goes_on`."""

    def __init__(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        self.goes_on, self._waits = threading.Event(), threading.Event()
        self._desk, self._append = desk, desk.log.append
        monkeypatch.setattr(desk.log, "append", self._slowly)

    def _slowly(self, batches: Sequence[Batch]) -> list[list[Record]]:
        self._waits.set()
        assert self.goes_on.wait(PATIENCE_SECONDS)
        return self._append(batches)

    async def cut_short(self, asking: Coroutine[Any, Any, object]) -> None:
        """Ask, and go away while the append waits."""
        asked = asyncio.create_task(asking)
        await self._desk.until(self._waits.is_set)
        asked.cancel()
        await asyncio.wait({asked})
        assert asked.cancelled()


async def on_the_line(desk: Desk) -> tuple[Line, pb.Command]:
    """An agent that has just heard its first command, of a deployment of shop."""
    node = await desk.node("a")
    node.outcomes["inspect"] = SILENT
    await desk.deploy("1")
    await node.leave()
    line = Line(desk)
    line.say(hello=node.hello())
    assert (await line.hear()).WhichOneof("kind") == "welcome"
    return line, (await line.hear()).command


# --- Who is let in -------------------------------------------------------------------------------


async def test_a_hello_is_welcomed_with_the_epoch_and_the_log(desk: Desk) -> None:
    welcome = (await connect(desk, Agent(desk, "a", {"role": "web"}).hello())).welcome
    assert (welcome.epoch, welcome.log_id) == (1, desk.log.log_id)
    assert desk.kinds("fleet") == ["NodeRegistered"]
    assert desk.engine.fleet.connected() == ()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"node": "controller"}, "no node can be called 'controller'"),
        ({"node": "../a"}, "is not of the form"),
        ({"node": ""}, "is not of the form"),
        ({"log_id": "another"}, "has obeyed another controller, of log another; this is"),
        ({"highest_epoch": 2}, "has obeyed this controller at epoch 2, and now it is at 1"),
        ({"journal_id": ""}, "carries no journal id"),
        ({"journal_id": "j" * 65}, "carries no journal id"),
        ({"address": "http://a"}, "is not a host name or an IP address"),
        ({"labels": {"role": "a b"}}, "is not of the form"),
        ({"labels": {f"label-{n}": "x" for n in range(1000)}}, "more than 100 labels"),
        ({"agent_version": "9" * 1000}, "the agent's version"),
        ({"slots": [pb.SlotState(app="shop", environment="prod", slot="../x")]}, "a slot with"),
        ({"slots": [pb.SlotState(app="a", environment="b", slot="c")] * 1001}, "more than 1000"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_hello_that_is_not_accepted_says_why_and_records_nothing(
    desk: Desk, changes: dict[str, Any], reason: str
) -> None:
    hello = Agent(desk, "a", {}).hello(**changes)
    with pytest.raises(TurnedAway, match=reason):
        await connect(desk, hello)
    assert desk.kinds("fleet") == []
    assert [reason in said.why for said in desk.engine.fleet.refused.values()] == [True]


async def test_a_hello_of_this_log_at_this_epoch_is_accepted(desk: Desk) -> None:
    hello = Agent(desk, "a", {}).hello(log_id=desk.log.log_id, highest_epoch=1)
    assert (await connect(desk, hello)).WhichOneof("kind") == "welcome"


def obeyed(command: pb.Command) -> list[pb.StreamFence]:
    """What a Hello says of fences after this command."""
    at = {"app": command.app, "environment": command.environment}
    return [pb.StreamFence(fence=command.fence, **at)]


async def test_a_log_that_is_older_than_the_fleet_commands_no_agent_that_has_gone_on(
    desk: Desk,
) -> None:
    """The log of Monday is put back by hand. The epoch alone does not tell: both lives count on
    from the same one."""
    node = await desk.node("a")
    await desk.deployed("1")
    of_monday = obeyed(node.sent[-1])
    await desk.stop()
    monday = (desk.folder / "events.db").read_bytes()
    await desk.start()
    await node.join()
    await desk.deployed("2")
    of_tuesday = obeyed(node.sent[-1])
    await desk.stop()
    (desk.folder / "events.db").write_bytes(monday)
    await desk.start()
    reason = "has obeyed command 2.* of shop@prod, which this controller's log does not have"
    with pytest.raises(TurnedAway, match=reason):
        await connect(desk, node.hello(highest_epoch=2, fences=of_tuesday))
    welcome = await connect(desk, node.hello(highest_epoch=1, fences=of_monday))
    assert welcome.WhichOneof("kind") == "welcome"


async def test_an_agent_of_a_restored_log_is_let_in_again_with_the_fences_of_the_former_one(
    desk: Desk,
) -> None:
    """The first Hello names the former log, all others the restored one."""
    desk.engine.former_logs = ("former",)
    command = pb.Command(app="shop", environment="prod", fence=pb.Fence(epoch=1, version=99))
    for log_id in ("former", desk.log.log_id):
        hello = Agent(desk, "a", {}).hello(log_id=log_id, highest_epoch=1, fences=obeyed(command))
        assert (await connect(desk, hello)).WhichOneof("kind") == "welcome"


async def test_an_agent_that_has_obeyed_for_an_app_that_the_log_does_not_know_is_turned_away(
    desk: Desk,
) -> None:
    command = pb.Command(app="shop", environment="prod", fence=pb.Fence(epoch=1, version=1))
    with pytest.raises(TurnedAway, match=r"command 1\.1 of shop@prod"):
        await connect(desk, Agent(desk, "a", {}).hello(fences=obeyed(command)))


async def test_a_second_agent_of_the_same_name_is_refused_and_remembered(desk: Desk) -> None:
    first = await desk.node("a")
    with pytest.raises(TurnedAway, match="another agent is connected as a; give each"):
        await connect(desk, first.hello(journal_id="of-another-disk"))
    assert desk.engine.fleet.sessions["a"] is first.session
    assert [said.node for said in views.nodes(desk.engine).refused] == ["a"]
    assert "another agent is connected as a" in views.nodes(desk.engine).refused[0].why
    assert desk.kinds("fleet") == ["NodeRegistered"]


async def test_who_is_let_in_at_last_is_no_longer_among_those_turned_away(desk: Desk) -> None:
    agent = Agent(desk, "a", {})
    with pytest.raises(TurnedAway, match="epoch 7"):
        await connect(desk, agent.hello(highest_epoch=7))
    await agent.join()
    assert views.nodes(desk.engine).refused == []
    await agent.close()


async def test_an_agent_that_says_no_hello_is_not_waited_for(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_session, "HELLO_SECONDS", 0.01)
    with pytest.raises(TurnedAway, match="no Hello came"):
        await Line(desk).hear()


# --- What is said --------------------------------------------------------------------------------


async def test_a_result_is_acknowledged_once_it_is_in_the_log(desk: Desk) -> None:
    line, command = await on_the_line(desk)
    line.say(finished=pb.Finished(command_id=command.id, outcome=pb.OUTCOME_FAILED, error="full"))
    assert (await line.hear()).acknowledge.command_id == command.id
    ended = [r.event for r in desk.records() if r.kind == "ActionEnded"]
    assert [(e.action, e.error) for e in ended if e.outcome == "failed"] == [(command.id, "full")]
    await line.close()


async def test_a_result_that_nobody_waits_for_is_acknowledged_as_well(desk: Desk) -> None:
    """Else the agent would keep it for ever."""
    line, _ = await on_the_line(desk)
    line.say(finished=pb.Finished(command_id="of-another-log", outcome=pb.OUTCOME_OK))
    assert (await line.hear()).acknowledge.command_id == "of-another-log"
    await line.close()


async def test_a_result_that_could_not_be_taken_is_not_acknowledged(desk: Desk) -> None:
    """Its stream stands still: the agent keeps it for a controller that can go on."""
    line, command = await on_the_line(desk)
    desk.stream().fault = "an error of our own"
    line.say(finished=pb.Finished(command_id=command.id, outcome=pb.OUTCOME_OK))
    line.say(finished=pb.Finished(command_id="of-another-log", outcome=pb.OUTCOME_OK))
    assert (await line.hear()).acknowledge.command_id == "of-another-log"
    await line.close()


async def test_what_an_agent_says_of_itself_is_seen(desk: Desk) -> None:
    line, command = await on_the_line(desk)
    slot = pb.SlotState(app="shop", environment="prod", slot="green", healthy=pb.TRI_NO)
    line.say(heartbeat=pb.Heartbeat(cpu_percent=12.5, memory_total_bytes=1))
    line.say(progress=pb.Progress(command_id=command.id, text="looking"))
    line.say(health=pb.Health(slot=slot))
    with desk.nodes.board.following(()) as news:
        await desk.until(lambda: "Observed" in desk.kinds())
    assert news.get_nowait().text == "looking"
    assert [node.cpu_percent for node in views.nodes(desk.engine).nodes] == [12.5]
    await line.close()


async def test_an_agent_that_hangs_up_is_away(desk: Desk) -> None:
    line, _ = await on_the_line(desk)
    assert desk.engine.fleet.connected() == ("a",)
    line.hang_up()
    with pytest.raises(StopAsyncIteration):
        await line.hear()
    assert desk.engine.fleet.connected() == ()
    assert list(desk.state().away) == ["a"]


async def test_agents_that_hang_up_while_they_are_recorded_are_known_and_keep_no_other_out(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = SlowDisk(desk, monkeypatch)
    line = Line(desk)
    line.say(hello=Agent(desk, "a", {}).hello())
    await slow.cut_short(line.hear())
    other = asyncio.create_task(desk.node("b"))
    await asyncio.sleep(0.01)
    slow.goes_on.set()
    await other
    assert sorted(desk.engine.fleet.registered) == ["a", "b"]
    assert desk.engine.fleet.connected() == ("b",)
    assert [record.event.node for record in desk.records("fleet")] == ["a", "b"]


async def test_an_epoch_that_nobody_waits_for_any_more_is_followed_by_no_lower_one(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = SlowDisk(desk, monkeypatch)
    await slow.cut_short(desk.engine.rise_above(41))
    other = asyncio.create_task(desk.engine.rise_above(7))
    await asyncio.sleep(0.01)
    slow.goes_on.set()
    await other
    assert [record.event.epoch for record in desk.records("controller")] == [1, 42]
    assert desk.engine.epoch == 42


async def test_an_agent_that_comes_as_the_controller_ends_is_not_told_that_its_name_is_taken(
    desk: Desk,
) -> None:
    desk.life.cancel()
    await asyncio.wait({desk.life})
    desk.may_fail = True
    with pytest.raises(TurnedAway, match="the controller is about to end"):
        await connect(desk, Agent(desk, "a", {}).hello())
    assert desk.engine.fleet.refused == {}


async def test_an_agent_that_falls_silent_is_away(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_session, "SILENCE_SECONDS", 0.05)
    line, _ = await on_the_line(desk)
    with pytest.raises(StopAsyncIteration):
        await line.hear()
    assert list(desk.state().away) == ["a"]
