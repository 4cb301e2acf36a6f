"""What an agent can be told, and by what: flags, variables, files, or its machine."""

import logging
import socket
from pathlib import Path

import pytest

from tidegate_agent import main as agent
from tidegate_agent import options
from tidegate_protos import settings


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In place of /etc/tidegate."""
    monkeypatch.setattr(settings, "SYSTEM_FOLDER", tmp_path)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


def read(*flags: str) -> options.Options:
    return options.read(agent.parser().parse_args(["run", *flags]))


def test_a_file_is_enough(folder: Path) -> None:
    (folder / "agent.toml").write_text(
        'node = "web-1"\ndata = "/srv/agent"\ncontroller = "127.0.0.1:1"\naddress = "10.0.0.11"\n'
        'label = { role = "web", zone = "a" }\nlog_level = ["warning", "file=debug"]\n'
        'log_file = "/var/log/tidegate/agent.json"\nlog_file_mib = 3\nlog_format = "json"\n'
    )
    found = read()
    assert (found.node, found.data, found.controller) == (
        "web-1",
        Path("/srv/agent"),
        "127.0.0.1:1",
    )
    assert (found.labels, found.address) == ({"role": "web", "zone": "a"}, "10.0.0.11")
    assert found.logs.levels == {"": logging.WARNING, "file": logging.DEBUG}
    assert (found.logs.file, found.logs.file_mib) == (Path("/var/log/tidegate/agent.json"), 3)
    assert (found.logs.file_keep, found.logs.format) == (5, "json")


def test_without_a_name_a_node_is_called_as_its_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "Web-7.example.org")
    assert read("--data", "/x").node == "web-7"
    monkeypatch.setenv("TIDEGATE_AGENT_NODE", "named")
    assert read("--data", "/x").node == "named"


def test_a_host_whose_name_will_not_do_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "_web")
    with pytest.raises(settings.SettingsError, match="this host's name will not do .*--node NAME"):
        read("--data", "/x")


def test_a_usage_error_says_all_that_is_wrong_and_how_it_is_meant(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "agent.toml").write_text('lables = "a"\n')
    with pytest.raises(SystemExit) as ended:
        agent.main(["run", "--node", "Web 1", "--label", "role"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("usage: tidegate-agent run ")
    assert f"error: {folder / 'agent.toml'}: unknown key 'lables'; did you mean 'label'?" in said
    assert "\n  --node: 'Web 1' is not a name" in said
    assert "\n  --data is missing: type --data DIR, set TIDEGATE_AGENT_DATA, or write data" in said
    assert "\n  --label: 'role' is not KEY=VALUE, such as role=web" in said


def test_a_log_file_that_cannot_be_written_ends_the_agent(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "file").touch()
    words = ("--log-file", str(folder / "file" / "log.json"), "--data", str(folder / "data"))
    with pytest.raises(SystemExit) as ended:
        agent.main(["run", "--node", "web-1", *words])
    assert str(ended.value.code).startswith(
        f"tidegate-agent: cannot write the log file {folder / 'file' / 'log.json'}: "
    )
    assert not (folder / "data").exists()
    assert capsys.readouterr().err == ""
