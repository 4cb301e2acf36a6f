"""Looking before leaping: plans that do nothing, requests tied to one, environments that ask."""

import shapes
from desk import Answer, AppFolder, Desk
from shapes import misfits

from tidegate_controller.artifacts import digest_of
from tidegate_controller.cli.client import Client


def assert_refused(answer: Answer, code: int, message: str, next_step: str) -> None:
    assert (answer.code, answer.out) == (code, ""), answer
    assert f"error: {message}" in answer.err
    assert next_step in answer.err.partition("\n  next: ")[2]


# --- Plans ---------------------------------------------------------------------------------------


def test_a_plan_shows_what_would_be_done_and_does_nothing_at_all(desk: Desk) -> None:
    app = desk.app("planned", nodes={"role": "web"})
    artifact = app.build("1")
    answer = app.desk.type(*app.words("1", artifact), "--plan", cwd=app.folder)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("deploy planned in test, nothing -> 1, blue-green\n")
    assert "     web-1/blue, web-2/blue: start 1\n" in answer.out
    assert "     all traffic to web-1/blue, web-2/blue\n" in answer.out
    assert "\nnothing was sent\n" in answer.out
    assert app.events() == []
    assert app.traces() == []
    with Client(desk.fleet.address) as client:
        assert not client.artifact(digest_of(artifact)).present


def test_a_plan_is_a_difference_to_what_runs_now(desk: Desk) -> None:
    app = desk.app("differs").deployed("1")
    toml = app.folder / "tidegate.toml"
    toml.write_text(toml.read_text().replace('every = "1s"', 'every = "2s"'))
    answer = app.deploy("2", "--plan")
    lines = answer.out.splitlines()
    assert lines[0] == "differs in test, 1 -> 2, blue-green".join(["deploy ", ""])
    assert lines[1] == "  version: 1 -> 2"
    assert lines[2].startswith("  artifact: sha256:")
    assert lines[3] == "  health.every: 1s -> 2s"


def test_a_plan_as_json_is_as_promised(desk: Desk) -> None:
    app = desk.app("planned-for-machines").deployed("1").deployed("2")
    for answer in (
        app.deploy("3", "--plan", "--json"),
        desk.type("rollback", app.name, "--plan", "--json"),
    ):
        assert (answer.code, answer.err) == (0, "")
        assert misfits(answer.json, shapes.PLAN) == []
    assert [release["version"] for release in answer.json["earlier"]] == ["1"]
    assert [each["release"]["version"] for each in app.rollouts()] == ["2", "1"]


def test_a_plan_of_what_is_active_says_that_there_is_nothing_to_do(desk: Desk) -> None:
    app = desk.app("planned-again")
    words = app.words("1")
    assert desk.type(*words, cwd=app.folder).code == 0
    answer = desk.type(*words, "--plan", cwd=app.folder)
    assert answer.out.splitlines()[1:] == [
        "  nothing: the same release with the same settings",
        "nothing to be done: it is active everywhere",
    ]


def test_a_plan_that_could_not_be_begun_is_refused_like_the_deployment(desk: Desk) -> None:
    app = desk.app("planned-nowhere", nodes=["web-99"])
    assert_refused(app.deploy("1", "--plan"), 2, "no agent has ever connected as web-99", "known")
    back = desk.type("rollback", desk.app("planned-back").deployed("1").name, "--plan")
    assert_refused(back, 4, "there is no earlier release to go back to", "tidegate rollout list")


def test_a_deployment_can_be_tied_to_the_plan_that_was_seen(desk: Desk) -> None:
    app = desk.app("tied").deployed("1")
    words = app.words("2")

    def plan() -> str:
        return str(desk.type(*words, "--plan", "--json", cwd=app.folder).json["plan_id"])

    seen = plan()
    assert plan() == seen
    app.deployed("3")
    late = desk.type(*words, "--plan-id", seen, cwd=app.folder)
    assert (late.code, late.out) == (4, "")
    assert "error: the world has moved since that plan was made" in late.err
    assert desk.type(*words, "--plan-id", plan(), cwd=app.folder).code == 0
    app.assert_serving("2")


def test_nodes_that_are_left_out_are_named_before_and_at_the_head_and_on_the_way_back(
    desk: Desk,
) -> None:
    app = desk.app("narrowed", nodes=["web-1", "web-2"]).deployed("1")
    toml = app.folder / "tidegate.toml"
    toml.write_text(toml.read_text().replace('["web-1", "web-2"]', '["web-1"]'))
    lost = "  web-2: no traffic any more"
    assert lost in app.deploy("2", "--plan").out.splitlines()
    told = app.deploy("2")
    assert told.out.splitlines()[1].endswith(lost)
    name = app.newest()["rollout"]
    assert lost in desk.type("rollout", "show", name).out.splitlines()
    missing = "1 was on 2 nodes, and this goes to 1: web-2 is not part of it; to bring back"
    assert f"  {missing}" in desk.type("rollback", app.name, "--plan").out
    assert missing in desk.type("rollback", app.name).out.splitlines()[1]
    assert desk.type("explain", app.newest()["rollout"]).out.count(missing) == 1


# --- Protected environments ----------------------------------------------------------------------


def guarded(desk: Desk, name: str) -> AppFolder:
    return desk.app(name, environment={"protected": True})


def test_without_a_terminal_a_protected_environment_wants_yes(desk: Desk) -> None:
    app = guarded(desk, "guarded")
    for options in ((), ("--json",)):
        answer = app.deploy("1", *options)
        assert_refused(answer, 2, "test is protected, and there is no terminal to ask at", "--yes")
    assert app.events() == []
    assert app.deploy("1", "--yes").code == 0
    assert app.deploy("2", "--yes").code == 0
    app.assert_serving("2")


def test_so_does_a_rollback_there(desk: Desk) -> None:
    app = guarded(desk, "guarded-back")
    for version in ("1", "2"):
        assert app.deploy(version, "--yes").code == 0
    assert_refused(desk.type("rollback", app.name), 2, "test is protected", "--yes")
    app.assert_serving("2")
    assert desk.type("rollback", app.name, "--yes").code == 0
    app.assert_serving("1")


def test_a_plan_of_a_protected_environment_may_be_seen(desk: Desk) -> None:
    answer = guarded(desk, "guarded-plan").deploy("1", "--plan", "--json")
    assert (answer.code, answer.json["protected"]) == (0, True)


# --- Rollbacks to a version ----------------------------------------------------------------------


def test_a_rollback_goes_to_the_version_that_is_named(desk: Desk) -> None:
    app = desk.app("named-back")
    for version in ("1", "2", "3"):
        app.deployed(version)
    assert desk.type("rollback", app.name, "--to", "1", "-m", "two steps back").code == 0
    app.assert_serving("1")
    newest = app.newest()
    assert (newest["kind"], newest["release"]["version"]) == ("rollback", "1")
    assert newest["message"] == "two steps back"


def test_a_version_that_never_succeeded_is_none_to_go_back_to(desk: Desk) -> None:
    app = desk.app("never-good").deployed("1").deployed("2")
    assert app.deploy("3", exits_at_once=True).code == 1
    answer = desk.type("rollback", app.name, "--to", "3", "--json")
    assert_refused(answer, 4, "no release 3 has succeeded here", "newest first: 2, 1")
    app.assert_serving("2")
