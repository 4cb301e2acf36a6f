"""`[traffic]` of `tidegate.toml`: adapters, the keys of each, what is said of what is wrong."""

import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner
from config_samples import assert_said, cases, changed, problems, read

from tidegate_controller.cli.commands import tidegate
from tidegate_controller.config_traffic import ADAPTERS, NEEDED, TRAFFIC
from tidegate_controller.core.spec import Traffic
from tidegate_controller.errors import UsageError
from tidegate_controller.traffic import ADAPTERS as RUNNING

CADDY = 'adapter = "caddy"\ndirectory = "/srv/upstreams"'


def traffic(directory: Path, written: str, environment: str = "production") -> Traffic:
    text = changed(CADDY, written).replace("environments.production", f"environments.{environment}")
    return read(directory, text).environment().traffic


# --- What is right -------------------------------------------------------------------------------

RIGHT = {
    CADDY: Traffic(adapter="caddy", directory="/srv/upstreams"),
    f"{CADDY}\nlanes = 7": Traffic(adapter="caddy", directory="/srv/upstreams", lanes=7),
    f'{CADDY}\nlisten = "[::1]:80"': Traffic(
        adapter="caddy", directory="/srv/upstreams", listen="[::1]:80"
    ),
    f'{CADDY}\nlisten = ":8080"': Traffic(
        adapter="caddy", directory="/srv/upstreams", listen=":8080"
    ),
    'adapter = "exec"\ncommand = ["/opt/move", "{{", ""]': Traffic(
        adapter="exec", command=("/opt/move", "{", "")
    ),
    'adapter = "exec"\ncommand = ["move"]\ntimeout = "1m"': Traffic(
        adapter="exec", command=("move",), timeout_seconds=60.0
    ),
    'adapter = "none"': Traffic(adapter="none"),
    'adapter = "none"\nmanual = "wait"': Traffic(adapter="none"),
    'adapter = "none"\nmanual = "warn"': Traffic(adapter="none", manual="warn"),
}


@pytest.mark.parametrize("written", RIGHT)
def test_each_adapter_takes_its_own_keys(tmp_path: Path, written: str) -> None:
    assert traffic(tmp_path, written) == RIGHT[written]


def test_placeholders_are_filled_in_before_the_controller_sees_them(tmp_path: Path) -> None:
    found = traffic(tmp_path, 'adapter = "exec"\ncommand = ["move", "{app}-{environment}"]', "qa")
    assert found.command == ("move", "shop-qa")
    found = traffic(tmp_path, 'adapter = "caddy"\ndirectory = "/lb/{app}/{environment}"', "qa")
    assert found.directory == "/lb/shop/qa"


@pytest.mark.parametrize(
    ("program", "full"), [("./move", "move"), ("lb/move", "lb/move"), ("../move", "../move")]
)
def test_a_relative_program_counts_from_the_file_not_from_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, full: str
) -> None:
    home = tmp_path / "shop"
    home.mkdir()
    monkeypatch.chdir(tmp_path)
    for given in (home, Path("shop")):
        found = traffic(given, f'adapter = "exec"\ncommand = ["{program}", "./as-it-is"]')
        assert found.command == (str(home / full), "./as-it-is")


def test_a_program_without_a_slash_is_looked_for_where_programs_are(tmp_path: Path) -> None:
    (tmp_path / "move").touch()
    assert traffic(tmp_path, 'adapter = "exec"\ncommand = ["move"]').command == ("move",)


def test_every_adapter_that_may_be_written_is_there_with_all_keys() -> None:
    assert set(ADAPTERS) == set(RUNNING)
    owned = [key for keys in ADAPTERS.values() for key in keys]
    assert sorted([*owned, "adapter"]) == sorted(TRAFFIC)
    assert set(NEEDED) <= set(owned)


# --- What is wrong -------------------------------------------------------------------------------

WRONG = r"""
adapter = "haproxy"  => 13: adapter: not yet: this version knows: caddy, exec, none; found the str…
adapter = 1          => 13: adapter: not yet: this version knows: caddy, exec, none; found the num…
adapter = []         => 13: adapter: not yet: this version knows: caddy, exec, none; found an empt…
adapter = "caddy"    => 12: directory: missing; for example directory = "/srv/caddy/upstreams"
adapter = "caddy"↵directory = 1         => 14: directory: must be a directory such as "/srv/caddy/…
adapter = "caddy"↵directory = ""        => 14: directory: must be a directory such as "/srv/caddy/…
adapter = "caddy"↵directory = "~/lb"    => 14: directory: ~ is not expanded here; write the path …
adapter = "caddy"↵directory = "a\u0000" => 14: directory: must not hold control characters; found…
adapter = "caddy"↵directory = "{port}"  => 14: directory: unknown placeholder {port}; known: {app…
adapter = "caddy"↵directory = "a"↵lanes = 0    => 15: lanes: must be a whole number from 1 to 100…
adapter = "caddy"↵directory = "a"↵lanes = 1001 => 15: lanes: must be a whole number from 1 to 100…
adapter = "caddy"↵directory = "a"↵lanes = nan  => 15: lanes: must be a whole number from 1 to 100…
adapter = "caddy"↵directory = "a"↵listen = 80      => 15: listen: must be HOST:PORT such as "127.…
adapter = "caddy"↵directory = "a"↵listen = "a:b"   => 15: listen: must be HOST:PORT such as "127.…
adapter = "caddy"↵directory = "a"↵listen = ""      => 15: listen: must be HOST:PORT such as "127.…
adapter = "caddy"↵directory = "a"↵manual = "wait" => 15: manual: belongs to none; this adapter is…
adapter = "caddy"↵directory = "a"↵command = ["a"] => 15: command: belongs to exec; this adapter i…
adapter = "caddy"↵directory = "a"↵timeout = "1s"  => 15: timeout: belongs to exec; this adapter i…
adapter = "exec"     => 12: command: missing; for example command = ["./traffic", "{environment}"]
adapter = "exec"↵command = "move"     => 14: command: must be an array of strings such as ["./tra…
adapter = "exec"↵command = []         => 14: command: must be an array of strings such as ["./tra…
adapter = "exec"↵command = [""]       => 14: command[0]: must be a string such as "{port}"; found…
adapter = "exec"↵command = ["a", "{port}"] => 14: command[1]: unknown placeholder {port}; known: …
adapter = "exec"↵command = ["a"]↵timeout = "0s"   => 15: timeout: must be from 100ms to 5m; found…
adapter = "exec"↵command = ["a"]↵timeout = "6m"   => 15: timeout: must be from 100ms to 5m; found…
adapter = "exec"↵command = ["a"]↵timeout = 1e999  => 15: timeout: must be a duration: whole numbe…
adapter = "exec"↵command = ["a"]↵directory = "a"  => 15: directory: belongs to caddy; this adapte…
adapter = "none"↵manual = "maybe"     => 14: manual: must be "wait" or "warn"; found the string "…
adapter = "none"↵manual = true        => 14: manual: must be "wait" or "warn"; found true
adapter = "none"↵lanes = 20           => 14: lanes: belongs to caddy; this adapter is none
adapter = "none"↵timeout = "1s"       => 14: timeout: belongs to exec; this adapter is none
manual = "warn"      => 12: adapter: missing; for example adapter = "caddy"
"""


@pytest.mark.parametrize(("written", "expected"), cases(WRONG))
def test_wrong_traffic_is_refused(tmp_path: Path, written: str, expected: str) -> None:
    (said,) = problems(tmp_path, changed(CADDY, written))
    assert_said(said.replace(" [traffic]", ""), expected)


def test_of_another_adapters_keys_each_is_named(tmp_path: Path) -> None:
    written = 'adapter = "none"\ndirectory = "a"\nlanes = 3\ncommand = ["a"]'
    assert problems(tmp_path, changed(CADDY, written)) == [
        "14: [traffic] directory: belongs to caddy; this adapter is none",
        "15: [traffic] lanes: belongs to caddy; this adapter is none",
        "16: [traffic] command: belongs to exec; this adapter is none",
    ]


def test_there_is_a_caddyfile_for_caddy_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    read(tmp_path, changed(CADDY, 'adapter = "caddy"\ndirectory = "lb"'))
    made = CliRunner().invoke(tidegate, ["traffic", "caddyfile"])
    assert f"{tmp_path}/lb/lane-00" in made.stdout
    read(tmp_path, changed(CADDY, 'adapter = "none"'))
    refused = CliRunner().invoke(tidegate, ["traffic", "caddyfile"])
    assert isinstance(refused.exception, UsageError)
    assert "moved by the adapter none" in refused.exception.message
    assert sorted(file.name for file in tmp_path.iterdir()) == ["lb", "tidegate.toml"]


def test_lanes_that_a_caddyfile_names_are_in_a_folder_that_caddy_may_read_whatever_the_umask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    read(tmp_path, changed(CADDY, 'adapter = "caddy"\ndirectory = "run/lb"'))
    before = os.umask(0o077)
    try:
        made = CliRunner().invoke(tidegate, ["traffic", "caddyfile"])
    finally:
        os.umask(before)
    assert made.exit_code == 0
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("run", "run/lb")]
    assert modes == [0o755, 0o755]
