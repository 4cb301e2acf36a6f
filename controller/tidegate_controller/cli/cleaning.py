"""`tidegate cleanup`: room on the nodes' disks."""

import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import click
import msgspec

from tidegate_controller.cli import INTERRUPTED
from tidegate_controller.cli.client import Client
from tidegate_controller.cli.completion import apps
from tidegate_controller.cli.deploy import app_environment_option
from tidegate_controller.cli.feed import Feed
from tidegate_controller.cli.follow import requested_by
from tidegate_controller.cli.phrases import amount, listed, natural, size
from tidegate_controller.cli.terminal import (
    announce,
    json_option,
    print_json,
    say,
    with_controller,
)
from tidegate_controller.cli.words import a_name
from tidegate_controller.documents import (
    CleanupList,
    CleanupView,
    EventView,
    NodeCleanup,
    StayedView,
    ThingView,
)
from tidegate_controller.errors import Refused, UsageError
from tidegate_protos.v1 import operator_pb2 as pb

WAIT_SECONDS = 600.0  # for the nodes; what they are at goes on
QUIET_SECONDS = 10.0  # without news: then it is said who is awaited
TICK_SECONDS = 0.5
NAMES_MAX = 5  # things of a node that are named
NODES_SHOWN = 20  # with all of that; of more only the first line is shown
OWED = "it is away, and owes it: it does so once it is back, within a day"
MEANINGS = {
    "owed": OWED,
    "waiting": "not heard from yet; it goes on there, and what comes of it is in: tidegate log",
    "removed": "the node was removed",
    "cancelled": "put off for a rollout, which cleans up there when it has ended",
}
GOOD = ("ok", "owed", "removed", "cancelled")


@click.command()
@click.argument("app", required=False, callback=a_name, shell_complete=apps)
@app_environment_option
@click.option("--detach", is_flag=True, help="Do not wait for the nodes.")
@json_option
@with_controller
def cleanup(
    client: Client, app: str | None, environment: str | None, detach: bool, as_json: bool
) -> int:
    """Remove from the nodes what need not be kept.

    Of an app, or of all. That is done after each rollout anyway, by what [retention] says in
    tidegate.toml. What serves, and the release to go back to, always stay. It waits for ten minutes
    at most, and says for each node what went and what stays; a node that is away does so when it is
    back.

    \b
    Example:
      tidegate cleanup shop -e production
    """
    if app is not None:
        view = _clean_up(client, app, environment or "", detach=detach, quiet=as_json)
        if view is not None and as_json:
            print_json(view)
        return _code([view])
    if environment is not None:
        raise UsageError("an environment is one of an app", "name it: tidegate cleanup APP -e ENV")
    views: list[CleanupView | None] = []
    for each in client.status("").apps:
        try:
            found = _clean_up(client, each.app, each.environment, detach=detach, quiet=as_json)
        except Refused as refusal:  # the others are cleaned up all the same
            where = f"{each.app}@{each.environment}"
            found = CleanupView(message=f"{where}: {refusal.message}", refused=True)
            if not as_json:
                say(found.message)
        views.append(found)
        if found is None:
            break
        found.app, found.environment = each.app, each.environment
    if as_json:
        print_json(CleanupList(apps=[view for view in views if view is not None]))
    elif not views:
        say("nothing was ever deployed")
    return _code(views)


def _code(views: Sequence[CleanupView | None]) -> int:
    """The exit code. None: nobody wanted to wait any longer."""
    if None in views:
        return INTERRUPTED
    done = [view for view in views if view is not None]
    if any(node.state not in GOOD for view in done for node in view.nodes):
        return 1
    return Refused.exit_code if any(view.refused for view in done) else 0


def _clean_up(
    client: Client, app: str, environment: str, *, detach: bool, quiet: bool
) -> CleanupView | None:
    """Ask, and tell what comes of it unless it is to be `quiet`. None where a person has stopped
    waiting."""
    reply = client.clean_up(
        pb.CleanUpRequest(
            request_id=uuid.uuid4().hex,
            app=app,
            environment=environment,
            requested_by=requested_by(),
        )
    )
    view = CleanupView(message=reply.message)
    asked = len({*reply.open, *reply.waiting})
    try:
        if not quiet:
            say(reply.message)
        for node in () if detach else _heard(client, reply):
            view.nodes.append(node)
            view.removed_bytes += node.removed_bytes
            if not quiet:
                say("\n".join(lines_of(node, in_short=asked > NODES_SHOWN)))
    except KeyboardInterrupt:
        announce("\nnot waited for the nodes; they go on\n  next: tidegate log")
        return None
    if len(view.nodes) > 1 and not quiet:
        say(f"{size(view.removed_bytes)} freed on {len(view.nodes)} nodes")
    return view


def _heard(client: Client, reply: pb.CleanUpReply) -> Iterator[NodeCleanup]:
    """Each node as soon as it has answered; in the end those that have not."""
    answers = Answers(reply)
    for away in sorted(answers.away, key=natural):
        yield NodeCleanup(node=away, state="owed")
    if not answers.awaited:
        return
    versions = {
        release.digest: release.version
        for release in client.releases(reply.stream.partition("@")[0]).releases
        if release.version is not None
    }
    since = quiet_since = time.monotonic()
    with Feed(client.events(reply.seq, follow=True)) as feed:
        for event in feed.items(TICK_SECONDS):
            now = time.monotonic()
            if event is not None and (node := answers.take(event, versions)) is not None:
                quiet_since = now
                yield node
            if not answers.awaited or now - since > WAIT_SECONDS:
                break
            if now - quiet_since > QUIET_SECONDS:
                announce(f"still waiting for {listed(sorted(answers.awaited, key=natural))}")
                quiet_since = now
    for late in sorted(answers.awaited, key=natural):
        yield NodeCleanup(node=late, state="waiting")


class Answers:
    """Who was asked, and what of the event log is an answer. `awaited`: nodes that have not yet
    answered and are there; `away`: those that are not."""

    def __init__(self, reply: pb.CleanUpReply) -> None:
        self._stream = reply.stream
        asked = {*reply.open, *reply.waiting}
        self.away = asked.intersection(reply.away)
        self.awaited = asked - self.away
        self._actions = {action: node for node, action in reply.open.items()}

    def take(self, event: EventView, versions: dict[str, str]) -> NodeCleanup | None:
        """`versions`: by digest, as far as they are known."""
        data = event.data
        if event.stream != self._stream:
            return None
        if event.kind == "ActionIssued" and data["action"]["work"]["verb"] == "cleanup":
            self._actions[data["action"]["id"]] = data["action"]["work"]["at"]
        elif event.kind == "ActionEnded" and (node := self._actions.get(data["action"])):
            if node in self.awaited:
                self.awaited.remove(node)
                return _node(node, data, versions)
        elif event.kind == "NodeForgotten" and data["node"] in self.awaited:
            self.awaited.remove(data["node"])
            return NodeCleanup(node=data["node"], state="removed")
        return None


def _node(node: str, data: dict[str, Any], versions: dict[str, str]) -> NodeCleanup:
    view = NodeCleanup(node=node, state=data["outcome"], said=data.get("error", ""))
    if cleaned := data.get("cleaned"):
        view.removed = [_thing(thing, versions) for thing in cleaned["removed"]]
        view.removed_count, view.removed_bytes = cleaned["count"], cleaned["bytes"]
        view.made = [_thing(thing, versions) for thing in cleaned["made"]]
        view.stayed = msgspec.convert(cleaned["stayed"], list[StayedView])
    return view


def _thing(thing: dict[str, Any], versions: dict[str, str]) -> ThingView:
    return ThingView(**thing, version=versions.get(thing["name"]))


def lines_of(node: NodeCleanup, *, in_short: bool = False) -> list[str]:
    """A node as people read it."""
    if node.state != "ok":
        meaning = MEANINGS.get(node.state, node.state)
        return [f"{node.node}: {meaning}{f': {node.said}' if node.said else ''}"]
    if node.removed_count:
        freed = f"{size(node.removed_bytes)} freed, {amount(node.removed_count, 'thing')} removed"
    else:
        freed = "nothing to remove"
    lines = [f"{node.node}: {freed}"]
    problem = [f"  not done: {node.said}"] if node.said else []
    if in_short:
        return lines + problem
    lines += [f"  removed {_words(thing)}" for thing in node.removed[:NAMES_MAX]]
    if (rest := node.removed_count - len(node.removed[:NAMES_MAX])) > 0:
        lines.append(f"  and {rest} more")
    lines += [f"  backed up to {thing.name} ({size(thing.bytes)})" for thing in node.made]
    lines += [
        f"  stays: {amount(each.count, each.kind)} ({size(each.bytes)}), {each.why}"
        for each in node.stayed
    ]
    return lines + problem


def _words(thing: ThingView) -> str:
    what = {"copy": "a slot's copy of", "download": "what was fetched of"}.get(
        thing.kind, thing.kind
    )
    name = thing.name[:19] + "…" if thing.name.startswith("sha256:") else thing.name
    version = f"{thing.version}, " if thing.version else ""
    return f"{what} {version}{name} ({size(thing.bytes)})"
