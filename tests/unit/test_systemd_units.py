"""The units for systemd: what must stand in them, and that systemd itself can read them."""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import click
import pytest

from tidegate_agent import main as agent
from tidegate_agent import options as agent_options
from tidegate_controller import options
from tidegate_controller.cli.commands import tidegate
from tidegate_protos.settings import Setting, gather

FOLDER = Path(__file__).parents[2] / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))
SAMPLES = {program: FOLDER / f"{program}.toml" for program in ("agent", "controller")}

CONFINED = {  # both units, whatever else they need
    "AmbientCapabilities": "",
    "CapabilityBoundingSet": "",
    "LockPersonality": "yes",
    "NoNewPrivileges": "yes",
    "PrivateDevices": "yes",
    "ProtectClock": "yes",
    "ProtectControlGroups": "yes",
    "ProtectHome": "yes",
    "ProtectHostname": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectProc": "invisible",
    "ProtectSystem": "strict",
    "RestrictNamespaces": "yes",
    "RestrictRealtime": "yes",
    "RestrictSUIDSGID": "yes",
}
INHERITED = {"MemoryDenyWriteExecute", "SystemCallFilter", "PrivateNetwork", "ProcSubset"}


def settings(unit: Path) -> dict[str, list[str]]:
    """Key -> its values in order, continued lines joined. Names are unique over sections here."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text().replace("\\\n", " ").splitlines():
        if line and not line.startswith(("#", ";", "[")):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(" ".join(value.split()))
    return found


AGENT = settings(FOLDER / "tidegate-agent.service")
CONTROLLER = settings(FOLDER / "tidegate-controller.service")


def test_there_are_two_units() -> None:
    assert [unit.stem for unit in UNITS] == ["tidegate-agent", "tidegate-controller"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_is_confined(unit: Path) -> None:
    found = settings(unit)
    assert {key: found.get(key, ["missing"])[-1] for key in CONFINED} == CONFINED
    assert found["User"] == [unit.stem]
    assert found["Restart"] == ["always"]
    assert "2" in found["RestartPreventExitStatus"][0].split()
    assert found["WantedBy"] == ["multi-user.target"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_hears_from_the_program_alone_when_it_is_ready_and_that_it_is_alive(
    unit: Path,
) -> None:
    found = settings(unit)
    assert (found["Type"], found["NotifyAccess"]) == (["notify"], ["main"])
    assert int(found["WatchdogSec"][0]) >= 30, "a disk that is slow must not look like a hang"
    assert int(found["TimeoutStartSec"][0]) > 90, "a long log takes its time"


def test_apps_outlive_a_restart_of_the_agent() -> None:
    assert AGENT["KillMode"] == ["process"]
    assert AGENT["OOMPolicy"] == ["continue"]
    assert AGENT["PrivateTmp"] == ["no"], "it would be emptied under running apps"
    assert "RuntimeDirectory" not in AGENT, "it would be removed under running apps"


def test_apps_do_not_inherit_what_would_break_them() -> None:
    assert INHERITED & AGENT.keys() == set()
    assert set(AGENT["ReadWritePaths"][0].split()) >= {"/tmp", "/var/tmp"}  # noqa: S108


def test_both_units_can_be_on_one_machine() -> None:
    folders = [*AGENT["StateDirectory"], *CONTROLLER["StateDirectory"][0].split()]
    assert len(set(folders)) == 3
    assert all(folder.startswith("tidegate/") for folder in folders)
    assert AGENT["User"] != CONTROLLER["User"]


def test_the_controller_listens_where_root_and_the_agents_look_for_it() -> None:
    words = CONTROLLER["ExecStart"][0].split()
    given = dict(zip(words[3::2], words[4::2], strict=False))
    assert CONTROLLER["RuntimeDirectory"] == ["tidegate"]
    assert given["--socket"] == "%t/tidegate/controller.sock"
    controller = gather("controller", options.SETTINGS, {"data": "/x"}, {}, SAMPLES["controller"])
    node = gather("agent", agent_options.SETTINGS, {"data": "/x"}, {}, SAMPLES["agent"])
    assert controller["listen"] == node["controller"]
    assert str(controller["http"]).startswith("127.0.0.1:"), "a fixed port, or no tunnel carries it"


@pytest.mark.parametrize(
    ("program", "known"), [("agent", agent_options.SETTINGS), ("controller", options.SETTINGS)]
)
def test_what_a_sample_has_in_comments_can_be_set_where_the_unit_may_write(
    program: str, known: Sequence[Setting], tmp_path: Path
) -> None:
    text = re.sub(r"^# (\w+ = )", r"\1", SAMPLES[program].read_text(), flags=re.M)
    (tmp_path / "all.toml").write_text(text)
    values = gather(program, known, {"data": "/x"}, {}, tmp_path / "all.toml")
    assert len(tomllib.loads(text)) >= 4
    (folder,) = {"agent": AGENT, "controller": CONTROLLER}[program]["LogsDirectory"]
    assert str(values["log_file"]).startswith(f"/var/log/{folder}/")


def test_each_unit_starts_a_command_that_exists(capsys: pytest.CaptureFixture[str]) -> None:
    program, group, command, *rest = CONTROLLER["ExecStart"][0].split()
    assert Path(program).name == "tidegate"
    found = tidegate.get_command(click.Context(tidegate), group)
    assert isinstance(found, click.Group)
    known = {name for option in found.commands[command].params for name in option.opts}
    assert {word for word in rest if word.startswith("--")} <= known
    with pytest.raises(SystemExit):
        agent.main(["run", "--help"])
    words = AGENT["ExecStart"][0].split()
    assert Path(words[0]).name == "tidegate-agent"
    assert words[1] == "run"
    known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    assert {word for word in words if word.startswith("--")} <= known


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="systemd-analyze is not here, so systemd itself has not read the units",
)
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_reads_the_unit_without_complaint(unit: Path, tmp_path: Path) -> None:
    """With a program that is there in place of the one that is not."""
    text = re.sub(r"^ExecStart=\S+", f"ExecStart={sys.executable}", unit.read_text(), flags=re.M)
    (tmp_path / unit.name).write_text(text)
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / unit.name],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (verified.returncode, verified.stderr) == (0, "")
