"""Ask for something that begins a rollout, or goes on with one, and follow that to its end.

Used by every command that does so. Where somebody looks at a terminal the rollout is drawn as a
tree, else it is told in lines.
"""

import getpass
import os
import socket
from collections.abc import Callable

import click

from tidegate_controller.cli import INTERRUPTED, WAITING
from tidegate_controller.cli.client import Client
from tidegate_controller.cli.picture import Picture
from tidegate_controller.cli.showing import Lines, Quiet, View, watch
from tidegate_controller.cli.terminal import announce, on_terminal, print_json, say
from tidegate_controller.cli.works import Wait
from tidegate_controller.documents import Document
from tidegate_controller.errors import TidegateError
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


class Asking:
    """From the first look at a request to the last at what it has begun: whoever presses Ctrl-C in
    between, or cannot be shown more, is told how far it had got. `status`: the command that shows
    what came of it."""

    def __init__(self, status: str) -> None:
        self._status = status
        self._sent = False
        self._rollout = ""

    def __enter__(self) -> "Asking":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        speaks = (OSError, TidegateError)  # for itself
        if kind is None or not issubclass(kind, (KeyboardInterrupt, click.Abort, *speaks)):
            return
        if self._rollout:
            _say_stopped(self._rollout, "goes on")
        elif issubclass(kind, speaks):
            return
        elif self._sent:
            announce(
                "\nnot waited for the controller's answer; it may have begun\n"
                f"  next: {self._status}; tidegate rollout list"
            )
        else:
            announce("\nnothing was begun")

    def ask(self, ask: Callable[[], pb.RolloutReply]) -> pb.RolloutReply:
        """The controller's answer. Who does not wait for it cannot know whether it was heard."""
        self._sent = True
        reply = ask()
        self._rollout = reply.rollout
        return reply


def follow(client: Client, reply: pb.RolloutReply, *, detach: bool, as_json: bool) -> int:
    """Follow what the request has begun; the exit code says how it ended."""
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
    return attach(client, reply.rollout, reply.seq, as_json=as_json)


def attach(client: Client, rollout: str, after_seq: int = 0, *, as_json: bool = False) -> int:
    """Show the rollout until it has ended, or needs a person. In lines, only what came after the
    cursor is told."""
    shown: View | None = None
    try:
        shown = _view(after_seq, as_json=as_json)
        waits = watch(client, rollout, shown)
        view = client.rollout(rollout)
    except KeyboardInterrupt:
        wait = shown.picture.wait if shown is not None else Wait()
        held = {"person": "waits for a person", "freeze": f"waits for {wait.why}"}
        _say_stopped(rollout, held.get(wait.awaits, "goes on"))
        return INTERRUPTED
    if as_json:
        print_json(view)
    elif view.state not in ("succeeded", "paused", "awaiting_approval"):
        say(
            f"  next: tidegate rollout show {rollout}; tidegate explain {rollout}; "
            f"tidegate status {view.app}"
        )
    if waits:
        return WAITING
    return 0 if view.state == "succeeded" else 1


def _say_stopped(rollout: str, what: str) -> None:
    announce(
        f"\nstopped following; rollout {rollout} {what}\n"
        f"  next: tidegate rollout show {rollout} --watch"
    )


def _view(after_seq: int, *, as_json: bool) -> View:
    if as_json:
        return Quiet(Picture())
    if on_terminal():
        from tidegate_controller.cli.live import LiveTree  # noqa: PLC0415 - only for who looks

        return LiveTree(Picture())
    return Lines(Picture(), after_seq)


def tell(client: Client, rollout: str, after_seq: int, *, quiet: bool = False) -> bool:
    """Tell the rollout in lines until it has ended, or waits for a person: then True."""
    picture = Picture()
    return watch(client, rollout, Quiet(picture) if quiet else Lines(picture, after_seq))
