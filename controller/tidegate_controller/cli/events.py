"""`tidegate log` and `tidegate explain`: what has happened, and why."""

from collections.abc import Iterator

import click
import msgspec

from tidegate_controller.cli.client import Client
from tidegate_controller.cli.completion import rollouts
from tidegate_controller.cli.event_words import event_line
from tidegate_controller.cli.explain import sentences_of
from tidegate_controller.cli.log_verify import verify
from tidegate_controller.cli.terminal import (
    AsListed,
    json_option,
    local_time,
    on_terminal,
    print_json,
    say,
    say_wrapped,
    with_controller,
)
from tidegate_controller.cli.words import a_rollout
from tidegate_controller.documents import Document, EventView
from tidegate_controller.errors import UsageError

FURTHER = 8  # columns before what follows on a second line


@click.group(cls=AsListed, invoke_without_command=True)
@click.option("--follow", is_flag=True, help="Go on as events come.")
@click.option(
    "--rollout",
    "rollout_id",
    callback=a_rollout,
    metavar="ID",
    help="Of one rollout alone.",
    shell_complete=rollouts,
)
@json_option
@with_controller
def log(client: Client, follow: bool, rollout_id: str | None, as_json: bool) -> None:
    """Show the event log.

    The oldest event comes first. On a terminal each is told in short; elsewhere with all that it
    holds, and with --json as a document.

    \b
    Example:
      tidegate log --rollout r7
      tidegate log --follow --json
    """
    if click.get_current_context().invoked_subcommand is not None:
        return
    for event in client.events(0, rollout_id or "", follow=follow):
        if as_json:
            print_json(event)
        elif on_terminal():
            say_wrapped(event_line(event), indent=FURTHER)
        else:
            say(_whole_line(event))


log.add_command(verify)


def _whole_line(event: EventView) -> str:
    data = dict(event.data)
    data.pop("type", None)
    text = msgspec.json.encode(data).decode()
    return f"{event.seq:6}  {local_time(event.at)}  {event.stream:20}  {event.kind:18}  {text}"


class SentenceView(Document, kw_only=True):
    at: str
    text: str


class ExplanationView(Document, kw_only=True):
    """`explain --json`."""

    rollout: str
    sentences: list[SentenceView]


@click.command()
@click.argument(
    "rollout_id", metavar="[ID]", required=False, callback=a_rollout, shell_complete=rollouts
)
@json_option
@with_controller
def explain(client: Client, rollout_id: str | None, as_json: bool) -> None:
    """Say why a rollout went as it did; without ID the last one.

    In sentences, from the events alone: why these nodes and slots, how each step ended, what led to
    an undo, what waits and what was left to be done.

    \b
    Example:
      tidegate explain r7
    """
    rollout_id = rollout_id or _newest(client)
    sentences = sentences_of(_with_aftermath(client, rollout_id))
    if as_json:
        views = [SentenceView(at=each.at, text=each.text) for each in sentences]
        print_json(ExplanationView(rollout=rollout_id, sentences=views))
        return
    last = ""
    for each in sentences:
        at = local_time(each.at)
        say_wrapped(f"{at if at != last else '':19}  {each.text}", indent=23)
        last = at


def _newest(client: Client) -> str:
    found = client.rollouts("", 1).rollouts
    if not found:
        raise UsageError("there is no rollout yet", "the first one: tidegate deploy --help")
    return found[0].rollout


def _with_aftermath(client: Client, rollout: str) -> Iterator[EventView]:
    """The rollout's events, and those of its chores, until all are done or another has begun."""
    chores: set[str] = set()
    seq, stream = 0, ""
    for event in client.events(0, rollout):
        seq, stream = event.seq, event.stream
        if event.kind == "Ended":
            chores = {chore["id"] for chore in event.data["chores"]}
        yield event
    under_way: dict[str, str] = {}  # action -> chore
    for event in client.events(seq) if chores else ():
        if event.stream != stream:
            continue
        if not chores:
            return
        if event.kind == "Started":
            yield event
            return  # whatever was not done by then is the next rollout's
        if event.kind == "ActionIssued" and event.data["action"]["step"] in chores:
            under_way[event.data["action"]["id"]] = event.data["action"]["step"]
            yield event
        elif event.kind == "ActionEnded" and event.data["action"] in under_way:
            chores.discard(under_way.pop(event.data["action"]))
            yield event
