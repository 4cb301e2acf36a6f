"""Afterwards, and from elsewhere: who did it and why, what a node went through, what waits."""

import re
import signal
import subprocess
from pathlib import Path

import pytest
import shapes
from desk import TIDEGATE, AppFolder, Desk, read_until, rest_of
from servers import own_controller, start_controller
from shapes import misfits

BY_HAND = {"adapter": "none", "directory": None, "lanes": None}


# --- History -------------------------------------------------------------------------------------


def commit(folder: Path) -> str:
    """Make a repository of the folder, with one commit; its hash."""
    mine = ("-c", "user.name=ann", "-c", "user.email=ann@laptop")

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *mine, *words], cwd=folder, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    git("init", "-q")
    git("add", "tidegate.toml", "serve.py")
    git("commit", "-q", "-m", "all of it")
    return git("rev-parse", "HEAD")


def test_why_and_from_which_commit_is_kept(desk: Desk) -> None:
    app = desk.app("dated")
    made = commit(app.folder)
    assert app.deploy("1", "-m", "the first").code == 0
    (app.folder / "serve.py").open("a").write("# changed\n")
    assert app.deploy("2").code == 0
    second, first = app.rollouts()
    assert (first["message"], first["commit"]) == ("the first", made)
    assert (second["message"], second["commit"]) == ("", f"{made}-dirty")
    listed = desk.type("rollout", "list", "dated").out.splitlines()
    assert listed[1].endswith(f"  ({made[:10]}-dirty)")
    assert listed[2].endswith(f"  the first ({made[:10]})")
    shown = desk.type("rollout", "show", first["rollout"]).out
    assert f"\n  why: the first\n  from commit {made}\n" in shown
    assert f": the first (commit {made[:10]})." in desk.type("explain", first["rollout"]).out


def test_without_git_and_words_there_is_no_why(shop: AppFolder) -> None:
    (rollout,) = shop.rollouts()
    assert (rollout["message"], rollout["commit"]) == ("", "")


# --- Explanations --------------------------------------------------------------------------------


def test_an_undo_is_explained_in_sentences(desk: Desk) -> None:
    app = desk.app("explained").deployed("1")
    app.deploy("2", exits_at_once=True)
    answer = desk.type("explain", app.newest()["rollout"])
    assert (answer.code, answer.err) == (0, "")
    for sentence in (
        "asked for a deploy of explained in test to 2, where 1 was active.",
        "2 was to be started in web-1/green, for no traffic leads there.",
        "web-1/green: start failed: exited with code 3",
        "So it is undone. No traffic had been moved, so there is none to move back.",
        "The rollout rolled back: what served before serves again.",
    ):
        assert sentence in answer.out


def test_an_explanation_as_json_is_as_promised(desk: Desk, shop: AppFolder) -> None:
    answer = desk.type("explain", shop.newest()["rollout"], "--json")
    assert (answer.code, answer.err) == (0, "")
    assert misfits(answer.json, shapes.EXPLANATION) == []


def test_without_an_id_the_last_rollout_is_explained(desk: Desk) -> None:
    name = desk.app("explained-last").deployed("1").newest()["rollout"]
    answer = desk.type("explain", "--json")
    assert (answer.code, answer.json["rollout"]) == (0, name)
    assert desk.type("explain", name[1:], "--json").out == answer.out


def test_a_rollout_that_there_is_not_cannot_be_explained(desk: Desk) -> None:
    answer = desk.type("explain", "r999999")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "error: there is no rollout r999999\n  next: see: tidegate rollout list\n"


# --- Nodes ---------------------------------------------------------------------------------------


def test_all_that_is_known_of_a_node_is_shown(desk: Desk) -> None:
    app = desk.app("on-a-node").deployed("1")
    app.deploy("2", exits_at_once=True)
    answer = desk.type("node", "show", "web-1")
    assert (answer.code, answer.err) == (0, "")
    assert re.match(r"web-1: connected, last seen \d{4}-\d\d-\d\d ", answer.out)
    assert "\n  labels: role=web\n" in answer.out
    assert "\n  machine: os " in answer.out
    assert re.search(r"\non-a-node@test +blue +1 +healthy +yes +127\.0\.0\.1:\d+\n", answer.out)
    assert re.search(r"  on-a-node@test green +start of 2 failed +exited with code 3", answer.out)


def test_a_node_as_json_is_as_promised(desk: Desk, shop: AppFolder) -> None:
    answer = desk.type("node", "show", "web-2", "--json")
    assert (answer.code, answer.err) == (0, "")
    assert misfits(answer.json, shapes.NODE_DETAIL) == []
    assert any(slot["app"] == shop.name and slot["active"] for slot in answer.json["slots"])
    assert "1 started" in [change["what"] for change in answer.json["changes"]]


def test_a_node_that_there_is_not_is_said(desk: Desk) -> None:
    answer = desk.type("node", "show", "web-99")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "error: there is no node 'web-99'\n  next: see: tidegate node list\n"


def test_an_agent_that_is_turned_away_is_listed_with_why(desk: Desk) -> None:
    """The data of another node is not web-1's, so this is another agent under its name."""
    agent = desk.start(
        *(TIDEGATE.replace("tidegate", "tidegate-agent"), "run", "--node", "web-1"),
        *("--data", str(desk.folder / "another"), "--controller", desk.fleet.address),
    )
    try:
        wanted = "turned away: web-1 at "
        for _ in range(600):
            listed = desk.type("node", "list").out
            if wanted in listed:
                break
        assert "another agent is connected as web-1" in listed.partition(wanted)[2]
        assert "another agent is connected" in desk.type("node", "show", "web-1").out
        refused = desk.type("node", "list", "--json").json
        assert misfits(refused, shapes.NODES) == []
        assert [each["node"] for each in refused["refused"]] == ["web-1"]
    finally:
        agent.kill()
        rest_of(agent)


# --- Waiting for a person ------------------------------------------------------------------------


def test_who_waits_for_a_person_exits_with_5_and_says_what_to_type(desk: Desk) -> None:
    app = desk.app("asks-a-person", traffic=BY_HAND)
    answer = app.deploy("1")
    name = app.newest()["rollout"]
    assert answer.code == 5
    last = [line.partition("  ")[2] for line in answer.out.splitlines()[-4:]]
    assert last[0].startswith("waiting for a person: switch all traffic to 127.0.0.1:")
    assert last[1:] == [
        f"  next: tidegate rollout {word:8} {name}   {meaning}"
        for word, meaning in (
            ("continue", "Go on: it was done."),
            ("retry", "Do once more what is in doubt."),
            ("abort", "Give up, and go back to where it was."),
        )
    ]
    shown = desk.type("rollout", "show", name)
    assert "\n  waits for a person: switch all traffic to " in shown.out
    assert f"\n  next: tidegate rollout continue {name}   Go on: it was done.\n" in shown.out
    status = desk.type("status", app.name)
    assert f"\nrollout {name} to 1 waits for a person: switch " in status.out
    assert status.code == 0
    again = desk.type("rollout", "retry", name)
    assert again.code == 5
    assert " says: retry\n" in again.out
    answer = desk.type("rollout", "continue", name)
    assert answer.code == 0
    assert " says: continue\n" in answer.out
    assert answer.out.endswith(f"rollout {name} succeeded\n")
    assert "Preflight done" not in answer.out, "that was told before"
    app.assert_serving("1")


def test_with_json_it_exits_with_5_and_says_for_whom_it_waits(desk: Desk) -> None:
    app = desk.app("by-hand-in-json", traffic=BY_HAND)
    answer = app.deploy("1", "--json")
    assert (answer.code, answer.json["state"]) == (5, "paused")
    assert misfits(answer.json, shapes.ROLLOUT) == []
    assert answer.json["answers"] == ["continue", "retry", "abort"]
    assert answer.json["waiting_for"].startswith("switch all traffic to ")
    assert desk.type("rollout", "continue", answer.json["rollout"], "--json").code == 0


# --- Watching ------------------------------------------------------------------------------------


def test_a_rollout_is_watched_from_its_beginning_to_its_end(desk: Desk) -> None:
    app = desk.held("watched-in-lines")
    name = app.deploy("1", "--detach").out.strip()
    watching = desk.start(TIDEGATE, "rollout", "show", name, "--watch")
    said = read_until(watching.stdout, "Prepare done")
    assert f"  rollout {name}: deploy watched-in-lines in test, nothing -> 1" in said
    app.let_go()
    answer = rest_of(watching, said)
    assert answer.code == 0
    assert answer.out.endswith(f"  rollout {name} succeeded\n")


def test_a_rollout_that_has_ended_is_told_and_its_outcome_is_the_exit_code(desk: Desk) -> None:
    app = desk.app("watched-late")
    app.deploy("1", exits_at_once=True)
    answer = desk.type("rollout", "show", app.newest()["rollout"], "--watch")
    assert answer.code == 1
    assert "Start failed: web-1/blue: exited with code 3" in answer.out
    answer = desk.type("rollout", "show", app.newest()["rollout"], "--watch", "--json")
    assert (answer.code, answer.json["state"]) == (1, "failed")


def test_steps_that_were_not_reached_are_not_called_pending(desk: Desk) -> None:
    app = desk.app("not-reached")
    app.deploy("1", exits_at_once=True)
    shown = desk.type("rollout", "show", app.newest()["rollout"]).out
    assert "\n  Shift: not reached\n" in shown
    assert "pending" not in shown


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_status_that_is_watched_is_printed_again_when_it_changes(
    desk: Desk, options: tuple[str, ...]
) -> None:
    app = desk.app(f"changes{''.join(options)}").deployed("1")
    watching = desk.start(TIDEGATE, "status", app.name, "--watch", *options)
    said = read_until(watching.stdout, "web-1")
    app.deployed("2")
    said += read_until(watching.stdout, "2 healthy" if not options else '"version":"2"')
    watching.send_signal(signal.SIGINT)
    answer = rest_of(watching, said)
    assert (answer.code, answer.err.strip()) == (130, "")
    assert "version 1" in said if not options else '"version":"1"' in said


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_status_that_is_watched_says_when_the_controller_does_not_answer(
    desk: Desk, tmp_path: Path, options: tuple[str, ...]
) -> None:
    with own_controller(desk, tmp_path / "controller") as (address, first):
        words = ("status", "--controller", address, "--watch", *options)
        watching = desk.start(TIDEGATE, *words)
        shown = '{"apps":[]}' if options else "nothing was deployed yet"
        said = read_until(watching.stdout, shown)
        first.terminate()
        silent = read_until(
            watching.stderr if options else watching.stdout, "the controller does not answer"
        )
        second = start_controller(desk, tmp_path / "controller", address)
        said += silent + read_until(watching.stdout, shown)
        watching.send_signal(signal.SIGINT)
        assert rest_of(watching, said).code == 130
        second.terminate()
        rest_of(second)
