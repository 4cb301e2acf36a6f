"""Settings of the daemons: what counts before what, and everything that is wrong at once."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tidegate_protos import settings
from tidegate_protos.settings import Setting, SettingsError, Words, gather


def _label(word: str) -> str:
    if "=" not in word:
        raise ValueError(f"{word!r} is not KEY=VALUE")
    return word


TABLE = (
    Setting("node", "NAME", "its name"),
    Setting("label", "KEY=VALUE", "labels", _label, many=True),
    Setting("log_file_mib", "MIB", "size", settings.a_number(1, 100), default="10"),
    Setting("socket", "PATH", "socket", settings.a_file, variable="TIDEGATE_SOCKET"),
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In place of /etc/tidegate."""
    monkeypatch.setattr(settings, "SYSTEM_FOLDER", tmp_path / "etc")
    (tmp_path / "etc" / "conf.d").mkdir(parents=True)
    return tmp_path / "etc"


def found(
    flags: Mapping[str, Words | None] | None = None,
    environ: Mapping[str, str] | None = None,
    config: Path | None = None,
) -> dict[str, object]:
    return gather("agent", TABLE, flags or {}, environ or {}, config)


def problems(
    flags: Mapping[str, Words | None] | None = None, environ: Mapping[str, str] | None = None
) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        found(flags, environ)
    return list(raised.value.problems)


@pytest.mark.usefixtures("folder")
def test_what_is_needed_and_nobody_has_set_is_asked_for_with_all_ways_to_set_it() -> None:
    needed = Setting("data", "DIR", "its folder", settings.a_folder, needed=True)
    with pytest.raises(SettingsError) as raised:
        gather("controller", [needed], {}, {})
    (problem,) = raised.value.problems
    assert problem.startswith(
        "--data is missing: type --data DIR, set TIDEGATE_CONTROLLER_DATA, or write data into "
    )
    assert problem.endswith("/controller.toml")
    assert gather("controller", [needed], {"data": "/x"}, {}) == {"data": Path("/x")}


@pytest.mark.usefixtures("folder")
def test_what_nobody_has_set_is_its_default_or_not_there() -> None:
    assert found() == {"log_file_mib": 10}


def test_a_flag_counts_before_a_variable_before_a_file_before_the_default(folder: Path) -> None:
    file = folder / "agent.toml"
    file.write_text("log_file_mib = 11")
    assert found()["log_file_mib"] == 11
    environ = {"TIDEGATE_AGENT_LOG_FILE_MIB": "12"}
    assert found(environ=environ)["log_file_mib"] == 12
    assert found({"log_file_mib": "13"}, environ)["log_file_mib"] == 13


def test_a_later_file_counts_before_an_earlier_one_and_a_users_before_the_systems(
    folder: Path, tmp_path: Path
) -> None:
    own = tmp_path / "home" / ".config" / "tidegate"
    own.mkdir(parents=True)
    environ = {"HOME": str(tmp_path / "home")}
    (folder / "agent.toml").write_text('node = "main"\nlog_file_mib = 1')
    assert found(environ=environ) == {"node": "main", "log_file_mib": 1}
    (folder / "conf.d" / "20-b.toml").write_text('[agent]\nnode = "b"')
    (folder / "conf.d" / "10-a.toml").write_text('[agent]\nnode = "a"')
    assert found(environ=environ)["node"] == "b"
    (own / "agent.toml").write_text('node = "own"')
    assert found(environ=environ) == {"node": "own", "log_file_mib": 1}
    assert found(environ={"XDG_CONFIG_HOME": str(own.parent)})["node"] == "own"
    assert found(environ={"XDG_CONFIG_HOME": "/nowhere", **environ})["node"] == "b"


def test_whoever_has_a_list_has_the_whole_of_it(folder: Path) -> None:
    (folder / "agent.toml").write_text('label = { role = "web", zone = "a" }')
    assert found()["label"] == ("role=web", "zone=a")
    assert found(environ={"TIDEGATE_AGENT_LABEL": "role=db, rack=1"})["label"] == (
        "role=db",
        "rack=1",
    )
    assert found({"label": ["role=x"]})["label"] == ("role=x",)
    assert found({"label": []})["label"] == ("role=web", "zone=a")
    (folder / "agent.toml").write_text('label = ["role=y"]')
    assert found()["label"] == ("role=y",)
    (folder / "agent.toml").write_text('label = "role=z"')
    assert found()["label"] == ("role=z",)


def test_a_variable_may_have_a_name_of_its_own_and_an_empty_one_says_nothing() -> None:
    assert found(environ={"TIDEGATE_SOCKET": "/run/x.sock"})["socket"] == Path("/run/x.sock")
    assert "socket" not in found(environ={"TIDEGATE_SOCKET": ""})
    assert "socket" not in found(environ={"TIDEGATE_AGENT_SOCKET": "/run/x.sock"})


def test_a_file_that_is_named_is_read_in_place_of_all_others(folder: Path, tmp_path: Path) -> None:
    (folder / "agent.toml").write_text("nonsense")
    named = tmp_path / "mine.toml"
    named.write_text('node = "n"')
    assert found(config=named) == {"node": "n", "log_file_mib": 10}
    assert found(config=Path("/dev/null")) == {"log_file_mib": 10}


def test_everything_that_is_wrong_is_said_at_once_with_its_place(folder: Path) -> None:
    file, extra = folder / "agent.toml", folder / "conf.d" / "x.toml"
    file.write_text('lable = "a"\nlog_file_mib = "many"\nnode = ["a"]\nzzz = 1')
    extra.write_text('[agnt]\n[controller]\nlisten = "for the other"\n[agent]\nlabel = [1]')
    environ = {"TIDEGATE_AGENT_LABEL": "role"}
    assert problems({"socket": "/"}, environ) == [
        f"{file}: unknown key 'lable'; did you mean 'label'?",
        f"{file}: node: must be a text",
        f"{file}: unknown key 'zzz'; known: node, label, log_file_mib, socket",
        f"{extra}: unknown table 'agnt'; did you mean 'agent'? Files here hold [agent], "
        "[controller]",
        f"{extra}: label: must be a text, a list of texts or a table of texts",
        "TIDEGATE_AGENT_LABEL: 'role' is not KEY=VALUE",
        f"{file}: log_file_mib: 'many' is no number from 1 to 100",
        "--socket: / is a folder",
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"node = ", "is not TOML: Invalid value (at end of document)"),
        (b'node = "a"\nnode = "b"', "is not TOML: Cannot overwrite a value"),
        (b"\xff\xfe", "cannot be read: 'utf-8' codec can't decode"),
        (b"node = true", "node: must be a text"),
        (b"node = 1.5", "node: must be a text"),
        (b'node = ""', "node: must be a text"),
        (b"label = { role = 1 }", "label: must be a text, a list"),
        (b"log_file_mib = 0", "log_file_mib: '0' is no number from 1 to 100"),
        (b"log_file_mib = 1000000000000000000000", "is no number from 1 to 100"),
    ],
)
def test_a_file_that_is_wrong_is_named(folder: Path, content: bytes, said: str) -> None:
    (folder / "agent.toml").write_bytes(content)
    (problem,) = problems()
    assert problem.startswith(f"{folder / 'agent.toml'}: ")
    assert said in problem


def test_a_file_that_cannot_be_read_is_not_passed_over(folder: Path) -> None:
    (folder / "agent.toml").mkdir()
    assert problems() == [f"{folder / 'agent.toml'}: cannot be read: Is a directory"]
    (folder / "agent.toml").rmdir()
    (folder / "agent.toml").symlink_to("agent.toml")
    (problem,) = problems()
    assert "cannot be read: Too many levels of symbolic links" in problem


def test_paths_are_absolute_and_of_the_kind_that_is_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/ann")
    (tmp_path / "file").touch()
    assert settings.a_folder("data") == tmp_path / "data"
    assert settings.a_file("~/log.json") == Path("/home/ann/log.json")
    with pytest.raises(ValueError, match="file is a file"):
        settings.a_folder("file")
    with pytest.raises(ValueError, match="is a folder"):
        settings.a_file(".")
