"""What follows from failures, as `[failures]` and `[checks]` of tidegate.toml want it."""

import json
from pathlib import Path

from desk import AppFolder, Desk


def script(folder: Path, text: str) -> list[str]:
    path = folder / "smoke"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return [str(path)]


def answered(app: AppFolder, answer: str) -> int:
    return app.desk.type("rollout", answer, app.newest()["rollout"]).code


def test_with_pause_a_failure_waits_for_a_person_with_exit_code_5(desk: Desk) -> None:
    app = desk.app("pauses", failures={"on_failure": "pause"}).deployed("1")
    answer = app.deploy("2", exits_at_once=True)
    rollout = app.newest()
    assert answer.code == 5, answer
    assert "waiting for a person: Start failed: web-1/green: exited with code 3" in answer.out
    assert f"next: tidegate rollout abort {rollout['rollout']}" in answer.out
    assert f"rollout continue {rollout['rollout']}" not in answer.out  # no node would be left
    assert rollout["state"] == "paused"
    app.assert_serving("1")
    assert app.desk.type("rollout", "continue", rollout["rollout"]).code == 4
    assert answered(app, "retry") == 5
    assert answered(app, "abort") == 1
    assert app.newest()["state"] == "rolled_back"
    app.assert_serving("1")


def test_with_stop_nothing_is_undone_and_what_is_where_is_told(desk: Desk) -> None:
    app = desk.app("stops", failures={"on_failure": "stop"}).deployed("1")
    answer = app.deploy("2", exits_at_once=True)
    assert answer.code == 1, answer
    rollout = app.newest()
    assert (rollout["state"], rollout["steps"][-1]["state"]) == ("failed", "pending")
    told = desk.type("explain", rollout["rollout"]).out.replace("\n", " ")
    assert "nothing was undone, as the configuration wants it (on_failure)" in " ".join(
        told.split()
    )
    app.assert_serving("1")
    app.deployed("3").assert_serving("3")


def test_a_check_that_fails_undoes_the_rollout_and_shows_what_it_said(desk: Desk) -> None:
    command = script(desk.folder, 'echo "orders of $TIDEGATE_VERSION are lost"; exit 1')
    app = desk.app("checked", **{"checks.smoke": {"command": command}})
    script(desk.folder, "exit 0")
    app.deployed("1")
    script(desk.folder, 'echo "orders of $TIDEGATE_VERSION are lost"; exit 1')
    answer = app.deploy("2")
    assert answer.code == 1, answer
    assert "Check failed: check smoke: " in app.newest()["reason"]
    assert "it said: orders of 2 are lost" in answer.out
    app.assert_serving("1")


def test_a_check_without_a_verdict_waits_for_a_person_and_can_be_put_again(desk: Desk) -> None:
    command = script(desk.folder, "exit 75")
    smoke = {"command": command, "every": "100ms", "deadline": "1s"}
    app = desk.app("unsure", **{"checks.smoke": smoke})
    answer = app.deploy("1")
    assert answer.code == 5, answer
    assert "the check smoke gave no verdict" in answer.out
    script(desk.folder, "exit 0")
    assert answered(app, "retry") == 0
    app.assert_serving("1")


def test_a_node_that_fails_within_what_is_allowed_is_left_out_and_owes(desk: Desk) -> None:
    app = desk.app("owing", nodes={"role": "web"}, failures={"max_failed_nodes": 1})
    app.deployed("1")
    toml = app.folder / "tidegate.toml"
    fails_on_web_2 = 'case $0 in web-2) exit 3;; esac; exec python3 serve.py --port "$1"'
    command = json.dumps(["sh", "-c", fails_on_web_2, "{node}", "{port}"])
    lines = [
        f"command = {command}" if line.startswith("command") else line
        for line in toml.read_text().splitlines()
    ]
    toml.write_text("\n".join(lines) + "\n")
    answer = app.deploy("2")
    assert answer.code == 0, answer
    assert "web-2 is left out from here on: web-2/green" in answer.out
    assert "web-2 owes: does not have 2" in answer.out
    slots = {node["node"]: node["active_slot"] for node in app.status()["nodes"]}
    assert slots == {"web-1": "green", "web-2": "blue"}
    assert app.newest()["dropped"].keys() == {"web-2"}
    (debt,) = (node["debt"] for node in app.status()["nodes"] if node["node"] == "web-2")
    assert "blue goes on serving what it had" in debt
