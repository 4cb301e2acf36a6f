"""Requests that the controller answers with a refusal: what it says, the exit code, and that
nothing was begun."""

import getpass
import gzip
import json
from pathlib import Path

import pytest
from desk import PATIENCE_SECONDS, TIDEGATE, Answer, AppFolder, Desk, read_until, rest_of


def assert_refused(answer: Answer, code: int, message: str, next_step: str) -> None:
    """An error of this kind, for people on stderr; nothing on stdout."""
    assert (answer.code, answer.out) == (code, ""), answer
    assert f"error: {message}" in answer.err
    assert next_step in answer.err.partition("\n  next: ")[2]


def assert_nothing_begun(app: AppFolder) -> None:
    assert app.events() == []
    assert app.traces() == []


# --- Nodes ---------------------------------------------------------------------------------------


def test_labels_that_no_node_has_are_an_error_and_never_all_nodes(desk: Desk) -> None:
    app = desk.app("nobody-matches", nodes={"role": "web", "zone": "moon"})
    answer = app.deploy("1", "--json")
    message = "no node matches role=web, zone=moon, which environment test asks for"
    assert_refused(answer, 2, message, "tidegate node list")
    assert_nothing_begun(app)


def test_a_node_that_never_connected_is_named_beside_those_that_did(desk: Desk) -> None:
    app = desk.app("unknown-node", nodes=["web-1", "web-99"])
    answer = app.deploy("1", "--json")
    assert_refused(answer, 2, "no agent has ever connected as web-99", "known nodes: ")
    assert "web-1, web-2" in answer.err
    assert_nothing_begun(app)


# --- Rollouts ------------------------------------------------------------------------------------


def test_a_second_deployment_at_once_is_refused_and_names_the_first(desk: Desk) -> None:
    app = desk.held("busy")
    first = app.follow("1")
    said = read_until(first.stdout, "  Migrate done")
    running = said.partition("rollout ")[2].partition(":")[0]
    app.wait_for_step("Start")
    begun = len(app.events())
    for answer in (app.deploy("2", "--json"), desk.type("rollback", "busy", "--json")):
        message = f"rollout {running} to version 1 is running; one at a time for an app"
        follow = f"tidegate rollout show {running} --watch"
        assert_refused(answer, 4, message, follow)
        assert f"; asked for by {getpass.getuser()}@" in answer.err
        assert "uploading" not in answer.err
    assert len(app.events()) == begun
    app.let_go()
    assert rest_of(first).code == 0
    assert [each["state"] for each in app.rollouts()] == ["succeeded"]
    app.assert_serving("1")


def test_deploying_what_is_active_is_done_at_once_and_says_so(shop: AppFolder) -> None:
    before = shop.events()
    again = shop.words("1", artifact=shop.folder / "shop-1.tar.gz")
    answer = shop.desk.type(*again, cwd=shop.folder)
    message = "shop 1 is already active on all 2 nodes of test"
    assert (answer.code, answer.out, answer.err) == (0, f"{message}\n", "")
    answer = shop.desk.type(*again, "--json", cwd=shop.folder)
    assert (answer.code, answer.err) == (0, "")
    assert answer.json == {"rollout": None, "state": "succeeded", "reason": message}
    assert shop.events() == before


def test_a_version_never_comes_with_another_artifact(shop: AppFolder) -> None:
    before = shop.events()
    other = shop.folder / "other.tar.gz"
    same = (shop.folder / "shop-1.tar.gz").read_bytes()
    other.write_bytes(same + gzip.compress(b""))  # as gzip may be continued, with nothing more
    answer = shop.desk.type(*shop.words("1", artifact=other), "--json", cwd=shop.folder)
    message = "version 1 was deployed before with another artifact"
    assert_refused(answer, 4, message, "give the new artifact a version of its own")
    assert shop.events() == before
    shop.assert_serving("1")


def test_one_release_alone_leaves_nothing_to_go_back_to(shop: AppFolder) -> None:
    before = shop.events()
    answer = shop.desk.type("rollback", "shop", "--json")
    assert_refused(answer, 4, "there is no earlier release to go back to", "tidegate rollout list")
    assert shop.events() == before
    shop.assert_serving("1")


def test_two_environments_on_the_same_lanes_are_refused(shop: AppFolder) -> None:
    lanes = shop.folder / "traffic"
    before = {lane.name: lane.read_text() for lane in lanes.iterdir()}
    thief = shop.desk.app("lanes-thief", traffic={"directory": str(lanes)})
    answer = thief.deploy("1", "--json")
    assert_refused(answer, 4, "shop@test already moves the traffic in", "directory")
    assert {lane.name: lane.read_text() for lane in lanes.iterdir()} == before
    assert_nothing_begun(thief)


# --- What is not there ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message", "next_step"),
    [
        (["status", "shpo"], "nothing was ever deployed as shpo", "known apps: "),
        (["rollback", "shpo"], "nothing was ever deployed as shpo", "known apps: "),
        (["cleanup", "shpo"], "nothing was ever deployed as shpo", "known apps: "),
        (["rollout", "list", "shpo"], "nothing was ever deployed as shpo", "known apps: "),
        (["rollout", "show", "r9999"], "there is no rollout r9999", "tidegate rollout list"),
        (["log", "--rollout", "r9999"], "there is no rollout r9999", "tidegate rollout list"),
    ],
)
def test_what_is_not_known_is_named_with_what_is(
    desk: Desk, words: list[str], message: str, next_step: str
) -> None:
    assert_refused(desk.type(*words, "--json"), 2, message, next_step)


def test_an_environment_that_an_app_does_not_have_is_an_error(shop: AppFolder) -> None:
    before = shop.events()
    answer = shop.desk.type("rollback", "shop", "-e", "production", "--json")
    message = "nothing was ever deployed as shop in production"
    assert_refused(answer, 2, message, "tidegate status")
    assert shop.events() == before


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
    assert Path(socket).stat().st_mode & 0o077 == 0, "the local socket is its owner's alone"


def test_what_is_said_to_nobody_breaks_nothing(shop: AppFolder) -> None:
    """`tidegate log | head -1`."""
    log = shop.desk.start(TIDEGATE, "log", "--json")
    assert log.stdout is not None
    assert json.loads(log.stdout.readline())["seq"] == 1
    log.stdout.close()
    assert log.wait(PATIENCE_SECONDS) in (0, 141)  # it may have said all by then
    assert log.stderr is not None
    with log.stderr:
        assert log.stderr.read() == ""


def test_a_command_that_only_looks_leaves_no_file(desk: Desk, tmp_path: Path) -> None:
    for words in (["status"], ["node", "list"], ["rollout", "list"], ["log"]):
        assert desk.type(*words, cwd=tmp_path).code == 0
    assert list(tmp_path.iterdir()) == []
