"""`tidegate rollout replay`: whether today's code decides as it did."""

from pathlib import Path

import click

from tidegate_controller.cli.client import Client
from tidegate_controller.cli.completion import rollouts
from tidegate_controller.cli.terminal import (
    json_option,
    local_time,
    print_json,
    say,
    with_controller,
)
from tidegate_controller.cli.words import a_rollout
from tidegate_controller.documents import ReplayView
from tidegate_controller.errors import UsageError


@click.command("replay")
@click.argument(
    "rollout_id", metavar="[ID]", required=False, callback=a_rollout, shell_complete=rollouts
)
@click.option("--all", "all_of_it", is_flag=True, help="All decisions in the --file.")
@click.option(
    "--file",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A log or backup, replayed by this command; the controller is not asked.",
)
@json_option
@with_controller
def replay(
    client: Client, rollout_id: str | None, all_of_it: bool, path: Path | None, as_json: bool
) -> int:
    """Make a rollout's decisions once more.

    From the inputs that the log has, each at its time, by the code of today: every decision that
    would be another one now is shown. Nothing is done or written. Exit code 1 if any differs.

    With --file it is the code of this command that decides: so a new version can be tried on a
    backup before the controller is upgraded.

    \b
    Example:
      tidegate rollout replay r7
      tidegate rollout replay --all --file monday.backup
    """
    if (rollout_id is None) is not all_of_it:
        raise UsageError("name a rollout, or say --all", "see: tidegate rollout list")
    if path is not None:
        from tidegate_controller.replay import replay_file  # noqa: PLC0415 (the log's library)

        view = replay_file(path, rollout_id or "")
    elif rollout_id is None:
        raise UsageError(
            "--all is too much for a controller that has other things to do",
            "give the log, or a backup, with --file",
        )
    else:
        view = client.replay(rollout_id)
    if as_json:
        print_json(view)
    else:
        for line in replay_lines(view):
            say(line)
    return 1 if view.different else 0


def replay_lines(view: ReplayView) -> list[str]:
    """The document as people read it."""
    of = f" of rollout {view.rollout}" if view.rollout else ""
    same = view.decisions - view.different
    lines = [f"{view.decisions:,} decisions{of} made once more: {same:,} as recorded"]
    if view.unrecorded:
        lines.append(f"{view.unrecorded:,} events have no input recorded, and were not looked at")
    for each in view.differences:
        where = f"event {each.seq}, version {each.version} of {each.stream}"
        lines += ["", f"{local_time(each.at)}  {each.input} would be decided otherwise ({where})"]
        lines += [f"  {line}" for line in each.diff]
    if (more := view.different - len(view.differences)) > 0:
        lines += ["", f"and {more:,} more"]
    return lines
