"""What somebody sees who sits at a terminal: rollouts as trees, questions, what is left there."""

import re
from pathlib import Path

from desk import AppFolder, Desk
from servers import own_controller

COLOURS = re.compile(rb"\x1b\[(?:[0-9;]*;)?(?:3[0-7]|9[0-7]|38)[0-9;]*m")
BY_HAND = {"adapter": "none", "directory": None, "lanes": None}


def test_a_rollout_is_drawn_as_a_tree_and_left_standing(desk: Desk) -> None:
    app = desk.held("drawn", nodes={"role": "web"})
    terminal = app.sit_down("1", "-m", "for the first time")
    terminal.until("● Start")
    shown = terminal.until("● web-2/blue")
    assert "✓ Prepare" in shown
    assert "  why: for the first time" in shown
    assert re.search(r"● Start +\d+ s  at most .* more\n +● web-1/blue +\d+ s  start", shown)
    assert "○ Shift" in shown
    app.let_go()
    assert terminal.end() == 0
    assert f"rollout {app.newest()['rollout']} succeeded" in terminal.lines[-1]
    assert re.search(r"✓ Start +\d+\.\d s", terminal.text)
    assert "●" not in terminal.text
    assert not terminal.cursor_is_hidden


def test_a_release_that_fails_shows_where_with_its_last_words_and_what_to_type(desk: Desk) -> None:
    app = desk.app("fails-visibly").deployed("1")
    terminal = app.sit_down("2", columns=100, behaviour={"exits_at_once": True})
    assert terminal.end() == 1
    shown, name = terminal.text, app.newest()["rollout"]
    assert re.search(r"✗ Start +\d+\.\d s  web-1/green: exited with code 3", shown)
    assert re.search(r"○ Shift +not reached", shown)
    assert f"rollout {name} rolled back: Start failed: web-1/green: exited with" in shown
    assert "\nweb-1/green: start failed\n" in shown
    assert "  | hello 2: FATAL: cannot load the configuration" in shown
    assert f"  next: tidegate rollout show {name}; tidegate explain {name};" in shown


def test_ctrl_c_leaves_the_rollout_running_and_gives_the_terminal_back(desk: Desk) -> None:
    app = desk.held("left-on-a-terminal")
    terminal = app.sit_down("1")
    terminal.until("● Start")
    terminal.press_ctrl_c()
    assert terminal.end() == 130
    name = app.newest()["rollout"]
    assert terminal.lines[-2] == f"stopped following; rollout {name} goes on"
    assert terminal.lines[-1].startswith(f"  next: tidegate rollout show {name} --watch")
    assert "● Start" in terminal.text, "what was drawn last is left standing"
    assert not terminal.cursor_is_hidden
    app.let_go()
    app.wait_for_success()


def test_a_terminal_that_is_told_to_end_gets_its_cursor_back(desk: Desk) -> None:
    app = desk.held("ended-on-a-terminal")
    terminal = app.sit_down("1")
    terminal.until("● Start")
    assert terminal.cursor_is_hidden
    terminal.terminate()
    assert terminal.end() == 143
    assert not terminal.cursor_is_hidden
    app.let_go()
    app.wait_for_success()


def test_a_rollout_can_be_watched_from_anywhere(desk: Desk) -> None:
    app = desk.held("watched")
    name = app.deploy("1", "--detach").out.strip()
    terminal = desk.sit_down("rollout", "show", name, "--watch")
    terminal.until("● Start")
    app.let_go()
    assert terminal.end() == 0
    assert f"rollout {name} succeeded" in terminal.text


def test_a_status_that_is_watched_does_not_pass_off_an_old_picture_for_a_new_one(
    desk: Desk, tmp_path: Path
) -> None:
    with own_controller(desk, tmp_path / "controller") as (address, process):
        terminal = desk.sit_down("status", "--controller", address, "--watch")
        assert "does not answer" not in terminal.until("nothing was deployed yet")
        process.terminate()
        terminal.until("the controller does not answer; this is how it was at ")
        assert "nothing was deployed yet" in terminal.text
        terminal.press_ctrl_c()
        assert terminal.end() == 130
        assert not terminal.cursor_is_hidden


def test_a_terminal_that_becomes_narrower_is_drawn_anew(desk: Desk) -> None:
    app = desk.held("resized", nodes={"role": "web"})
    terminal = app.sit_down("1", columns=100)
    terminal.until("● web-2/blue")
    terminal.resize(40, 20)
    shown = terminal.until(lambda text: text.startswith("rollout ") and "● web-2/blue" in text)
    lines = shown.splitlines()
    assert lines[0].endswith("…")
    assert sum("● Start" in line for line in lines) == 1
    app.let_go()
    assert terminal.end() == 0


def test_no_colour_is_used_where_none_is_wanted(desk: Desk) -> None:
    app = desk.app("without-colours")
    coloured = app.sit_down("1")
    assert coloured.end() == 0
    assert COLOURS.search(coloured.raw)
    plain = app.sit_down("2", NO_COLOR="1")
    assert plain.end() == 0
    assert "✓ Start" in plain.text
    assert not COLOURS.search(plain.raw)


def test_a_terminal_that_cannot_be_drawn_on_gets_lines(desk: Desk) -> None:
    app = desk.app("on-a-dumb-terminal")
    terminal = app.sit_down("1", TERM="dumb")
    assert terminal.end() == 0
    assert b"\x1b" not in terminal.raw
    assert re.search(r"^\d\d:\d\d:\d\d  Start done in \d+\.\d s$", terminal.text, re.MULTILINE)


def test_json_on_a_terminal_is_alone_there(desk: Desk) -> None:
    terminal = desk.app("json-on-a-terminal").sit_down("1", "--json", columns=4000)
    assert terminal.end() == 0
    assert [line for line in terminal.lines if not line.startswith("uploading ")] == [
        line for line in terminal.lines if line.startswith('{"rollout":')
    ]


# --- Waiting for a person ------------------------------------------------------------------------


def test_the_tree_stays_while_a_person_is_awaited_and_goes_on_after_the_answer(desk: Desk) -> None:
    app = desk.app("switched-by-hand", traffic=BY_HAND)
    terminal = app.sit_down("1", columns=100)
    shown = terminal.until("tidegate rollout abort")
    name = app.newest()["rollout"]
    assert "! waits for a person: switch all traffic to " in shown
    assert f"    tidegate rollout continue {name}" in shown
    assert desk.type("rollout", "continue", name, "--detach").code == 0
    assert terminal.end() == 0
    assert "waits for a person" not in terminal.text
    app.assert_serving("1")


# --- Questions -----------------------------------------------------------------------------------


def guarded(desk: Desk, name: str) -> AppFolder:
    return desk.app(name, environment={"protected": True})


def test_a_protected_environment_shows_the_plan_and_asks(desk: Desk) -> None:
    app = guarded(desk, "asked-first")
    terminal = app.sit_down("1", rows=60)
    shown = terminal.until("Is this meant? [y/N]:")
    assert "deploy asked-first in test, nothing -> 1, blue-green" in shown
    assert "  1 is the first release here" in shown
    assert re.search(r"\d\. Start, at most .*\n +web-1/blue: start 1", shown)
    terminal.type("n\n")
    assert terminal.end() == 1
    assert terminal.lines[-1] == "error: it was not meant, so nothing was begun"
    assert "Started" not in app.events()
    terminal = app.sit_down("1", rows=60)
    terminal.until("Is this meant? [y/N]:")
    terminal.type("y\n")
    assert terminal.end() == 0
    app.assert_serving("1")


def test_who_has_said_yes_is_not_asked(desk: Desk) -> None:
    app = guarded(desk, "not-asked")
    terminal = app.sit_down("1", "--yes")
    assert terminal.end() == 0
    assert "Is this meant?" not in terminal.text


def test_a_rollback_offers_what_there_is_with_ages_and_takes_the_one_before(desk: Desk) -> None:
    app = desk.app("offered")
    for version in ("1", "2", "3"):
        assert app.deploy(version, "-m", f"number {version}").code == 0
    terminal = desk.sit_down("rollback", "offered")
    shown = terminal.until("Which version [2]:")
    assert "offered in test runs 3; it can go back to:" in shown
    rows = [re.split(r"  +", line) for line in shown.splitlines() if line[:1].isdecimal()]
    assert [[row[0], row[-1]] for row in rows] == [["2", "number 2"], ["1", "number 1"]]
    assert all(re.fullmatch(r"\d+ (s|min) ago", row[1]) for row in rows)
    terminal.type("\n")
    assert terminal.end() == 0
    app.assert_serving("2")


def test_what_is_typed_where_a_rollback_asks_is_a_version_and_no_row(desk: Desk) -> None:
    app = desk.app("typed-version").deployed("2").deployed("1").deployed("3").deployed("4")
    terminal = desk.sit_down("rollback", app.name)
    terminal.until("Which version [3]:")
    terminal.type("81\n")
    terminal.until("Error: '81' is none of the versions above")
    terminal.type("2\n")
    assert terminal.end() == 0
    app.assert_serving("2")


def test_a_rollback_with_one_release_to_go_back_to_asks_nothing(desk: Desk) -> None:
    app = desk.app("offers-nothing").deployed("1").deployed("2")
    terminal = desk.sit_down("rollback", app.name)
    assert terminal.end() == 0
    assert "Which version" not in terminal.text
    app.assert_serving("1")


# --- Status --------------------------------------------------------------------------------------


def test_the_status_is_drawn_again_as_things_change(desk: Desk) -> None:
    app = desk.app("seen-changing").deployed("1")
    terminal = desk.sit_down("status", app.name, "--watch")
    terminal.until("seen-changing in test: version 1")
    app.deployed("2")
    shown = terminal.until("seen-changing in test: version 2")
    assert shown.count("seen-changing in test") == 1
    terminal.press_ctrl_c()
    assert terminal.end() == 130
    assert not terminal.cursor_is_hidden


def test_the_status_is_cut_at_the_width_of_the_terminal(desk: Desk, shop: AppFolder) -> None:
    terminal = desk.sit_down("status", "shop", columns=30)
    assert terminal.end() == 0
    assert any(line.endswith("...") for line in terminal.lines)
    assert len(terminal.lines) == len(desk.type("status", "shop").out.splitlines())


def test_a_list_that_is_wider_than_the_terminal_loses_no_column(
    desk: Desk, shop: AppFolder
) -> None:
    terminal = desk.sit_down("rollout", "list", "shop", columns=60)
    assert terminal.end() == 0
    header = desk.type("rollout", "list", "shop").out.splitlines()[0].split()
    assert " ".join(terminal.lines[:2]).split() == header
