"""What people decide in the middle of things: answers to a rollout that waits, nodes that are gone
for good, room on the disks."""

import uuid
from collections.abc import Callable

import click

from tidegate_controller.cli.client import Client
from tidegate_controller.cli.deploy import detach_option
from tidegate_controller.cli.follow import asked, follow, requested_by
from tidegate_controller.cli.terminal import json_option, print_json, say, with_controller
from tidegate_controller.cli.words import a_name, a_rollout
from tidegate_controller.documents import Document
from tidegate_protos.v1 import operator_pb2 as pb

HELP = {
    "continue": "Go on: what is in doubt was done, or a person has done it.",
    "retry": "Do once more what is in doubt, or has failed.",
    "abort": "Give up, and go back to where it was.",
}


class DoneView(Document, kw_only=True):
    message: str


def answer_command(answer: str) -> click.Command:
    """`tidegate rollout ANSWER ID`."""

    @click.command(answer, help=f"{HELP[answer]}\n\n\b\nExample:\n  tidegate rollout {answer} r7")
    @click.argument("rollout_id", metavar="ID", callback=a_rollout)
    @detach_option
    @json_option
    @with_controller
    def command(client: Client, rollout_id: str, detach: bool, as_json: bool) -> int:
        request = pb.AnswerRequest(
            request_id=uuid.uuid4().hex,
            rollout=rollout_id,
            answer=answer,
            answered_by=requested_by(),
        )
        since = max((event.seq for event in client.events(0, rollout_id)), default=0)
        reply = asked(lambda: client.answer(request))
        reply.seq = since
        return follow(client, reply, detach=detach, as_json=as_json)

    return command


@click.command("remove")
@click.argument("node", callback=a_name)
@json_option
@with_controller
def node_remove(client: Client, node: str, as_json: bool) -> None:
    """Forget a node that is gone for good; nothing waits for it any more.

    \b
    Example:
      tidegate node remove web-3
    """
    request = pb.RemoveNodeRequest(node=node, requested_by=requested_by())
    _say_done(lambda: client.remove_node(request), as_json=as_json)


@click.command()
@click.argument("app", callback=a_name)
@click.option(
    "-e", "--environment", callback=a_name, help="Which environment; not needed if there is one."
)
@json_option
@with_controller
def cleanup(client: Client, app: str, environment: str | None, as_json: bool) -> None:
    """Remove from the nodes what need not be kept; it is done after each rollout anyway.

    What serves, and the release to go back to, always stay.

    \b
    Example:
      tidegate cleanup shop -e production
    """
    request = pb.CleanUpRequest(
        request_id=uuid.uuid4().hex,
        app=app,
        environment=environment or "",
        requested_by=requested_by(),
    )
    _say_done(lambda: client.clean_up(request), as_json=as_json)


def _say_done(ask: Callable[[], str], *, as_json: bool) -> None:
    message = ask()
    if as_json:
        print_json(DoneView(message=message))
    else:
        say(message)
