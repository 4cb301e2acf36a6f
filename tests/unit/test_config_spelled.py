"""What `tidegate config check` prints is a `tidegate.toml` that says the same, with defaults."""

import json
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from config_samples import SMALLEST, changed, read
from test_config import EXAMPLES, FULL
from test_config_health import HTTP
from test_config_health import RIGHT as CHECKS
from test_config_service import COMMAND, UNITS
from test_config_traffic import CADDY
from test_config_traffic import RIGHT as BALANCERS

from tidegate_controller.cli.commands import tidegate
from tidegate_controller.config import Config, load
from tidegate_controller.config_spelled import differences, spelled
from tidegate_controller.core.spec import Spec

AWKWARD = r"""
[service]
command = ["a\"b", "\\", "{{{port}}}", "", "ü 😀 \U000F0000"]
environment = { A = "'", B_1 = "" }
"""
SAMPLES = {
    "smallest": SMALLEST,
    "full": FULL,
    "awkward": changed('[service]\ncommand = ["./serve", "--port", "{port}"]\n', AWKWARD),
    "a name with a dot": SMALLEST.replace("environments.production", 'environments."eu.prod-1"'),
    "overrides": f"{SMALLEST}[environments.s]\nnodes = ['a']\nhealth.unit = true\n",
    **{written: changed(HTTP, written) for written in CHECKS},
    **{written: changed(CADDY, written) for written in BALANCERS},
    **{written: changed(COMMAND, written) for written in UNITS},
    **{str(file.parent.name): file.read_text() for file in EXAMPLES},
}


@pytest.mark.parametrize("text", SAMPLES.values(), ids=SAMPLES.keys())
def test_what_is_spelled_is_read_back_as_the_same(tmp_path: Path, text: str) -> None:
    first = read(tmp_path, text)
    second = read(tmp_path, spelled(first.app, first.specs))
    assert second == Config(path=tmp_path / "tidegate.toml", app=first.app, specs=first.specs)


def test_every_default_is_spelled(tmp_path: Path) -> None:
    first = read(tmp_path, SMALLEST)
    text = spelled(first.app, first.specs)
    for line in ('stop_grace = "10s"', "releases = 5", 'migrate = "once"', "protected = false"):
        assert f"\n{line}\n" in text


def check(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(tidegate, ["config", "check", *map(str, words)])
    assert result.exception is None, result.exception
    return result.exit_code, result.stdout


def test_a_right_file_is_printed_for_each_environment(tmp_path: Path) -> None:
    first = read(tmp_path, FULL)
    file = tmp_path / "tidegate.toml"
    code, said = check("-c", file)
    assert code == 0
    assert said.startswith(f"# {file} is right. What counts, defaults included:\n")
    file.write_text(said)
    assert load(file).specs == first.specs
    _, said = check("-c", file, "-e", "staging")
    assert "[environments.staging.service]" in said
    assert "production" not in said


def test_as_json_it_is_what_the_controller_is_sent(tmp_path: Path) -> None:
    first = read(tmp_path, FULL)
    _, said = check("-c", tmp_path / "tidegate.toml", "--json")
    answer = json.loads(said)
    assert list(answer) == ["file", "app", "environments"]
    specs = msgspec.convert(answer["environments"], dict[str, Spec])
    assert specs == first.specs


def test_what_is_otherwise_is_told_in_the_words_of_the_file_and_tables_key_by_key(
    tmp_path: Path,
) -> None:
    more = """
[service]
command = ["./serve", "--port", "{port}"]
environment = { NODE = "{node}", KEPT = "1", GONE = "x" }
ports = { blue = 8001, green = 8002 }
[health]
tcp = "127.0.0.1:{port}"
every = "250ms"
"""
    less = """
[service]
command = ["./serve", "{port}"]
environment = { NODE = "n", KEPT = "1", LEVEL = "5" }
[health]
exec = ["true"]
every = "500ms"
[artifact]
strip_components = 1
"""
    head = 'app = "shop"\n[environments.production]\nnodes = ["a"]\n'
    tail = '[traffic]\nadapter = "none"\n'
    before, after = (
        read(tmp_path, head + text + tail).environment(None).settings for text in (more, less)
    )
    assert differences(before, before) == []
    assert differences(before, after) == [
        'service.command: ["./serve", "--port", "{port}"] -> ["./serve", "{port}"]',
        'service.environment.NODE: "{node}" -> "n"',
        'service.environment.GONE: "x" -> not given',
        "service.ports.blue: 8001 -> not given",
        "service.ports.green: 8002 -> not given",
        'health.tcp: "127.0.0.1:{port}" -> not given',
        "health.every: 250ms -> 500ms",
        'service.environment.LEVEL: not given -> "5"',
        'health.exec: not given -> ["true"]',
        "artifact.strip_components: not given -> 1",
    ]
