"""What goes wrong in one stream stays there; what goes wrong in the log ends the controller."""

import asyncio
import sqlite3

import pytest
from without_doors import SILENT, Desk

from tidegate_controller import views
from tidegate_controller.core.changes import in_rollout
from tidegate_controller.core.inputs import Tick
from tidegate_controller.errors import Refused, UsageError
from tidegate_controller.log import LogError
from tidegate_controller.named_apps import find_stream


async def stumbles(desk: Desk, stream: str) -> None:
    """The stream is in a state that the core cannot go on from, and notices at its next input."""
    desk.stream(stream).state = in_rollout(desk.state(stream), cursor=99)
    await desk.engine.submit_quietly(stream, Tick())
    assert desk.stream(stream).fault


async def deploying(desk: Desk, app: str) -> None:
    """A deployment whose agent does not answer its first command."""
    node = desk.agents.get("a") or await desk.node("a")
    node.outcomes[f"inspect {app}"] = SILENT
    await desk.deploy("1", app=app)
    await desk.until(lambda: node.works(app))


async def test_a_stream_that_cannot_go_on_stands_still_alone(desk: Desk) -> None:
    await deploying(desk, "shop")
    before = desk.kinds("shop@prod")
    await stumbles(desk, "shop@prod")
    with pytest.raises(Refused, match="shop@prod stands still after an error .*IndexError"):
        await desk.deploy("2", app="shop")
    await desk.deployed("1", app="blog")
    assert desk.endings("blog@prod") == ["succeeded"]
    assert desk.kinds("shop@prod") == before
    assert not desk.life.done()


async def test_a_stream_that_stands_still_says_so_in_the_status(desk: Desk) -> None:
    await deploying(desk, "shop")
    assert [app.stands_still for app in views.status(desk.engine, "").apps] == [None]
    await stumbles(desk, "shop@prod")
    (app,) = views.status(desk.engine, "").apps
    assert app.stands_still is not None
    assert "shop@prod stands still after an error of Tidegate's own" in app.stands_still


async def test_agents_of_a_stream_that_stands_still_come_and_go(desk: Desk) -> None:
    await deploying(desk, "shop")
    await stumbles(desk, "shop@prod")
    node = desk.agents["a"]
    await node.leave()
    await node.join()
    await node.answer(node.last("inspect"))
    assert not desk.life.done()


async def test_balancer_work_that_ends_in_a_stream_that_stands_still_ends_nothing_else(
    desk: Desk,
) -> None:
    node = await desk.node("a")
    node.answers_probes.clear()
    await desk.deploy("1")
    await desk.until(lambda: desk.state().weights is None)  # the move is under way
    await stumbles(desk, "shop@prod")
    node.answers_probes.set()
    await desk.until(desk.lead_to)
    await desk.deployed("1", app="blog")
    assert desk.endings("blog@prod") == ["succeeded"]
    assert not desk.life.done()


async def test_a_new_life_takes_up_what_stood_still(desk: Desk) -> None:
    await deploying(desk, "shop")
    await stumbles(desk, "shop@prod")
    node = desk.agents["a"]
    await desk.stop()
    await desk.start()
    node.outcomes.clear()
    await node.join()
    await desk.until(desk.endings)
    assert desk.endings() == ["succeeded"]


async def test_a_log_that_somebody_else_writes_to_ends_the_controller(desk: Desk) -> None:
    await desk.node("a")
    with sqlite3.connect(desk.log.path) as database:
        database.execute(
            "INSERT INTO events SELECT seq + 1, 'other', 1, at, clock, kind, data, cause, hash "
            "FROM events ORDER BY seq DESC LIMIT 1"
        )
    with pytest.raises(LogError, match="cannot write to the event log"):
        await desk.deploy("1")
    desk.may_fail = True
    await asyncio.wait({desk.life})
    error = desk.life.exception()
    assert isinstance(error, BaseExceptionGroup)
    assert error.subgroup(LogError)
    with pytest.raises(Refused, match="the controller is about to end"):
        await desk.deploy("1")
    await desk.agents["a"].leave()


async def test_a_first_request_that_is_refused_leaves_no_stream_behind(desk: Desk) -> None:
    node = await desk.node("a")
    await node.leave()
    desk.long_up()
    with pytest.raises(Refused, match="a is not connected"):
        await desk.deploy("1", environment="prdo")
    assert desk.kinds("shop@prdo") == []
    assert views.status(desk.engine, "").apps == []
    with pytest.raises(UsageError, match="nothing was ever deployed as shop"):
        find_stream(desk.engine, "shop", "")


async def test_nor_does_it_become_one_by_what_nodes_do_later(desk: Desk) -> None:
    for name in "ab":
        await desk.node(name)
    await desk.agents["a"].leave()
    desk.long_up()
    with pytest.raises(Refused, match="a is not connected"):
        await desk.deploy("1", nodes=("a", "b"))
    await desk.nodes.remove("a", "ada")
    await desk.agents["b"].leave()
    await desk.agents["b"].join()
    assert desk.kinds("shop@prod") == []


async def test_a_repeated_request_is_the_same_rollout(desk: Desk) -> None:
    await desk.node("a")
    request = desk.request("1", desk.spec())
    first = await desk.requests.deploy(request)
    again = await desk.requests.deploy(request)
    assert (again.rollout, again.seq) == (first.rollout, first.seq)
    assert desk.kinds().count("Started") == 1


async def test_a_repeated_request_is_the_same_rollout_also_after_others(desk: Desk) -> None:
    node = await desk.node("a")
    request = desk.request("1", desk.spec())
    first = await desk.ended(desk.requests.deploy(request))
    await desk.deployed("2")
    await desk.ended(desk.rollback())
    await desk.stop()
    await desk.start()
    await node.join()
    again = await desk.requests.deploy(request)
    assert (again.rollout, again.seq) == (first.rollout, first.seq)
    assert desk.kinds().count("Started") == 3
    assert desk.state().rollout is None
