"""What goes wrong on a node: the rollout is undone, says where and why, and leaves nothing."""

import io
import signal
import socket
import tarfile
from pathlib import Path

from desk import WAITING, Answer, AppFolder, Desk, answer_of, read_until, rest_of, until
from servers import SMALL_DISK, needs_namespaces

HUNG = [
    "python3",
    "-c",
    "import time; print('waiting for the database', flush=True); time.sleep(99)",
]


def assert_undone(app: AppFolder, answer: Answer, state: str, *reasons: str) -> None:
    """The command says that it was in vain and why; the rollout is on record with the reason."""
    assert answer.code == 1, answer
    rollout = app.newest()
    assert rollout["state"] == state
    last, next_step = answer.out.splitlines()[-2:]
    assert f"rollout {rollout['rollout']} {state.replace('_', ' ')}: {rollout['reason']}" in last
    assert next_step == (
        f"  next: tidegate rollout show {rollout['rollout']}; tidegate explain "
        f"{rollout['rollout']}; tidegate status {app.name}"
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
    app = desk.app("first-fails", nodes={"role": "web"})
    answer = app.deploy("1", exits_at_once=True)
    assert_undone(app, answer, "failed", "Start failed: ", "/blue: exited with code 3")
    said = "| hello 1: FATAL: cannot load the configuration: required setting DATABASE_URL"
    assert said in answer.out
    assert_no_release(app)
    assert said in desk.type("rollout", "show", app.newest()["rollout"]).out
    status = desk.type("status", "first-fails").out
    assert "first-fails in test: no release yet" in status
    assert "1 stopped" in status, "an undone release has its version, not its digest"
    app.deployed("2").assert_serving("2")


def test_a_command_that_is_not_there_is_named(desk: Desk) -> None:
    app = desk.app("no-command", service={"command": ["no-such-program"]})
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
        app = desk.app("taken-port", service={"ports": ports})
        answer = app.deploy("1")
        mine = (Path("/proc/self/comm")).read_text().strip()
        pid = Path("/proc/self").resolve().name
        reason = f"port {port} is in use by pid {pid} ({mine})"
        assert_undone(app, answer, "failed", "Preflight failed: web-1/blue: ", reason)
        assert_no_release(app)
    releases = desk.folder / "nodes" / "web-1" / "apps" / "taken-port" / "releases"
    assert not list(releases.glob("*")), "nothing was fetched"
    answer = app.deploy("1")
    assert answer.code == 0, answer
    assert app.slot()["address"] == f"127.0.0.1:{port}"


# --- With a release that serves ------------------------------------------------------------------


def test_a_release_that_turns_bad_is_undone_and_the_old_one_never_stopped(desk: Desk) -> None:
    app = desk.app("turns-bad", nodes={"role": "web"}).deployed("1")
    before = {node: app.processes(node) for node in desk.fleet.nodes}
    answer = app.deploy("2", exits_at_once=True)
    assert_undone(app, answer, "rolled_back", "exited with code 3")
    app.assert_serving("1")
    for node, pids in before.items():
        until(lambda node=node, pids=pids: app.processes(node) == pids, "only the old one to run")


@needs_namespaces
def test_a_disk_that_fills_while_unpacking_is_said_and_the_active_slot_serves_on(
    desk: Desk,
) -> None:
    data = desk.folder / "nodes" / "small"
    data.mkdir()
    desk.run_agent("small", before=[*SMALL_DISK, str(data), "80m"])
    app = desk.app("disk-full", nodes=["small"]).deployed("1")
    there = Path(f"/proc/{desk.agents['small'].pid}/root{data}/apps/{app.name}/releases")
    before = sorted(path.name for path in there.iterdir())
    assert len(before) == 2, "the tree and its marker"
    artifact = app.build("2")
    with tarfile.open(artifact, "w:gz") as archive:
        archive.add(app.folder / "serve.py", "serve.py")
        archive.add(app.folder / "release.json", "release.json")
        zeros = tarfile.TarInfo("zeros")
        zeros.size = 96 << 20
        archive.addfile(zeros, io.BytesIO(bytes(zeros.size)))
    answer = desk.type(*app.words("2", artifact), cwd=app.folder)
    reason = "Prepare failed: small/green: disk full while unpacking 'zeros': "
    assert_undone(app, answer, "rolled_back", reason, " bytes free, 100,663,296 needed for it")
    assert sorted(path.name for path in there.iterdir()) == before
    app.assert_serving("1")
    app.deployed("3").assert_serving("3")
    desk.end_agent("small", signal.SIGTERM)


# --- Agents --------------------------------------------------------------------------------------


def test_an_agent_that_dies_in_mid_step_and_stays_away_fails_the_rollout(desk: Desk) -> None:
    desk.run_agent("dies", "role=dies")
    app = desk.app(
        "loses-a-node",
        nodes=["web-1", "dies"],
        service={"command": ["python3", "-c", WAITING, "{port}"]},
        rollout={"away_deadline": "1s"},
        health={"deadline": "60s"},
    ).deployed("1")
    old = {node: app.processes(node) for node in ("web-1", "dies")}
    following = app.follow("2", waits_for="/nothing/at/all")
    said = read_until(following.stdout, "  Prepare done")
    until(lambda: len(app.processes("dies")) == 2, "the new release to be started")
    desk.end_agent("dies", signal.SIGKILL)
    answer = rest_of(following, said)
    reason = "Start failed: dies/green: dies went away and did not come back in time"
    assert_undone(app, answer, "rolled_back", reason)
    assert "  dies is away; waiting for its agent" in answer.out
    app.assert_serving("1")
    until(lambda: app.processes("web-1") == old["web-1"], "the other node to be cleared")
    assert set(old["dies"]) < set(app.processes("dies")), "nobody could stop it there"
    desk.run_agent("dies", "role=dies")
    until(lambda: app.processes("dies") == old["dies"], "what was left over to be stopped")
    app.assert_serving("1")
    desk.end_agent("dies", signal.SIGTERM)


def test_an_agent_that_dies_in_the_first_deployment_fails_it(desk: Desk) -> None:
    desk.run_agent("dies-first", "role=dies-first")
    app = desk.app(
        "loses-its-only-node",
        nodes=["dies-first"],
        service={"command": HUNG},
        rollout={"away_deadline": "100ms"},
    )
    following = app.follow("1")
    app.wait_for_step("Start")  # before, its migration would be in doubt
    desk.end_agent("dies-first", signal.SIGKILL)
    answer = rest_of(following)
    assert_undone(app, answer, "failed", "dies-first/blue: dies-first went away")
    assert app.status()["version"] is None


def test_a_deploy_to_a_node_whose_agent_is_away_starts_nothing(desk: Desk) -> None:
    """Here in the file, because a controller that has just started waits for agents a while."""
    desk.run_agent("absent", "role=absent")
    desk.end_agent("absent", signal.SIGTERM)
    app = desk.app("away", nodes=["web-1", "absent"])
    answer = answer_of(app.follow("1", "--json"))
    assert (answer.code, answer.out) == (4, ""), answer
    assert "error: absent is not connected, so nothing was started\n" in answer.err
    assert "\n  next: start the agent there" in answer.err
    mend = " ".join(answer.err.split())
    assert "tidegate node remove absent, and take it out of `nodes`; then deploy again" in mend
    assert "Started" not in app.events()
    assert app.traces() == []
    assert desk.type("status", "away").code == 2, "it is as if it had never been asked for"


def test_a_node_that_traffic_leads_to_is_removed_only_where_that_is_meant(desk: Desk) -> None:
    desk.run_agent("alone", "role=alone")
    app = desk.app("served-by-one", nodes=["alone"]).deployed("1")
    desk.end_agent("alone", signal.SIGTERM)
    refused = desk.type("node", "remove", "alone")
    assert (refused.code, refused.out) == (2, "")
    said = "traffic of served-by-one in test leads to alone, and to no other node"
    assert said in " ".join(refused.err.split())
    assert "tidegate node remove alone --yes" in " ".join(refused.err.split())
    assert desk.type("node", "remove", "alone", "--yes").code == 0
    doctor = desk.type("doctor")
    assert doctor.code == 1
    lost = "fail  traffic of served-by-one@test leads to alone, which was removed"
    assert lost in doctor.out.splitlines()
    assert app.status()["nodes"][0]["debt"].startswith("was removed; ")
