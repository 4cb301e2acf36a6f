"""What apps write: its last lines as plain text, and files that do not grow for ever."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from one_node import until

from tidegate_agent import output
from tidegate_agent.output import keep_short, set_aside, shorten, tail

# --- The end of the output -----------------------------------------------------------------------


def test_the_tail_is_the_last_lines(tmp_path: Path) -> None:
    file = tmp_path / "output"
    file.write_text("".join(f"line {number}\n" for number in range(100)))
    assert tail(file, lines=2) == "line 98\nline 99"
    assert len(tail(file).splitlines()) == 20
    assert tail(file, lines=0) == ""


def test_the_tail_is_bounded_and_begins_with_a_whole_line(tmp_path: Path) -> None:
    file = tmp_path / "output"
    file.write_bytes(b"x" * 1_000_000 + b"\nlast but one\nlast\n")
    assert tail(file) == "last but one\nlast"
    file.write_bytes(b"x" * 10_000_000)
    assert tail(file, max_bytes=100) == "x" * 100


def test_no_output_has_an_empty_tail(tmp_path: Path) -> None:
    assert tail(tmp_path / "none") == ""
    assert tail(tmp_path) == ""
    (tmp_path / "empty").touch()
    assert tail(tmp_path / "empty") == ""


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        (b"\x1b[1;31mred\x1b[0m", "red"),
        (b"a\x1b]0;title\x07b\x1b]8;;http://x\x1b\\c", "abc"),
        (b"\x1b]0;never ended\nnext", "0;never ended\nnext"),
        (b"\x1bPq#0\x1b\\sixel \x1b(B\x1bM", "sixel "),
        ("c1 \x9b31m\x85 csi".encode(), "c1  csi"),
        (b"tab\tbell\x07 nul\x00 cr\r\nnext", "tab\tbell nul cr\nnext"),
        (b"bad \xff utf-8", "bad \ufffd utf-8"),
        ("reversed \u202eevil".encode(), "reversed evil"),
        ("café ☕ 👩\u200d💻".encode(), "café ☕ 👩\u200d💻"),
        (b"{{7*7}} <script>", "{{7*7}} <script>"),
    ],
)
def test_the_tail_is_plain_text(tmp_path: Path, raw: bytes, plain: str) -> None:
    file = tmp_path / "output"
    file.write_bytes(raw)
    assert tail(file) == plain


# --- Files that do not grow for ever -------------------------------------------------------------

# Writes numbered lines into its standard output, as an app does, and ends with its input.
WRITER = """
import select, sys
number = 0
while not select.select([sys.stdin], [], [], 0)[0]:
    number += 1
    print(f"line {number:09}", flush=True)
print("last", flush=True)
"""


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "ROTATE_BYTES", 5000)
    monkeypatch.setattr(output, "ROTATE_SECONDS", 0.01)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "shop" / "logs").mkdir(parents=True)
    return tmp_path / "shop" / "logs" / "blue.log"


@pytest.fixture
def writer(log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    fd = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    with subprocess.Popen(
        [sys.executable, "-c", WRITER], stdin=subprocess.PIPE, stdout=fd
    ) as process:
        os.close(fd)
        yield process
        process.kill()


def part(log: Path, number: int) -> Path:
    return log.with_name(f"{log.name}.{number}")


@pytest.mark.usefixtures("small")
async def test_a_log_is_shortened_while_it_is_written(
    log: Path, writer: "subprocess.Popen[bytes]"
) -> None:
    task = asyncio.create_task(keep_short(log.parents[2]))
    await until(part(log, 3).exists)
    task.cancel()
    # A look at the files that has begun goes on in its thread, and may lose lines of just then.
    await asyncio.get_running_loop().shutdown_default_executor()
    assert writer.stdin is not None
    writer.stdin.close()
    writer.wait()
    assert not part(log, 4).exists()
    lines = [*part(log, 1).read_bytes().splitlines(), *log.read_bytes().splitlines()]
    assert lines[-1] == b"last"
    whole = [found for line in lines[1:-1] if (found := re.fullmatch(rb"line (\d{9})", line))]
    numbers = [int(found[1]) for found in whole]
    assert numbers == sorted(numbers)  # in order; where the file was emptied a line may be torn
    assert len(whole) >= len(lines) - 4
    output.shorten(log)
    assert log.stat().st_size <= output.ROTATE_BYTES


@pytest.mark.usefixtures("small")
def test_the_newest_part_is_what_was_written_last(log: Path) -> None:
    for turn in "abcd":
        log.write_text(f"{turn * 6000}{turn}end")
        shorten(log)
        assert log.read_text() == ""
        assert part(log, 1).read_text() == f"{turn * 4997}end"
    assert part(log, 3).read_text().startswith("b")


@pytest.mark.usefixtures("small")
def test_a_short_log_is_left_alone(log: Path) -> None:
    log.write_text("x" * 5000)
    shorten(log)
    assert log.stat().st_size == 5000
    assert not part(log, 1).exists()
    shorten(log.with_name("none.log"))


@pytest.mark.usefixtures("small")
def test_a_log_is_emptied_even_where_the_disk_has_no_room_for_a_part(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    log.write_text("x" * 6000)
    monkeypatch.setattr(output, "_copy", full)
    shorten(log)
    assert log.read_text() == ""
    assert not part(log, 1).exists()


def test_each_start_has_a_log_of_its_own(log: Path) -> None:
    set_aside(log)
    for start in "abcde":
        log.write_text(start)
        set_aside(log)
        assert not log.exists()
    assert [part(log, number).read_text() for number in (1, 2, 3)] == ["e", "d", "c"]
