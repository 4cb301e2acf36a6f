"""`[service]` with its managers: what each needs, and what is said where they are mixed up."""

from pathlib import Path

import pytest
from config_samples import SMALLEST, assert_said, cases, changed, problems, read

from tidegate_controller.core.spec import Service

COMMAND = 'command = ["./serve", "--port", "{port}"]'
UNITS = {
    'manager = "systemd"\nunit = "shop@{slot}.service"': Service(
        manager="systemd", unit="shop@{slot}.service"
    ),
    'manager = "systemd"\nunit = "{app}-{environment}_{slot}:{node}.service"\nuser = "a"': Service(
        manager="systemd", unit="{app}-{environment}_{slot}:{node}.service", user="a"
    ),
}


@pytest.mark.parametrize(("written", "expected"), UNITS.items())
def test_a_unit_is_taken_as_it_is_written(tmp_path: Path, written: str, expected: Service) -> None:
    config = read(tmp_path, changed(COMMAND, written))
    assert config.environment().settings.service == expected


WRONG_UNITS = r"""
"shop@{slot}"           => 8: unit: must be the name of a unit on the nodes such as "shop@{slot}.…
"shop.service"          => 8: unit: does not name {slot}, so both slots would have the same unit; …
"shop@{slot}.timer"     => 8: unit: must be the name of a unit on the nodes such as "shop@{slot}.…
"-H{slot}.service"      => 8: unit: must be the name of a unit on the nodes such as "shop@{slot}.…
"../{slot}.service"     => 8: unit: must be the name of a unit on the nodes such as "shop@{slot}.…
"a*{slot}.service"      => 8: unit: must be the name of a unit on the nodes such as "shop@{slot}.…
"a b@{slot}.service"    => 8: unit: must be the name of a unit on the nodes such as "shop@{slot}.…
"{{a}}{slot}.service"   => 8: unit: must be the name of a unit on the nodes such as "shop@{slot}.…
"a@{version}.service"   => 8: unit: unknown placeholder {version}; known: {slot} {app} {environm…
"a@{port}.service"      => 8: unit: unknown placeholder {port}; known: {slot} {app} {environment…
"a@{slot.service"       => 8: unit: unbalanced {; write {{ for the character, or use {slot} {app…
"a@{slot}\u0000.service" => 8: unit: must not hold control characters; found U+0000
""                      => 8: unit: must be the name of a unit on the nodes such as "shop@{slot}.…
["a@{slot}.service"]    => 8: unit: must be the name of a unit on the nodes such as "shop@{slot}.…
"""


@pytest.mark.parametrize(("written", "expected"), cases(WRONG_UNITS))
def test_a_wrong_unit_is_refused(tmp_path: Path, written: str, expected: str) -> None:
    (said,) = problems(tmp_path, changed(COMMAND, f'manager = "systemd"\nunit = {written}'))
    assert_said(said.replace("[service] ", ""), expected)


MIXED = r"""
manager = "systemd"       => 6: [service] unit: missing; for example unit = "shop@{slot}.service"
manager = "process"       => 6: [service] command: missing; for example command = ["./serve", …
unit = "a@{slot}.service" => 7: [service] unit: belongs to systemd; write manager = "systemd" be…
"""


@pytest.mark.parametrize(("written", "expected"), cases(MIXED))
def test_one_who_forgot_a_key_is_told_which(tmp_path: Path, written: str, expected: str) -> None:
    (said,) = problems(tmp_path, changed(COMMAND, written))
    assert_said(said, expected)


def test_a_command_has_no_place_beside_a_unit(tmp_path: Path) -> None:
    both = f'manager = "systemd"\nunit = "a@{{slot}}.service"\n{COMMAND}'
    (said,) = problems(tmp_path, changed(COMMAND, both))
    assert said == (
        "9: [service] command: belongs to process, while a unit says itself what it runs, by its "
        "ExecStart=; this manager is systemd"
    )


def test_an_environment_may_have_another_manager_and_keeps_what_belongs_to_both(
    tmp_path: Path,
) -> None:
    own = """
[environments.staging]
nodes = ["s-1"]
service = { manager = "systemd", unit = "shop@{slot}.service" }
"""
    text = changed(COMMAND, f'{COMMAND}\nuser = "shop"') + own
    staging = read(tmp_path, text).environment("staging").settings.service
    assert staging == Service(manager="systemd", unit="shop@{slot}.service", user="shop")
    assert read(tmp_path, text).environment("production").settings.service.command
    assert SMALLEST in text.replace('\nuser = "shop"', "")
