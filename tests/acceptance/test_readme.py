"""What the README says is true: its quickstart is typed into a real shell, its output compared."""

import json
import os
import re
import selectors
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tidegate_controller.demo import local_fleet

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"

BLOCK = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCK_SECONDS = 120  # only ever reached where a test fails
LOOKS = ("tidegate node list", "curl -s ")  # may be typed again until the answer is there
CURL = "import sys, urllib.request as r; print(r.urlopen(sys.argv[-1]).read().decode(), end=str())"
ENDED = "block-ended"
FAILED = "command-failed"

# What differs from run to run, as it is written in the README and as it is printed.
VOLATILE = (
    (re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\b"), "DATE"),
    (re.compile(r"\b\d\d:\d\d:\d\d\b"), "TIME"),
    (re.compile(r"\b\d+\.\d s\b"), "SECONDS"),
    (re.compile(r"\bsha256:[0-9a-f]+(\.\.\.)?"), "DIGEST"),
    (re.compile(r"\b[\d,]+ bytes\b"), "BYTES"),
    (re.compile(r"(?<![\d.])\d+\.\d+\.\d+(?![\d.])"), "VERSION"),
    (re.compile(r"(?<=by )\S+@\S+(?=,)|(?<=  )\S+@\S+$"), "USER"),
    (re.compile(r"(?<=on )web-\d(?= \()|(?<=  )web-\d(?=/)"), "NODE"),
)


class Block(NamedTuple):
    commands: str
    output: str | None  # as the README shows it; None where it shows none


class Answer(NamedTuple):
    output: str
    failed: list[str]  # "CODE COMMAND" of each command that did not end with 0


class Shell:
    """One bash, as a person keeps it open: variables, folder and jobs stay from block to block."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if shutil.which("curl") is None:
            self._type(f"curl() {{ python3 -c '{CURL}' \"$@\"; }}")
        self._type(f'trap \'printf "%s\\n" "{FAILED} $? $BASH_COMMAND"\' ERR')

    def run(self, commands: str) -> Answer:
        self._type(f"{{\n{commands}\n}} < /dev/null\necho {ENDED}")
        lines = self._until_ended().splitlines()
        failed = [line.removeprefix(f"{FAILED} ") for line in lines if line.startswith(FAILED)]
        return Answer("\n".join(line for line in lines if not line.startswith(FAILED)), failed)

    def close(self) -> None:
        self._bash.kill()
        self._bash.communicate()

    def _type(self, text: str) -> None:
        assert self._bash.stdin is not None
        self._bash.stdin.write(f"{text}\n".encode())
        self._bash.stdin.flush()

    def _until_ended(self) -> str:
        assert self._bash.stdout is not None
        output, give_up = b"", time.monotonic() + BLOCK_SECONDS
        with selectors.DefaultSelector() as ready:
            ready.register(self._bash.stdout, selectors.EVENT_READ)
            while not output.endswith(f"{ENDED}\n".encode()):
                more = ready.select(give_up - time.monotonic())
                piece = os.read(self._bash.stdout.fileno(), 65536) if more else b""
                assert piece, f"the shell ended or hangs, after: {output.decode()[-2000:]}"
                output += piece
        return output.decode().removesuffix(f"{ENDED}\n")


def quickstart() -> list[Block]:
    """The shell blocks between the two marks, each with the output that follows it."""
    text = README.read_text()
    text = text[text.index("<!-- quickstart") : text.index("<!-- end of quickstart")]
    blocks: list[Block] = []
    for found in BLOCK.finditer(text):
        if found["language"] == "sh":
            blocks.append(Block(found["text"].strip(), None))
        else:
            assert blocks[-1].output is None, "two outputs of one block"
            blocks[-1] = blocks[-1]._replace(output=found["text"].rstrip())
    return blocks


def stable(line: str) -> str:
    """The line without what differs from run to run."""
    for pattern, word in VOLATILE:
        line = pattern.sub(word, line)
    return re.sub(r"  +", "  ", line).rstrip()


def agrees(shown: str, printed: str) -> bool:
    """Whether the output is as shown; a line "..." stands for any number of lines."""
    parts = [".*" if line == "..." else re.escape(stable(line)) for line in shown.splitlines()]
    lines = "\n".join(map(stable, printed.splitlines()))
    pattern = "\n".join(parts).replace(".*\n", r"(?:.*\n)*").replace("\n.*", r"(?:\n.*)*")
    return re.fullmatch(pattern, lines) is not None


@pytest.fixture
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell in a copy of what the quickstart needs of a clone."""
    folder = tmp_path_factory.mktemp("clone")
    shutil.copytree(ROOT / "examples", folder / "examples")
    (folder / ".venv").symlink_to(sys.prefix)
    environment = {name: value for name, value in os.environ.items() if "TIDEGATE" not in name}
    environment |= {
        "HOME": str(folder / "home"),
        "TIDEGATE_SOCKET": str(folder / "socket"),
        local_fleet.MARK: str(folder),
    }
    shell = Shell(folder, environment)
    try:
        yield shell
    finally:
        shell.close()
        local_fleet.stop(folder)


def on_free_ports() -> Callable[[str], str]:
    ports = {port: str(local_fleet.free_port()) for port in ("7420", "8080")}
    pattern = re.compile(r"127\.0\.0\.1:(7420|8080)")
    return lambda text: pattern.sub(lambda found: f"127.0.0.1:{ports[found[1]]}", text)


def test_the_quickstart_does_what_the_readme_says(shell: Shell) -> None:
    moved = on_free_ports()
    example = shell.folder / "examples" / "hello" / "tidegate.toml"
    example.write_text(moved(example.read_text()))
    blocks = quickstart()
    failures = []
    for block in blocks:
        answer = shell.run(moved(block.commands))
        give_up = time.monotonic() + BLOCK_SECONDS
        while block.commands.startswith(LOOKS) and not agrees(block.output or "", answer.output):
            assert time.monotonic() < give_up, answer
            time.sleep(0.2)
            answer = shell.run(moved(block.commands))
        failures += answer.failed
        assert block.output is None or agrees(block.output, answer.output), answer.output
        if "--json" in block.commands:
            documents = [line for line in answer.output.splitlines() if line.startswith("{")]
            assert all(map(json.loads, documents))
            asked = [line for line in block.commands.splitlines() if line.endswith("--json")]
            assert len(documents) >= len(asked)
    assert failures == ["1 tidegate deploy --artifact hello-3.tar.gz --version 3"]
    assert len(blocks) > 10
    shell.close()
    assert local_fleet.stop(shell.folder) == 0, "the quickstart left processes behind"
    assert not (shell.folder / "quickstart").exists()


def test_a_dotted_line_stands_for_any_number_of_lines() -> None:
    assert agrees("a\n...\nb", "a\nb")
    assert agrees("a\n...\nb", "a\nx\ny\nb")
    assert agrees("...\nb", "b")
    assert agrees("a\n...", "a\nx")
    assert not agrees("a\n...\nb", "a\nx\nbc")
    assert not agrees("a", "a\nb")
