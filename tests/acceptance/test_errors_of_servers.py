"""Controllers and agents that cannot start or go on: what they say, their exit code, and that
whoever was there before works on."""

import resource
import signal
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import grpc
import psutil
import pytest
from desk import AGENT, PATIENCE_SECONDS, Answer, Desk, answer_of, read_until, rest_of
from servers import agent, controller, own_controller

from tidegate_controller.core import events as ev
from tidegate_controller.demo.local_fleet import free_port
from tidegate_controller.log import Batch, EventLog, read_log
from tidegate_protos.v1 import agent_pb2 as agent_pb
from tidegate_protos.v1 import operator_pb2 as pb
from tidegate_protos.v1.agent_pb2_grpc import AgentLinkStub
from tidegate_protos.v1.operator_pb2_grpc import OperatorStub

BEGAN = "EpochBegan"


def assert_ended(answer: Answer, code: int, *said: str) -> None:
    assert (answer.code, answer.out) == (code, ""), answer
    for words in said:
        assert words in answer.err


# --- Controllers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("listen", ["0.0.0.0:7420", "[::]:7420", "example.org:1"])
def test_a_controller_listens_on_loopback_alone(desk: Desk, tmp_path: Path, listen: str) -> None:
    answer = controller(desk, tmp_path / "data", listen)
    message = f"error: --listen {listen}: without mutual TLS only loopback addresses are accepted"
    assert_ended(answer, 2, message, "  next: use 127.0.0.1:")
    assert not (tmp_path / "data").exists()


def test_artifacts_are_served_on_loopback_alone(desk: Desk, tmp_path: Path) -> None:
    answer = controller(desk, tmp_path / "data", "127.0.0.1:1", "--http", "0.0.0.0:8000")
    assert_ended(answer, 2, "error: --http 0.0.0.0:8000: without mutual TLS", "  next: use 127.")
    assert not (tmp_path / "data").exists()


def test_an_address_to_listen_on_has_host_and_port(desk: Desk, tmp_path: Path) -> None:
    answer = controller(desk, tmp_path / "data", "7420")
    assert_ended(answer, 2, "error: --listen '7420' is not HOST:PORT", "127.0.0.1:7420")
    assert not (tmp_path / "data").exists()


def test_a_second_controller_on_the_same_data_is_refused(desk: Desk) -> None:
    data = desk.folder / "controller"
    before = sorted(path.name for path in data.iterdir())
    for listen in (f"127.0.0.1:{free_port()}", desk.fleet.address):
        answer = controller(desk, data, listen)
        assert_ended(answer, 4, f"error: another controller works on {data}", "  next: stop it")
    assert sorted(path.name for path in data.iterdir()) == before
    begun = [record for record in read_log(data / "events.db", 0, 1000) if record.kind == BEGAN]
    assert len(begun) == 1
    assert desk.type("status").code == 0


def test_a_port_that_is_taken_ends_the_controller(desk: Desk, tmp_path: Path) -> None:
    answer = controller(desk, tmp_path, desk.fleet.address)
    assert_ended(
        answer, 1, f"error: {desk.fleet.address} is in use", "  next: stop what listens there"
    )
    assert not (tmp_path / "events.db").exists()
    assert desk.type("status").code == 0


def test_a_taken_port_for_artifacts_ends_the_controller(desk: Desk, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        http = f"127.0.0.1:{server.getsockname()[1]}"
        answer = controller(desk, tmp_path, f"127.0.0.1:{free_port()}", "--http", http)
    assert_ended(answer, 1, f"the artifact server cannot listen on {http}", "  next: choose")


def test_data_that_cannot_be_used_end_the_controller(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    unwritable = Path("/proc")  # for root too
    for data in (tmp_path / "file" / "data", unwritable):
        answer = controller(desk, data, f"127.0.0.1:{free_port()}")
        assert_ended(answer, 1, f"error: cannot use {data}: ", "  next: choose another --data DIR")
    answer = controller(desk, tmp_path / "file", f"127.0.0.1:{free_port()}")
    assert_ended(
        answer,
        2,
        f"error: --data: {tmp_path / 'file'} is a file",
        "  next: correct it; what can be",
    )


def content(data: Path) -> list[tuple[object, ...]]:
    """The whole log, as it stands there."""
    with closing(sqlite3.connect(data / "events.db")) as database:
        return database.execute("SELECT * FROM events ORDER BY seq").fetchall()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("data = replace(data, '\"epoch\":1', '\"epoch\":2')", "was changed after it was written"),
        ("data = x'ff00'", "was changed after it was written"),
        ("cause = 'x'", "was changed after it was written"),
        ("hash = 'x'", "was changed after it was written"),
    ],
)
def test_a_row_that_was_damaged_stops_the_controller_which_names_it(
    desk: Desk, tmp_path: Path, damage: str, said: str
) -> None:
    with own_controller(desk, tmp_path):
        pass
    with closing(sqlite3.connect(tmp_path / "events.db")) as database, database:
        database.execute(f"UPDATE events SET {damage} WHERE seq = 1")  # noqa: S608
        assert database.total_changes == 1
    before = content(tmp_path)
    answer = controller(desk, tmp_path, f"127.0.0.1:{free_port()}")
    message = f"error: event 1 (EpochBegan of controller) {said}"
    assert_ended(answer, 1, message, "  next: restore the log from a backup")
    assert content(tmp_path) == before


class Teleported(ev.Event, frozen=True, kw_only=True):
    """An event of some later version."""

    node: str


class NodeLeft(ev.Event, frozen=True, kw_only=True):
    """One that this version has too, but with less to it."""

    node: str
    where_to: str


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (Teleported(node="a"), "event 2 (Teleported, version 1 of shop@test) cannot be read: "),
        (NodeLeft(node="a", where_to="b"), "event 2 (NodeLeft, version 1 of shop@test) cannot be"),
    ],
)
def test_an_event_of_a_later_version_stops_the_controller_which_names_it(
    desk: Desk, tmp_path: Path, event: ev.Event, said: str
) -> None:
    with own_controller(desk, tmp_path):
        pass
    log = EventLog(tmp_path / "events.db")
    list(log.load())
    log.append([Batch("shop@test", 0, "2026-01-01T00:00:00Z", 1.0, (event,), None)])
    log.close()
    before = content(tmp_path)
    answer = controller(desk, tmp_path, f"127.0.0.1:{free_port()}")
    mend = "  next: it was damaged, or written by a newer Tidegate: start that one, or restore a"
    assert_ended(answer, 1, f"error: {said}", mend)
    assert content(tmp_path) == before


def test_a_log_of_a_later_schema_stops_the_controller(desk: Desk, tmp_path: Path) -> None:
    with own_controller(desk, tmp_path):
        pass
    with closing(sqlite3.connect(tmp_path / "events.db")) as database, database:
        database.execute("UPDATE meta SET value = '2' WHERE key = 'schema_version'")
    before = content(tmp_path)
    answer = controller(desk, tmp_path, f"127.0.0.1:{free_port()}")
    message = f"error: {tmp_path / 'events.db'} has schema version 2, this is 1"
    assert_ended(answer, 1, message, "  next: start the version of Tidegate that wrote it")
    assert content(tmp_path) == before


def test_a_log_that_is_no_database_stops_the_controller(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "events.db").write_bytes(b"not a database at all, " * 500)
    answer = controller(desk, tmp_path, f"127.0.0.1:{free_port()}")
    assert_ended(answer, 1, f"error: cannot open the event log {tmp_path / 'events.db'}", "next: ")
    assert (tmp_path / "events.db").read_bytes() == b"not a database at all, " * 500


def test_a_message_of_64_mib_is_refused_at_the_door_and_everybody_else_served(
    desk: Desk, tmp_path: Path
) -> None:
    large = b"x" * (64 << 20)
    hello = agent_pb.Hello(node="large", journal_id="j", address="127.0.0.1")

    def reports() -> Iterator[agent_pb.Report]:
        yield agent_pb.Report(hello=hello)
        yield agent_pb.Report(finished=agent_pb.Finished(command_id="c", error=large.decode()))

    with own_controller(desk, tmp_path) as (address, process):
        with grpc.insecure_channel(address) as channel:
            stub = OperatorStub(channel)
            requests = (
                lambda: stub.Deploy(pb.DeployRequest(version="1", spec=large)),
                lambda: stub.Upload(iter([pb.UploadChunk(digest="sha256:x", data=large)])),
                lambda: list(AgentLinkStub(channel).Connect(reports())),
            )
            for request in requests:
                with pytest.raises(grpc.RpcError) as refused:
                    request()
                assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
                assert "larger than max" in refused.value.details()
        assert psutil.Process(process.pid).memory_info().rss < 2 * len(large)
        assert desk.type("status", TIDEGATE_CONTROLLER=address).code == 0
    assert {row[5] for row in content(tmp_path)} == {BEGAN, "NodeRegistered"}
    assert list((tmp_path / "artifacts").iterdir()) == []


def test_a_controller_whose_disk_is_full_stops_and_goes_on_later(
    desk: Desk, tmp_path: Path
) -> None:
    """It must not act on what it could not write down."""
    with own_controller(desk, tmp_path) as (address, process):
        written = (tmp_path / "events.db-wal").stat().st_size
        limits = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (written, limits[1]))
        words = ("--node", "new", "--data", str(tmp_path / "new"), "--controller", address)
        new = desk.start(AGENT, "run", *words)
        assert process.wait(PATIENCE_SECONDS) == 1
        new.terminate()
        assert answer_of(new).code == 0
        assert process.stderr is not None
        said = process.stderr.read()
        assert "error: cannot write to the event log" in said
        assert "Traceback" not in said
    with own_controller(desk, tmp_path) as (address, _):
        nodes = desk.type("node", "list", "--json", TIDEGATE_CONTROLLER=address).json["nodes"]
        assert nodes == []


# --- Agents --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--node", "Web 1"], "'Web 1' is not a name"),
        (["--node", "../web"], "'../web' is not a name"),
        (["--label", "role"], "'role' is not KEY=VALUE"),
        (["--label", "a b=c"], "'a b=c' is not KEY=VALUE"),
        (["--controller", "192.0.2.1:7420"], "without mutual TLS only loopback is accepted"),
        (["--controller", "127.0.0.1:99999"], "is not HOST:PORT"),
    ],
)
def test_an_agent_with_wrong_words_says_which(
    desk: Desk, tmp_path: Path, options: list[str], said: str
) -> None:
    answer = agent(desk, tmp_path / "data", *options)
    assert_ended(answer, 2, "usage: tidegate-agent run", said)
    assert not (tmp_path / "data").exists()


def test_data_that_cannot_be_used_end_the_agent(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for data in (tmp_path / "file" / "data", Path("/proc")):
        answer = agent(desk, data)
        assert_ended(answer, 1, f"tidegate-agent: cannot use {data}: ")
    answer = agent(desk, tmp_path / "file")
    assert_ended(answer, 2, "usage: tidegate-agent run", f"--data: {tmp_path / 'file'} is a file")


def test_a_second_agent_on_the_same_data_is_refused(desk: Desk) -> None:
    data = desk.folder / "nodes" / "web-1"
    answer = agent(desk, data)
    assert_ended(answer, 1, f"tidegate-agent: another agent works on {data}", "--data")
    assert desk.is_connected("web-1")


def test_an_agent_under_another_name_on_a_used_folder_is_refused(desk: Desk) -> None:
    desk.run_agent("web-30", "role=renamed")
    app = desk.app("renamed", nodes=["web-30"]).deployed("1")
    pids = app.processes("web-30")
    desk.end_agent("web-30", signal.SIGTERM)
    data = desk.folder / "nodes" / "web-30"
    answer = agent(desk, data, node="web-33")
    assert_ended(answer, 2, f"tidegate-agent: {data} is the folder of the node web-30", "web-33")
    assert "next: start it with --node web-30" in answer.err
    assert app.processes("web-30") == pids


def test_a_second_agent_under_the_same_name_is_refused_and_the_first_works_on(
    desk: Desk, tmp_path: Path
) -> None:
    app = desk.app("one-name").deployed("1")
    words = ("--node", "web-1", "--data", str(tmp_path), "--controller", desk.fleet.address)
    second = desk.start(AGENT, "run", *words)
    said = read_until(second.stderr, "another agent is connected as web-1")
    assert "with --node OTHER and a --data DIR of its own" in said
    assert second.poll() is None, "it may be the first one that has to go"
    app.deployed("2").assert_serving("2")
    assert not list(tmp_path.glob("apps/*"))
    second.send_signal(signal.SIGTERM)
    assert rest_of(second).code == 0


def test_a_journal_that_cannot_be_read_stops_the_agent_and_leaves_the_app(desk: Desk) -> None:
    desk.run_agent("damaged", "role=damaged")
    app = desk.app("damaged-journal", nodes=["damaged"]).deployed("1")
    pids = app.processes("damaged")
    desk.end_agent("damaged", signal.SIGKILL)
    data = desk.folder / "nodes" / "damaged"
    for name in ("journal.db-wal", "journal.db-shm"):
        (data / name).unlink(missing_ok=True)
    (data / "journal.db").write_bytes(b"not a database at all, " * 500)
    answer = agent(desk, data, node="damaged")
    assert_ended(answer, 1, f"tidegate-agent: the journal {data / 'journal.db'} cannot be read")
    assert (data / "journal.db").read_bytes() == b"not a database at all, " * 500
    assert app.processes("damaged") == pids
    app.assert_serving("1")


def test_an_agent_without_a_controller_waits_for_it(desk: Desk, tmp_path: Path) -> None:
    port = free_port()
    words = ("--node", "patient", "--data", str(tmp_path), "--controller", f"127.0.0.1:{port}")
    waiting = desk.start(AGENT, "run", *words)
    read_until(waiting.stderr, f"no link to the controller at 127.0.0.1:{port}")
    waiting.send_signal(signal.SIGINT)
    assert rest_of(waiting).code == 0
