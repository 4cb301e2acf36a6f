"""Plans shown before anything is done, and the questions that are asked about them.

Nobody is asked anything where no terminal is. Used by `deploy` and `nodes`.
"""

import sys
import time

import click

from tidegate_controller.cli.client import Client
from tidegate_controller.cli.phrases import age, listed, seconds_of, span
from tidegate_controller.cli.terminal import columns, on_terminal, print_json, say
from tidegate_controller.documents import PlannedStep, PlanView
from tidegate_controller.errors import TidegateError, UsageError

PLACES_MAX = 5  # that a line names
ROLLOUTS_READ = 500  # in which the age of an earlier release is looked for

plan_option = click.option(
    "--plan", "only_plan", is_flag=True, help="Show what would be done, and do nothing."
)
plan_id_option = click.option(
    "--plan-id", metavar="ID", help="Only as that plan says: refused if the world has moved."
)
yes_option = click.option(
    "--yes", "-y", is_flag=True, help="Ask nothing, not even in a protected environment."
)


def can_ask(*, as_json: bool) -> bool:
    """Whether there is somebody to ask, and room on stdout to do it."""
    return on_terminal() and sys.stdin.isatty() and not as_json


def show_plan(view: PlanView, *, as_json: bool) -> None:
    """Print it, for who asked for nothing but the plan."""
    if as_json:
        print_json(view)
        return
    say_plan(view)
    if view.steps:
        say("nothing was sent")
        say(f"  next: the same without --plan; only as it stands here: --plan-id {view.plan_id}")


def say_plan(view: PlanView) -> None:
    previous = view.previous.version if view.previous else "nothing"
    say(
        f"{view.kind} {view.app} in {view.environment}, {previous} -> {view.release.version}, "
        f"{view.strategy}"
    )
    for difference in view.differences:
        say(f"  {difference}")
    if not view.steps:
        say("nothing to be done: it is active everywhere")
    for number, step in enumerate(view.steps, 1):
        _say_step(number, step)


def _say_step(number: int, step: PlannedStep) -> None:
    say(f"{number}. {step.title}, at most {span(step.seconds_max)}")
    alike: dict[str, list[str]] = {}  # what is done -> where
    for line in step.does:
        where, _, what = line.rpartition(": ")
        alike.setdefault(what, []).extend([where] if where else [])
    for what, places in alike.items():
        say(f"     {listed(places, PLACES_MAX)}: {what}" if places else f"     {what}")


def require_yes(what: str, *, as_json: bool) -> None:
    """Raise where the question could not be asked."""
    if not can_ask(as_json=as_json):
        raise UsageError(
            f"{what} is protected, and there is no terminal to ask at whether this is meant",
            "look at it: --plan; then say that it is: --yes",
        )


def confirm(view: PlanView) -> None:
    """Show the plan and ask; raises unless it is meant."""
    say_plan(view)
    say(f"{view.environment} is protected.")
    if not click.confirm("Is this meant?", default=False):
        raise TidegateError("it was not meant, so nothing was begun")


def confirm_queued(environment: str) -> None:
    """Ask about one that waits for its turn, whose plan nobody knows yet."""
    say(f"{environment} is protected.")
    if not click.confirm("Is this meant, when its turn comes?", default=False):
        raise TidegateError("it was not meant, so nothing was begun")


def choose_earlier(client: Client, view: PlanView) -> str:
    """Ask which release to go back to: its version, or "" for the one before."""
    releases = {release.version: release for release in reversed(view.earlier)}
    choices = list(reversed(releases.values()))
    if len(choices) < 2:
        return ""
    past = client.rollouts(view.app, ROLLOUTS_READ).rollouts
    deployed = {
        (each.release.version, each.release.digest): each
        for each in reversed(past)
        if each.environment == view.environment and each.state == "succeeded"
    }
    rows = []
    for release in choices:
        found = deployed.get((release.version, release.digest))
        when = age(time.time() - seconds_of(found.started_at)) if found else "-"
        who = found.requested_by if found else "-"
        rows.append([release.version, when, who, found.message if found else ""])
    active = view.previous.version if view.previous else "nothing"
    say(f"{view.app} in {view.environment} runs {active}; it can go back to:")
    columns(["VERSION", "DEPLOYED", "BY", "WHY"], rows)
    before = view.release.version

    def listed_version(typed: str) -> str:
        version = typed.strip()
        if version != before and version not in releases:
            raise click.BadParameter(f"{version!r} is none of the versions above")
        return version

    # Rows have no numbers: whoever types 1 where there is a version 1 means that.
    answer = click.prompt("Which version", default=before, value_proc=listed_version)
    return "" if answer == before else str(answer)
