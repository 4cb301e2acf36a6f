"""Ask for something that begins a rollout, or goes on with one, and follow that to its end.

Used by every command that does so.
"""

import getpass
import os
import socket
from collections.abc import Callable

from tidegate_controller.cli import INTERRUPTED, WAITING
from tidegate_controller.cli.client import Client
from tidegate_controller.cli.narrate import Narrator
from tidegate_controller.cli.terminal import announce, clock_time, print_json, say
from tidegate_controller.documents import Document
from tidegate_protos.v1 import operator_pb2 as pb


class Nothing(Document, kw_only=True):
    """`--json` of a request that left nothing to do."""

    rollout: None = None
    state: str = "succeeded"
    reason: str


def requested_by() -> str:
    """Who asks, for the history: user@host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def asked(ask: Callable[[], pb.RolloutReply]) -> pb.RolloutReply:
    """The controller's answer. Who does not wait for it cannot know whether a rollout began."""
    try:
        return ask()
    except KeyboardInterrupt:
        announce("\nnot waited for the controller's answer; a rollout may have begun")
        announce("  next: tidegate rollout list")
        raise


def follow(client: Client, reply: pb.RolloutReply, *, detach: bool, as_json: bool) -> int:
    """Tell the rollout's story as it happens; the exit code says how it ended."""
    if not reply.rollout:
        if as_json:
            print_json(Nothing(reason=reply.message))
        else:
            say(reply.message)
        return 0
    if detach:
        if as_json:
            print_json(client.rollout(reply.rollout))
        else:
            say(reply.rollout)
        return 0
    try:
        waits = tell(client, reply.rollout, reply.seq, quiet=as_json)
        view = client.rollout(reply.rollout)
    except KeyboardInterrupt:
        announce(
            f"\nstopped following; rollout {reply.rollout} goes on\n"
            f"  next: tidegate log --follow --rollout {reply.rollout}; "
            f"tidegate rollout show {reply.rollout}"
        )
        return INTERRUPTED
    if as_json:
        print_json(view)
    elif view.state not in ("succeeded", "paused"):
        say(f"  next: tidegate rollout show {view.rollout}; tidegate status {view.app}")
    if waits:
        return WAITING
    return 0 if view.state == "succeeded" else 1


def tell(client: Client, rollout: str, after_seq: int, *, quiet: bool = False) -> bool:
    """Print time-stamped lines until the rollout has ended, or waits for a person: then True."""
    narrator = Narrator()
    for event in client.events(after_seq, rollout, follow=True):
        for line in narrator.lines(event):
            if not quiet:
                say(f"{clock_time(event.at)}  {line}")
        if event.kind == "Waiting" and client.rollout(rollout).waiting_for is not None:
            return True
    return False
