"""Freezes, and deployments that wait for their turn, as people and scripts meet them."""

from desk import Desk


def test_a_frozen_app_is_deployed_only_with_a_reason(desk: Desk) -> None:
    app = desk.app("frozen").deployed("1")
    frozen = desk.type("freeze", app.name, "--for", "4h", "-m", "the sale")
    assert frozen.code == 0, frozen
    assert frozen.out.startswith(f"{app.name} in test is frozen until ")
    assert f"  next: tidegate freeze {app.name} -e test --lift\n" in frozen.out
    assert "the sale; nothing is deployed meanwhile" in desk.type("status", app.name).out
    refused = app.deploy("2")
    assert refused.code == 4
    assert f"error: {app.name} in test is not deployed now: freeze until " in refused.err
    assert "--override-freeze -m REASON" in refused.err
    assert app.deploy("2", "--override-freeze").code == 2
    deployed = app.deploy("2", "--override-freeze", "-m", "orders are lost")
    assert deployed.code == 0, deployed
    assert "in spite of the freeze until " in deployed.out
    assert desk.type("rollback", app.name).code == 0, "to go back is always allowed"
    lifted = desk.type("freeze", app.name, "--lift", "--json")
    assert (lifted.json["frozen"], lifted.json["changed"]) == (False, True)


def test_a_freeze_needs_one_end_and_a_reason(desk: Desk) -> None:
    app = desk.app("frozen-how").deployed("1")
    assert desk.type("freeze", app.name, "-m", "why").code == 2
    assert desk.type("freeze", app.name, "--for", "4h", "--lift").code == 2
    assert desk.type("freeze", app.name, "--for", "4h").code == 2
    assert desk.type("freeze", app.name, "--until", "tomorrow", "-m", "why").code == 2


def test_a_deployment_waits_for_its_turn_and_can_be_followed(desk: Desk) -> None:
    app = desk.held("queued")
    assert app.deploy("1", "--detach").code == 0
    app.wait_for_step("Start")
    assert app.deploy("2", "--queue", "--supersede").code == 2
    queued = app.deploy("2", "--queue", "--detach")
    assert queued.code == 0, queued
    name = queued.out.strip()
    assert desk.type("rollout", "show", name, "--json").json["state"] == "queued"
    shown = desk.type("status", app.name).out
    assert f"rollout {name} to 2, by " in shown
    assert ", waits for its turn, after the " in shown
    third = app.deploy("3", "--queue", "--detach").out.strip()
    given_up = desk.type("rollout", "abort", third, "-m", "not today")
    assert given_up.code == 1
    assert "before it had begun: not today" in given_up.out
    app.let_go()
    followed = desk.type("rollout", "show", name, "--watch")
    assert followed.code == 0, followed
    assert "not begun" not in followed.out, "that was another one"
    assert f"rollout {name} succeeded" in followed.out
