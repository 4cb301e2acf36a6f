"""What `tidegate doctor` makes of a workstation, a controller's folder and a fleet."""

import socket
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import pytest
from config_samples import SMALLEST

from tidegate_controller.cli.status import status_lines
from tidegate_controller.core import events as ev
from tidegate_controller.doctor import fleet, machine, workstation
from tidegate_controller.documents import (
    AppStatus,
    ControllerView,
    NodeList,
    NodeStatus,
    NodeView,
    RefusedAgent,
    ReleaseView,
    RolloutRef,
    SlotView,
    Status,
    TrafficTrouble,
)
from tidegate_controller.log import Batch, EventLog
from tidegate_controller.options import find
from tidegate_protos.findings import GIB, Finding

NOW = datetime(2026, 11, 24, 9, 14, tzinfo=UTC)


def bad(found: Iterable[Finding]) -> list[tuple[str, str]]:
    return [(each.level, each.what) for each in found if each.level != "ok"]


# --- A workstation -------------------------------------------------------------------------------


def test_without_a_configuration_there_is_none_to_look_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert bad(workstation.look(None)) == []


def test_a_configuration_is_checked_as_deploy_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tidegate.toml").write_text(SMALLEST)
    assert bad(workstation.look(None)) == []
    (tmp_path / "tidegate.toml").write_text(SMALLEST + "\n[nonsense]\n")
    ((level, what),) = bad(workstation.look(None))
    assert level == "fail"
    assert "nonsense" in what
    ((level, what),) = bad(workstation.look(tmp_path / "other.toml"))
    assert (level, "other.toml" in what) == ("fail", True)


@pytest.mark.parametrize(
    ("shell", "file", "line"),
    [
        ("bash", ".bashrc", 'eval "$(tidegate completion bash)"'),
        ("zsh", ".zshrc", 'eval "$(tidegate completion zsh)"'),
        ("fish", ".config/fish/config.fish", "tidegate completion fish | source"),
    ],
)
def test_a_shell_that_could_complete_is_told_how_until_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: str, file: str, line: str
) -> None:
    monkeypatch.setenv("SHELL", f"/usr/bin/{shell}")
    monkeypatch.setenv("HOME", str(tmp_path))
    hint = list(workstation.look(None))[-1]
    assert (hint.level, hint.mend) == ("ok", f"write into ~/{file}: {line}")
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(line)
    assert list(workstation.look(None))[-1].mend == ""


# --- A controller's folder -----------------------------------------------------------------------


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """With a log of three events."""
    folder = tmp_path / "controller"
    folder.mkdir(mode=0o700)
    log = EventLog(folder / "events.db")
    for number in range(3):
        event = ev.NodeLeft(node=f"n{number}")
        log.append([Batch("a@x", number, "2026-01-01T00:00:00Z", 1.0, (event,), None)])
    yield folder
    log.close()


def looked(data: Path, **flags: str) -> list[Finding]:
    options = find({"data": str(data), "listen": "127.0.0.1:1", **flags}, Path("/dev/null"))
    assert options is not None
    return list(machine.look(options, data / "no.sock"))


def test_a_log_that_holds_is_read_beside_its_writer_and_nothing_is_written(data: Path) -> None:
    before = {path.name: path.read_bytes() for path in data.iterdir() if "shm" not in path.name}
    found = looked(data)
    (log,) = (each for each in found if each.what.startswith("the log "))
    assert log.level == "ok"
    assert log.what.endswith("3 events, the last one of 2026-01-01T00:00:00Z")
    after = {path.name: path.read_bytes() for path in data.iterdir() if "shm" not in path.name}
    assert after == before
    assert bad(found) == [("warn", f"no controller works on {data}")]


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("UPDATE events SET at = 'x' WHERE seq = 2", "event 2 (NodeLeft of a@x) was changed after"),
        ("DELETE FROM events WHERE seq = 1", "event 2 (NodeLeft of a@x) was changed after"),
        ("UPDATE meta SET value = '9' WHERE key = 'schema_version'", "has schema version 9, this"),
        ("DROP TABLE meta", "is damaged: no such table: meta"),
    ],
)
def test_a_log_that_was_changed_fails_and_is_named(data: Path, sql: str, said: str) -> None:
    with closing(sqlite3.connect(data / "events.db")) as database, database:
        database.execute(sql)
    (log,) = (each for each in looked(data) if each.level == "fail")
    assert said in log.what
    assert log.mend


def test_a_folder_that_is_not_there_and_a_port_that_is_taken_are_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        found = looked(tmp_path / "none", listen=address, http="0.0.0.0:1")
    fails = [each for each in found if each.level == "fail"]
    assert [each.mend.split(" --data ")[0] for each in fails[:1]] == ["tidegate controller init"]
    assert fails[1].what == f"{address} is in use (Address already in use)"
    assert fails[2].what.startswith("--http 0.0.0.0:1: without mutual TLS only loopback")
    assert not (tmp_path / "none").exists()


# --- A fleet -------------------------------------------------------------------------------------

CONTROLLER = ControllerView(
    version=version("tidegate"),
    log_id="abc",
    epoch=3,
    events=1520,
    now="2026-11-24T09:14:00Z",
    seconds_up=3700.2,
)
WEB = NodeView(
    node="web-1",
    connected=True,
    labels={},
    transport="grpc",
    agent_version=version("tidegate"),
    last_seen="2026-11-24T09:14:00Z",
    address="127.0.0.1",
    disk_free_bytes=5 * GIB,
)
SLOT = SlotView(version="1", digest="sha256:a", running=True, healthy=True, address="127.0.0.1:1")
PLACE = NodeStatus(
    node="web-1", connected=True, active_slot="blue", slots={"blue": SLOT}, debt=None
)
SHOP = AppStatus(
    app="shop",
    environment="production",
    version="1",
    digest="sha256:a",
    rollout=None,
    nodes=[PLACE],
    unfinished=0,
)


def with_(document: Any, **fields: Any) -> Any:
    return msgspec.structs.replace(document, **fields)


def judged(
    controller: ControllerView = CONTROLLER,
    nodes: list[NodeView] | None = None,
    refused: list[RefusedAgent] | None = None,
    app: AppStatus = SHOP,
    now: datetime = NOW,
) -> list[Finding]:
    listed = NodeList(nodes=[WEB] if nodes is None else nodes, refused=refused or [])
    return list(fleet.judge(controller, listed, Status(apps=[app]), now, "127.0.0.1:7420"))


def test_a_fleet_that_is_well_has_nothing_to_mend() -> None:
    assert [each.what for each in judged()] == [
        f"a controller answers at 127.0.0.1:7420: version {version('tidegate')}, epoch 3, 1,520 "
        "events, up for 1h1m40s",
        "1 of 1 nodes are connected",
        "shop@production: version 1, nothing owed",
    ]
    assert bad(judged()) == []


def test_what_is_not_well_is_said_with_its_mend() -> None:
    waiting = RolloutRef(id="r7", state="paused", waiting_for="who knows", awaits="person")
    unhealthy = with_(PLACE, slots={"blue": with_(SLOT, healthy=False)}, debt="green runs alone")
    found = judged(
        with_(CONTROLLER, version="9.9"),
        nodes=[
            with_(WEB, disk_free_bytes=GIB // 2),
            with_(WEB, node="web-2", connected=False, last_seen=None),
        ],
        refused=[RefusedAgent(node="web-3", at="2026-11-24T09:00:00Z", why="it is another's")],
        app=with_(
            SHOP,
            rollout=waiting,
            nodes=[unhealthy],
            stands_still="shop@production stands still",
            notes=["traffic is in doubt"],
        ),
        now=NOW + timedelta(minutes=2),
    )
    assert bad(found) == [
        ("warn", f"the controller has version 9.9, this command {version('tidegate')}"),
        ("warn", "the controller's clock and this one are 2m apart"),
        ("warn", "an agent is refused as web-3 since 2026-11-24T09:00:00Z: it is another's"),
        ("warn", "web-1 has only 0.5 GiB free for releases"),
        ("warn", "web-2 is away, and was not seen since the controller's start"),
        ("warn", "agents of another version than the controller's: web-1"),
        ("fail", "shop@production stands still"),
        ("warn", "rollout r7 of shop@production waits for a person: who knows"),
        ("warn", "shop@production: traffic is in doubt"),
        ("warn", "web-1 in shop@production: green runs alone"),
        ("fail", "web-1/blue of shop@production has traffic and is not healthy"),
    ]
    assert all(each.mend for each in found if each.level != "ok" and "refused" not in each.what)


def test_a_rollout_that_waits_for_the_end_of_a_freeze_needs_no_person() -> None:
    words = "the freeze until Monday, by ada: the sale"
    waiting = RolloutRef(id="r7", state="paused", waiting_for=words, awaits="freeze")
    (found,) = [each for each in judged(app=with_(SHOP, rollout=waiting)) if each.level == "warn"]
    assert found.what == f"rollout r7 of shop@production waits for {words}"
    assert found.mend == "it goes on by itself; at once: tidegate rollout promote r7 -m REASON"


@pytest.mark.parametrize(
    ("slot", "said"),
    [
        (with_(SLOT, healthy=False), "is not healthy"),
        (with_(SLOT, running=False, healthy=None), "does not run"),
    ],
)
def test_a_slot_that_has_traffic_and_is_not_well_has_to_be_mended(
    slot: SlotView, said: str
) -> None:
    before = ReleaseView(version="0", digest="sha256:0")
    app = with_(SHOP, nodes=[with_(PLACE, slots={"blue": slot})], rollback_to=before)
    (finding,) = (each for each in judged(app=app) if each.level != "ok")
    assert finding.level == "fail"
    assert finding.what == f"web-1/blue of shop@production has traffic and {said}"
    assert "tidegate rollback shop -e production" in finding.mend
    assert "tidegate node show web-1" in finding.mend
    *_, what, then = status_lines(Status(apps=[app]))
    assert what.startswith("with traffic and not well: web-1/blue; ")
    assert then == "  next: tidegate rollback shop -e production; tidegate node show web-1"


def test_where_there_is_nothing_to_go_back_to_no_rollback_is_recommended() -> None:
    """It would be refused."""
    app = with_(SHOP, nodes=[with_(PLACE, slots={"blue": with_(SLOT, healthy=False)})])
    (finding,) = (each for each in judged(app=app) if each.level != "ok")
    assert finding.mend == (
        "deploy a release that is well: there is none to go back to; or see why: "
        "tidegate node show web-1"
    )
    assert status_lines(Status(apps=[app]))[-1] == "  next: tidegate node show web-1"


@pytest.mark.parametrize(
    ("state", "mend"),
    [
        ("running", "show r7; give it up, if need be: tidegate rollout abort r7; or see why: "),
        ("rolling_back", "show r7; or see why: "),
        ("paused", "show r7; or see why: "),  # an undo that asks a person
    ],
)
def test_while_a_rollout_runs_the_mend_is_to_look_at_it(state: str, mend: str) -> None:
    places = [with_(PLACE, slots={"blue": with_(SLOT, healthy=False)})]
    rollout = RolloutRef(id="r7", state=state, undoing=state != "running")
    app = with_(SHOP, rollout=rollout, nodes=places)
    (finding,) = (each for each in judged(app=app) if each.level != "ok")
    assert finding.mend == (
        f"r7 is under way, look at it: tidegate rollout {mend}tidegate node show web-1"
    )


def test_an_app_with_traffic_on_a_node_that_is_away_is_not_said_to_be_well() -> None:
    unknown = with_(SLOT, running=None, healthy=None)
    place = with_(PLACE, connected=False, slots={"blue": unknown})
    found = judged(app=with_(SHOP, nodes=[place]), nodes=[with_(WEB, connected=False)])
    (finding,) = (each for each in found if "shop@production" in each.what)
    assert (finding.level, finding.what) == (
        "warn",
        "shop@production has traffic on web-1, and nobody can ask there how it is",
    )
    assert finding.mend.endswith("tidegate node show web-1")
    idle = with_(place, active_slot=None)
    found = judged(app=with_(SHOP, nodes=[idle]), nodes=[with_(WEB, connected=False)])
    assert found[-1].what == "shop@production: version 1, nothing owed"


def test_traffic_that_leads_to_a_node_that_was_removed_has_to_be_mended() -> None:
    place = with_(PLACE, connected=False, debt="was removed; …")
    app = with_(SHOP, nodes=[place])
    (finding,) = (each for each in judged(app=app, nodes=[with_(WEB, node="web-2")]) if each.mend)
    assert (finding.level, finding.what) == (
        "fail",
        "traffic of shop@production leads to web-1, which was removed",
    )
    assert "tidegate deploy -e production --artifact sha256:a --version 1" in finding.mend


def test_a_slot_that_is_well_or_has_no_traffic_is_of_no_concern() -> None:
    spare = with_(SLOT, running=False, healthy=False)
    for slots in ({"blue": SLOT, "green": spare}, {"blue": with_(SLOT, healthy=None)}):
        app = with_(SHOP, nodes=[with_(PLACE, slots=slots)])
        assert bad(judged(app=app)) == []
        assert "not well" not in "".join(status_lines(Status(apps=[app])))


def test_traffic_that_goes_elsewhere_has_to_be_mended_by_deploying_what_is_active() -> None:
    trouble = TrafficTrouble(what="11 of 20 lanes are missing", mend="so", redeploy=True)
    (finding,) = (e for e in judged(app=with_(SHOP, traffic_trouble=trouble)) if e.level != "ok")
    assert finding == Finding(
        "fail",
        "shop@production: 11 of 20 lanes are missing",
        "so: tidegate deploy -e production --artifact sha256:a --version 1",
    )
    trouble = TrafficTrouble(what="nobody is there", mend="start it")
    (finding,) = (e for e in judged(app=with_(SHOP, traffic_trouble=trouble)) if e.level != "ok")
    assert finding.mend == "start it"


@pytest.mark.parametrize(
    ("url", "typed"),
    [
        ("https://ci.example/shop-1.tar.gz", "https://ci.example/shop-1.tar.gz"),
        ("https://ci.example/1?…", "'https://ci.example/1?QUERY'"),
    ],
)
def test_what_nodes_fetched_themselves_is_deployed_again_from_there(url: str, typed: str) -> None:
    """The controller never had it."""
    trouble = TrafficTrouble(what="11 of 20 lanes are missing", mend="so", redeploy=True)
    app = with_(SHOP, traffic_trouble=trouble, url=url)
    command = f"tidegate deploy -e production --artifact {typed} --digest sha256:a --version 1"
    (finding,) = (each for each in judged(app=app) if each.level != "ok")
    assert finding.mend == f"so: {command}"
    app = with_(SHOP, url=url)
    (removed,) = (e for e in judged(app=app, nodes=[with_(WEB, node="web-2")]) if e.mend)
    assert removed.mend == f"deploy it to the nodes that there are: {command}"


def test_of_what_was_restored_only_the_decision_is_asked_for() -> None:
    nodes = [with_(PLACE, debt="green runs without traffic")]
    broken = with_(SHOP, undecided=True, notes=["restored"], nodes=nodes)
    found = [e.what for e in judged(app=broken) if "shop" in e.what]
    assert found == ["shop@production: restored"]


def test_a_fleet_without_nodes_is_told_how_to_get_one() -> None:
    (nobody,) = (each for each in judged(nodes=[]) if each.level == "warn")
    assert nobody.what == "no agent has ever connected"
    assert nobody.mend.startswith("on each server: tidegate-agent run --node NAME")
