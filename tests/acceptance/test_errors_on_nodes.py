"""What goes wrong on a node: the rollout is undone, says where and why, and leaves nothing."""

import io
import json
import signal
import socket
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from desk import SLOWLY, Answer, AppFolder, Desk, answer_of, until

pytestmark = pytest.mark.xdist_group("nodes")

HUNG = [
    "python3",
    "-c",
    "import time; print('waiting for the database', flush=True); time.sleep(99)",
]


def assert_undone(app: AppFolder, answer: Answer, state: str, *reasons: str) -> None:
    """The command says that it was in vain and why; the rollout is on record with the reason."""
    assert answer.code == 1, answer
    rollout = app.rollouts()[0]
    assert rollout["state"] == state
    last, next_step = answer.out.splitlines()[-2:]
    assert f"rollout {rollout['rollout']} {state.replace('_', ' ')}: {rollout['reason']}" in last
    assert next_step == (
        f"  next: tidegate rollout show {rollout['rollout']}; tidegate status {app.name}"
    )
    for reason in reasons:
        assert reason in rollout["reason"]


def assert_no_release(app: AppFolder) -> None:
    """A first deployment that failed leaves nothing that runs, and nothing that serves."""
    status = app.status()
    assert (status["version"], status["digest"], status["rollout"]) == (None, None, None)
    for node in status["nodes"]:
        assert node["active_slot"] is None
        until(lambda name=node["node"]: app.processes(name) == [], "the app to be stopped")
    lanes = [lane.read_text() for lane in (app.folder / "traffic").glob("lane-*")]
    assert [lane for lane in lanes if lane != "127.0.0.1:0"] == []


# --- The first release of an app -----------------------------------------------------------------


def test_a_first_deployment_that_fails_has_nothing_to_go_back_to(desk: Desk) -> None:
    app = desk.app("first-fails")
    answer = app.deploy("1", exits_at_once=True)
    assert_undone(app, answer, "failed", "Start failed: ", "/blue: exited with code 3")
    assert "| hello 1: FATAL: cannot load the configuration: required setting DATABASE_URL" in (
        answer.out
    )
    assert_no_release(app)
    shown = desk.type("rollout", "show", app.rollouts()[0]["rollout"])
    assert "| hello 1: FATAL: cannot load the configuration" in shown.out
    assert "no release yet" in desk.type("status", "first-fails").out
    app.deployed("2").assert_serving("2")


def test_with_json_a_failed_deploy_prints_the_rollout_alone(desk: Desk) -> None:
    app = desk.app("fails-in-json", nodes=["web-1"])
    answer = app.deploy("1", "--json", exits_at_once=True)
    assert answer.code == 1
    assert answer.json["state"] == "failed"
    steps = {step["name"]: step for step in answer.json["steps"]}
    assert steps["Start"]["state"] == "failed"
    start = steps["Start"]["nodes"]["web-1"]
    assert start["state"] == "failed"
    assert start["error"].startswith("exited with code 3")
    assert "FATAL: cannot load the configuration" in start["output_tail"]
    assert steps["Shift"]["state"] == "pending"


def test_a_command_that_is_not_there_is_named(desk: Desk) -> None:
    app = desk.app("no-command", nodes=["web-1"], service={"command": ["no-such-program"]})
    answer = app.deploy("1")
    assert_undone(app, answer, "failed", "web-1/blue: command not found: 'no-such-program'")
    assert_no_release(app)


def test_an_app_that_does_not_become_healthy_shows_its_last_output(desk: Desk) -> None:
    app = desk.app("hung", service={"command": HUNG}, health={"deadline": "1s"})
    answer = app.deploy("1")
    assert_undone(app, answer, "failed", "not healthy within 1 s", "connection refused")
    assert "| waiting for the database" in answer.out
    assert_no_release(app)


def test_a_port_that_is_taken_is_said_with_who_has_it(desk: Desk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ports = {"blue": port, "green": port + 1 if port < 65535 else port - 1}
        app = desk.app("taken-port", nodes=["web-1"], service={"ports": ports})
        answer = app.deploy("1")
        mine = (Path("/proc/self/comm")).read_text().strip()
        pid = Path("/proc/self").resolve().name
        reason = f"port {port} is in use by pid {pid} ({mine})"
        assert_undone(app, answer, "failed", "Preflight failed: web-1/blue: ", reason)
        assert_no_release(app)
    releases = desk.folder / "nodes" / "web-1" / "apps" / "taken-port" / "releases"
    assert not list(releases.glob("*"))
    answer = app.deploy("1")
    assert answer.code == 0, answer
    assert app.slot("web-1")["address"] == f"127.0.0.1:{port}"


# --- With a release that serves ------------------------------------------------------------------


def test_a_release_that_turns_bad_is_undone_and_the_old_one_never_stopped(desk: Desk) -> None:
    app = desk.app("turns-bad").deployed("1")
    before = {node: app.processes(node) for node in desk.fleet.nodes}
    answer = app.deploy("2", exits_at_once=True)
    assert_undone(app, answer, "rolled_back", "exited with code 3")
    app.assert_serving("1")
    for node, pids in before.items():
        until(lambda node=node, pids=pids: app.processes(node) == pids, "only the old one to run")


def hostile(app: AppFolder, member: tarfile.TarInfo) -> Path:
    """A release that has something nasty beside what is good."""
    artifact = app.build("2")
    with tarfile.open(artifact, "w:gz") as archive:
        archive.add(app.folder / "serve.py", "serve.py")
        archive.add(app.folder / "release.json", "release.json")
        archive.addfile(member, io.BytesIO(b"x" * member.size))
    return artifact


def outside() -> tarfile.TarInfo:
    member = tarfile.TarInfo("../../escaped")
    member.size = 1
    return member


def link_outside() -> tarfile.TarInfo:
    member = tarfile.TarInfo("passwords")
    member.type, member.linkname = tarfile.SYMTYPE, "/etc"
    return member


def setuid() -> tarfile.TarInfo:
    member = tarfile.TarInfo("root-shell")
    member.mode, member.size = 0o4755, 1
    return member


def device() -> tarfile.TarInfo:
    member = tarfile.TarInfo("disk")
    member.type, member.devmajor, member.devminor = tarfile.BLKTYPE, 8, 0
    return member


@pytest.mark.parametrize("make", [outside, link_outside, setuid, device])
def test_a_hostile_archive_is_refused_by_its_member_and_nothing_is_unpacked(
    desk: Desk, make: Callable[[], tarfile.TarInfo]
) -> None:
    app = desk.app(f"hostile-{make.__name__.replace('_', '-')}", nodes=["web-1"]).deployed("1")
    home = desk.folder / "nodes" / "web-1" / "apps" / app.name
    before = sorted(path.name for path in (home / "releases").iterdir())
    member = make()
    words = app.words("2", artifact=hostile(app, member))
    answer = desk.type(*words, cwd=app.folder)
    assert_undone(app, answer, "rolled_back", "Prepare failed: web-1/green: member", member.name)
    assert sorted(path.name for path in (home / "releases").iterdir()) == before
    assert not list(desk.folder.rglob("escaped"))
    app.assert_serving("1")


# --- Agents --------------------------------------------------------------------------------------


def test_an_agent_that_dies_in_mid_step_and_stays_away_fails_the_rollout(desk: Desk) -> None:
    desk.run_agent("dies", "role=dies")
    app = desk.app(
        "loses-a-node",
        nodes=["web-1", "dies"],
        service={"command": ["python3", "-c", SLOWLY, "{port}"]},
        rollout={"away_deadline": "2s"},
        health={"deadline": "60s"},
    ).deployed("1")
    old = {node: app.processes(node) for node in ("web-1", "dies")}
    following = app.follow("2", starts_after_seconds=50)
    app.wait_for_step("Start")
    until(lambda: len(app.processes("dies")) == 2, "the new release to be started")
    desk.end_agent("dies", signal.SIGKILL)
    answer = answer_of(following)
    assert_undone(app, answer, "rolled_back", "Start failed: dies/green: dies went away")
    assert "  dies is away; waiting for its agent" in answer.out
    app.assert_serving("1")
    until(lambda: app.processes("web-1") == old["web-1"], "the other node to be cleared")
    assert set(old["dies"]) < set(app.processes("dies"))
    desk.run_agent("dies", "role=dies")
    until(lambda: app.processes("dies") == old["dies"], "what was left over to be stopped")
    app.assert_serving("1")
    desk.end_agent("dies", signal.SIGTERM)


def test_an_agent_that_dies_in_the_first_deployment_fails_it(desk: Desk) -> None:
    desk.run_agent("dies-first", "role=dies")
    app = desk.app(
        "loses-its-only-node",
        nodes=["dies-first"],
        service={"command": HUNG},
        rollout={"away_deadline": "1s"},
    )
    following = app.follow("1")
    app.wait_for_step("Start")
    desk.end_agent("dies-first", signal.SIGKILL)
    answer = answer_of(following)
    assert_undone(app, answer, "failed", "dies-first/blue: dies-first went away")
    assert json.loads(desk.type("status", app.name, "--json").out)["apps"][0]["version"] is None
