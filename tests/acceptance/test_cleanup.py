"""`tidegate cleanup`: what went and what stays, on each node; and backups of what slots held."""

import signal
import subprocess
import tarfile

import shapes
from desk import TIDEGATE, AppFolder, Desk, until
from shapes import misfits

WRITES = ["bash", "-c", "echo $TIDEGATE_VERSION > written; exec python3 serve.py --port {port}"]
AT_ONCE = {"keep_old_for": "0s"}


def kept(desk: Desk, name: str, retention: dict[str, object]) -> AppFolder:
    """An app of which 1, 2 and 3 were deployed one after the other, and each wrote a file."""
    app = desk.app(name, service={"command": WRITES}, rollout=AT_ONCE, retention=retention)
    for version in "123":
        app.deployed(version)
        settled(app)
    return app


def settled(app: AppFolder) -> None:
    """All that was left to be done after the rollout is done."""
    until(lambda: app.status()["unfinished"] == 0, "the chores to be done")


def test_a_clean_up_says_what_went_and_what_stays_and_why(desk: Desk) -> None:
    app = kept(desk, "tidy", {"releases": 5})
    app.deployed("4")
    settled(app)
    answer = desk.type("cleanup", "tidy")
    assert (answer.code, answer.err) == (0, "")
    first, second, *rest = answer.out.splitlines()
    assert first == "asked 1 of 1 nodes of tidy@test to remove what need not be kept"
    assert second == "web-1: nothing to remove"
    assert any("2 releases" in line and line.endswith(", held by a slot") for line in rest), rest
    assert any("2 releases" in line and line.endswith(", among the newest 5") for line in rest)
    config = app.folder / "tidegate.toml"
    config.write_text(config.read_text().replace("releases = 5", "releases = 0"))
    again = app.words("4", app.folder / "tidy-4.tar.gz")  # nothing but what is kept is otherwise
    assert desk.type(*again, cwd=app.folder).code == 0
    answer = desk.type("cleanup", "tidy")
    assert "web-1: " in answer.out
    assert " freed, 2 things removed\n" in answer.out
    assert "  removed release 1, sha256:" in answer.out
    assert "  removed release 2, sha256:" in answer.out


def test_a_clean_up_as_json_is_as_promised(desk: Desk) -> None:
    kept(desk, "measured", {"releases": 5})
    answer = desk.type("cleanup", "measured", "--json")
    assert (answer.code, answer.err) == (0, "")
    assert misfits(answer.json, shapes.CLEANUP) == []
    assert [node["state"] for node in answer.json["nodes"]] == ["ok"]


def test_without_an_app_all_are_cleaned_up(desk: Desk) -> None:
    for name in ("one", "two"):
        app = desk.app(name, rollout=AT_ONCE)
        app.deployed("1")
        settled(app)
    answer = desk.type("cleanup")
    assert (answer.code, answer.err) == (0, "")
    for name in ("one", "two"):
        line = f"asked 1 of 1 nodes of {name}@test to remove what need not be kept"
        assert line in answer.out.splitlines()
    answer = desk.type("cleanup", "--json")
    found = {each["app"]: each for each in answer.json["apps"]}
    assert [misfits(found[name], shapes.CLEANUP) for name in ("one", "two")] == [[], []]
    assert desk.type("cleanup", "-e", "test").code == 2


def test_what_a_slot_held_is_backed_up_where_that_is_asked_for(desk: Desk) -> None:
    kept(desk, "kept", {"backups": 1})
    folder = desk.folder / "nodes" / "web-1" / "backups" / "kept"
    (backup,) = folder.iterdir()
    assert backup.name.startswith("1@test@web-1-blue-")
    with tarfile.open(backup) as tar:
        written = tar.extractfile("kept-1/written")
        assert written is not None
        assert written.read() == b"1\n"
    log = desk.type("log", "--json").out
    assert str(backup) in log


def test_a_backup_is_deployed_like_any_artifact(desk: Desk) -> None:
    app = kept(desk, "restored", {"backups": 1})
    (backup,) = (desk.folder / "nodes" / "web-1" / "backups" / "restored").iterdir()
    words = ["deploy", "--artifact", str(backup), "--version", "1-restored"]
    assert desk.type(*words, cwd=app.folder).code == 0
    app.assert_serving("1")


def test_a_node_that_is_away_owes_its_clean_up_and_does_it_later(desk: Desk) -> None:
    desk.run_agent("away-1")
    app = desk.app("owed", nodes=["away-1"], rollout=AT_ONCE).deployed("1")
    settled(app)
    desk.end_agent("away-1", signal.SIGTERM)
    answer = desk.type("cleanup", "owed")
    assert (answer.code, answer.err) == (0, "")
    assert "away-1: it is away, and owes it" in answer.out
    assert app.status()["unfinished"] == 1
    desk.run_agent("away-1")
    settled(app)
    desk.end_agent("away-1", signal.SIGTERM)


def test_who_does_not_wait_is_told_that_the_nodes_go_on(desk: Desk) -> None:
    desk.run_agent("slow-1")
    app = desk.app("slow", nodes=["slow-1"], rollout=AT_ONCE).deployed("1")
    settled(app)
    desk.agents["slow-1"].send_signal(signal.SIGSTOP)
    cleaning: subprocess.Popen[str] | None = None
    try:
        cleaning = desk.start(TIDEGATE, "cleanup", "slow")
        assert cleaning.stdout is not None
        assert cleaning.stdout.readline().startswith("asked 1 of 1 nodes")
        cleaning.send_signal(signal.SIGINT)
        _, err = cleaning.communicate()
        assert (cleaning.returncode, "not waited for the nodes; they go on" in err) == (130, True)
        assert desk.type("cleanup", "slow", "--detach").code == 0
    finally:
        desk.agents["slow-1"].send_signal(signal.SIGCONT)
    settled(app)
    desk.end_agent("slow-1", signal.SIGTERM)
