"""What `tidegate init` writes: a file that is right whatever was answered, comments included."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tidegate_controller.cli.commands import tidegate
from tidegate_controller.config import load
from tidegate_controller.core.spec import GrpcProbe, HttpProbe, Spec, TcpProbe, Traffic, UnitProbe
from tidegate_controller.errors import UsageError
from tidegate_controller.first_config import (
    app_of,
    command_of,
    health_of,
    nodes_of,
    ports_of,
    traffic_command_of,
)

HELLO = Path(__file__).parents[2] / "examples/hello"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An app's folder, where one stands."""
    home = tmp_path / "shop"
    home.mkdir()
    (home / "Procfile").write_text("web: ./serve --port $PORT\n")
    (home / "serve.go").write_text('"/healthz"')
    monkeypatch.chdir(home)
    return home


def init(*words: str) -> Result:
    return CliRunner().invoke(tidegate, ["init", *words])


def written(*words: str) -> Spec:
    """What counts after that."""
    result = init(*words)
    assert result.exception is None, result.exception
    return load(Path("tidegate.toml")).environment()


def refusal(*words: str) -> UsageError:
    result = init(*words)
    assert isinstance(result.exception, UsageError)
    return result.exception


# --- What is written -----------------------------------------------------------------------------


def test_without_a_word_it_is_as_the_folder_says(folder: Path) -> None:
    spec = written()
    assert (spec.app, spec.environment, spec.nodes) == ("shop", "production", {"role": "web"})
    assert spec.settings.service.command == ("./serve", "--port", "{port}")
    assert spec.settings.health.probe == HttpProbe(url="http://127.0.0.1:{port}/healthz")
    assert spec.traffic == Traffic(
        adapter="caddy", directory=str(folder / "traffic"), listen="127.0.0.1:8080"
    )


def test_every_answer_can_be_given(folder: Path) -> None:
    spec = written(
        *("--app", "blog", "-e", "eu.prod", "--nodes", "web-1,web-2"),
        *("--command", "./run 'a b' {slot}", "--ports", "8001, 8002", "--health", "tcp"),
        *("--traffic", "exec", "--traffic-command", "lb {environment}"),
    )
    assert (spec.app, spec.environment, spec.nodes) == ("blog", "eu.prod", ("web-1", "web-2"))
    assert spec.settings.service.command == ("./run", "a b", "{slot}")
    assert spec.settings.service.ports == {"blue": 8001, "green": 8002}
    assert spec.settings.health.probe == TcpProbe(address="127.0.0.1:{port}")
    assert spec.traffic == Traffic(adapter="exec", command=("lb", "eu.prod"))


@pytest.mark.parametrize("traffic", ["caddy", "none", "exec"])
@pytest.mark.parametrize("health", ["/", "https://a:{port}/x", "tcp", "grpc", "unit"])
def test_a_line_that_is_commented_out_may_be_taken_into_use(
    folder: Path, traffic: str, health: str
) -> None:
    command = ["--traffic-command", "lb"] if traffic == "exec" else []
    before = written("--health", health, "--traffic", traffic, *command)
    text = Path("tidegate.toml").read_text()
    keys = re.findall(r"^# (\w+) = ", text, re.MULTILINE)
    assert keys == ["strategy", "protected", "ports", "environment", "environment_file", "user"]
    Path("tidegate.toml").write_text(re.sub(r"^# (\w+ = )", r"\1", text, flags=re.MULTILINE))
    after = load(Path("tidegate.toml")).environment()
    assert after.protected
    assert after.settings.service.user == "www-data"
    assert after.settings.health == before.settings.health


@pytest.mark.parametrize("longest", ["x" * 63])
def test_no_line_is_longer_than_a_screen_is_wide(folder: Path, longest: str) -> None:
    written("--app", longest, "-e", longest, "--command", "./serve", "--nodes", f"role={longest}")
    lines = Path("tidegate.toml").read_text().splitlines()
    assert [line for line in lines if len(line) > 100] == []


def test_it_looks_as_the_example_does(folder: Path) -> None:
    def heads(file: Path) -> list[str]:
        lines = file.read_text().splitlines()
        return [line.split("]")[1].strip() for line in lines if line.startswith("[")]

    written()
    assert heads(Path("tidegate.toml")) == heads(HELLO / "tidegate.toml")


def test_it_ends_with_what_to_type_next(folder: Path) -> None:
    result = init()
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "wrote tidegate.toml",
        "  app      shop in production, on role=web",
        "  command  ./serve --port {port}  (from Procfile)",
        "  health   http://127.0.0.1:{port}/healthz  (from serve.go)",
        "  traffic  caddy",
        "  next: tidegate config check",
        "  next: tidegate traffic caddyfile > Caddyfile",
        "  next: tar -czf ../shop-1.tar.gz --exclude=./traffic .",
        "  next: tidegate deploy --artifact ../shop-1.tar.gz --version 1",
    ]


def test_as_json_it_is_one_document(folder: Path) -> None:
    (folder / "deploy").mkdir()
    answer = json.loads(init("--json", "-c", "deploy/a b.toml", "--command", "a").stdout)
    assert (answer["file"], answer["app"], answer["environment"]) == (
        "deploy/a b.toml",
        "deploy",
        "production",
    )
    assert answer["next"][0] == "tidegate config check -c 'deploy/a b.toml'"


# --- What is refused -----------------------------------------------------------------------------


def test_a_file_that_is_there_is_not_replaced_unasked(folder: Path) -> None:
    Path("tidegate.toml").write_text("mine")
    error = refusal()
    assert error.message == "tidegate.toml is there already"
    assert "--force" in error.hint
    assert Path("tidegate.toml").read_text() == "mine"
    assert written("--force").app == "shop"


def test_where_nothing_says_how_to_start_the_app_the_flag_is_named(folder: Path) -> None:
    (folder / "Procfile").unlink()
    error = refusal()
    assert error.message == f"nothing in {folder} says what is to be given as --command"
    assert error.hint == 'give it: tidegate init --command "./serve --port {port}"'
    assert not Path("tidegate.toml").exists()


def test_a_command_that_no_file_can_hold_is_not_offered(folder: Path) -> None:
    (folder / "Procfile").write_text("web: ./serve {nope}\n")
    assert "--command" in refusal().message


def test_all_that_is_wrong_is_said_at_once(folder: Path) -> None:
    error = refusal("--app", "../../x", "--nodes", "a=b,c", "--health", "ping", "--traffic", "lb")
    flags = [line.partition(":")[0] for line in error.message.splitlines()]
    assert flags == ["--app", "--nodes", "--health", "--traffic"]
    assert not Path("tidegate.toml").exists()


def test_an_answer_that_has_no_use_is_refused(folder: Path) -> None:
    assert refusal("--traffic-command", "lb").message == (
        "--traffic-command is for --traffic exec only"
    )
    assert (
        refusal("--traffic", "exec").hint
        == "give it: tidegate init --traffic-command ./move-traffic"
    )


def test_a_folder_that_is_not_there_is_said(folder: Path) -> None:
    error = refusal("-c", "nowhere/tidegate.toml", "--command", "a")
    assert error.message == "nowhere/tidegate.toml cannot be written: No such file or directory"


# --- Answers as people type them -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("./serve --port {port}", ["./serve", "--port", "{port}"]),
        ("./serve 'a;b' \"c|d\" {{x}}", ["./serve", "a;b", "c|d", "{{x}}"]),
        ("./serve > log", ["sh", "-c", "exec ./serve > log"]),
        ("./serve -p ${PORT:-80}", ["sh", "-c", "exec ./serve -p ${{PORT:-80}}"]),
        ("FOO=$HOME ./serve {port}", ["sh", "-c", "FOO=$HOME exec ./serve $PORT"]),
        ("A=1 B='2' ./serve", ["sh", "-c", "A=1 B='2' exec ./serve"]),
        ("./serve --a=1 '$x' \\;", ["./serve", "--a=1", "$x", ";"]),
        ('./serve "$x"', ["sh", "-c", 'exec ./serve "$x"']),
        ("./serve *.conf", ["sh", "-c", "exec ./serve *.conf"]),
        ("cd src && ./serve", ["sh", "-c", "cd src && ./serve"]),
    ],
)
def test_a_command_that_needs_a_shell_gets_one(text: str, words: list[str]) -> None:
    assert command_of(text) == words


@pytest.mark.parametrize(
    ("of", "text", "value"),
    [
        (nodes_of, "role=web, zone=a", {"role": "web", "zone": "a"}),
        (nodes_of, "web-1", ["web-1"]),
        (ports_of, "any", None),
        (ports_of, "8001,8002", {"blue": 8001, "green": 8002}),
        (health_of, "/up?full=1", ("http", "http://127.0.0.1:{port}/up?full=1")),
        (health_of, "unit", ("unit", True)),
        (traffic_command_of, "a 'b c'", ["a", "b c"]),
    ],
)
def test_an_answer_becomes_what_the_file_holds(
    of: Callable[[str], Any], text: str, value: object
) -> None:
    assert of(text) == value


@pytest.mark.parametrize(
    ("of", "text", "said"),
    [
        (app_of, "Shop", "must be a name"),
        (nodes_of, "", "must be labels such as"),
        (nodes_of, "a=b,c", "labels and names cannot be mixed"),
        (nodes_of, "role=*", "must be a label such as"),
        (nodes_of, "a,a", '"a" is listed twice'),
        (command_of, "", "must be an array of strings"),
        (command_of, "./serve {nope}", "unknown placeholder {nope}"),
        (command_of, "'", "cannot be taken apart into words: No closing quotation"),
        (ports_of, "8001", "must be any, or two ports such as 8001,8002"),
        (ports_of, "1,1", "blue and green must be two different ports"),
        (ports_of, "0,1", "must be a whole number from 1 to 65535"),
        (health_of, "ping", "must be a path such as /health"),
        (health_of, "http://127.0.0.1:80/", "names neither {port} nor {slot}"),
        (traffic_command_of, "a {port}", "unknown placeholder {port}"),
    ],
)
def test_an_answer_that_no_file_can_hold_is_refused(
    of: Callable[[str], Any], text: str, said: str
) -> None:
    with pytest.raises(UsageError) as raised:
        of(text)
    assert said in raised.value.message


def test_kinds_that_are_offered_are_kinds(folder: Path) -> None:
    probes = {"grpc": GrpcProbe(address="127.0.0.1:{port}"), "unit": UnitProbe()}
    for kind, probe in probes.items():
        assert written("--force", "--health", kind).settings.health.probe == probe
