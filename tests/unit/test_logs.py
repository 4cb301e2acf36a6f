"""What the daemons log: to which outputs, from which level on, in which form, about what."""

import asyncio
import json
import logging
import os
import resource
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tidegate_protos import logs
from tidegate_protos.settings import SettingsError, gather

log = logging.getLogger("tidegate_agent.link")
other = logging.getLogger("tidegate_agent.executor")


@pytest.fixture(autouse=True)
def _quiet_afterwards() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    for handler in set(root.handlers) - set(before[0]):
        handler.close()
    root.handlers[:], _ = before
    root.setLevel(before[1])
    for name in ("tidegate_agent", "tidegate_agent.link", *logs.LIBRARIES):
        logging.getLogger(name).setLevel(logging.NOTSET)
    logging.captureWarnings(False)


def chosen(**flags: Any) -> logs.Choices:
    values = gather("agent", logs.SETTINGS, flags, {}, Path("/dev/null"))
    return logs.Choices.of(values)


def begin(file: Path | None = None, **flags: Any) -> None:
    flags |= {"log_file": str(file)} if file else {}
    logs.begin("tidegate-agent", chosen(**flags), node="web-1")


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def messages(file: Path) -> list[str]:
    return [line["message"] for line in lines(file)]


# --- What a record is about ----------------------------------------------------------------------


def test_a_line_of_the_file_says_when_what_where_and_about_what(tmp_path: Path) -> None:
    begin(tmp_path / "log.json")
    with logs.about(app="shop", environment="production"):
        log.warning("slot %s is %s", "blue", "unhealthy", extra={"slot": "blue"})
    (line,) = lines(tmp_path / "log.json")
    time = line.pop("time")
    assert len(time) == len("2026-11-24T09:14:02.123Z")
    assert time.endswith("Z")
    assert line == {
        "level": "warning",
        "logger": "tidegate_agent.link",
        "message": "slot blue is unhealthy",
        "node": "web-1",
        "app": "shop",
        "environment": "production",
        "slot": "blue",
    }


async def test_tasks_take_along_what_they_began_about_and_others_do_not(tmp_path: Path) -> None:
    begin(tmp_path / "log.json")
    go = asyncio.Event()

    async def work(text: str) -> None:
        await go.wait()
        log.info(text)

    with logs.about(app="shop", rollout="r5"):
        inside = asyncio.create_task(work("inside"))
        with logs.about(rollout="", node="web-2"):
            log.info("nested")
    outside = asyncio.create_task(work("outside"))
    go.set()
    await asyncio.gather(inside, outside)
    found = {line["message"]: line for line in lines(tmp_path / "log.json")}
    assert (found["inside"]["app"], found["inside"]["rollout"]) == ("shop", "r5")
    assert (found["nested"]["node"], found["nested"]["rollout"]) == ("web-2", "r5")
    assert "app" not in found["outside"]
    assert found["outside"]["node"] == "web-1"


def test_an_error_takes_its_traceback_along_on_the_same_line(tmp_path: Path) -> None:
    begin(tmp_path / "log.json")
    try:
        raise KeyError("what")
    except KeyError:
        log.exception("it failed")
    (line,) = lines(tmp_path / "log.json")
    assert line["traceback"].startswith("Traceback (most recent call last):\n")
    assert line["traceback"].endswith("KeyError: 'what'")


# --- Outputs and levels --------------------------------------------------------------------------


def test_every_output_has_a_level_and_a_logger_has_one_for_all_of_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "log.json"
    begin(file, log_level=["warning", "file=info", "tidegate_agent.link=debug"])
    log.debug("link debug")
    other.debug("executor debug")
    other.info("executor info")
    other.warning("executor warning")
    assert messages(file) == ["link debug", "executor info", "executor warning"]
    said = capsys.readouterr().err
    assert [line.split(" ", 3)[3] for line in said.splitlines()] == [
        "link debug",
        "executor warning",
    ]


def test_a_logger_can_be_quieter_than_the_outputs(tmp_path: Path) -> None:
    begin(tmp_path / "log.json", log_level=["debug", "tidegate_agent=error"])
    log.warning("not heard")
    log.error("heard")
    logging.getLogger("tidegate_agents").debug("heard too")
    assert messages(tmp_path / "log.json") == ["heard", "heard too"]


def test_what_libraries_say_for_debugging_is_for_whoever_names_them(tmp_path: Path) -> None:
    begin(tmp_path / "log.json", log_level=["debug", "grpc=debug"])
    for name in ("asyncio", "grpc._cython", "tidegate_agent.link"):
        logging.getLogger(name).debug(name)
    logging.getLogger("asyncio").info("asyncio info")
    assert messages(tmp_path / "log.json") == [
        "grpc._cython",
        "tidegate_agent.link",
        "asyncio info",
    ]


def test_an_output_can_be_off(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begin(tmp_path / "log.json", log_level=["terminal=off"])
    log.error("into the file alone")
    assert capsys.readouterr().err == ""
    assert messages(tmp_path / "log.json") == ["into the file alone"]


def test_the_terminal_can_have_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    begin(log_format="json")
    log.info("hello")
    line = json.loads(capsys.readouterr().err)
    assert (line["message"], line["node"]) == ("hello", "web-1")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("loud", "'loud' is not known; known: debug, info, warning, error, off"),
        ("debgu", "did you mean 'debug'?"),
        ("off", "only an output can be off"),
        ("tidegate_agent=off", "only an output can be off"),
        ("termnal=debug", "'termnal' is neither an output (terminal, journal, file) nor a logger"),
        ("file=", "'' is not known"),
    ],
)
def test_a_level_that_is_none_is_refused(word: str, said: str) -> None:
    with pytest.raises(SettingsError) as raised:
        chosen(log_level=[word])
    assert raised.value.problems[0].startswith("--log-level: ")
    assert said in raised.value.problems[0]


def test_text_from_elsewhere_neither_steers_the_terminal_nor_looks_like_a_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin(tmp_path / "log.json")
    forged = "x\n2026-01-01 00:00:00,000 INFO all is well\x1b[2J\u202e"
    log.info("%s", forged)
    first, second = capsys.readouterr().err.splitlines()
    assert second == "  2026-01-01 00:00:00,000 INFO all is well[2J"
    assert (tmp_path / "log.json").read_bytes().count(b"\n") == 1
    assert b"\x1b" not in (tmp_path / "log.json").read_bytes()
    assert messages(tmp_path / "log.json") == [forged]
    assert first.endswith("INFO x")


# --- The file ------------------------------------------------------------------------------------


def test_a_file_that_has_its_size_is_begun_anew_and_so_many_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "made" / "log.json"
    begin(file, log_file_mib="1", log_file_keep="2")
    for _ in range(4 * 11):
        log.info("x" * 100_000)
    names = sorted(path.name for path in file.parent.iterdir())
    assert names == ["log.json", "log.json.1", "log.json.2"]
    sizes = [path.stat().st_size for path in file.parent.iterdir()]
    assert max(sizes) <= 1024**2
    assert all(lines(path) for path in file.parent.iterdir())


def test_a_file_that_cannot_be_written_is_said_once_and_tried_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "log.json"
    begin(file, log_level=["terminal=off"])
    log.info("before")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size, limits[1]))
        log.info("lost")
        log.info("lost too")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    log.info("after")
    assert capsys.readouterr().err == f"the log file {file} cannot be written\n"
    assert messages(file)[0] == "before"
    assert messages(file)[-1] == "after"


def test_a_file_that_cannot_be_made_is_an_error_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="File exists|Not a directory"):
        begin(tmp_path / "file" / "log.json")


def test_the_last_words_are_for_the_file_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin(tmp_path / "log.json")
    logs.last_words("the journal cannot be read")
    (line,) = lines(tmp_path / "log.json")
    assert (line["level"], line["message"]) == ("error", "the journal cannot be read")
    assert line["node"] == "web-1"
    assert capsys.readouterr().err == ""


# --- systemd's journal ---------------------------------------------------------------------------


class FakeJournal:
    """A socket in place of systemd's."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(5.0)

    def entry(self) -> dict[str, str]:
        """The next one, by its native protocol."""
        data, found = self.socket.recv(1 << 20), {}
        while data:
            line, _, data = data.partition(b"\n")
            name, is_short, text = line.partition(b"=")
            if not is_short:
                (size,) = struct.unpack("<Q", data[:8])
                text, data = data[8 : 8 + size], data[8 + size + 1 :]
            found[name.decode()] = text.decode()
        return found


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeJournal]:
    fake = FakeJournal(tmp_path / "journal")
    monkeypatch.setattr(logs.Journal.__init__, "__defaults__", (str(tmp_path / "journal"),))
    yield fake
    fake.socket.close()


def test_the_journal_gets_fields_of_its_own(
    journal: FakeJournal, capsys: pytest.CaptureFixture[str]
) -> None:
    begin(log_level=["journal=debug", "terminal=off"])
    with logs.about(app="shop", rollout="r5"):
        log.warning("slow\x1b[2J")
        log.debug("several\nlines")
    assert journal.entry() == {
        "MESSAGE": "slow[2J",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "tidegate-agent",
        "LOGGER": "tidegate_agent.link",
        "TIDEGATE_NODE": "web-1",
        "TIDEGATE_APP": "shop",
        "TIDEGATE_ROLLOUT": "r5",
    }
    second = journal.entry()
    assert (second["MESSAGE"], second["PRIORITY"]) == ("several\nlines", "7")
    assert capsys.readouterr().err == ""


def test_the_journal_gets_tracebacks_and_texts_of_any_length(journal: FakeJournal) -> None:
    begin(log_level=["journal=info"])
    try:
        raise KeyError("w" * 1_000_000)
    except KeyError:
        log.exception("m" * 1_000_000)
    entry = journal.entry()
    assert entry["PRIORITY"] == "3"
    assert entry["MESSAGE"] == "m" * logs.FIELD_BYTES
    assert entry["TRACEBACK"].startswith("Traceback")


@pytest.mark.usefixtures("journal")
def test_the_journal_takes_the_terminals_place_where_standard_error_leads_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    status = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
    choices = chosen(log_level=["info"])
    assert (choices.level("terminal"), choices.level("journal")) == (logs.OFF, logging.INFO)
    both = chosen(log_level=["terminal=error"])
    assert (both.level("terminal"), both.level("journal")) == (logging.ERROR, logging.INFO)
    monkeypatch.setenv("JOURNAL_STREAM", "1:2")  # a terminal of somebody who came from there
    choices = chosen(log_level=["info"])
    assert (choices.level("terminal"), choices.level("journal")) == (logging.INFO, logs.OFF)


def test_what_a_journal_does_not_take_goes_to_standard_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logs.Journal.__init__, "__defaults__", (str(tmp_path / "nowhere"),))
    begin(log_level=["journal=info", "terminal=off"])
    log.warning("hear me")
    assert capsys.readouterr().err.endswith("WARNING hear me\n")
