"""What the controller does itself: look at balancers, move their traffic, leave others' alone."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from without_doors import SILENT, Desk

from tidegate_controller import proof, views
from tidegate_controller.core.inputs import Rollback
from tidegate_controller.demo.local_fleet import free_port
from tidegate_controller.errors import Refused
from tidegate_controller.traffic import listening
from tidegate_controller.traffic.caddy import NOWHERE, Caddy
from tidegate_protos.v1 import agent_pb2 as pb

NOTHING_TO_GO_BACK_TO = Rollback(request_id="", rollout="r0", members=(), requested_by="ada")


def lanes_that_lead_to(address: str, lanes: Path) -> None:
    lanes.mkdir(exist_ok=True)
    for number in range(4):
        (lanes / f"lane-{number:02d}").write_text(address)


def failures(desk: Desk, stream: str = "shop@prod") -> list[str]:
    """Why steps failed, in order."""
    ended = [r.event for r in desk.records(stream) if r.kind == "StepEnded"]
    return [f"{e.step}: {e.reason}" for e in ended if e.outcome == "failed"]


# --- Before anything is done ---------------------------------------------------------------------


async def test_a_first_deployment_does_not_take_traffic_from_somebody_else(desk: Desk) -> None:
    node = await desk.node("a")
    lanes_that_lead_to("10.0.0.9:80", desk.lanes())
    await desk.deployed("1")
    assert desk.endings() == ["failed"]
    (failure,) = failures(desk)
    assert "preflight" in failure
    assert "traffic goes to 10.0.0.9:80 already, of which this controller knows nothing" in failure
    assert desk.lead_to() == {"10.0.0.9:80"}
    assert set(node.works()) <= {"inspect"}


async def test_a_first_deployment_takes_over_from_a_slot_that_its_node_holds(desk: Desk) -> None:
    """A log that is new meets nodes that serve already: nothing is stopped, nothing is lost."""
    node = await desk.node("a")
    await node.leave()
    await node.runs("shop@prod", "blue", pb.Revision(digest="d", config="c"), current=True)
    lanes_that_lead_to(node.address("shop@prod", "blue"), desk.lanes())
    await node.join()
    await desk.deployed("1")
    assert desk.endings() == ["succeeded"]
    assert desk.lead_to() == {node.address("shop@prod", "green")}
    assert "stop_slot" not in node.works()


async def test_lanes_that_lead_nowhere_are_nobodys(desk: Desk) -> None:
    await desk.node("a")
    lanes_that_lead_to(NOWHERE, desk.lanes())
    await desk.deployed("1")
    assert desk.endings() == ["succeeded"]


async def test_fewer_lanes_than_nodes_is_found_before_anything_is_started(desk: Desk) -> None:
    for name in "abc":
        await desk.node(name)
    await desk.deployed("1", nodes=("a", "b", "c"), lanes=2)
    assert desk.endings() == ["failed"]
    assert failures(desk)[0].startswith("preflight: controller: 3 addresses are to get traffic")
    assert "raise `lanes` under [traffic] to at least 3" in failures(desk)[0]
    assert all(set(node.works()) <= {"inspect"} for node in desk.agents.values())
    assert "shift-back" not in {r.event.step for r in desk.records() if r.kind == "StepEntered"}


async def test_a_directory_that_cannot_be_used_is_found_at_once(desk: Desk) -> None:
    await desk.node("a")
    desk.lanes().touch()
    await desk.deployed("1")
    assert desk.endings() == ["failed"]
    assert "is not a directory" in failures(desk)[0]
    assert len(failures(desk)) == 1


async def test_two_environments_do_not_share_lanes(desk: Desk) -> None:
    for name in "ab":
        await desk.node(name)
    lanes = str(desk.lanes())
    await desk.deployed("1", nodes=("a",), directory=lanes)
    other = {
        "environment": "staging",
        "nodes": ("b",),
        "directory": f"{lanes}/../{desk.lanes().name}",
    }
    with pytest.raises(Refused, match="shop@prod already moves the traffic in"):
        await desk.deploy("1", **other)
    assert desk.kinds("shop@staging") == []


async def test_a_node_that_is_named_twice_is_one_node(desk: Desk) -> None:
    node = await desk.node("a")
    await desk.deployed("1", nodes=("a", "a"))
    assert desk.endings() == ["succeeded"]
    assert node.works().count("start_slot") == 1


async def test_two_environments_of_an_app_do_not_share_a_node(desk: Desk) -> None:
    await desk.node("a")
    await desk.deployed("1")
    with pytest.raises(Refused, match="a already serves shop in prod"):
        await desk.deploy("1", environment="staging")


async def test_nor_if_both_are_asked_for_at_once_and_who_asked_first_has_hung_up(
    desk: Desk,
) -> None:
    await desk.node("a")
    for environment in ("prod", "staging"):  # so that both streams are there, with locks to hold
        with pytest.raises(Refused, match="no earlier release"):
            await desk.engine.submit(f"shop@{environment}", NOTHING_TO_GO_BACK_TO)
    async with desk.stream("shop@prod").lock:
        first = asyncio.create_task(desk.deploy("1", environment="prod"))
        await asyncio.sleep(0.02)
        first.cancel()
        second = asyncio.create_task(desk.deploy("1", environment="staging"))
        await asyncio.sleep(0.02)
    with pytest.raises(Refused, match="a already serves shop in prod"):
        await second
    assert desk.kinds("shop@staging") == []


# --- Traffic that is elsewhere than thought ------------------------------------------------------


@pytest.mark.parametrize("lost", ["all", "one"])
async def test_lanes_that_were_lost_are_written_by_the_next_deployment_of_the_same_version(
    desk: Desk, lost: str
) -> None:
    for name in "ab":
        await desk.node(name)
    await desk.deployed("1", nodes=("a", "b"))
    served = desk.lead_to()
    for lane in desk.lanes().iterdir():
        if lost == "all" or lane.read_text() == desk.agents["b"].address("shop@prod", "blue"):
            lane.unlink()
    assert desk.lead_to() != served
    reply = await desk.deployed("1", nodes=("a", "b"))
    assert reply.rollout == "r2"
    assert desk.endings() == ["succeeded", "succeeded"]
    assert desk.lead_to() == served


async def test_lanes_that_are_lost_from_every_slot_alike_are_seen(desk: Desk) -> None:
    """The rest still leads to all nodes, and to each as much as to the others."""
    for name in "ab":
        await desk.node(name)
    await desk.deployed("1", nodes=("a", "b"))
    served = desk.lead_to()
    for number in (0, 1):
        (desk.lanes() / f"lane-{number:02d}").unlink()
    assert desk.lead_to() == served
    assert (await desk.deployed("1", nodes=("a", "b"))).rollout == "r2"
    assert len(list(desk.lanes().glob("lane-*"))) == 4
    assert (await desk.deploy("1", nodes=("a", "b"))).rollout == ""


async def test_a_share_that_somebody_has_changed_is_settled_by_a_deployment_of_the_same(
    desk: Desk,
) -> None:
    for name in "ab":
        await desk.node(name)
    await desk.deployed("1", nodes=("a", "b"))
    lane = desk.lanes() / "lane-00"
    before = lane.read_text()
    other = (desk.lanes() / "lane-01").read_text()
    assert other != before
    lane.write_text(other)
    assert (await desk.deployed("1", nodes=("a", "b"))).rollout == "r2"
    found = [path.read_text() for path in desk.lanes().glob("lane-*")]
    assert sorted(found) == sorted([before, other] * 2)


async def test_lanes_that_come_with_a_configuration_are_written_by_a_rollout(desk: Desk) -> None:
    node = await desk.node("a")
    await desk.deployed("1")
    assert (await desk.deployed("1", lanes=6)).rollout == "r2"
    assert desk.endings() == ["succeeded", "succeeded"]
    assert len(list(desk.lanes().glob("lane-*"))) == 6
    assert node.works().count("start_slot") == 1


async def test_a_rollback_to_what_is_active_does_not_pass_over_lanes_that_are_lost(
    desk: Desk,
) -> None:
    await desk.node("a")
    await desk.deployed("1")
    assert (await desk.rollback(to="1")).message == "1 is already active everywhere"
    (desk.lanes() / "lane-03").unlink()
    with pytest.raises(Refused, match="1 of 4 lanes in .* are missing") as refused:
        await desk.rollback(to="1")
    assert "by deploying the same release again" in refused.value.hint


async def test_lanes_that_are_as_they_were_left_need_no_deployment(desk: Desk) -> None:
    await desk.node("a")
    await desk.deployed("1")
    assert (await desk.deploy("1")).rollout == ""


async def test_a_node_that_leaves_while_the_balancer_is_looked_at_is_not_counted_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slow(caddy: Caddy, weights: Mapping[str, int]) -> None:
        await node.leave()

    node = await desk.node("a")
    await desk.deployed("1")
    desk.long_up()
    monkeypatch.setattr(Caddy, "verify", slow)
    with pytest.raises(Refused, match="a is not connected, so nothing was started") as refused:
        await desk.deploy("2")
    assert "max_failed_nodes under [failures]; or forget it, if it is gone" in refused.value.hint


async def test_a_lane_that_cannot_be_read_is_not_taken_for_well(desk: Desk) -> None:
    await desk.node("a")
    await desk.deployed("1")
    (desk.lanes() / "lane-02").write_text("somebody else was here")
    await desk.deployed("1")
    assert desk.endings() == ["succeeded", "rolled_back"]
    assert "holds 'somebody else was here', which is not host:port" in failures(desk)[0]
    assert "lane-02) and have it written anew by deploying the same" in failures(desk)[0]
    (desk.lanes() / "lane-02").unlink()  # as it says
    await desk.deployed("1")
    assert desk.endings()[-1] == "succeeded"
    assert len(list(desk.lanes().glob("lane-*"))) == 4


async def test_who_asks_for_balancers_too_is_told_of_lanes_that_are_not_as_they_were_left(
    desk: Desk,
) -> None:
    async def trouble() -> str:
        (app,) = (await views.status_with_balancers(desk.engine, "shop")).apps
        return app.traffic_trouble.what if app.traffic_trouble else ""

    node = await desk.node("a")
    assert (await views.status_with_balancers(desk.engine, "")).apps == []
    await desk.deployed("1")
    assert await trouble() == ""
    lane = desk.lanes() / "lane-02"
    lane.write_text("somebody else was here")
    assert "holds 'somebody else was here', which is not host:port" in await trouble()
    lane.unlink()
    assert "1 of 4 lanes" in await trouble()
    assert views.status(desk.engine, "shop").apps[0].traffic_trouble is None
    node.outcomes["start_slot"] = SILENT
    await desk.deploy("2")
    assert await trouble() == ""  # the rollout will move it


async def test_a_look_that_fails_unexpectedly_is_told_of_that_app_alone(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(caddy: Caddy, weights: Mapping[str, int]) -> None:
        if len(weights) == 1:
            raise ValueError("an odd lane")

    await desk.node("a")
    await desk.node("b")
    await desk.deployed("1", app="blog", nodes=("a", "b"))
    await desk.deployed("1", app="shop", nodes=("a",))
    monkeypatch.setattr(Caddy, "verify", broken)
    blog, shop = (await views.status_with_balancers(desk.engine, "")).apps
    assert (blog.app, blog.traffic_trouble) == ("blog", None)
    assert shop.traffic_trouble is not None
    assert "could not be looked at: ValueError: an odd lane" in shop.traffic_trouble.what
    assert "shop@prod: the balancer could not be looked at" in caplog.text


# --- Whether anybody takes requests --------------------------------------------------------------


class FrontDoor:
    """Where a balancer takes requests: it may be shut and opened again."""

    def __init__(self) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        host, port = self.address.split(":")
        self._server = await asyncio.start_server(lambda _, writer: writer.close(), host, port)

    async def shut(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()


@pytest.fixture
async def door(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FrontDoor]:
    monkeypatch.setattr(listening, "PATIENCE_SECONDS", 0.3)
    door = FrontDoor()
    await door.open()
    yield door
    await door.shut()


async def test_where_nobody_takes_requests_nothing_is_begun(desk: Desk, door: FrontDoor) -> None:
    await door.shut()
    node = await desk.node("a")
    await desk.deployed("1", listen=door.address)
    assert desk.endings() == ["failed"]
    (failure,) = failures(desk)
    assert failure.startswith(
        f"preflight: controller: no balancer accepts connections at {door.address}"
    )
    assert "connection refused; start it there" in failure
    assert set(node.works()) <= {"inspect"}
    await door.open()
    await desk.deployed("1", listen=door.address)
    assert desk.endings() == ["failed", "succeeded"]


async def test_a_balancer_that_ends_in_the_middle_has_its_lanes_led_back(
    desk: Desk, door: FrontDoor
) -> None:
    node = await desk.node("a")
    await desk.deployed("1", listen=door.address)
    node.outcomes["start_slot"] = SILENT
    await desk.deploy("2", listen=door.address)
    await desk.until(lambda: "start_slot" in node.works()[-1:])
    await door.shut()
    await node.answer(node.last("start_slot"))
    await desk.until(lambda: len(desk.endings()) == 2)
    assert desk.endings() == ["succeeded", "rolled_back"]
    assert "shift: controller: no balancer accepts connections" in failures(desk)[0]
    assert desk.lead_to() == {node.address("shop@prod", "blue")}


async def test_active_is_not_said_of_what_nobody_can_reach(desk: Desk, door: FrontDoor) -> None:
    await desk.node("a")
    await desk.deployed("1", listen=door.address)
    assert (await desk.deploy("1", listen=door.address)).rollout == ""
    await door.shut()
    (app,) = (await views.status_with_balancers(desk.engine, "")).apps
    assert app.traffic_trouble is not None
    assert app.traffic_trouble.what.startswith(f"no balancer accepts connections at {door.address}")
    await desk.deployed("1", listen=door.address)
    assert desk.endings() == ["succeeded", "rolled_back"]
    elsewhere = await desk.deploy("1", listen="")
    assert "was taken over" in elsewhere.message


# --- A move of traffic ---------------------------------------------------------------------------


async def test_a_place_that_does_not_answer_where_traffic_would_go_gets_none(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof, "PROBE_PAUSE_SECONDS", 0.0)
    node = await desk.node("a")
    await desk.deployed("1")
    node.opens_doors = False
    await desk.deployed("2")
    assert desk.endings() == ["succeeded", "rolled_back"]
    assert "a/green does not answer where the balancer would send to" in failures(desk)[0]
    assert desk.lead_to() == {node.address("shop@prod", "blue")}


async def test_a_move_that_was_given_up_does_not_happen_later(desk: Desk) -> None:
    node = await desk.node("a")
    await desk.deployed("1")
    node.answers_probes.clear()
    await desk.deploy("2")
    await desk.until(lambda: desk.state().weights is None)  # the move is under way
    slot = node.slots["shop@prod", "green"]
    slot.healthy = pb.TRI_NO
    assert node.session is not None
    await desk.nodes.changed(node.session, slot)
    await desk.until(lambda: len(desk.endings()) == 2)
    node.answers_probes.set()
    await asyncio.sleep(0.05)
    assert desk.endings() == ["succeeded", "rolled_back"]
    assert desk.lead_to() == {node.address("shop@prod", "blue")}


async def test_a_balancer_that_takes_long_holds_up_no_other(
    desk: Desk,
) -> None:
    node = await desk.node("a")
    node.answers_probes.clear()
    await desk.deploy("1", app="shop")
    await desk.until(lambda: desk.state().weights is None)  # the move is under way
    other = await desk.node("b")
    await desk.deployed("1", app="blog", nodes=("b",))
    assert desk.lead_to("blog") == {other.address("blog@prod", "blue")}
    assert desk.lead_to("shop") == set()
