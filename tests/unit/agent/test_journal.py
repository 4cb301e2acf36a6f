"""The agent's durable memory: what was written is there when it is opened again."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from tidegate_agent.errors import JournalError, NotThisNode
from tidegate_agent.journal import Journal, SlotRecord
from tidegate_protos.v1 import agent_pb2 as pb

RECORD = SlotRecord(
    app="shop",
    slot="blue",
    environment="production",
    start=pb.StartSlot(slot="blue", version="1"),
    port=8001,
    phase="starting",
    token="abc",
    handle=None,
)
COMMAND = pb.Command(
    id="c1", app="shop", environment="production", fence=pb.Fence(epoch=3, version=7)
)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.db")


def again(journal: Journal, tmp_path: Path) -> Journal:
    journal.close()
    return Journal(tmp_path / "journal.db")


def test_it_keeps_its_name(journal: Journal, tmp_path: Path) -> None:
    name = journal.journal_id
    assert again(journal, tmp_path).journal_id == name


def test_it_is_of_the_node_that_was_named_first(journal: Journal, tmp_path: Path) -> None:
    journal.belong_to("web-3")
    journal = again(journal, tmp_path)
    journal.belong_to("web-3")
    with pytest.raises(NotThisNode) as refused:
        journal.belong_to("web-33")
    assert refused.value.known == "web-3"


def test_a_slot_is_remembered_in_each_phase_with_whatever_its_manager_needs(
    journal: Journal, tmp_path: Path
) -> None:
    journal.save_slot(RECORD)
    assert journal.slots() == [RECORD]
    handles = ({"pid": 17, "boot_id": "b"}, {"unit": "shop@blue.service"})
    for phase, handle in zip(("wanted", "ending"), handles, strict=True):
        record = replace(RECORD, phase=phase, handle=handle)  # type: ignore[arg-type]
        journal.save_slot(record)
        journal = again(journal, tmp_path)
        assert journal.slots() == [record]


def test_what_cannot_even_be_taken_back_is_a_journal_that_cannot_be_written(
    journal: Journal,
) -> None:
    def deny(action: int, what: str | None, *_: object) -> int:
        ends = action == sqlite3.SQLITE_TRANSACTION and what in ("COMMIT", "ROLLBACK")
        return sqlite3.SQLITE_DENY if ends else sqlite3.SQLITE_OK

    journal._db.set_authorizer(deny)
    with pytest.raises(JournalError, match="the journal cannot be written"):
        journal.accept(COMMAND)
    journal._db.set_authorizer(None)
    with pytest.raises(JournalError):  # the transaction was still open, and is no more
        journal.accept(COMMAND)
    assert not journal.known(COMMAND.id)
    journal.accept(COMMAND)
    assert journal.unfinished() == [COMMAND]


def test_an_unknown_phase_is_not_taken(journal: Journal) -> None:
    with pytest.raises(JournalError, match="CHECK constraint"):
        journal.save_slot(replace(RECORD, phase="asleep"))  # type: ignore[arg-type]


def test_that_a_command_has_begun_is_remembered(journal: Journal, tmp_path: Path) -> None:
    journal.accept(COMMAND)
    assert not journal.begun("c1")
    journal.begin("c1", "migrate.sh")
    journal = again(journal, tmp_path)
    assert journal.begun("c1") == "migrate.sh"
    assert [command.id for command in journal.unfinished()] == ["c1"]
    assert not journal.begun("c2")


def test_the_controllers_log_is_remembered(journal: Journal, tmp_path: Path) -> None:
    assert journal.log_id() == ""
    journal.remember_log("one")
    journal.remember_log("two")
    assert again(journal, tmp_path).log_id() == "two"


def test_a_controller_that_is_gone_is_forgotten_with_all_it_asked_for_and_the_slots_stay(
    journal: Journal, tmp_path: Path
) -> None:
    journal.remember_log("one")
    journal.save_slot(RECORD)
    journal.accept(COMMAND)
    name = journal.journal_id
    journal.forget_controller()
    journal = again(journal, tmp_path)
    assert (journal.log_id(), journal.highest_epoch(), journal.unfinished()) == ("", 0, [])
    assert journal.fence("shop", "production") == (0, 0)
    assert (journal.slots(), journal.journal_id) == ([RECORD], name)


def test_fences_are_of_an_app_in_an_environment(journal: Journal) -> None:
    journal.accept(COMMAND)
    assert journal.fence("shop", "production") == (3, 7)
    assert journal.fence("shop", "staging") == (0, 0)
    assert journal.highest_epoch() == 3


def test_a_journal_of_another_format_is_refused_with_what_to_do(
    journal: Journal, tmp_path: Path
) -> None:
    journal.close()
    with sqlite3.connect(tmp_path / "journal.db") as database:
        database.execute("PRAGMA user_version = 1")
    database.close()
    with pytest.raises(JournalError, match=r"format 1, this one reads 2; start that version, or"):
        Journal(tmp_path / "journal.db")


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"x" * 5000)
    with pytest.raises(JournalError, match=r"journal.db cannot be read: file is not a database"):
        Journal(tmp_path / "journal.db")
