"""What may be asked of a rollout that is under way, as commands: the rest of `tidegate rollout`.

Each asks, says what came of it, and where the rollout goes on follows it to its end.
"""

import uuid
from collections.abc import Callable

import click

from tidegate_controller.cli.answers import ANSWERS
from tidegate_controller.cli.client import Client
from tidegate_controller.cli.completion import (
    paused_rollouts,
    retried_rollouts,
    running_rollouts,
    waiting_rollouts,
)
from tidegate_controller.cli.deploy import detach_option, message_option
from tidegate_controller.cli.follow import Asking, follow, requested_by
from tidegate_controller.cli.terminal import json_option, print_json, say, with_controller
from tidegate_controller.cli.words import a_rollout
from tidegate_controller.errors import TidegateError
from tidegate_protos.v1 import operator_pb2 as pb

MORE = {
    "continue": "What is in doubt was done all the same, or a person has done it. Where nodes have "
    "failed, it goes on without them, and they owe the release; where a check gave no verdict or "
    "said no, that counts as passed. `tidegate rollout show ID` says which it is.",
    "retry": "That is what has failed, or of which nobody knows whether it was done. Of a "
    "deployment that has ended badly: deploy the same release again; what is there is left alone.",
    "approve": "For `approval = true`: the release runs and is healthy, and has no traffic yet.",
    "promote": "What has been started must be healthy all the same; the gates after this one stay.",
}
OFFERED = {"promote": running_rollouts, "retry": retried_rollouts}


def _last_seq(client: Client, rollout_id: str) -> int:
    """Of the rollout's events so far: what comes after them is what the request has led to. Where
    they cannot be read, all of them are told anew: that is no reason not to ask."""
    try:
        return max((event.seq for event in client.events(0, rollout_id)), default=0)
    except TidegateError:
        return 0


def _ask_and_follow(
    client: Client,
    rollout_id: str,
    ask: Callable[[], pb.RolloutReply],
    *,
    detach: bool,
    as_json: bool,
) -> int:
    with Asking(f"tidegate rollout show {rollout_id}") as asking:
        since = _last_seq(client, rollout_id)
        reply = asking.ask(ask)
        reply.seq = since
        return follow(client, reply, detach=detach, as_json=as_json)


def _answer_command(answer: str) -> click.Command:
    """`tidegate rollout ANSWER ID`. It is meant for what is asked as it is typed."""
    offered = OFFERED.get(answer, waiting_rollouts)
    text = f"{ANSWERS[answer]}\n\n{MORE[answer]}\n\n\b\nExample:\n  tidegate rollout {answer} r7"

    @click.command(answer, help=text)
    @click.argument("rollout_id", metavar="ID", callback=a_rollout, shell_complete=offered)
    @message_option
    @click.option(
        "--question",
        type=click.IntRange(1),
        metavar="NUMBER",
        help="Only if this is asked still: `question` in rollout show --json.",
    )
    @detach_option
    @json_option
    @with_controller
    def command(
        client: Client,
        rollout_id: str,
        message: str,
        question: int | None,
        detach: bool,
        as_json: bool,
    ) -> int:
        view = client.rollout(rollout_id)
        at = next((step.id for step in view.steps if step.state == "running"), "")
        request = pb.AnswerRequest(
            request_id=uuid.uuid4().hex,
            rollout=rollout_id,
            answer=answer,
            answered_by=requested_by(),
            comment=message,
            question=question or view.question or 0,
            step="" if question or view.question else at,
        )
        return _ask_and_follow(
            client, rollout_id, lambda: client.answer(request), detach=detach, as_json=as_json
        )

    return command


def _request(
    rollout_id: str, message: str, *, no_rollback: bool = False, question: int | None = None
) -> pb.ControlRequest:
    return pb.ControlRequest(
        request_id=uuid.uuid4().hex,
        rollout=rollout_id,
        requested_by=requested_by(),
        reason=message,
        no_rollback=no_rollback,
        question=question or 0,
    )


@click.command()
@click.argument("rollout_id", metavar="ID", callback=a_rollout, shell_complete=running_rollouts)
@message_option
@json_option
@with_controller
def pause(client: Client, rollout_id: str, message: str, as_json: bool) -> int:
    """Have it stand still.

    What is under way ends, nothing new begins, and no deadline passes, until it is resumed or
    aborted. Nothing is undone by itself meanwhile.

    \b
    Example:
      tidegate rollout pause r7 -m "orders look odd"
    """
    reply = client.pause(_request(rollout_id, message))
    view = client.rollout(rollout_id)
    if as_json:
        print_json(view)
        return 0
    at = next((step.name for step in view.steps if step.state == "running"), "")
    where = f" at {at}" if at else ""
    say(
        reply.message
        or f"rollout {rollout_id} is paused{where}: what is under way ends, nothing new begins"
    )
    say(f"  next: tidegate rollout resume {rollout_id}; tidegate rollout abort {rollout_id}")
    return 0


@click.command()
@click.argument("rollout_id", metavar="ID", callback=a_rollout, shell_complete=paused_rollouts)
@message_option
@detach_option
@json_option
@with_controller
def resume(client: Client, rollout_id: str, message: str, detach: bool, as_json: bool) -> int:
    """Go on where it was.

    Whatever was to be done by a certain time has as much time as it had left.

    \b
    Example:
      tidegate rollout resume r7
    """
    request = _request(rollout_id, message)
    return _ask_and_follow(
        client, rollout_id, lambda: client.resume(request), detach=detach, as_json=as_json
    )


@click.command()
@click.argument("rollout_id", metavar="ID", callback=a_rollout, shell_complete=running_rollouts)
@message_option
@click.option(
    "--no-rollback", is_flag=True, help="Undo nothing: it ends here, and all stays as it is."
)
@click.option(
    "--question",
    type=click.IntRange(1),
    metavar="NUMBER",
    help="Of an undo that asks this, too: `question` in rollout show --json.",
)
@detach_option
@json_option
@with_controller
def abort(
    client: Client,
    rollout_id: str,
    message: str,
    no_rollback: bool,
    question: int | None,
    detach: bool,
    as_json: bool,
) -> int:
    """Give up, and go back to where it was.

    At any moment until it has succeeded: traffic goes back, and what was started is stopped, now.
    A migration that runs is not cut short. One that has ended is undone by `tidegate rollback`.
    An undo that asks a person is given up as well only by the number of its question.

    \b
    Example:
      tidegate rollout abort r7 -m "wrong version"
      tidegate rollout abort r7 --no-rollback
    """
    request = _request(rollout_id, message, no_rollback=no_rollback, question=question)
    return _ask_and_follow(
        client, rollout_id, lambda: client.abort(request), detach=detach, as_json=as_json
    )


COMMANDS = (pause, resume, abort, *(_answer_command(answer) for answer in MORE))
