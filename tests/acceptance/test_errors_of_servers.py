"""Controllers and agents that cannot start or go on: what they say, their exit code, and that
whoever was there before works on."""

import resource
import signal
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from desk import AGENT, TIDEGATE, Answer, Desk, answer_of, ask, until

from tidegate_controller.demo.local_fleet import free_port

pytestmark = pytest.mark.xdist_group("servers")


def controller(desk: Desk, data: Path, listen: str, *options: str) -> Answer:
    """`tidegate controller run`, which is expected to end by itself."""
    words = ("controller", "run", "--data", str(data), "--listen", listen, *options)
    return answer_of(desk.start(TIDEGATE, *words, TIDEGATE_SOCKET=str(data / "socket")))


def agent(desk: Desk, data: Path, *options: str, node: str = "web-1") -> Answer:
    """`tidegate-agent run`, which is expected to end by itself."""
    words = ("--node", node, "--data", str(data), "--controller", desk.fleet.address)
    return answer_of(desk.start(AGENT, "run", *words, *options))


def assert_ended(answer: Answer, code: int, *said: str) -> None:
    assert (answer.code, answer.out) == (code, ""), answer
    for words in said:
        assert words in answer.err


# --- Controllers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("listen", ["0.0.0.0:7420", "192.0.2.1:7420", "[::]:7420", "example.org:1"])
def test_a_controller_listens_on_loopback_alone(desk: Desk, tmp_path: Path, listen: str) -> None:
    answer = controller(desk, tmp_path / "data", listen)
    message = f"error: --listen {listen}: without mutual TLS only loopback addresses are accepted"
    assert_ended(answer, 2, message, "  next: use --listen 127.0.0.1:")
    assert not (tmp_path / "data").exists()


def test_artifacts_are_served_on_loopback_alone(desk: Desk, tmp_path: Path) -> None:
    answer = controller(desk, tmp_path / "data", "127.0.0.1:0", "--http", "0.0.0.0:8000")
    assert_ended(answer, 2, "error: --http 0.0.0.0:8000: without mutual TLS", "  next: use --http")
    assert not (tmp_path / "data").exists()


def test_an_address_to_listen_on_has_host_and_port(desk: Desk, tmp_path: Path) -> None:
    answer = controller(desk, tmp_path / "data", "7420")
    assert_ended(answer, 2, "error: --listen '7420' is not HOST:PORT", "127.0.0.1:7420")


def test_a_second_controller_on_the_same_data_is_refused(desk: Desk) -> None:
    data = desk.folder / "controller"
    answer = controller(desk, data, f"127.0.0.1:{free_port()}")
    assert_ended(answer, 4, f"error: another controller works on {data}", "  next: stop it first")
    assert desk.type("status").code == 0


def test_a_port_that_is_taken_ends_the_controller(desk: Desk, tmp_path: Path) -> None:
    answer = controller(desk, tmp_path, desk.fleet.address)
    assert_ended(
        answer, 1, f"error: {desk.fleet.address} is in use", "  next: stop what listens there"
    )
    assert desk.type("status").code == 0


def test_a_taken_port_for_artifacts_ends_the_controller(desk: Desk, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        http = f"127.0.0.1:{server.getsockname()[1]}"
        answer = controller(desk, tmp_path, f"127.0.0.1:{free_port()}", "--http", http)
    assert_ended(answer, 1, f"the artifact server cannot listen on {http}", "  next: choose")


def test_data_that_cannot_be_used_end_the_controller(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    answer = controller(desk, tmp_path / "file" / "data", "127.0.0.1:7420")
    assert_ended(answer, 1, f"error: cannot use {tmp_path / 'file' / 'data'}", "--data DIR")


@contextmanager
def own_desk(folder: Path) -> Iterator[Desk]:
    """A desk of its own, for what no other test could bear."""
    with Desk(folder, nodes=1).running() as desk:
        yield desk


def end_controller(desk: Desk) -> None:
    process = desk.fleet.processes.pop("controller")
    process.terminate()
    assert process.wait(60) == 0


def test_a_log_that_was_changed_or_damaged_stops_the_controller(tmp_path: Path) -> None:
    with own_desk(tmp_path) as desk:
        app = desk.app("damaged").deployed("1")
        end_controller(desk)
        data = desk.folder / "controller"
        with sqlite3.connect(data / "events.db") as database:
            sql = "SELECT seq, data FROM events WHERE kind = 'Committed'"
            seq, committed = database.execute(sql).fetchone()
            change = "UPDATE events SET data = ? WHERE seq = ?"
            database.execute(change, (committed.replace("r1", "r2"), seq))
        database.close()
        answer = controller(desk, data, desk.fleet.address)
        assert_ended(
            answer, 1, f"event {seq} (Committed of damaged@test) was changed", "  next: restore"
        )
        with sqlite3.connect(data / "events.db") as database:
            database.execute(change, (committed, seq))
        database.close()
        desk.fleet.start_controller((TIDEGATE,))
        desk.fleet.wait_connected()
        app.assert_serving("1")


def test_a_log_that_is_no_database_stops_the_controller(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "events.db").write_bytes(b"not a database at all, " * 500)
    answer = controller(desk, tmp_path, f"127.0.0.1:{free_port()}")
    assert_ended(answer, 1, f"error: cannot open the event log {tmp_path / 'events.db'}")
    assert "  next: " in answer.err


def test_a_controller_whose_disk_is_full_stops_and_goes_on_later(tmp_path: Path) -> None:
    """It must not act on what it could not write down."""
    with own_desk(tmp_path) as desk:
        app = desk.app("full").deployed("1")
        process = desk.fleet.processes["controller"]
        written = (desk.folder / "controller" / "events.db-wal").stat().st_size
        limits = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (written, limits[1]))
        following = app.follow("2")
        code = process.wait(60)
        said = desk.fleet.log("controller")
        assert code == 1, said
        assert "error: cannot write to the event log" in said
        assert "Traceback" not in said
        app.processes("web-1")
        desk.fleet.processes.pop("controller")
        desk.fleet.start_controller((TIDEGATE,))
        desk.fleet.wait_connected()
        answer = answer_of(following)
        assert answer.code in (0, 3), answer
        app.deployed("3").assert_serving("3")


# --- Agents --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--node", "Web 1"], "'Web 1' is not a name"),
        (["--node", "../web"], "'../web' is not a name"),
        (["--label", "role"], "'role' is not KEY=VALUE"),
        (["--controller", "192.0.2.1:7420"], "without mutual TLS only loopback is accepted"),
        (["--controller", "127.0.0.1"], "is not HOST:PORT"),
        (["--controller", "127.0.0.1:99999"], "is not HOST:PORT"),
    ],
)
def test_an_agent_with_wrong_words_says_which(
    desk: Desk, tmp_path: Path, options: list[str], said: str
) -> None:
    answer = agent(desk, tmp_path / "data", *options)
    assert_ended(answer, 2, "usage: tidegate-agent run", said)
    assert not (tmp_path / "data").exists()


def test_a_second_agent_on_the_same_data_is_refused(desk: Desk) -> None:
    data = desk.folder / "nodes" / "web-1"
    answer = agent(desk, data)
    assert_ended(answer, 1, f"tidegate-agent: another agent works on {data}", "--data")
    assert desk.is_connected("web-1")


def test_a_second_agent_under_the_same_name_is_refused_and_the_first_works_on(
    desk: Desk, tmp_path: Path
) -> None:
    app = desk.app("one-name", nodes=["web-1"]).deployed("1")
    words = ("--node", "web-1", "--data", str(tmp_path), "--controller", desk.fleet.address)
    second = desk.start(AGENT, "run", *words)
    assert second.stderr is not None
    said = ""
    while "another agent is connected as web-1" not in said:
        line = second.stderr.readline()
        assert line, said
        said += line
    assert "give each agent a --node name of its own" in said
    assert second.poll() is None
    app.deployed("2").assert_serving("2")
    assert not list(tmp_path.glob("apps/*"))
    second.send_signal(signal.SIGTERM)
    assert answer_of(second).code == 0


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
    assert app.processes("damaged") == pids
    app.assert_serving("1")


def test_an_agent_without_a_controller_waits_for_it(desk: Desk, tmp_path: Path) -> None:
    port = free_port()
    words = ("--node", "patient", "--data", str(tmp_path), "--controller", f"127.0.0.1:{port}")
    waiting = desk.start(AGENT, "run", *words)
    assert waiting.stderr is not None
    line = waiting.stderr.readline()
    assert f"no link to the controller at 127.0.0.1:{port}" in line
    waiting.send_signal(signal.SIGINT)
    assert answer_of(waiting).code == 0


def test_a_controller_that_ends_leaves_the_apps_serving(tmp_path: Path) -> None:
    with own_desk(tmp_path) as desk:
        app = desk.app("left-alone").deployed("1")
        address = app.slot("web-1")["address"]
        end_controller(desk)
        assert ask(f"http://{address}/").startswith("hello from 1 ")
        desk.fleet.start_controller((TIDEGATE,))
        desk.fleet.wait_connected()
        until(lambda: app.slot("web-1")["healthy"] is True, "the node to report")
        assert app.slot("web-1")["address"] == address
