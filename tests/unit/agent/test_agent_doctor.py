"""What `tidegate-agent doctor` makes of a node."""

import fcntl
import json
import os
import sqlite3
from pathlib import Path

import pytest
from fake_controller import FakeController
from fake_systemd import FAILED, RUNS, FakeSystemd

from tidegate_agent import doctor, ports
from tidegate_agent import main as agent
from tidegate_agent.errors import ServiceError
from tidegate_agent.journal import Journal, SlotRecord
from tidegate_agent.managers import systemctl
from tidegate_agent.options import Options, read
from tidegate_protos import VERSION, findings
from tidegate_protos.findings import Finding
from tidegate_protos.v1 import agent_pb2 as pb


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """With the journal of an agent that has obeyed a controller, and an app that is whole."""
    folder = tmp_path / "agent"
    slot = folder / "apps" / "shop" / "slots" / "blue"
    slot.mkdir(parents=True)
    (folder / "apps" / "shop" / "current").symlink_to("slots/blue")
    journal = Journal(folder / "journal.db")
    journal.remember_log("log-1")
    journal.close()
    return folder


def options(data: Path, *flags: str) -> Options:
    words = ["--node", "web-1", "--data", str(data), "--controller", "127.0.0.1:1", *flags]
    return read(agent.parser().parse_args(["run", "--settings", os.devnull, *words]))


def looked(
    data: Path, monkeypatch: pytest.MonkeyPatch, *flags: str
) -> tuple[list[Finding], dict[str, str]]:
    """All that was found; and of what is not well, what is said and its mend."""
    monkeypatch.setattr(doctor, "CONNECT_SECONDS", 0.1)
    found = list(doctor.look(options(data, *flags)))
    bad = {each.what: each.mend for each in found if each.level != "ok"}
    return found, bad


NO_CONTROLLER = "no controller answers at 127.0.0.1:1"


def test_a_node_that_is_well_lacks_only_its_agent_and_controller(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(data.rglob("*"))
    found, bad = looked(data, monkeypatch)
    assert list(bad) == [f"no agent works on {data}", NO_CONTROLLER]
    assert any("it has obeyed the controller of log log-1" in each.what for each in found)
    left = {path.name for path in set(data.rglob("*")) - set(before)}
    assert left <= {"journal.db-wal", "journal.db-shm"}


async def test_a_controller_that_answers_is_well(data: Path) -> None:
    async with FakeController().running() as controller:
        found = doctor._controller(controller.address)
        assert (found.level, found.what) == (
            "ok",
            f"a controller answers at {controller.address}",
        )


def test_an_agent_that_works_is_found_by_its_lock(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (data / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found, bad = looked(data, monkeypatch)
    assert list(bad) == [NO_CONTROLLER]
    assert any(each.what == f"an agent works on {data} (pid {os.getpid()})" for each in found)


@pytest.mark.parametrize(
    ("mode", "level"), [("process\n", "ok"), ("control-group\n", "fail"), ("mixed\n", "fail")]
)
def test_a_unit_that_ends_the_apps_with_the_agent_fails(
    monkeypatch: pytest.MonkeyPatch, mode: str, level: str
) -> None:
    monkeypatch.setattr(findings, "run", lambda *_: mode)
    (found,) = doctor._kill_mode("tidegate-agent.service")
    assert found.level == level


def test_the_unit_of_a_process_is_the_last_of_its_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.read_text
    groups = "0::/system.slice/tidegate-agent.service\n"
    monkeypatch.setattr(
        Path, "read_text", lambda path: groups if path.name == "cgroup" else real(path)
    )
    assert doctor._unit(1) == "tidegate-agent.service"
    groups = "0::/user.slice/user-0.slice/session-1.scope\n"
    assert doctor._unit(1) == ""


def test_a_journal_that_cannot_be_read_is_named_with_what_to_do(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (data / "journal.db").write_bytes(b"not a database at all, " * 500)
    _, bad = looked(data, monkeypatch)
    what, mend = next(iter(bad.items()))
    assert what == f"the journal {data / 'journal.db'} is damaged: file is not a database"
    assert f"move {data / 'journal.db'}* away" in mend
    assert (data / "journal.db").read_bytes().startswith(b"not a database")


def test_a_journal_of_another_format_is_named(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with sqlite3.connect(data / "journal.db") as database:
        database.execute("PRAGMA user_version = 99")
    _, bad = looked(data, monkeypatch)
    assert f"the journal {data / 'journal.db'} has format 99, this agent reads" in next(iter(bad))


def test_the_folder_tells_the_nodes_name_and_where_its_controller_is(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "CONNECT_SECONDS", 0.1)
    journal = Journal(data / "journal.db")
    journal.belong_to("web-7")
    journal.remember_address("127.0.0.1:2")
    journal.close()
    words = ["doctor", "--data", str(data), "--settings", os.devnull]
    with pytest.raises(SystemExit):
        agent.main(words)
    said = capsys.readouterr().out
    assert f"tidegate-agent {VERSION}, node web-7\n" in said
    assert "no controller answers at 127.0.0.1:2 (where its agent looks)" in said
    with pytest.raises(SystemExit):
        agent.main([*words, "--node", "web-8", "--controller", "127.0.0.1:1"])
    said = capsys.readouterr().out
    assert f"fail  {data} is the folder of the node web-7, so no agent starts as web-8" in said
    assert f"{NO_CONTROLLER}\n" in said


def test_a_folder_that_knows_no_controller_says_that_the_default_was_tried(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "CONNECT_SECONDS", 0.1)
    monkeypatch.setattr(agent.options, "CONTROLLER", "127.0.0.1:1")
    with pytest.raises(SystemExit):
        agent.main(["doctor", "--data", str(data), "--settings", os.devnull])
    assert f"{NO_CONTROLLER} (--controller was not given)" in capsys.readouterr().out


def test_a_link_that_leads_nowhere_fails(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (data / "apps" / "shop" / "slots" / "blue").rmdir()
    _, bad = looked(data, monkeypatch)
    link = data / "apps" / "shop" / "current"
    assert f"{link} names slots/blue, which is not there" in bad


def test_a_kernel_without_pidfds_and_a_node_without_ports_fail(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> int:
        raise ServiceError("no port is free between 20000 and 29999")

    def missing(_pid: int) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(ports, "choose", none)
    monkeypatch.setattr(os, "pidfd_open", missing)
    _, bad = looked(data, monkeypatch)
    assert any("gives no pidfd: Function not implemented" in what for what in bad)
    assert "no port is free between 20000 and 29999" in bad


def test_an_address_of_another_machine_is_doubted(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, bad = looked(data, monkeypatch, "--address", "192.0.2.7")
    assert any("at 192.0.2.7, which is no address of this machine" in what for what in bad)
    _, bad = looked(data, monkeypatch, "--address", "web-1.example.org")
    assert list(bad) == [f"no agent works on {data}", NO_CONTROLLER]


def test_a_node_without_an_agent_yet_is_told_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, bad = looked(tmp_path / "none", monkeypatch)
    assert bad[f"{tmp_path / 'none'} cannot be used: No such file or directory"].startswith(
        "start an agent once, it makes the folder: tidegate-agent run --data "
    )
    assert not (tmp_path / "none").exists()


def test_as_json_it_is_one_document_and_the_exit_code_says_whether_anything_fails(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "CONNECT_SECONDS", 0.1)
    words = ["--node", "web-1", "--data", str(data), "--settings", os.devnull]
    with pytest.raises(SystemExit) as ended:
        agent.main(["doctor", "--json", "--controller", "127.0.0.1:1", *words])
    assert ended.value.code == 1
    document = json.loads(capsys.readouterr().out)
    assert document["fails"] == 1
    last = document["findings"][-1]
    assert (last["level"], last["what"]) == ("fail", NO_CONTROLLER)


def test_wrong_settings_are_findings_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "agent.toml").write_text('nod = "a"')
    with pytest.raises(SystemExit) as ended:
        agent.main(["doctor", "--settings", str(tmp_path / "agent.toml"), "--data", "/x"])
    assert ended.value.code == 1
    said = capsys.readouterr().out
    assert f"fail  {tmp_path / 'agent.toml'}: unknown key 'nod'; did you mean 'node'?" in said


@pytest.mark.parametrize(
    ("shown", "what", "mend"),
    [
        (RUNS, "is active, and the run that the agent knows", None),
        ({"InvocationID": "run-2"}, "is active, but in another run than", "a running agent takes"),
        (FAILED, "is failed", "journalctl -u shop@blue.service -n 50"),
        ({"LoadState": "masked"}, "is masked on this node; type systemctl unmask", ""),
    ],
)
def test_a_slot_that_is_a_unit_is_looked_at(
    data: Path,
    systemd: FakeSystemd,
    monkeypatch: pytest.MonkeyPatch,
    shown: dict[str, str],
    what: str,
    mend: str | None,
) -> None:
    monkeypatch.setattr(systemctl, "BOOTED", data)
    service = pb.Service(manager="systemd", unit="shop@{slot}.service")
    start, handle = pb.StartSlot(slot="blue", service=service), {"invocation": "run-1"}
    journal = Journal(data / "journal.db")
    journal.save_slot(SlotRecord("shop", "blue", "test", start, 8001, "wanted", "t", handle))
    journal.close()
    systemd.shows(shown)
    found, bad = looked(data, monkeypatch)
    (said,) = (each for each in found if "shop@blue.service " in each.what)
    assert what in said.what
    assert bad.get(said.what, "nothing").startswith("nothing" if mend is None else mend)


def test_a_machine_without_systemd_can_have_processes_only(
    data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(systemctl, "BOOTED", tmp_path / "nowhere")
    found, _ = looked(data, monkeypatch)
    assert any(each.what.endswith("apps can be processes, not units") for each in found)
