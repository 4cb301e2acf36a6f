"""Requests that the controller answers with a refusal: what it says, the exit code, and that
nothing was begun."""

import json
import time
from pathlib import Path

import pytest
from desk import PATIENCE_SECONDS, TIDEGATE, Answer, Desk, answer_of

pytestmark = pytest.mark.xdist_group("requests")


def assert_refused(answer: Answer, code: int, message: str, next_step: str) -> None:
    """An error of this kind, for people on stderr; nothing on stdout."""
    assert (answer.code, answer.out) == (code, ""), answer
    assert f"error: {message}" in answer.err
    assert "\n  next: " in answer.err
    assert next_step in answer.err


# --- Nodes ---------------------------------------------------------------------------------------


def test_labels_that_no_node_has_are_an_error_and_never_all_nodes(desk: Desk) -> None:
    app = desk.app("nobody-matches", nodes={"role": "nobody"})
    answer = app.deploy("1", "--json")
    assert_refused(answer, 2, "no node matches role=nobody", "tidegate node list")
    assert app.rollouts() == []
    assert app.processes("web-1") == []


def test_a_node_that_never_connected_is_named_beside_those_that_did(desk: Desk) -> None:
    app = desk.app("unknown-node", nodes=["web-1", "web-99"])
    answer = app.deploy("1", "--json")
    assert_refused(answer, 2, "no agent has ever connected as web-99", "known nodes: ")
    assert "web-1, web-2" in answer.err
    assert app.rollouts() == []
    assert app.processes("web-1") == []


def test_a_deploy_to_a_node_whose_agent_is_away_starts_nothing(desk: Desk) -> None:
    desk.run_agent("absent", "role=absent")
    desk.end_agent("absent", 15)
    app = desk.app("away", nodes=["web-1", "absent"])
    answer = app.deploy("1", "--json")
    assert_refused(answer, 4, "absent is not connected, so nothing was started", "start the agent")
    assert app.rollouts() == []
    assert app.processes("web-1") == []


# --- Rollouts ------------------------------------------------------------------------------------


def test_a_second_deployment_at_once_is_refused_and_names_the_first(desk: Desk) -> None:
    app = desk.app("busy", rollout={"soak": "3s"})
    first = app.follow("1")
    app.wait_for_step("Soak")
    (running,) = app.rollouts()
    for answer in (app.deploy("2", "--json"), desk.type("rollback", "busy", "--json")):
        message = f"rollout {running['rollout']} to version 1 is running"
        assert_refused(answer, 4, message, f"tidegate rollout show {running['rollout']}")
    assert answer_of(first).code == 0
    assert [each["state"] for each in app.rollouts()] == ["succeeded"]
    app.assert_serving("1")


def test_deploying_what_is_active_is_done_at_once_and_says_so(desk: Desk) -> None:
    app = desk.app("same").deployed("1")
    again = app.words("1", artifact=app.folder / "same-1.tar.gz")
    answer = desk.type(*again, cwd=app.folder)
    message = "same 1 is already active on all 2 nodes of test"
    assert (answer.code, answer.out, answer.err) == (0, f"{message}\n", "")
    answer = desk.type(*again, "--json", cwd=app.folder)
    assert (answer.code, answer.err) == (0, "")
    assert answer.json == {"rollout": None, "state": "succeeded", "reason": message}
    assert len(app.rollouts()) == 1


def test_a_version_never_comes_with_another_artifact(desk: Desk) -> None:
    app = desk.app("changed").deployed("1")
    answer = app.deploy("1", "--json", comment="another one")
    assert answer.err.startswith("uploading ")
    assert_refused(
        answer, 4, "version 1 was deployed before with another artifact", "a version of its own"
    )
    assert len(app.rollouts()) == 1
    app.assert_serving("1")


@pytest.mark.parametrize("version", ["", "1 2", "../1", "1\n", "x" * 64, "{{7*7}}"])
def test_a_version_that_is_no_name_is_refused(desk: Desk, version: str) -> None:
    name = f"version-{len(version)}-{time.monotonic_ns()}"
    app = desk.app(name)
    words = ["deploy", "--artifact", str(app.build("1")), "--version", version, "--json"]
    answer = desk.type(*words, cwd=app.folder)
    assert (answer.code, answer.out) == (2, ""), answer
    assert "error: the version " in answer.err
    assert app.rollouts() == []


def test_one_release_alone_leaves_nothing_to_go_back_to(desk: Desk) -> None:
    app = desk.app("first-alone").deployed("1")
    answer = desk.type("rollback", "first-alone", "--json")
    assert_refused(answer, 4, "there is no earlier release to go back to", "tidegate rollout list")
    assert len(app.rollouts()) == 1
    app.assert_serving("1")


def test_two_environments_on_the_same_lanes_are_refused(desk: Desk) -> None:
    app = desk.app("lanes-owner", nodes=["web-1"]).deployed("1")
    lanes = app.folder / "traffic"
    before = {lane.name: lane.read_text() for lane in lanes.iterdir()}
    other = desk.app(
        "lanes-thief",
        nodes=["web-2"],
        traffic={"directory": str(lanes)},
    )
    answer = other.deploy("1", "--json")
    assert_refused(answer, 4, "lanes-owner@test already moves the traffic in", "directory")
    assert {lane.name: lane.read_text() for lane in lanes.iterdir()} == before
    assert other.rollouts() == []


# --- What is not there ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message", "next_step"),
    [
        (["status", "shpo"], "nothing was ever deployed as shpo", "known apps: "),
        (["rollback", "shpo"], "nothing was ever deployed as shpo", "tidegate status"),
        (["rollout", "list", "shpo"], "nothing was ever deployed as shpo", "known apps: "),
        (["rollout", "show", "r9999"], "there is no rollout r9999", "tidegate rollout list"),
        (["log", "--rollout", "r9999"], "there is no rollout r9999", "tidegate rollout list"),
        (["log", "--follow", "--rollout", "7"], "there is no rollout 7", "tidegate rollout list"),
    ],
)
def test_what_is_not_known_is_named_with_what_is(
    desk: Desk, words: list[str], message: str, next_step: str
) -> None:
    assert_refused(desk.type(*words, "--json"), 2, message, next_step)


def test_an_environment_that_an_app_does_not_have_is_an_error(desk: Desk) -> None:
    desk.app("one-environment").deployed("1")
    answer = desk.type("rollback", "one-environment", "-e", "production", "--json")
    message = "nothing was ever deployed as one-environment in production"
    assert_refused(answer, 2, message, "tidegate status")


# --- The address ---------------------------------------------------------------------------------


def test_the_controller_is_found_by_option_variable_and_socket(desk: Desk) -> None:
    nobody = "127.0.0.1:9"
    address, socket = desk.fleet.address, str(desk.folder / "controller.sock")
    answers = [
        desk.type("--controller", address, "node", "list", "--json", TIDEGATE_CONTROLLER=nobody),
        desk.type("node", "list", "--json", "--controller", address, TIDEGATE_CONTROLLER=nobody),
        desk.type("node", "list", "--json", TIDEGATE_CONTROLLER=address, TIDEGATE_SOCKET="/none"),
        desk.type("node", "list", "--json", TIDEGATE_CONTROLLER="", TIDEGATE_SOCKET=socket),
    ]
    for answer in answers:
        assert (answer.code, answer.err) == (0, "")
        assert {"web-1", "web-2"} <= {node["node"] for node in answer.json["nodes"]}


def test_the_local_socket_is_its_owners_alone(desk: Desk) -> None:
    assert (desk.folder / "controller.sock").stat().st_mode & 0o077 == 0


def test_what_is_said_to_nobody_breaks_nothing(desk: Desk) -> None:
    """`tidegate log | head -1`."""
    desk.app("said-to-nobody").deployed("1")
    log = desk.start(TIDEGATE, "log", "--json")
    assert log.stdout is not None
    assert json.loads(log.stdout.readline())["seq"] == 1
    log.stdout.close()
    assert log.wait(PATIENCE_SECONDS) in (0, 1)
    assert log.stderr is not None
    assert log.stderr.read() == ""
    log.stderr.close()


def test_a_command_that_only_looks_leaves_no_file(desk: Desk, tmp_path: Path) -> None:
    for words in (["status"], ["node", "list"], ["rollout", "list"], ["log"]):
        assert desk.type(*words, cwd=tmp_path).code == 0
    assert list(tmp_path.iterdir()) == []
