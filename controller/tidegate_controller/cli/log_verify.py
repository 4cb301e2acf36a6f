"""`tidegate log verify`: whether the event log is as it was written."""

import re
from pathlib import Path

import click

from tidegate_controller import options
from tidegate_controller.cli.settings import file_option, with_settings
from tidegate_controller.cli.terminal import json_option, local_time, print_json, say
from tidegate_controller.documents import Document
from tidegate_controller.errors import UsageError

HASH = re.compile(r"[0-9a-f]{64}")
NOTED = (
    "give both as an earlier check has printed them, --head HASH --seq N; with neither, the log is "
    "checked as it is"
)


class VerifyView(Document, kw_only=True):
    """`log verify --json`, of a log in which all holds. `head`: the hash of the last event."""

    file: str
    log_id: str
    events: int
    streams: int
    first_at: str | None
    last_at: str | None
    seq: int
    head: str
    snapshots: list[int]  # events at which they were compared with what the events give
    ignored: list[str]  # why other snapshots count for nothing


@click.command("verify")
@with_settings((options.DATA,))
@file_option
@click.option(
    "--file",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="This log, or backup, in place of the controller's.",
)
@click.option("--head", metavar="HASH", help="A hash noted earlier that must be in it.")
@click.option("--seq", type=click.IntRange(min=1), metavar="N", help="The event with that hash.")
@json_option
def verify(
    settings: Path | None,
    path: Path | None,
    head: str | None,
    seq: int | None,
    as_json: bool,
    **flags: str | None,
) -> None:
    """Check that the log is as it was written.

    Every event and its hash, which covers all before it; that each can be read; that snapshots are
    what the events give. It reads the file of the controller's folder, whether that runs or not,
    and writes nothing.

    It prints the hash of the last event: keep it elsewhere, and --head proves later that nothing up
    to there was changed or cut off. Exit code 1 if anything is wrong.

    \b
    Example:
      tidegate log verify --data /var/lib/tidegate/controller
      tidegate log verify --file monday.backup --head 3f5a... --seq 812
    """
    from tidegate_controller import data_folder, log_check  # noqa: PLC0415  (the log's library)

    if head is not None and not HASH.fullmatch(head):
        raise UsageError(f"--head {head[:80]} is no hash: 64 digits and letters a to f", NOTED)
    if seq is not None and head is None:
        raise UsageError("--seq says where --head is, and that is missing", NOTED)
    if path is None:
        path = options.read(flags, settings, "log verify").data / data_folder.LOG
    if not path.exists():
        raise UsageError(f"there is no log at {path}", "name the controller's folder: --data DIR")
    found = log_check.check(path, head or "", seq or 0)
    view = VerifyView(
        file=str(path),
        log_id=found.log_id,
        events=found.events,
        streams=found.streams,
        first_at=found.first_at or None,
        last_at=found.last_at or None,
        seq=found.seq,
        head=found.head,
        snapshots=found.compared,
        ignored=found.ignored,
    )
    if as_json:
        print_json(view)
        return
    _tell(view, head or "", seq)


def _tell(view: VerifyView, head: str, seq: int | None) -> None:
    """All holds, and so does the hash that was given, if one was."""
    say(f"{view.file} is as it was written: log {view.log_id}")
    say(
        f"  {view.events:,} events in {view.streams} streams, "
        f"{local_time(view.first_at)} to {local_time(view.last_at)}"
    )
    say(f"  event {view.seq} is the last, with the hash {view.head}")
    if head:
        where = f"event {seq} has" if seq else "one of them has"
        say(f"  {where} the hash that was given: up to there nothing was changed or cut off")
    for each in view.snapshots:
        say(f"  the snapshot of event {each} is what the events give")
    for why in view.ignored:
        say(f"  {why}: it is not used")
    say(f"  next: keep the hash elsewhere, for: tidegate log verify --head HASH --seq {view.seq}")
