"""Traffic that a program of the operator's moves, or a person: deployed as anybody would."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from desk import TIDEGATE, AppFolder, Desk, ask, until

MOVE = """#!/bin/sh
# Remembers shares in a file; does what the files beside it say.
here="$(dirname "$0")"
case "$1" in
    check) ;;
    read) cat "$here/shares" ;;
    write)
        if rm "$here/refuses" 2> /dev/null; then echo "it is on fire" >&2; exit 7; fi
        cat > "$here/half" || exit 1
        if [ -e "$here/hangs" ]; then echo $$ > "$here/hanging"; sleep 600; fi
        mv "$here/half" "$here/shares" ;;
esac
"""
BY_PROGRAM = '[traffic]\nadapter = "exec"\ncommand = ["./move"]\ntimeout = "1m"\n'
BY_HAND = '[traffic]\nadapter = "none"\n'


def with_traffic(app: AppFolder, traffic: str) -> AppFolder:
    path = app.folder / "tidegate.toml"
    path.write_text(path.read_text().partition("[traffic]")[0] + traffic)
    return app


def with_program(app: AppFolder) -> AppFolder:
    (app.folder / "shares").write_text("{}")
    (app.folder / "move").write_text(MOVE)
    (app.folder / "move").chmod(0o755)
    return with_traffic(app, BY_PROGRAM)


def served(app: AppFolder) -> list[str]:
    """What answers where the program has sent requests."""
    shares = json.loads((app.folder / "shares").read_text())
    return [ask(f"http://{address}/").strip() for address in sorted(shares)]


def test_a_program_moves_traffic_to_each_new_release_and_back(desk: Desk) -> None:
    app = with_program(desk.app("by-program"))
    app.deployed("1").deployed("2")
    assert served(app) == ["hello from 2 on this machine (no slot)"]
    assert desk.type("rollback", "by-program").code == 0
    assert served(app) == ["hello from 1 on this machine (no slot)"]


def test_a_program_that_fails_undoes_the_rollout_and_is_quoted(desk: Desk) -> None:
    app = with_program(desk.app("on-fire")).deployed("1")
    (app.folder / "refuses").touch()
    answer = app.deploy("2")
    assert answer.code == 1
    assert "write exited with 7; it said: it is on fire" in answer.out
    assert "    | it is on fire" in answer.out
    assert app.newest()["state"] == "rolled_back"
    assert served(app) == ["hello from 1 on this machine (no slot)"]


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Desk]:
    """A fleet that may be killed."""
    with Desk(tmp_path, nodes=1).running() as desk:
        yield desk


def test_a_move_that_was_cut_short_by_a_crash_is_done_again(own: Desk) -> None:
    app = with_program(own.app("cut-short")).deployed("1")
    (app.folder / "hangs").touch()
    deploy = app.follow("2", "--detach")
    assert deploy.wait() == 0
    hanging = app.folder / "hanging"
    until(lambda: hanging.exists() and hanging.read_text().endswith("\n"), "the program to hang")
    own.fleet.kill("controller")
    until(lambda: not Path(f"/proc/{hanging.read_text().strip()}").exists(), "it to be killed")
    (app.folder / "hangs").unlink()
    own.fleet.start_controller((TIDEGATE,))
    own.fleet.wait_connected()
    app.wait_for_success()
    assert served(app) == ["hello from 2 on this machine (no slot)"]


def test_a_person_moves_traffic_and_says_so(desk: Desk) -> None:
    app = with_traffic(desk.app("moved-by-hand"), BY_HAND)
    answer = app.deploy("1")
    assert answer.code == 5
    assert "switch all traffic to" in answer.out
    rollout = app.newest()["rollout"]
    assert desk.type("rollout", "continue", rollout).code == 0
    assert app.newest()["state"] == "succeeded"


def test_an_environment_may_have_another_balancer_and_other_waits(desk: Desk) -> None:
    app = desk.app("two-ways")
    with (app.folder / "tidegate.toml").open("a") as file:
        file.write('[environments.live]\nnodes = ["web-2"]\n')
        file.write('[environments.live.traffic]\nadapter = "none"\nmanual = "warn"\n')
    for environment in ("test", "live"):
        words = [*app.words("1"), "-e", environment]
        answer = desk.type(*words, cwd=app.folder)
        assert answer.code == 0, answer
    assert list(app.folder.glob("traffic/lane-*"))
