"""Ctrl-C at any moment: exit code 130 and no traceback, however often it is pressed; and who has
asked for something is told how far that had got."""

import subprocess
import sys
from types import SimpleNamespace
from typing import NoReturn

import pytest

from tidegate_controller.cli import INTERRUPTED, follow
from tidegate_controller.cli.client import Client
from tidegate_controller.cli.follow import Asking
from tidegate_controller.cli.works import Wait
from tidegate_controller.errors import TidegateError
from tidegate_protos.v1 import operator_pb2 as pb

# The command is interrupted, and once more when its interpreter has begun to end.
TWICE = """
import atexit, os, signal, sys
from {module} import main
def pressed(*_, **__):
    raise KeyboardInterrupt
atexit.register(os.kill, os.getpid(), signal.SIGINT)
signal.signal(signal.SIGINT, signal.default_int_handler)
{patch}
sys.argv[1:] = {words!r}
main()
"""


@pytest.mark.parametrize(
    ("module", "patch", "words"),
    [
        (
            "tidegate_controller.cli",
            "from tidegate_controller.cli import commands; commands.tidegate.main = pressed",
            [],
        ),
        (
            "tidegate_controller.cli",
            "from tidegate_controller.cli import status; status.status.callback = lambda **_: 130",
            ["status"],
        ),
        (
            "tidegate_agent.main",
            "from tidegate_agent import main as agent; agent._begin_logs = pressed",
            ["run", "--node", "n", "--data", "/none", "--controller", "127.0.0.1:9"],
        ),
    ],
    ids=["the command line", "a command that has taken it itself", "the agent"],
)
def test_ctrl_c_pressed_twice_ends_as_if_pressed_once(
    module: str, patch: str, words: list[str]
) -> None:
    code = TWICE.format(module=module, patch=patch, words=words)
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


def press_before_sending() -> None:
    with Asking("tidegate status kv"):
        raise KeyboardInterrupt


def press_while_asking() -> None:
    with Asking("tidegate status kv") as asking:
        asking.ask(pressed)


def press_once_answered() -> None:
    with Asking("tidegate status kv") as asking:
        asking.ask(lambda: pb.RolloutReply(rollout="r58"))
        raise KeyboardInterrupt


def test_ctrl_c_before_the_request_was_sent_says_that_nothing_was_begun(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(KeyboardInterrupt):
        press_before_sending()
    assert capsys.readouterr().err == "\nnothing was begun\n"


def test_ctrl_c_while_the_answer_is_awaited_says_that_it_may_have_begun_and_where_to_look(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(KeyboardInterrupt):
        press_while_asking()
    assert capsys.readouterr().err == (
        "\nnot waited for the controller's answer; it may have begun\n"
        "  next: tidegate status kv; tidegate rollout list\n"
    )


FOLLOW_R58 = "\nstopped following; rollout r58 goes on\n  next: tidegate rollout show r58 --watch\n"


def test_ctrl_c_once_the_answer_is_there_names_the_rollout(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(KeyboardInterrupt):
        press_once_answered()
    assert capsys.readouterr().err == FOLLOW_R58


def lose_it_once_answered() -> None:
    with Asking("tidegate status kv") as asking:
        asking.ask(lambda: pb.RolloutReply(rollout="r58"))
        raise TidegateError("RESOURCE_EXHAUSTED: too much")


def test_who_cannot_be_shown_more_is_told_that_the_rollout_goes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(TidegateError):
        lose_it_once_answered()
    assert capsys.readouterr().err == FOLLOW_R58


def test_ctrl_c_before_anything_of_a_rollout_is_drawn_names_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "_view", pressed)
    with Client("127.0.0.1:9") as client:
        assert follow.attach(client, "r58") == INTERRUPTED
    assert capsys.readouterr().err == FOLLOW_R58


def pressed(*_: object, **__: object) -> NoReturn:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("wait", "said"),
    [
        (Wait("person", "in doubt", ["abort"]), "waits for a person"),
        (Wait("freeze", "the freeze until 18:00"), "waits for the freeze until 18:00"),
    ],
)
def test_ctrl_c_while_it_stands_still_says_for_what(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, wait: Wait, said: str
) -> None:
    shown = SimpleNamespace(picture=SimpleNamespace(wait=wait))
    monkeypatch.setattr(follow, "_view", lambda *_, **__: shown)
    monkeypatch.setattr(follow, "watch", pressed)
    with Client("127.0.0.1:9") as client:
        assert follow.attach(client, "r58") == INTERRUPTED
    assert capsys.readouterr().err == FOLLOW_R58.replace("goes on", said)
