"""What the documentation names exists: commands, options, keys, files, links; its sketches run."""

import json
import logging
import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import pytest

from tidegate_agent import options as agent_options
from tidegate_agent.main import main as agent_main
from tidegate_controller import config, config_reference, options
from tidegate_controller.cli.commands import tidegate
from tidegate_controller.config_health import PROBES, WAITS
from tidegate_controller.config_keys import ENVIRONMENT
from tidegate_controller.config_traffic import TRAFFIC
from tidegate_controller.config_waves import WAVES
from tidegate_controller.core import types as t
from tidegate_controller.core.spec import (
    Health,
    HttpProbe,
    Service,
    Settings,
    Spec,
    Traffic,
)
from tidegate_controller.core.strategies import STRATEGIES, blue_green
from tidegate_protos import logs
from tidegate_protos.settings import Setting
from tidegate_protos.v1 import agent_pb2 as pb

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
ARCHITECTURE = ROOT / "docs/architecture.md"
STRATEGIES_PAGE = ROOT / "docs/strategies.md"
REST = """
[service]
command = ["./serve"]
[health]
unit = true
[traffic]
adapter = "none"
"""
PAGES = [README, *sorted(ROOT.glob("docs/**/*.md")), ROOT / "systemd/README.md"]
PAGES += [ROOT / "examples/hello/README.md"]
CODE = ("agent", "bench", "controller", "docs", "examples", "protos", "systemd", "tests")
FILES = [f"/{file.relative_to(ROOT)}" for folder in CODE for file in (ROOT / folder).rglob("*.*")]

BLOCK = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
FILE_NAME = re.compile(r"[A-Za-z0-9_./-]+\.(?:py|proto|md|service)")


def each_page() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def prose(page: Path) -> str:
    return BLOCK.sub("", page.read_text())


# --- Commands and files --------------------------------------------------------------------------

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
        code += [span.replace("\\|", "|") for span in SPAN.findall(prose(page))]  # as in tables
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
            found = command.get_command(click.Context(command), word)
            if found is None:
                return word
            command = found
    return None


def test_every_command_and_option_in_the_documentation_exists(
    capsys: pytest.CaptureFixture[str],
) -> None:
    agent_words = {"run", "doctor", "--version"}
    for command in ("run", "doctor"):
        with pytest.raises(SystemExit):
            agent_main([command, "--help"])
        agent_words |= set(re.findall(r"--?[a-z-]+", capsys.readouterr().out))
    found, wrong = list(mentions()), []
    for page, program, words in found:
        if program == "tidegate":
            unknown = unknown_word(words)
        else:
            options = [word for word in words if word.startswith("-")]
            ours = [*words[:1], *options]
            unknown = next((word for word in ours if word not in agent_words), None)
        if unknown is not None:
            wrong.append(f"{page}: {unknown!r} in: {program} {' '.join(words)}")
    assert wrong == []
    assert len(found) > 30


@each_page()
def test_every_file_that_is_named_is_there(page: Path) -> None:
    named = [span for span in SPAN.findall(prose(page)) if FILE_NAME.fullmatch(span)]
    missing = [name for name in named if not any(file.endswith(f"/{name}") for file in FILES)]
    assert [name for name in missing if not (ROOT / name).exists()] == []


@each_page()
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", prose(page))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_no_two_decisions_have_the_same_number() -> None:
    pages = sorted((ROOT / "docs" / "decisions").glob("0*.md"))
    numbers = [page.name[:4] for page in pages]
    assert len(numbers) > 5
    assert len(set(numbers)) == len(numbers)
    assert [page.read_text()[2:6] for page in pages] == numbers


def test_every_extra_that_is_named_can_be_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {extra for page in PAGES for extra in re.findall(r"'\.\[(\w+)\]'", page.read_text())}
    assert named
    assert named <= set(project["optional-dependencies"])


# --- tidegate.toml -------------------------------------------------------------------------------


def table(heading: str) -> list[list[str]]:
    """The rows of the first table beneath a heading of the README, without its head."""
    section = README.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip().strip("`") for cell in row.split("|")[1:-1]] for row in rows]


def reference() -> dict[str, str]:
    """Each key of `tidegate.toml` with its default, as the reference page has them."""
    found = {"app": "required"}
    whole = {name: key for name, key in ENVIRONMENT.items() if name not in WAVES}
    sections = [("environments.NAME", config_reference.rows(whole, Spec))]
    sections += [("environments.NAME", each) for _, each in config_reference.strategy_rows()]
    sections += [("health", config_reference.rows(WAITS, Health)), *config_reference.section_rows()]
    sections += [("health", each) for _, each in config_reference.probe_rows()]
    sections += [("traffic", each) for _, each in config_reference.adapter_rows()]
    sections += [("traffic", config_reference.rows({"adapter": TRAFFIC["adapter"]}, Traffic))]
    for section, each in sections:
        found |= {f"{section}.{name}": default for name, _, default, _ in each}
    return found


def test_the_table_of_the_most_used_keys_has_keys_and_defaults_of_the_reference() -> None:
    rows, known = table("tidegate.toml"), reference()
    assert len(rows) > 10
    assert [row[0] for row in rows if row[0] not in known] == []
    needed = {name for name, default in known.items() if default == "required"}
    for name, default, _ in rows:
        assert default == known[name].strip("`") or (default == "one of these" and name in needed)
    beside = {f"health.{kind}" for kind in PROBES} | {"traffic.directory", "traffic.command"}
    assert needed - {row[0] for row in rows} <= beside


def test_each_strategy_of_its_page_is_as_the_file_may_say_it(tmp_path: Path) -> None:
    blocks = [b["text"] for b in BLOCK.finditer(STRATEGIES_PAGE.read_text())]
    shown = set()
    for text in blocks:
        spec = config.read(tmp_path / "tidegate.toml", f'app = "shop"\n{text}{REST}').environment(
            "production"
        )
        shown.add(spec.strategy)
    assert shown == set(STRATEGIES)


# --- Settings of the daemons ---------------------------------------------------------------------


def test_the_reference_of_the_daemons_has_every_setting_and_its_default() -> None:
    def rows(settings: Sequence[Setting]) -> list[list[str]]:
        return [
            [each.name, "required" if each.needed else each.default or "none"] for each in settings
        ]

    text = (ROOT / "docs/daemons.md").read_text()
    lines = re.findall(r"^\| `([a-z_]+)` \| (\S+) \|", text, re.MULTILINE)
    listed = [[name, default.strip("`")] for name, default in lines]
    tables = (agent_options.OWN, options.OWN, logs.SETTINGS)
    assert listed == [row for settings in tables for row in rows(settings)]


def test_the_line_of_a_log_in_the_documentation_is_one() -> None:
    text = (ROOT / "docs/daemons.md").read_text()
    (shown,) = (
        json.loads(block["text"]) for block in BLOCK.finditer(text) if block["language"] == "json"
    )
    made = logs.AsJson({}).format(
        logging.makeLogRecord(
            {
                "name": shown["logger"],
                "levelname": shown["level"].upper(),
                "msg": shown["message"],
                **{name: shown[name] for name in ("app", "environment", "rollout")},
            }
        )
    )
    assert {**json.loads(made), "time": shown["time"]} == shown


# --- The sketches of the architecture ------------------------------------------------------------


def sketch(name: str) -> dict[str, Any]:
    """The names of the one Python sketch that defines `name`."""
    blocks = [
        b["text"] for b in BLOCK.finditer(ARCHITECTURE.read_text()) if b["language"] == "python"
    ]
    (text,) = [
        text for text in blocks if re.search(rf"^(class |(async )?def )?{name}\b", text, re.M)
    ]
    names: dict[str, Any] = {}
    exec(compile(text, f"{ARCHITECTURE.name}: {name}", "exec"), names)  # noqa: S102 - our own page
    return names


def test_the_sketch_of_a_strategy_moves_traffic_node_by_node() -> None:
    settings = Settings(
        service=Service(command=("./serve",)), health=Health(probe=HttpProbe(url="http://x/"))
    )
    revision = t.Revision(digest="sha256:1", config="sha256:2")
    release = t.Release(version="1", revision=revision, size_bytes=1, settings=settings)
    nodes, traffic = ("a", "b", "c"), Traffic(adapter="caddy", directory="/lanes")
    spec = Spec(app="a", environment="e", nodes=nodes, settings=settings, traffic=traffic)
    state, goal = t.State(), t.Goal(kind="deploy", release=release, nodes=nodes, spec=spec)
    plan = sketch("steps")["steps"](state, goal)
    whole = blue_green.steps(state, goal)
    assert len({step.id for step in plan}) == len(plan)
    moves = [step.works[0].weights for step in plan if step.id.startswith("shift")]
    served = [[place for place, share in move.items() if share] for move in moves]
    assert served == [["a/blue"], ["a/blue", "b/blue"], ["a/blue", "b/blue", "c/blue"]]
    assert [step for step in plan if step in whole] == list(whole)


def test_the_sketch_of_a_step_is_one() -> None:
    assert isinstance(sketch("rest")["rest"], t.Step)


async def test_the_sketch_of_a_command_goes_on_from_what_it_finds(tmp_path: Path) -> None:
    class Slot:
        folder = tmp_path

        async def stop(self, grace_seconds: float) -> str:
            return "nothing ran here"

    class App:
        def slot(self, name: str) -> Slot:
            assert name == "blue"
            return Slot()

    (tmp_path / "release").symlink_to("elsewhere")

    class Job:
        command = pb.Command(remove_slot=pb.RemoveSlot(slot="blue"))

    remove_slot = sketch("remove_slot")["remove_slot"]
    for _ in range(2):
        assert isinstance(await remove_slot(App(), Job()), Slot)
        assert list(tmp_path.iterdir()) == []
