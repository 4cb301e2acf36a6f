"""`tidegate init` at a real terminal: it asks, offers what it finds, and asks again."""

import os
import pty
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from desk import PATIENCE_SECONDS, TIDEGATE, Desk

from tidegate_controller.config import load
from tidegate_controller.core.spec import TcpProbe, Traffic
from tidegate_controller.demo.show import example_app


class Terminal:
    """Types at a command and reads what it shows."""

    def __init__(self, descriptor: int, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.shown = ""
        self._descriptor = descriptor
        self._read = 0  # of what was shown

    def until(self, words: str) -> str:
        """What is shown from where the last call ended, up to these words."""
        give_up = time.monotonic() + PATIENCE_SECONDS
        while words not in self.shown[self._read :]:
            assert time.monotonic() < give_up, self.shown
            if select.select([self._descriptor], [], [], 0.1)[0]:
                self.shown += os.read(self._descriptor, 4096).decode()
        end = self.shown.index(words, self._read) + len(words)
        said, self._read = self.shown[self._read : end], end
        return said

    def answer(self, question: str, text: str = "") -> str:
        said = self.until(question) + self.until(": ")
        os.write(self._descriptor, f"{text}\n".encode())
        return said

    def interrupted(self) -> int:
        """Its exit code after Ctrl-C, which readline may miss in the moment before it waits."""
        give_up = time.monotonic() + PATIENCE_SECONDS
        while self.process.poll() is None and time.monotonic() < give_up:
            self.process.send_signal(signal.SIGINT)
            time.sleep(0.1)
        return self.process.wait(0)


@contextmanager
def terminal(folder: Path, *words: str) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [TIDEGATE, *words],
        cwd=folder,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield Terminal(ours, process)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


@pytest.fixture
def app(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    shutil.copy(example_app() / "serve.py", folder)
    return folder


def test_whoever_only_types_return_gets_what_was_found(app: Path) -> None:
    with terminal(app, "init") as screen:
        assert "[shop]" in screen.answer("App")
        assert "[production]" in screen.answer("Environment")
        assert "[role=web]" in screen.answer("Nodes")
        assert "(from serve.py) [python3 serve.py --port {port}]" in screen.answer("Command")
        assert "[any]" in screen.answer("Ports")
        assert "(from serve.py) [/health]" in screen.answer("Health")
        assert "[caddy]" in screen.answer("Traffic", "")
        screen.until("next: tidegate deploy --artifact ../shop-1.tar.gz --version 1")
        assert screen.process.wait(PATIENCE_SECONDS) == 0
    spec = load(app / "tidegate.toml").environment()
    assert spec.settings.service.command == ("python3", "serve.py", "--port", "{port}")


def test_an_answer_that_cannot_be_right_is_asked_for_again(app: Path) -> None:
    flags = ["--nodes", "role=web", "--ports", "any", "-e", "prod", "--command", "./serve"]
    with terminal(app, "init", *flags) as screen:
        screen.answer("App", "../../x")
        screen.until("Error: must be a name")
        screen.answer("App", "blog")
        screen.answer("Health", "ping")
        screen.until("Error: must be a path such as /health")
        screen.answer("Health", "tcp")
        screen.answer("Traffic", "exec")
        screen.answer("Command that moves traffic", "lb {app}")
        screen.until("next: tidegate deploy")
        assert screen.process.wait(PATIENCE_SECONDS) == 0
    spec = load(app / "tidegate.toml").environment()
    assert (spec.app, spec.environment) == ("blog", "prod")
    assert spec.settings.health.probe == TcpProbe(address="127.0.0.1:{port}")
    assert spec.traffic == Traffic(adapter="exec", command=("lb", "blog"))


def test_ctrl_c_at_a_question_writes_nothing(app: Path) -> None:
    with terminal(app, "init") as screen:
        screen.answer("App", "blog")
        screen.until("[production]: ")
        assert screen.interrupted() == 130
        assert "Traceback" not in screen.shown
    assert [file.name for file in app.iterdir()] == ["serve.py"]


def test_with_yes_nothing_is_asked(app: Path) -> None:
    with terminal(app, "init", "--yes") as screen:
        screen.until("next: tidegate deploy")
        assert screen.process.wait(PATIENCE_SECONDS) == 0
    assert "[production]" not in screen.shown


def test_without_a_terminal_errors_have_their_exit_code_and_leave_nothing(app: Path) -> None:
    (app / "serve.py").unlink()
    desk = Desk(app)
    for words in (["init"], ["init", "--app", "../../x"]):
        answer = desk.type(*words)
        assert (answer.code, answer.out) == (2, "")
        assert answer.err.startswith("error: ")
        assert answer.err.count("\n  next: ") == 1
    assert list(app.iterdir()) == []
    assert desk.type("init", "--command", "./serve").code == 0
    answer = desk.type("init", "--command", "./serve")
    assert (answer.code, "is there already" in answer.err) == (2, True)
    assert desk.type("config", "check").code == 0
