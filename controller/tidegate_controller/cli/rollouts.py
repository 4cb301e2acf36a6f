"""`tidegate rollout`: what was brought where. What may be asked of one is in `control`."""

import click

from tidegate_controller.cli.answers import Asked, answer_lines
from tidegate_controller.cli.client import Client
from tidegate_controller.cli.commit import short
from tidegate_controller.cli.completion import apps, rollouts
from tidegate_controller.cli.control import COMMANDS
from tidegate_controller.cli.follow import attach
from tidegate_controller.cli.phrases import amount, span
from tidegate_controller.cli.replay import replay
from tidegate_controller.cli.terminal import (
    AsListed,
    columns,
    json_option,
    local_time,
    print_json,
    say_wrapped,
    with_controller,
)
from tidegate_controller.cli.words import a_name, a_rollout
from tidegate_controller.cli.works import called, ending_words, state_words, whom
from tidegate_controller.documents import RolloutSummary, RolloutView, StepView


@click.group(cls=AsListed)
def rollout() -> None:
    """Rollouts: look at them, hold them, answer them."""


@rollout.command("list")
@click.argument("app", required=False, callback=a_name, shell_complete=apps)
@click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(1), help="The newest so many."
)
@json_option
@with_controller
def rollout_list(client: Client, app: str | None, limit: int, as_json: bool) -> None:
    """Who brought what where, and why.

    The newest comes first.

    \b
    Example:
      tidegate rollout list shop --limit 5
    """
    view = client.rollouts(app or "", limit)
    if as_json:
        print_json(view)
        return
    rows = [
        [
            each.rollout,
            f"{each.app}@{each.environment}",
            each.kind,
            each.previous.version if each.previous else "-",
            each.release.version,
            state_words(each),
            local_time(each.started_at),
            each.requested_by,
            _why(each),
        ]
        for each in view.rollouts
    ]
    columns(["ROLLOUT", "APP", "KIND", "FROM", "TO", "STATE", "STARTED", "BY", "WHY"], rows)


def _why(each: RolloutSummary) -> str:
    commit = f"({short(each.commit)})" if each.commit else ""
    settings = ""
    if each.differences and each.previous and each.previous.version == each.release.version:
        settings = f"[{amount(len(each.differences), 'setting')} changed]"
    return " ".join(part for part in (each.message, commit, settings) if part)


@rollout.command("show")
@click.argument("rollout_id", metavar="ID", callback=a_rollout, shell_complete=rollouts)
@click.option("--watch", is_flag=True, help="Follow it to its end.")
@json_option
@with_controller
def rollout_show(client: Client, rollout_id: str, watch: bool, as_json: bool) -> int:
    """Show one rollout, or follow it.

    Its steps, what each node did and said, why it was undone, what it waits for.

    \b
    Example:
      tidegate rollout show r7
      tidegate rollout show r7 --watch
    """
    if watch:
        return attach(client, rollout_id, as_json=as_json)
    view = client.rollout(rollout_id)
    if as_json:
        print_json(view)
    else:
        for line in rollout_lines(view):
            say_wrapped(line, indent=len(line) - len(line.lstrip()) + 2)
    return 0


def rollout_lines(view: RolloutView) -> list[str]:
    """The document as people read it."""
    state = ending_words(state_words(view), view.reason)
    if view.waiting_for:
        state = f"waits for {whom(view.awaits, view.waiting_for)}"
    until = f" to {local_time(view.ended_at)}" if view.ended_at else ", not ended"
    lines = [
        f"rollout {view.rollout}: {view.kind} {view.app} in {view.environment}, "
        f"{_from_to(view)}, {view.strategy}",
        f"  {state}",
        f"  by {view.requested_by}, {local_time(view.started_at)}{until}",
    ]
    lines += [f"  why: {view.message}"] if view.message else []
    lines += [f"  {note}" for note in (*view.notes, *view.differences)]
    lines += [f"  without {node}: {why}" for node, why in sorted(view.dropped.items())]
    for each in view.approvals:
        comment = f": {each.comment}" if each.comment else ""
        lines.append(f"  {each.step}: {each.by} said yes, {local_time(each.at)}{comment}")
    lines += [f"  from commit {view.commit}"] if view.commit else []
    for index, step in enumerate(view.steps):
        passed_by = any(later.state != "pending" for later in view.steps[index:])
        is_over = view.ended_at is not None or passed_by
        lines += _step_lines(step, view.reason, is_over=is_over)
    lines += [f"  {called(who)} owes: {debt}" for who, debt in sorted(view.debts.items())]
    at = next((step.id for step in view.steps if step.state == "running"), "")
    asked = Asked(
        kind=view.asks,
        nodes=view.asks_about,
        step=at,
        awaits=view.awaits,
        question=view.question or 0,
        undoing=view.undoing,
    )
    return lines + [f"  next: {line}" for line in answer_lines(view.rollout, view.answers, asked)]


def _from_to(view: RolloutView) -> str:
    """What was there before is seen when it begins."""
    if view.previous is None and not view.steps:
        return f"to {view.release.version}"
    previous = view.previous.version if view.previous else "nothing"
    return f"{previous} -> {view.release.version}"


def _step_lines(step: StepView, reason: str, *, is_over: bool) -> list[str]:
    """`reason`: of the rollout, which is not said again of each node that was given up."""
    seconds = f" {step.seconds - step.paused_seconds:.1f} s" if step.seconds is not None else ""
    seconds += f", and {span(step.paused_seconds)} paused" if step.paused_seconds else ""
    if step.tries > 1:
        seconds += (
            f", at try {step.tries}" if step.state == "running" else f", after {step.tries} tries"
        )
    state = "not reached" if step.state == "pending" and is_over else step.state
    lines = [f"  {step.title}: {state}{seconds}"]
    for name, node in sorted(step.nodes.items()):
        if node.state != "ok" or node.error:
            error = f": {node.error}" if node.error not in ("", reason) else ""
            lines.append(f"    {called(name)}: {node.state}{error}")
        lines += [f"      | {line}" for line in node.output_tail.splitlines()]
    return lines


for _command in COMMANDS:
    rollout.add_command(_command)
rollout.add_command(replay)
