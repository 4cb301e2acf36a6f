"""`[environments.NAME.…]`: what an environment says otherwise than the tables for all."""

from pathlib import Path

import msgspec
import pytest
from config_samples import SMALLEST, assert_said, cases, changed, problems, read

from tidegate_controller.config_keys import SECTIONS
from tidegate_controller.core.spec import HttpProbe, Spec, TcpProbe, Traffic, UnitProbe

TWO = f"""\
{SMALLEST}
[environments.staging]
nodes = ["s-1"]
"""
HTTP = 'http = "http://127.0.0.1:{port}/health"'


def specs(directory: Path, *, base: str = "", own: str) -> tuple[Spec, Spec]:
    """Of production and of staging, where `base` is added to the tables for all."""
    loaded = read(directory, f"{TWO}{own}\n{base}")
    return loaded.environment("production"), loaded.environment("staging")


# --- What counts ---------------------------------------------------------------------------------


def test_an_environment_without_tables_of_its_own_has_those_for_all(tmp_path: Path) -> None:
    production, staging = specs(tmp_path, own="")
    assert msgspec.structs.replace(staging, environment="production", nodes={"role": "web"}) == (
        production
    )


def test_a_value_of_an_environment_counts_there_and_nowhere_else(tmp_path: Path) -> None:
    own = '[environments.staging.rollout]\nsoak = "1s"\n'
    production, staging = specs(tmp_path, base='[rollout]\nsoak = "1h"\ndrain = "9s"', own=own)
    assert (production.pace.soak_seconds, staging.pace.soak_seconds) == (3600.0, 1.0)
    assert (production.pace.drain_seconds, staging.pace.drain_seconds) == (9.0, 9.0)


@pytest.mark.parametrize(
    ("own", "changes"),
    [
        ('service.user = "www"', {"settings.service.user": "www"}),
        ('health.every = "9s"', {"settings.health.every_seconds": 9.0}),
        ('hooks.migrate = "never"', {"settings.hooks.migrate": "never"}),
        ('rollout.soak = "9s"', {"pace.soak_seconds": 9.0}),
        ("failures.max_failed_nodes = 9", {"policy.max_failed_nodes": "9"}),
        (
            "checks.x.http = 'http://a/'",
            {
                "checks.x.command": (),
                "checks.x.http": "http://a/",
                "checks.x.status": ("200-299",),
                "checks.x.body": "",
                "checks.x.timeout_seconds": 10.0,
                "checks.x.every_seconds": 5.0,
                "checks.x.deadline_seconds": 60.0,
            },
        ),
        ("retention.releases = 9", {"keep.releases": 9}),
        ("artifact.strip_components = 9", {"settings.strip_components": 9}),
        ("traffic.lanes = 9", {"traffic.lanes": 9}),
        ("protected = true", {"protected": True}),
    ],
)
def test_every_table_may_be_said_otherwise(
    tmp_path: Path, own: str, changes: dict[str, object]
) -> None:
    def flat(value: object, name: str = "") -> dict[str, object]:
        if not isinstance(value, dict):
            return {name: value}
        inner = (flat(each, f"{name}.{key}".lstrip(".")) for key, each in value.items())
        return {name: value for found in inner for name, value in found.items()}

    before, after = (flat(msgspec.to_builtins(spec)) for spec in specs(tmp_path, own=own))
    different = {key: value for key, value in after.items() if before.get(key) != value}
    assert different == {**changes, "environment": "staging", "nodes": ("s-1",)}


def test_each_section_is_among_those_that_were_tried() -> None:
    assert set(SECTIONS) == {
        *("service", "health", "hooks", "rollout", "failures", "checks"),
        *("retention", "artifact", "traffic"),
    }


def test_tables_in_tables_merge_key_by_key_and_arrays_replace(tmp_path: Path) -> None:
    own = """
[environments.staging.service]
command = ["./slow"]
environment = { LEVEL = "debug", MORE = "1" }
ports.blue = 9001
[environments.staging.health.headers]
Host = "staging"
"""
    text = changed("[service]", '[service]\nenvironment = { LEVEL = "info", A = "b" }', TWO)
    text = changed("[health]", '[health]\nheaders = { Host = "shop", X = "y" }', text)
    text = changed("[service]", "[service]\nports = { blue = 8001, green = 8002 }", text)
    staging = read(tmp_path, text + own).environment("staging").settings
    assert staging.service.command == ("./slow",)
    assert staging.service.environment == {"LEVEL": "debug", "A": "b", "MORE": "1"}
    assert staging.service.ports == {"blue": 9001, "green": 8002}
    assert isinstance(staging.health.probe, HttpProbe)
    assert staging.health.probe.headers == {"Host": "staging", "X": "y"}


def test_another_kind_of_check_replaces_the_former_with_its_options(tmp_path: Path) -> None:
    text = changed(HTTP, f'{HTTP}\nstatus = [200]\nbody = "ok"\nfailures = 7', TWO)
    own = '[environments.staging.health]\ntcp = "127.0.0.1:{port}"\n'
    health = read(tmp_path, text + own).environment("staging").settings.health
    assert health.probe == TcpProbe(address="127.0.0.1:{port}")
    assert health.failures == 7


def test_the_same_kind_of_check_keeps_the_options(tmp_path: Path) -> None:
    text = changed(HTTP, f"{HTTP}\nstatus = [200]", TWO)
    own = '[environments.staging.health]\nhttp = "http://a:{port}/"\n'
    health = read(tmp_path, text + own).environment("staging").settings.health
    assert health.probe == HttpProbe(url="http://a:{port}/", status=("200",))


def test_an_option_alone_is_added_to_the_check_for_all(tmp_path: Path) -> None:
    _, staging = specs(tmp_path, own='[environments.staging.health]\nbody = "ok"\n')
    assert isinstance(staging.settings.health.probe, HttpProbe)
    assert staging.settings.health.probe.body == "ok"


def test_another_adapter_replaces_the_former_with_its_options(tmp_path: Path) -> None:
    own = '[environments.staging.traffic]\nadapter = "none"\nmanual = "warn"\n'
    _, staging = specs(tmp_path, own=own)
    assert staging.traffic == Traffic(adapter="none", manual="warn")


def test_what_every_environment_says_itself_need_not_be_said_for_all(tmp_path: Path) -> None:
    own = """
[environments.production]
nodes = ["a"]
traffic = { adapter = "none" }
health.unit = true
service.command = ["./serve"]
"""
    found = read(tmp_path, f'app = "shop"\n{own}').environment()
    assert found.traffic == Traffic(adapter="none")
    assert found.settings.health.probe == UnitProbe()


def test_placeholders_in_traffic_tell_environments_apart(tmp_path: Path) -> None:
    loaded = read(tmp_path, changed("/srv/upstreams", "lb/{environment}", TWO))
    directories = [loaded.environment(name).traffic.directory for name in loaded.environments]
    assert directories == [f"{tmp_path}/lb/production", f"{tmp_path}/lb/staging"]


# --- What is wrong -------------------------------------------------------------------------------

WRONG = """
service.comand = []         => 19: [environments.staging.service] comand: unknown key; did you mea…
servce.command = []         => 19: [environments.staging] servce: unknown key; did you mean "servi…
service.command = "a"       => 19: [environments.staging.service] command: must be an array of str…
service.environment.A = 1   => 19: [environments.staging.service] environment.A: must be a string …
service.command = ["{x}"]   => 19: [environments.staging.service] command[0]: unknown placeholder …
service = 1                 => 19: [environments.staging.service]: must be a table with the keys m…
health.tls = true           => 19: [environments.staging.health] tls: belongs to grpc; this check …
health.every = nan          => 19: [environments.staging.health] every: must be a duration: whole …
rollout.soak = "5 parsecs"  => 19: [environments.staging.rollout] soak: must be a duration: whole …
rollout.soak = "-1s"        => 19: [environments.staging.rollout] soak: must be a duration: whole …
rollout.soak = 1e999        => 19: [environments.staging.rollout] soak: must be a duration: whole …
traffic.manual = "warn"     => 19: [environments.staging.traffic] manual: belongs to none; this ad…
traffic.adapter = "nginx"   => 19: [environments.staging.traffic] adapter: not yet: this version k…
service.ports = { blue = 0, green = 1 } => 19: [environments.staging.service] ports.blue: must be …
service.ports = { blue = 1 }  => 19: [environments.staging.service] ports.green: missing; for exam…
app = "other"               => 19: [environments.staging] app: unknown key; did you mean "appr…
health.deadline = "4s"      => 19: [environments.staging.health] deadline: healthy_after (5s) must…
"""


@pytest.mark.parametrize(("written", "expected"), cases(WRONG))
def test_what_is_wrong_in_an_environment_is_named_once_with_its_place_there(
    tmp_path: Path, written: str, expected: str
) -> None:
    (said,) = problems(tmp_path, f"{TWO}\n{written}\n")
    assert_said(said, expected)


def test_what_is_wrong_for_all_is_named_once_however_many_environments_there_are(
    tmp_path: Path,
) -> None:
    (said,) = problems(tmp_path, changed("[health]\n", '[health]\nevry = "1s"\n', TWO))
    assert said == '10: [health] evry: unknown key; did you mean "every"?'
    (said,) = problems(tmp_path, changed("[health]\n", '[health]\ndeadline = "5s"\n', TWO))
    assert said == "10: [health] deadline: healthy_after (5s) must be shorter than deadline (5s)"


def test_a_wrong_value_is_wrong_even_where_every_environment_says_otherwise(
    tmp_path: Path,
) -> None:
    text = f'{SMALLEST}[rollout]\nsoak = 5\n[environments.production.rollout]\nsoak = "1s"\n'
    (said,) = problems(tmp_path, text)
    assert_said(said, "16: [rollout] soak: must be a duration: …")


def test_what_arises_by_merging_alone_names_the_environment(tmp_path: Path) -> None:
    text = changed("[health]\n", '[health]\nhealthy_after = "10s"\n', TWO)
    (said,) = problems(tmp_path, f'{text}\n[environments.staging.health]\ndeadline = "9s"\n')
    assert said == (
        "10: [health] healthy_after: in staging: healthy_after (10s) must be shorter than "
        "deadline (9s)"
    )


def test_what_is_missing_names_the_environments_that_miss_it(tmp_path: Path) -> None:
    without = changed('\n[traffic]\nadapter = "caddy"\ndirectory = "/srv/upstreams"\n', "", TWO)
    (said,) = problems(tmp_path, without)
    assert said == '1: [traffic]: missing; for example [traffic] with adapter = "caddy"'
    (said,) = problems(tmp_path, f'{without}traffic = {{ adapter = "none" }}\n')
    assert said.startswith("1: [traffic]: in production: missing; for example [traffic] with ")


def test_what_every_environment_puts_right_is_no_problem(tmp_path: Path) -> None:
    text = changed("[health]\n", '[health]\ndeadline = "5s"\n')
    own = '[environments.production.health]\nhealthy_after = "1s"\n'
    assert read(tmp_path, text + own).environment().settings.health.deadline_seconds == 5.0


def test_an_environment_with_an_impossible_name_is_refused_once(tmp_path: Path) -> None:
    text = SMALLEST.replace("environments.production", 'environments."../../x"')
    (said,) = problems(tmp_path, text)
    assert_said(said, '3: [environments."../../x"]: must be a name (1 to 63 of a-z, 0-9, …')


def test_an_empty_name_is_no_way_into_the_tables_for_all(tmp_path: Path) -> None:
    text = f"{SMALLEST}[environments.'']\nnodes = ['a']\nservice.command = 1\n"
    said = [line.partition(": must")[0] for line in problems(tmp_path, text)]
    assert said == ['15: [environments.""]', '17: [environments."".service] command']
