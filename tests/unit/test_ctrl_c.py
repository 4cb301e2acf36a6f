"""Ctrl-C at any moment: exit code 130 and no traceback, however often it is pressed."""

import subprocess
import sys

import pytest

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
