"""`--json`: alone on stdout, with every field that was promised, of its type, in each situation."""

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
import shapes
from desk import Answer, AppFolder, Desk, read_until, rest_of
from shapes import misfits

STEPS = ["Preflight", "Prepare", "Migrate", "Start", "Shift", "Switch"]  # and Soak and Verify


def document(answer: Answer, code: int = 0) -> dict[str, object]:
    """The one line on stdout, as JSON."""
    assert answer.code == code, answer
    assert answer.out.count("\n") == 1
    return dict(answer.json)


class Story:
    """An app's first four rollouts, as `deploy --json` has told of them."""

    def __init__(self, desk: Desk) -> None:
        self.app = desk.app("told-in-json", owner="the fixture story")
        self.first_failed = document(self.app.deploy("0", "--json", exits_at_once=True), 1)
        self.first = document(self.app.deploy("1", "--json"))
        self.second = document(self.app.deploy("2", "--json"))
        self.rolled_back = document(self.app.deploy("3", "--json", exits_at_once=True), 1)
        self.back = document(desk.type("rollback", self.app.name, "--json"))

    def all(self) -> list[dict[str, object]]:
        return [self.first_failed, self.first, self.second, self.rolled_back, self.back]


@pytest.fixture(scope="session")
def story(desk: Desk) -> Story:
    return Story(desk)


def in_short(rollout: dict[str, object]) -> dict[str, object]:
    """A list has all of a rollout but what happened in it."""
    left_out = ("steps", "debts", "dropped", "notes", "question", "approvals")
    left_out += ("undoing", "asks", "asks_about")
    return {key: value for key, value in rollout.items() if key not in left_out}


def states(rollout: dict[str, object]) -> dict[str, str]:
    steps = rollout["steps"]
    assert isinstance(steps, list)
    return {step["name"]: step["state"] for step in steps}


# --- Rollouts ------------------------------------------------------------------------------------


def test_deploy_and_rollback_print_the_rollout_with_all_that_was_promised(story: Story) -> None:
    for rollout in story.all():
        assert misfits(rollout, shapes.ROLLOUT) == []
        assert rollout["waiting_for"] is None
        assert rollout["ended_at"] is not None


def test_rollout_show_prints_the_very_same(desk: Desk, story: Story) -> None:
    for rollout in (story.first_failed, story.rolled_back, story.back):
        assert document(desk.type("rollout", "show", str(rollout["rollout"]), "--json")) == rollout


def test_rollout_list_prints_them_all_newest_first(desk: Desk, story: Story) -> None:
    listed = document(desk.type("rollout", "list", story.app.name, "--json"))
    assert misfits(listed, shapes.ROLLOUTS) == []
    assert listed["rollouts"] == [in_short(one) for one in story.all()[::-1]]
    newest = document(desk.type("rollout", "list", story.app.name, "--limit", "1", "--json"))
    assert newest["rollouts"] == [in_short(story.back)]


def test_a_first_rollout_that_succeeds_has_no_release_before_it(story: Story) -> None:
    assert (story.first["state"], story.first["previous"]) == ("succeeded", None)
    assert (story.first["reason"], story.first["kind"]) == ("", "deploy")
    assert states(story.first) == dict.fromkeys(STEPS, "ok")


def test_a_first_rollout_that_fails_is_failed_and_not_rolled_back(story: Story) -> None:
    failed = story.first_failed
    assert (failed["state"], failed["previous"]) == ("failed", None)
    assert str(failed["reason"]).startswith("Start failed: web-1/blue: exited with code 3")
    done = {"Preflight": "ok", "Prepare": "ok", "Migrate": "ok", "Start": "failed"}
    assert states(failed) == {**dict.fromkeys(STEPS, "pending"), **done}
    steps: list[dict[str, Any]] = failed["steps"]  # type: ignore[assignment]
    (start,) = [step["nodes"]["web-1"] for step in steps if step["name"] == "Start"]
    assert start["state"] == "failed"
    assert start["error"].startswith("exited with code 3")
    assert "FATAL: cannot load the configuration" in start["output_tail"]


def test_a_later_rollout_names_the_release_before_it(story: Story) -> None:
    assert story.second["previous"] == story.first["release"]
    assert story.second["release"] == {
        "version": "2",
        "digest": story.second["release"]["digest"],  # type: ignore[index]
    }
    assert story.second["release"] != story.first["release"]


def test_one_that_was_undone_is_rolled_back_to_the_release_before_it(story: Story) -> None:
    undone = story.rolled_back
    assert (undone["state"], undone["kind"]) == ("rolled_back", "deploy")
    assert undone["previous"] == story.second["release"]
    assert str(undone["reason"]).startswith("Start failed: ")


def test_a_rollback_is_a_rollout_to_the_release_before(story: Story) -> None:
    assert (story.back["state"], story.back["kind"]) == ("succeeded", "rollback")
    assert story.back["release"] == story.first["release"]
    assert story.back["previous"] == story.second["release"]


@pytest.fixture
def running(desk: Desk) -> Iterator[AppFolder]:
    """An app whose rollout is in its soak, and stays there until the test is over."""
    app = desk.app(f"runs-{os.urandom(3).hex()}", rollout={"soak": "1h"})
    following = app.follow("1")
    said = read_until(following.stdout, "  Switch done")
    yield app
    (pid,) = app.processes()
    os.kill(pid, signal.SIGKILL)  # which fails the soak
    assert rest_of(following, said).code == 1


def test_what_still_runs_has_no_end_yet(desk: Desk, running: AppFolder) -> None:
    rollout = running.newest()
    assert misfits(rollout, shapes.ROLLOUT) == []
    assert (rollout["state"], rollout["ended_at"]) == ("running", None)
    assert states(rollout) == {
        **dict.fromkeys(STEPS, "ok"),
        "Soak": "running",
        "Verify": "pending",
    }
    status = document(desk.type("status", running.name, "--json"))
    assert misfits(status, shapes.STATUS) == []
    (app,) = status["apps"]  # type: ignore[misc]
    assert (app["rollout"]["id"], app["rollout"]["state"]) == (rollout["rollout"], "running")
    assert (app["version"], app["digest"]) == (None, None), "nothing was committed yet"
    shown = desk.type("rollout", "show", rollout["rollout"])
    assert "  running\n" in shown.out


# --- The rest ------------------------------------------------------------------------------------


def test_status_prints_every_app_with_its_nodes_and_slots(desk: Desk, story: Story) -> None:
    everything = document(desk.type("status", "--json"))
    assert misfits(everything, shapes.STATUS) == []
    (app,) = document(desk.type("status", story.app.name, "--json"))["apps"]  # type: ignore[misc]
    assert app["version"] == "1"
    assert {"version": "1", "digest": app["digest"]} == story.first["release"]
    (node,) = app["nodes"]
    assert (node["node"], node["connected"]) == ("web-1", True)
    active = node["slots"][node["active_slot"]]
    assert (active["version"], active["digest"]) == ("1", app["digest"])
    assert (active["running"], active["healthy"]) == (True, True)
    assert set(node["slots"]) == {"blue", "green"}


def test_node_list_prints_every_node(desk: Desk) -> None:
    nodes = document(desk.type("node", "list", "--json"))
    assert misfits(nodes, shapes.NODES) == []
    (first,) = (node for node in nodes["nodes"] if node["node"] == "web-1")  # type: ignore[attr-defined]
    assert (first["connected"], first["labels"]) == (True, {"role": "web"})


def test_log_prints_one_event_a_line(desk: Desk, story: Story) -> None:
    answer = desk.type("log", "--rollout", str(story.rolled_back["rollout"]), "--json")
    assert (answer.code, answer.err) == (0, "")
    events = [json.loads(line) for line in answer.out.splitlines()]
    for event in events:
        assert misfits(event, shapes.EVENT) == []
        assert event["data"]["type"] == event["kind"]
    assert (events[0]["kind"], events[-1]["kind"]) == ("Started", "Ended")
    assert [event["seq"] for event in events] == sorted({event["seq"] for event in events})
    assert {event["stream"] for event in events} == {"told-in-json@test"}
    everything = desk.type("log", "--json").out.splitlines()
    assert [json.loads(line)["seq"] for line in everything] == list(range(1, len(everything) + 1))


def test_a_caddyfile_is_json_too(desk: Desk, story: Story) -> None:
    made = document(desk.type("traffic", "caddyfile", "--json", cwd=story.app.folder))
    assert misfits(made, {"caddyfile": str}) == []
    assert "bind 127.0.0.1\n" in str(made["caddyfile"])


def test_a_shape_that_is_wrong_is_noticed(story: Story) -> None:
    """Of the checker itself: each of these must be found."""
    wrong = [
        {**story.first, "started_at": "yesterday"},
        {**story.first, "started_at": "2026-11-24T09:14:02+02:00"},
        {**story.first, "previous": {"version": "1"}},
        {**story.first, "reason": None},
        {**story.first, "state": "done"},
        {**story.first, "steps": {}},
        {key: value for key, value in story.first.items() if key != "waiting_for"},
    ]
    assert [rollout for rollout in wrong if not misfits(rollout, shapes.ROLLOUT)] == []
    assert misfits({"served": 1.0, "failed": True}, shapes.DEMO["requests"]) == [
        ".served is 1.0, not <class 'int'>",
        ".failed is True, not <class 'int'>",
    ]
