"""`doctor` on each kind of machine, as a person types it."""

import json
from pathlib import Path
from typing import Any

from desk import AGENT, PATIENCE_SECONDS, Answer, Desk, answer_of, read_until, rest_of
from servers import own_controller

NOBODY = "127.0.0.1:1"


def findings(answer: Answer, code: int) -> list[dict[str, Any]]:
    assert answer.code == code, answer
    assert answer.err == ""
    found = list(json.loads(answer.out)["findings"])
    assert all(set(each) == {"level", "what", "mend"} for each in found)
    assert {each["level"] for each in found} <= {"ok", "warn", "fail"}
    return found


def said(found: list[dict[str, Any]], level: str) -> list[str]:
    return [each["what"] for each in found if each["level"] == level]


def test_where_all_is_well_there_is_nothing_to_mend(desk: Desk, tmp_path: Path) -> None:
    answer = desk.type("doctor", cwd=tmp_path)
    assert (answer.code, answer.err) == (0, ""), answer
    assert answer.out.startswith("ok    tidegate ")
    assert f"ok    a controller answers at {desk.fleet.address}: version " in answer.out
    assert " nodes are connected\n" in answer.out
    assert [line for line in answer.out.splitlines() if line.startswith("fail")] == []
    assert not list(tmp_path.iterdir())


def test_on_the_controllers_machine_its_log_is_read_beside_it(desk: Desk) -> None:
    data = desk.folder / "controller"
    words = ("doctor", "--data", str(data), "--socket", str(desk.folder / "controller.sock"))
    found = findings(desk.type(*words, "--json"), 0)
    ok = said(found, "ok")
    assert any(what.startswith("the log can be read and its hashes hold: ") for what in ok)
    assert any(what.startswith(f"a controller works on {data} (pid ") for what in ok)
    assert f"the local socket {desk.folder / 'controller.sock'} answers" in ok


def test_a_controller_that_does_not_run_yet_is_said_and_how_to_start_it(
    desk: Desk, tmp_path: Path
) -> None:
    data = tmp_path / "controller"
    assert desk.type("controller", "init", "--data", str(data)).code == 0
    before = sorted(path.name for path in data.iterdir())
    found = findings(desk.type("doctor", "--data", str(data), "--json"), 0)
    (missing,) = (each for each in found if each["what"] == f"no controller works on {data}")
    assert f"tidegate controller run --data {data}" in missing["mend"]
    assert {path.name for path in data.iterdir()} - set(before) <= {
        "events.db-wal",
        "events.db-shm",
    }
    with own_controller(desk, data):
        pass  # it starts on what was made ready, and after it was looked at


def test_on_a_node_its_agent_and_its_controller_are_found(desk: Desk) -> None:
    data = desk.folder / "nodes" / "web-1"
    words = ("--node", "web-1", "--data", str(data), "--controller", desk.fleet.address)
    answer = answer_of(desk.start(AGENT, "doctor", *words, "--json"))
    ok = said(findings(answer, 0), "ok")
    assert any(what.startswith(f"an agent works on {data} (pid ") for what in ok)
    assert f"a controller answers at {desk.fleet.address}" in ok
    assert desk.is_connected("web-1"), "it was looked at, no more"


def test_without_a_controller_that_is_what_has_to_be_mended(desk: Desk, tmp_path: Path) -> None:
    answer = desk.type("doctor", cwd=tmp_path, TIDEGATE_CONTROLLER=NOBODY)
    assert (answer.code, answer.err) == (1, "")
    assert (
        f"\nfail  no controller answers at {NOBODY}\n      mend: start one: tidegate " in answer.out
    )
    assert answer.out.endswith("\n\n1 to mend, 0 to look at\n")


def test_a_configuration_that_is_wrong_is_a_finding(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "tidegate.toml").write_text("ap = 1\n")
    fails = said(findings(desk.type("doctor", "--json", cwd=tmp_path), 1), "fail")
    assert len(fails) == 1
    assert "tidegate.toml" in fails[0]
    assert "unknown key" in fails[0]


def test_an_agent_that_is_refused_is_seen_by_whoever_looks(desk: Desk, tmp_path: Path) -> None:
    words = ("--node", "web-1", "--data", str(tmp_path / "x"), "--controller", desk.fleet.address)
    second = desk.start(AGENT, "run", *words)
    read_until(second.stderr, "another agent is connected as web-1")
    try:
        warned = said(findings(desk.type("doctor", "--json", cwd=tmp_path), 0), "warn")
        assert any(what.startswith("an agent is refused as web-1 since ") for what in warned)
        assert "turned away: web-1 at " in desk.type("node", "list").out
    finally:
        second.terminate()
    assert rest_of(second).code == 0
    assert second.wait(PATIENCE_SECONDS) == 0
