"""What is printed may have nowhere to go: one line says so, and the exit code is 1."""

import os
import subprocess
import sys

import pytest

COMMAND = f"{sys.executable} -m tidegate_controller"


def typed(words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["sh", "-c", f"{COMMAND} {words}"], capture_output=True, text=True)


@pytest.mark.parametrize("words", ["--help", "completion bash"])
def test_a_full_disk_is_one_line_of_error(words: str) -> None:
    ended = typed(f"{words} > /dev/full")
    assert ended.stderr == (
        "error: what was to be printed cannot be written: No space left on device\n"
    )
    assert ended.returncode == 1


def test_a_closed_stdout_is_one_line_of_error_and_nothing_is_done() -> None:
    ended = typed("status >&-")
    assert ended.stderr == (
        "error: stdout is closed, so nothing was done\n  next: send it to /dev/null\n"
    )
    assert ended.returncode == 1


def test_a_reader_that_has_gone_ends_it_without_a_word() -> None:
    ended = typed("completion bash | true")
    assert ended.stderr == ""


def test_it_then_ends_as_if_by_sigpipe_and_not_as_if_it_had_failed() -> None:
    there, gone = os.pipe()
    os.close(there)
    words = [*COMMAND.split(), "completion", "bash"]
    ended = subprocess.run(words, stdout=gone, stderr=subprocess.PIPE, text=True)
    os.close(gone)
    assert (ended.returncode, ended.stderr) == (141, "")


@pytest.mark.parametrize("closed", ["<&-", "2>&-"])
def test_other_closed_streams_are_no_hindrance(closed: str) -> None:
    ended = typed(f"completion bash {closed}")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "_TIDEGATE_COMPLETE" in ended.stdout
