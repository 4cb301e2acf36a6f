"""Whoever has started a rollout may look away: it goes on, and is found again."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from desk import TIDEGATE, Answer, AppFolder, Desk, read_until, rest_of


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Desk]:
    """A fleet whose controller may be killed."""
    with Desk(tmp_path, nodes=1).running() as desk:
        yield desk


def press_ctrl_c(process: "subprocess.Popen[str]", said: str = "") -> Answer:
    process.send_signal(signal.SIGINT)
    return rest_of(process, said)


def assert_detached(app: AppFolder, answer: Answer) -> None:
    """It says so, and how to follow; and the rollout goes on and succeeds."""
    (rollout,) = app.rollouts()
    name = rollout["rollout"]
    assert rollout["state"] == "running"
    assert answer.code == 130
    assert answer.err.endswith(
        f"\nstopped following; rollout {name} goes on\n"
        f"  next: tidegate rollout show {name} --watch\n"
    )
    app.let_go()
    app.wait_for_success()
    app.assert_serving("1")


def test_ctrl_c_stops_the_telling_and_not_the_rollout(desk: Desk) -> None:
    app = desk.held("left-alone")
    following = app.follow("1")
    said = read_until(following.stdout, "  Migrate done")
    answer = press_ctrl_c(following, said)
    assert answer.out == said
    assert_detached(app, answer)


def test_with_json_ctrl_c_leaves_stdout_empty(desk: Desk) -> None:
    app = desk.held("left-in-json")
    following = app.follow("1", "--json")
    app.wait_for_step("Start")
    answer = press_ctrl_c(following)
    assert answer.out == ""
    assert_detached(app, answer)


def test_what_was_left_can_be_followed_again_to_its_end(desk: Desk) -> None:
    app = desk.held("followed-again")
    name = app.deploy("1", "--detach").out.strip()
    following = desk.start(TIDEGATE, "log", "--follow", "--rollout", name)
    said = read_until(following.stdout, " StepEntered ")
    app.let_go()
    answer = rest_of(following, said)
    assert answer.code == 0
    kinds = [line.split()[4] for line in answer.out.splitlines()]
    assert (kinds[0], kinds[-1]) == ("Started", "Ended")
    assert app.newest()["state"] == "succeeded"


def test_ctrl_c_ends_a_log_that_is_followed(desk: Desk, shop: AppFolder) -> None:
    log = desk.start(TIDEGATE, "log", "--follow")
    said = read_until(log.stdout, "Ended")
    answer = press_ctrl_c(log, said)
    assert (answer.code, answer.err.strip()) == (130, "")


def test_detach_prints_the_id_alone_and_returns_at_once(desk: Desk) -> None:
    app = desk.held("detached", rollout={"keep_old_for": "1h"})
    answer = app.deploy("1", "--detach")
    (rollout,) = app.rollouts()
    assert (answer.code, answer.out) == (0, f"{rollout['rollout']}\n")
    assert rollout["state"] == "running"
    app.let_go()
    app.wait_for_success()
    assert app.gate is not None
    app.gate.unlink()
    answer = app.deploy("2", "--detach", "--json")
    assert (answer.code, answer.json["state"]) == (0, "running")
    assert answer.json["ended_at"] is None
    app.let_go()
    app.wait_for_success()
    back = desk.type("rollback", app.name, "--detach")
    assert (back.code, back.out) == (0, f"{app.newest()['rollout']}\n")
    app.wait_for_success()
    app.assert_serving("1")


# --- A controller that goes away -----------------------------------------------------------------


def test_a_controller_that_goes_away_is_waited_for_and_the_telling_goes_on(own: Desk) -> None:
    app = own.held("goes-on")
    following = app.follow("1")
    said = read_until(following.stdout, "Prepare done")
    app.wait_for_step("Start")
    own.fleet.kill("controller")
    said += read_until(following.stdout, "the controller does not answer; waiting for it")
    own.fleet.start_controller((TIDEGATE,))
    said += read_until(following.stdout, "the controller has started again and goes on")
    app.let_go()
    answer = rest_of(following, said)
    assert answer.code == 0
    assert answer.out.count("the controller answers again") == 1
    assert answer.out.count("Prepare done") == 1
    assert answer.out.endswith(" succeeded\n")


def test_a_tree_says_that_the_controller_is_away_and_is_drawn_on(own: Desk) -> None:
    app = own.held("drawn-on")
    terminal = app.sit_down("1")
    terminal.until("● Start")
    own.fleet.kill("controller")
    terminal.until("! the controller does not answer; the rollout waits with it")
    own.fleet.start_controller((TIDEGATE,))
    terminal.until(lambda text: "does not answer" not in text)
    app.let_go()
    assert terminal.end() == 0
