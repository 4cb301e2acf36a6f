"""`tidegate controller backup` and `restore`: a controller's memory as one file, and back."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from tidegate_controller import options
from tidegate_controller.cli import end_terminated
from tidegate_controller.cli.settings import file_option, with_settings
from tidegate_controller.cli.terminal import json_option, local_time, print_json, say
from tidegate_controller.documents import Document


class BackupView(Document, kw_only=True):
    """`controller backup --json`. `head`: the hash of the last event, `seq`."""

    file: str
    log_id: str
    events: int
    last_at: str | None
    seq: int
    head: str
    artifacts: int
    size_bytes: int


class RestoreView(Document, kw_only=True):
    """`controller restore --json`. `apps`: as app@environment, each of which waits for a decision;
    `replaced`: where the log that was there before is kept."""

    data: str
    log_id: str
    former_log: str
    events: int
    last_at: str | None
    head: str
    apps: list[str]
    interrupted: list[str]
    artifacts: int
    replaced: str | None


@click.command("backup")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@with_settings((options.DATA,))
@file_option
@click.option("--artifacts", is_flag=True, help="With the artifacts that the controller stores.")
@click.option("--replace", is_flag=True, help="Also if FILE is there already.")
@json_option
def backup(
    file: Path, settings: Path | None, artifacts: bool, replace: bool, as_json: bool, **flags: str
) -> None:
    """Write the event log to FILE.

    Whether the controller runs or not, the log is copied as it was at one moment, and checked. FILE
    is there whole or not at all. All that a controller knows is in its log; --artifacts adds those
    that it serves to agents, without which a restored one may lack what a new node has to fetch.

    \b
    Example:
      tidegate controller backup /backup/tidegate-monday.backup
      tidegate controller backup --artifacts --replace /backup/tidegate.tar
    """
    from tidegate_controller.backup import backup as make  # noqa: PLC0415  (the log's library)

    data = options.read(flags, settings, "controller backup").data
    with _put_in_order():
        made = make(data, file, replace=replace, artifacts=artifacts)
    view = BackupView(
        file=str(file),
        log_id=made.log.log_id,
        events=made.log.events,
        last_at=made.log.last_at or None,
        seq=made.log.seq,
        head=made.log.head,
        artifacts=made.artifacts,
        size_bytes=made.bytes_,
    )
    if as_json:
        print_json(view)
        return
    beside = f" and {view.artifacts:,} artifacts" if artifacts else ", no artifacts"
    say(f"{file}: log {view.log_id} with {view.events:,} events{beside}, {view.size_bytes:,} bytes")
    say(f"  checked; event {view.seq} of {local_time(view.last_at)} is the last, with the hash")
    say(f"  {view.head}")
    say(f"  next: tidegate controller restore {file} --data DIR, on the day that you need it")


@click.command("restore")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@with_settings((options.DATA,))
@file_option
@click.option(
    "--replace", is_flag=True, help="Also if there is a log already, which is kept aside."
)
@json_option
def restore(file: Path, settings: Path | None, replace: bool, as_json: bool, **flags: str) -> None:
    """Make a controller's folder of the backup FILE.

    The controller must not run. The backup is checked first. Its log goes on under a new id, and
    its agents come back by themselves. Rollouts that were under way are interrupted. Nothing is
    begun until you have said of each app what counts: tidegate controller reconcile.

    \b
    Example:
      tidegate controller restore monday.backup --data /var/lib/tidegate/controller
    """
    from tidegate_controller.restore import restore as make  # noqa: PLC0415  (the log's library)

    data = options.read(flags, settings, "controller restore").data
    with _put_in_order():
        made = make(file, data, replace=replace)
    view = RestoreView(
        data=str(data),
        log_id=made.log_id,
        former_log=made.log.log_id,
        events=made.log.events,
        last_at=made.log.last_at or None,
        head=made.log.head,
        apps=made.apps,
        interrupted=made.interrupted,
        artifacts=made.artifacts,
        replaced=str(made.aside) if made.aside else None,
    )
    if as_json:
        print_json(view)
        return
    say(
        f"{data}: {view.events:,} events of log {view.former_log}, to {local_time(view.last_at)}; "
        f"it goes on as log {view.log_id}"
    )
    if view.replaced:
        say(f"  the log that was there is kept at {view.replaced}")
    if view.artifacts:
        say(f"  {view.artifacts:,} artifacts came with it")
    if view.interrupted:
        say(f"  interrupted, as they were under way: {', '.join(view.interrupted)}")
    say("  next: start the controller, and wait for its agents: tidegate node list")
    say("  next: see what is otherwise since, and decide: tidegate controller reconcile")


@contextmanager
def _put_in_order() -> Iterator[None]:
    """What SIGTERM ends meanwhile, as a stop of a timer's unit does, removes what is half made."""
    before = signal.signal(signal.SIGTERM, end_terminated)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
