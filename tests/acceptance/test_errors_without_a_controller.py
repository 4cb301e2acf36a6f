"""Nobody answers: every command that asks a controller says so, and how to start one."""

import contextlib
import socket
import threading
from pathlib import Path

import pytest
from command_tree import commands, does_something
from desk import Answer, Desk

NOBODY = "127.0.0.1:9"
WORDS = {  # what to type after the name of each command that asks a controller
    "deploy": ["--version", "1", "--artifact"],
    "rollback": ["shop"],
    "status": [],
    "rollout list": [],
    "rollout show": ["r1"],
    "rollout continue": ["r1"],
    "rollout retry": ["r1"],
    "rollout approve": ["r1"],
    "rollout promote": ["r1"],
    "rollout pause": ["r1"],
    "rollout resume": ["r1"],
    "rollout abort": ["r1"],
    "rollout replay": ["r1"],
    "controller reconcile": ["shop", "--adopt"],
    "explain": ["r1"],
    "release list": [],
    "lock": ["shop"],
    "unlock": ["shop"],
    "freeze": ["shop", "--lift"],
    "release quarantine": ["shop", "1"],
    "release unquarantine": ["shop", "1"],
    "release push": ["--artifact"],
    "node list": [],
    "node show": ["web-1"],
    "node remove": ["web-1"],
    "cleanup": ["shop"],
    "log": ["--follow", "--rollout", "r1"],
}


def test_every_command_that_asks_a_controller_is_tried_here() -> None:
    asking = {
        path.removeprefix("tidegate ")
        for path, command in commands()
        if does_something(command)
        and any("--controller" in parameter.opts for parameter in command.params)
    }
    asking.remove("doctor")  # for which it is a finding: test_doctor.py
    assert asking == set(WORDS)


def assert_unreachable(answer: Answer, target: str) -> None:
    listens = "127.0.0.1:7420" if target.startswith("unix:") else target
    assert (answer.code, answer.out) == (3, "")
    assert answer.err == (
        f"error: no controller answers at {target}\n"
        f"  next: start one: tidegate controller run --data DIR --listen {listens}; or name "
        "the one that runs: --controller HOST:PORT, or TIDEGATE_CONTROLLER\n"
    )


@pytest.mark.parametrize("name", WORDS)
def test_where_no_controller_answers_each_command_says_how_to_start_one(
    tmp_path: Path, name: str
) -> None:
    app = Desk(tmp_path).app("shop")
    more = [str(app.build("1"))] if name in ("deploy", "release push") else []
    words = [*name.split(), *WORDS[name], *more, "--json"]
    answer = app.desk.type(*words, cwd=app.folder, TIDEGATE_CONTROLLER=NOBODY)
    assert_unreachable(answer, NOBODY)
    assert app.traces() == []


def speaks_something_else(server: socket.socket) -> None:
    """As web servers answer to what is no HTTP/1."""
    with contextlib.suppress(OSError):  # the test is over
        while True:
            client, _ = server.accept()
            with client:
                client.recv(4096)
                client.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


def test_what_answers_and_is_no_controller_is_said_to_be_none(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=speaks_something_else, args=(server,), daemon=True).start()
        target = f"127.0.0.1:{server.getsockname()[1]}"
        answer = Desk(tmp_path).type("status", "--json", TIDEGATE_CONTROLLER=target)
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.startswith(f"error: what answers at {target} is no Tidegate controller\n")
    assert "  next: name the controller: --controller HOST:PORT" in answer.err


def test_without_any_address_the_local_socket_is_asked_and_named(tmp_path: Path) -> None:
    socket = str(tmp_path / "nobody.sock")
    answer = Desk(tmp_path).type("status", TIDEGATE_CONTROLLER="", TIDEGATE_SOCKET=socket)
    assert_unreachable(answer, f"unix:{socket}")
