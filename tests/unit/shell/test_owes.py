"""What nodes owe, as status says it."""

import pytest
from without_doors import Desk

from tidegate_controller import owes, views
from tidegate_controller.core import types as t

NODES = ("a", "b", "c")


async def test_a_fleet_is_looked_through_once_however_many_nodes_it_has(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NODES:
        await desk.node(name)
    await desk.deployed("1", nodes=NODES)
    looks: list[t.State] = []
    strays = owes.strays
    monkeypatch.setattr(owes, "strays", lambda state: looks.append(state) or strays(state))
    (app,) = views.status(desk.engine, "").apps
    assert [node.node for node in app.nodes] == list(NODES)
    assert len(looks) == 1
