"""`tidegate.toml` as a whole: what it becomes, what it must hold, and what else a file can be."""

from pathlib import Path

import msgspec
import pytest
from config_samples import SMALLEST, assert_said, cases, changed, problems, read

from tidegate_controller import config, config_keys, config_service, config_traffic
from tidegate_controller.config import load
from tidegate_controller.config_checks import Keys
from tidegate_controller.core.spec import (
    Health,
    Hooks,
    HttpProbe,
    Keep,
    Pace,
    Service,
    Settings,
    Spec,
    Traffic,
    Waves,
)
from tidegate_controller.errors import UsageError

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*/tidegate.toml"))

FULL = """\
app = "shop"

[environments.staging]
nodes = ["web-1", "web-2"]
strategy = "blue-green"
protected = true

[environments.production]
nodes = { role = "web", zone = "a" }

[service]
manager = "process"
command = ["./serve", "--port={port}", ""]
user = "www-data"
environment_file = "/etc/shop/env"
environment = { LOG_LEVEL = "info", WHERE = "{slot} of {{{app}}}", EMPTY = "" }
ports = { blue = 8001, green = 8002 }
stop_grace = "1m30s"

[health]
http = "https://localhost:{port}/health?{environment}"
every = "250ms"
timeout = "1s"
failures = 5
healthy_after = "10s"
deadline = "6m"

[hooks]
install = false
install_timeout = "2m"
migrate = "every-node"
migrate_timeout = "2h"

[retention]
releases = 3
age = "90d"

[artifact]
strip_components = 2

[rollout]
soak = "1h"
drain = "0s"
keep_old_for = "2d"
prepare_deadline = "20m"
away_deadline = "90s"

[traffic]
adapter = "caddy"
directory = "lb"
lanes = 7
"""


# --- What is right -------------------------------------------------------------------------------


def test_what_is_not_written_has_the_default_of_the_spec(tmp_path: Path) -> None:
    assert read(tmp_path, SMALLEST).environment() == Spec(
        app="shop",
        environment="production",
        nodes={"role": "web"},
        settings=Settings(
            service=Service(command=("./serve", "--port", "{port}")),
            health=Health(probe=HttpProbe(url="http://127.0.0.1:{port}/health")),
        ),
        traffic=Traffic(adapter="caddy", directory="/srv/upstreams"),
    )


def test_every_key_reaches_its_place_in_the_spec(tmp_path: Path) -> None:
    loaded = read(tmp_path, FULL)
    assert loaded.app == "shop"
    assert loaded.environments == ("staging", "production")
    assert loaded.environment("production").nodes == {"role": "web", "zone": "a"}
    service = Service(
        manager="process",
        command=("./serve", "--port={port}", ""),
        user="www-data",
        environment={"LOG_LEVEL": "info", "WHERE": "{slot} of {{{app}}}", "EMPTY": ""},
        environment_file="/etc/shop/env",
        ports={"blue": 8001, "green": 8002},
        stop_grace_seconds=90.0,
    )
    health = Health(
        probe=HttpProbe(url="https://localhost:{port}/health?{environment}"),
        every_seconds=0.25,
        timeout_seconds=1.0,
        failures=5,
        healthy_after_seconds=10.0,
        deadline_seconds=360.0,
    )
    pace = Pace(
        soak_seconds=3600.0,
        drain_seconds=0.0,
        keep_old_seconds=172_800.0,
        prepare_seconds=1200.0,
        away_seconds=90.0,
    )
    assert loaded.environment("staging") == Spec(
        app="shop",
        environment="staging",
        strategy="blue-green",
        nodes=("web-1", "web-2"),
        protected=True,
        settings=Settings(
            service=service,
            health=health,
            hooks=Hooks(
                install=False, install_seconds=120.0, migrate="every-node", migrate_seconds=7200.0
            ),
            strip_components=2,
        ),
        traffic=Traffic(adapter="caddy", directory=str(tmp_path / "lb"), lanes=7),
        pace=pace,
        keep=Keep(releases=3, age_seconds=90 * 86_400.0),
    )


@pytest.mark.parametrize("file", EXAMPLES, ids=str)
def test_the_examples_are_right(file: Path) -> None:
    assert load(file).environments


def test_a_spec_survives_the_way_through_the_log(tmp_path: Path) -> None:
    spec = read(tmp_path, FULL).environment("staging")
    assert msgspec.json.decode(msgspec.json.encode(spec), type=Spec) == spec


@pytest.mark.parametrize(
    ("keys", "struct"),
    [
        (config_service.SERVICE, Service),
        (config_keys.HOOKS, Hooks),
        (config_keys.ROLLOUT, Pace),
        (config_keys.RETENTION, Keep),
        (config_traffic.TRAFFIC, Traffic),
    ],
)
def test_the_schema_and_the_spec_have_the_same_fields_and_need_the_same(
    keys: Keys, struct: type[msgspec.Struct]
) -> None:
    assert {key.field for key in keys.values()} == set(struct.__struct_fields__)
    needed = {field.name for field in msgspec.structs.fields(struct) if field.required}
    assert {key.field for key in keys.values() if key.needed} == needed


def test_no_part_of_the_spec_is_out_of_reach() -> None:
    settings = {"service", "health", "hooks", *config_keys.ARTIFACT}
    assert settings == set(Settings.__struct_fields__)
    sections = {key.field for name, key in config_keys.SECTIONS.items() if name not in settings}
    own = {key.field for key in config_keys.ENVIRONMENT.values()}
    waves = set(Waves.__struct_fields__)
    assert waves <= own
    reached = (sections - {"artifact"}) | (own - waves) | {"app", "environment", "settings"}
    assert reached | {"waves"} == set(Spec.__struct_fields__)


@pytest.mark.parametrize("start", ["\ufeff", "# a comment\r\n"])
def test_a_byte_order_mark_and_other_line_ends_do_no_harm(tmp_path: Path, start: str) -> None:
    text = start + SMALLEST.replace("\n", "\r\n")
    assert read(tmp_path, text).app == "shop"
    (said,) = problems(tmp_path, text + 'lane = "x"\r\n')
    line = text.count("\n") + 1
    assert said == f'{line}: [traffic] lane: unknown key; did you mean "lanes"?'


def test_a_relative_directory_counts_from_the_file_not_from_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "shop"
    home.mkdir()
    monkeypatch.chdir(tmp_path)
    for given in (home, Path("shop")):
        spec = read(given, changed("/srv/upstreams", "lb")).environment()
        assert spec.traffic.directory == str(home / "lb")


# --- Which environment ---------------------------------------------------------------------------


def test_without_a_name_the_only_environment_is_meant(tmp_path: Path) -> None:
    assert read(tmp_path, SMALLEST).environment(None).environment == "production"


def test_without_a_name_several_environments_are_listed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has several environments: staging, production") as e:
        read(tmp_path, FULL).environment()
    assert e.value.hint == "name one with -e"


def test_an_environment_that_is_not_there_names_the_nearest_and_all(tmp_path: Path) -> None:
    loaded = read(tmp_path, FULL)
    with pytest.raises(UsageError, match='no environment "prod"; did you mean "production"') as e:
        loaded.environment("prod")
    assert e.value.hint == "name one with -e: staging, production"
    with pytest.raises(UsageError, match='no environment "x"; known here: staging, production'):
        loaded.environment("x")


# --- Files that are none -------------------------------------------------------------------------


def test_a_missing_file_says_so_and_how_to_name_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        load(tmp_path / "tidegate.toml")
    assert raised.value.message == f"{tmp_path}/tidegate.toml: no such file"
    assert "-c" in raised.value.hint


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'app = "shop"\nx = \xff', "2: is not UTF-8 text, as TOML must be"),
        (b"#" * (config.FILE_BYTES + 1), "is larger than 1048576 bytes, so no tidegate.toml"),
        (b"x = " + b"[" * 100_000, "arrays or tables are nested too deeply"),
        (b"x = " + b"9" * 5000, "a number has thousands of digits"),
        (b'app = "shop"\nnodes ', "2: not TOML at its end: Expected '=' after a key…"),
        (b'app = "shop"\n[a\n', "2: not TOML at column 3: Expected ']'…"),
        (b"app = shop\n", "1: not TOML at column 7: Invalid value"),
        (b'\n\napp = "a\x00"\n', "3: not TOML at column 9: Illegal character…"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_not_toml_is_named_with_its_line(
    tmp_path: Path, text: bytes, expected: str
) -> None:
    (said,) = problems(tmp_path, text)
    assert_said(said, expected)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("[health]", "[service]\n[health]", 9),
        ('adapter = "caddy"', 'adapter = "caddy"\nadapter = "caddy"', 14),
        ('{ role = "web" }', '{ role = "web", role = "db" }', 4),
        ('{ role = "web" }', '{ role = "web" }\n[environments.production.nodes]\na = "b"', 5),
        ('{ role = "web" }', '{ role = "web" }\nnodes.zone = "a"', 5),
    ],
)
def test_a_key_twice_is_said_to_be_given_twice(
    tmp_path: Path, old: str, new: str, line: int
) -> None:
    (said,) = problems(tmp_path, changed(old, new))
    assert_said(said, f"{line}: a key or table that was already given above is given again (…")


# --- Unknown and missing keys --------------------------------------------------------------------

UNKNOWN = r"""
ap = 1                 => 1: ap: unknown key; did you mean "app"?
"a b" = 1              => 1: "a b": unknown key; known here: app, environments, service, health, …
"\u001b[2J" = 1        => 1: "\u001b[2J": unknown key; known here: app, …
[health]↵evry = "1s"   => 10: [health] evry: unknown key; did you mean "every"?
[health]↵Every = "1s"  => 10: [health] Every: unknown key; did you mean "every"?
[health]↵'healthy-after' = 1 => 10: [health] healthy-after: unknown key; did you mean "he…
[health]↵colour = 1    => 10: [health] colour: unknown key; known here: http, tcp, exec, grpc, uni…
[health]↵↵# x↵evry = 1 => 12: [health] evry: unknown key; did you mean "every"?
[service]↵comand = []  => 7: [service] comand: unknown key; did you mean "command"?
[service]↵colour = "a" => 7: [service] colour: unknown key; known here: manager, command, un…
[hooks]↵instal = true  => 16: [hooks] instal: unknown key; did you mean "install"?
[retention]↵releeses = 1 => 16: [retention] releeses: unknown key; did you mean "releases"?
[artifact]↵strip = 1   => 16: [artifact] strip: unknown key; did you mean "strip_components"?
[traffic]↵lane = 1     => 13: [traffic] lane: unknown key; did you mean "lanes"?
[traffic]↵app = "b"    => 13: [traffic] app: unknown key; known here: adapter, directory, lanes, l…
[environments.production]↵node = 1 => 4: [environments.production] node: unknown key; did you mea…
"""


@pytest.mark.parametrize(("written", "expected"), cases(UNKNOWN))
def test_an_unknown_key_is_named_with_its_line_and_the_nearest_right_one(
    tmp_path: Path, written: str, expected: str
) -> None:
    table, _, _ = written.partition("\n")
    in_place = f"{written}\n{SMALLEST}"
    if table.startswith("["):
        in_place = changed(table, written) if table in SMALLEST else f"{SMALLEST}{written}\n"
    (said,) = problems(tmp_path, in_place)
    assert_said(said, expected)


def test_an_unknown_table_names_the_nearest_too(tmp_path: Path) -> None:
    (said,) = problems(tmp_path, f"{SMALLEST}\n[rolout]\nsoak = '1s'\n")
    assert said == '16: [rolout]: unknown key; did you mean "rollout"?'


def test_what_is_wrong_inside_a_misspelt_table_is_said_at_once(tmp_path: Path) -> None:
    said = problems(tmp_path, f"{SMALLEST}\n[rolout]\nsoak = 3\ndrian = '1s'\n")
    assert_said(said[0], '16: [rolout]: unknown key; did you mean "rollout"?')
    assert_said(said[1], "17: [rolout] soak: must be a duration…")
    assert_said(said[2], '18: [rolout] drian: unknown key; did you mean "drain"?')
    assert len(said) == 3


def test_a_misspelt_adapter_names_the_nearest(tmp_path: Path) -> None:
    (said,) = problems(tmp_path, changed('"caddy"', '"cady"'))
    assert said.endswith('found the string "cady"; did you mean "caddy"?')


@pytest.mark.parametrize(
    ("gone", "expected"),
    [
        ('app = "shop"\n', '1: app: missing; for example app = "shop"'),
        ('nodes = { role = "web" }', "3: [environments.production] nodes: missing; for example …"),
        ('command = ["./serve", "--port", "{port}"]', "6: [service] command: missing; for exam…"),
        ('http = "http://127.0.0.1:{port}/health"', "9: [health]: does not say how to ask; give…"),
        ('adapter = "caddy"', '12: [traffic] adapter: missing; for example adapter = "caddy"'),
        ('directory = "/srv/upstreams"', "12: [traffic] directory: missing; for example direc…"),
        ('[health]\nhttp = "http://127.0.0.1:{port}/health"', "1: [health]: missing; for exa…"),
        ('[environments.production]\nnodes = { role = "web" }', "1: [environments]: missing; …"),
    ],
)
def test_a_missing_key_is_named_with_its_table_and_an_example(
    tmp_path: Path, gone: str, expected: str
) -> None:
    (said,) = problems(tmp_path, changed(gone, ""))
    assert_said(said, expected)


def test_an_empty_file_lacks_everything_at_once(tmp_path: Path) -> None:
    lacking = [said.split(": ")[1] for said in problems(tmp_path, "")]
    assert lacking == ["app", "[environments]", "[service]", "[health]", "[traffic]"]


def test_all_problems_are_reported_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    wrong = changed('"shop"', '"Shop"').replace('"caddy"', '"nginx"').replace("[health]", "[helth]")
    expected = [
        "1: app: must be a name (1 to 63 of a-z, 0-9, '.', '_' and '-', beginning with a lett…",
        "1: [health]: missing; for example [health] with http = …",
        '9: [helth]: unknown key; did you mean "health"?',
        "13: [traffic] adapter: not yet: this version knows: caddy, exec, none; found the string …",
    ]
    for said, line in zip(problems(tmp_path, wrong), expected, strict=True):
        assert_said(said, line)


def test_each_problem_begins_with_file_and_line_as_the_file_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tidegate.toml").write_text(changed("[health]\n", '[health]\nevry = "1s"\n'))
    with pytest.raises(UsageError) as raised:
        load(Path("tidegate.toml"))
    assert raised.value.message == (
        'tidegate.toml:10: [health] evry: unknown key; did you mean "every"?'
    )
    assert "nothing was done" in raised.value.hint


def test_what_is_said_of_a_hopeless_file_is_bounded(tmp_path: Path) -> None:
    said = problems(tmp_path, "".join(f"k{number}{'x' * 500} = 1\n" for number in range(1000)))
    assert len(said) == config.PROBLEMS_SHOWN + 1
    assert said[-1] == "and 955 more"
    assert max(map(len, said)) < 250
