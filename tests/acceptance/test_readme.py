"""What the README says is true: its quickstart is typed into a real shell and its output compared,
and every command, option, key and link that the documentation names exists."""

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

import click
import msgspec
import pytest

from tidegate_agent.main import main as agent_main
from tidegate_controller import config
from tidegate_controller.cli import tidegate
from tidegate_controller.config_checks import Key
from tidegate_controller.core.spec import Health, Pace, Service, Spec, Struct, Traffic
from tidegate_controller.demo import local_fleet
from tidegate_controller.units import spell_duration

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, *sorted(ROOT.glob("docs/**/*.md")), ROOT / "systemd/README.md"]
PAGES += [ROOT / "examples/hello/README.md"]

BLOCK = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCK_SECONDS = 120  # only ever reached where a test fails
LOOKS = ("tidegate node list", "curl -s ")  # may be typed again until the answer is there
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


# --- Names that the documentation mentions -------------------------------------------------------

MENTION = re.compile(
    r"(?:^|[;&|(]\s*|\$ |sudo |next:\s+|ExecStart=|  )"  # where a command can begin
    r"(?:[A-Z_]+=\S+ )*(?:[^\s`'\"]*/)?"  # variables before it, the path to it
    r"(?P<program>tidegate(?:-agent)?)(?= )(?P<rest>[^;|&>#()]*)"
)


def mentions() -> Iterator[tuple[str, str, list[str]]]:
    """Page, program and words of each command in a code block or a code span."""
    for page in PAGES:
        text = page.read_text().replace("\\\n", " ")
        blocks = [block["text"] for block in BLOCK.finditer(text)]
        code = [line.strip() for block in blocks for line in block.split("\n")]
        code += re.findall(r"`([^`\n]+)`", BLOCK.sub("", text))
        for line in code:
            for found in MENTION.finditer(line):
                yield page.name, found["program"], found["rest"].split()


def unknown_word(words: list[str]) -> str | None:
    """The first word that no `tidegate` command knows; options and commands are looked at."""
    command: click.Command = tidegate
    takes_value: click.Option | None = None
    for word in words:
        if takes_value is not None:
            takes_value = None
        elif word.startswith("-"):
            name = word.partition("=")[0]
            options = [p for p in command.params if isinstance(p, click.Option) and name in p.opts]
            if not options and name not in ("--help", "-h"):
                return word
            if options and not options[0].is_flag and "=" not in word:
                takes_value = options[0]
        elif isinstance(command, click.Group):
            if word not in command.commands:
                return word
            command = command.commands[word]
    return None


def test_every_command_and_option_in_the_documentation_exists(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        agent_main(["run", "--help"])
    agent_words = set(re.findall(r"--?[a-z]+", capsys.readouterr().out)) | {"--version"}
    found, wrong = list(mentions()), []
    for page, program, words in found:
        if program == "tidegate":
            unknown = unknown_word(words)
        else:
            options = [word for word in words if word.startswith("-")]
            ours = [*(word for word in words[:1] if word != "run"), *options]
            unknown = next((word for word in ours if word not in agent_words), None)
        if unknown is not None:
            wrong.append(f"{page}: {unknown!r} in: {program} {' '.join(words)}")
    assert wrong == []
    assert len(found) > 30


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", BLOCK.sub("", page.read_text()))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def table(heading: str) -> list[list[str]]:
    """The rows of the first table beneath a heading of the README, without its head."""
    section = README.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip().strip("`") for cell in row.split("|")[1:-1]] for row in rows]


def defaults() -> Iterator[tuple[str, str]]:
    """Each key of `tidegate.toml` with its default as the README writes it."""
    sections: list[tuple[str, dict[str, Key], type[Struct]]] = [
        ("environments.NAME", config.ENVIRONMENT, Spec),
        ("service", config.SERVICE, Service),
        ("health", config.HEALTH, Health),
        ("rollout", config.ROLLOUT, Pace),
        ("traffic", config.TRAFFIC, Traffic),
    ]
    assert {name.partition(".")[0] for name, _, _ in sections} | {"app"} == set(config.TOP)
    yield "app", "required"
    for section, keys, struct in sections:
        fields = {field.name: field for field in msgspec.structs.fields(struct)}
        for name, key in keys.items():
            field = fields[key.field]
            if field.required:
                yield f"{section}.{name}", "required"
            elif field.default is None:
                yield f"{section}.{name}", "the agent picks"
            elif field.default is msgspec.NODEFAULT:
                yield f"{section}.{name}", json.dumps(field.default_factory())
            elif key.field.endswith("_seconds"):
                yield f"{section}.{name}", f'"{spell_duration(field.default)}"'
            else:
                yield f"{section}.{name}", json.dumps(field.default)


def test_the_reference_of_tidegate_toml_has_every_key_and_its_default() -> None:
    assert [(row[0], row[1]) for row in table("tidegate.toml")] == list(defaults())
