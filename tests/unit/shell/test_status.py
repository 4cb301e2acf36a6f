"""What status says beside how slots are: of the active release and of what serves elsewhere."""

import pytest
from without_doors import Desk

from tidegate_controller import views
from tidegate_controller.cli.status import status_lines
from tidegate_controller.core import types as t
from tidegate_controller.core.changes import replace
from tidegate_controller.documents import AppStatus


def status(desk: Desk) -> AppStatus:
    (app,) = views.status(desk.engine, "shop").apps
    return app


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("", None),
        ("https://ci.example/shop.tar.gz", "https://ci.example/shop.tar.gz"),
        ("https://ci.example/shop?key=secret", "https://ci.example/shop?…"),
    ],
)
async def test_where_nodes_fetch_the_release_is_shown_without_a_secret(
    desk: Desk, url: str, shown: str | None
) -> None:
    await desk.node("a")
    request = desk.request("1", desk.spec(), url=url, size_bytes=1)
    await desk.ended(desk.requests.deploy(request))
    assert (status(desk).version, status(desk).url) == ("1", shown)


async def test_a_rollback_is_offered_only_where_it_would_bring_something(desk: Desk) -> None:
    await desk.node("a")
    await desk.deployed("1")
    assert status(desk).rollback_to is None
    await desk.deployed("2")
    back = status(desk).rollback_to
    assert back is not None
    assert back.version == "1"
    stream = desk.stream()
    first, second = stream.state.committed
    bad = t.Quarantine(digest=first.revision.digest, origin="hand", version="1", why="loses orders")
    stream.state = replace(stream.state, quarantined=(bad,))
    assert status(desk).rollback_to is None
    adopted = (replace(first, incomplete=True), second)
    stream.state = replace(stream.state, quarantined=(), committed=adopted)
    assert status(desk).rollback_to is None


async def test_traffic_that_is_sent_to_an_address_that_a_node_has_no_more_is_told(
    desk: Desk,
) -> None:
    """The lanes are as they were left, so the balancer itself has nothing to say against it."""

    async def troubles() -> list[str]:
        looked = await views.status_with_balancers(desk.engine, "shop")
        seen = [status(desk).traffic_trouble, looked.apps[0].traffic_trouble]
        return [each.what if each else "" for each in seen]

    node = await desk.node("a")
    await desk.deployed("1")
    assert await troubles() == ["", ""]
    was, slot = node.address("shop@prod", "blue"), node.slots["shop@prod", "blue"]
    await node.leave()
    await node.runs("shop@prod", "blue", slot.revision, current=True)
    await node.join()
    is_now = node.address("shop@prod", "blue")
    told = f"a/blue has the address {is_now} now, and its traffic was moved to {was}"
    assert await troubles() == [told, told]
    line, then = status_lines(views.status(desk.engine, "shop"))[-2:]
    assert line == told
    assert then.startswith("  next: traffic follows by deploying the same release again: tidegate ")
    await desk.deployed("1")  # as it says
    assert desk.endings() == ["succeeded", "succeeded"]
    assert (desk.lead_to(), await troubles()) == ({is_now}, ["", ""])
