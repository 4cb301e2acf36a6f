"""`tidegate node`: the servers that run an agent."""

from collections.abc import Iterable

import click

from tidegate_controller.cli.client import Client
from tidegate_controller.cli.completion import nodes
from tidegate_controller.cli.follow import requested_by
from tidegate_controller.cli.phrases import listed, natural, size, span
from tidegate_controller.cli.plans import can_ask
from tidegate_controller.cli.status import health_words
from tidegate_controller.cli.terminal import (
    AsListed,
    columns,
    json_option,
    local_time,
    print_json,
    say,
    say_done,
    say_wrapped,
    with_controller,
    yes_no,
)
from tidegate_controller.cli.words import a_name
from tidegate_controller.documents import (
    AppStatus,
    NodeChange,
    NodeDetail,
    NodeSlotView,
    RefusedAgent,
)
from tidegate_controller.errors import TidegateError, UsageError
from tidegate_protos.v1 import operator_pb2 as pb

# Facts of a machine in the order in which they are told; what is not here comes after.
FACTS = ("os", "kernel", "cpus", "memory_bytes", "disk_bytes", "user", "hostname", "python")


@click.group(cls=AsListed)
def node() -> None:
    """Nodes: the servers that run an agent."""


@node.command("list")
@json_option
@with_controller
def node_list(client: Client, as_json: bool) -> None:
    """Show every node that ever connected.

    And how it is now. Agents that were turned away are listed too, with why.

    \b
    Example:
      tidegate node list
    """
    view = client.nodes()
    if as_json:
        print_json(view)
        return
    rows = [
        [
            each.node,
            yes_no(each.connected),
            _labels(each.labels) or "-",
            each.address,
            each.agent_version,
            local_time(each.last_seen),
        ]
        for each in sorted(view.nodes, key=lambda each: natural(each.node))
    ]
    if rows:
        columns(["NODE", "CONNECTED", "LABELS", "ADDRESS", "AGENT", "LAST SEEN"], rows)
    elif not view.refused:
        say(
            "no agent has connected yet\n  next: tidegate-agent run --node NAME --data DIR "
            "--controller HOST:PORT --label role=web"
        )
    for refused in view.refused:
        say_wrapped(_refused_line(refused))


def _labels(labels: dict[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def _refused_line(refused: RefusedAgent) -> str:
    return f"turned away: {refused.node} at {local_time(refused.at)}: {refused.why}"


@node.command("show")
@click.argument("name", metavar="NODE", callback=a_name, shell_complete=nodes)
@json_option
@with_controller
def node_show(client: Client, name: str, as_json: bool) -> None:
    """Show all that is known of one node.

    Its machine, how it is now, what its slots hold, what it owes, and what has last changed there.

    \b
    Example:
      tidegate node show web-1
    """
    view = client.node(name)
    if as_json:
        print_json(view)
        return
    for line in _head_lines(view):
        say_wrapped(line)
    if view.slots:
        say("")
        columns(["APP", "SLOT", "VERSION", "STATE", "TRAFFIC", "ADDRESS"], _slot_rows(view.slots))
    for debt in view.debts:
        say(f"owes, {debt}")
    if view.changes:
        say("")
        columns(["WHEN", "WHERE", "WHAT", "WHY"], [_change_row(change) for change in view.changes])


def _head_lines(view: NodeDetail) -> list[str]:
    state = "connected" if view.connected else "not connected"
    over = f" over {view.transport}" if view.transport else ""
    seen = f"last seen {local_time(view.last_seen)}"
    if view.last_seen is None:
        seen = "not seen since the controller's start"
    lines = [
        f"{view.node}: {state}, {seen}",
        f"  agent {view.agent_version} at {view.address}{over}",
        f"  labels: {_labels(view.labels) or 'none'}",
    ]
    if facts := _fact_words(view.facts):
        lines.append(f"  machine: {', '.join(facts)}")
    if now := _now_words(view):
        lines.append(f"  now: {', '.join(now)}")
    if view.refused:
        lines.append(f"  {_refused_line(view.refused)}")
    return lines


def _fact_words(facts: dict[str, str]) -> list[str]:
    known = [name for name in FACTS if name in facts]
    others = sorted(set(facts).difference(FACTS))
    return [_fact(name, facts[name]) for name in (*known, *others)]


def _fact(name: str, value: str) -> str:
    what, _, unit = name.rpartition("_")
    if unit == "bytes" and value.isdecimal():
        return f"{what} {size(int(value))}"
    return f"{name} {value}"


def _now_words(view: NodeDetail) -> list[str]:
    words = []
    if view.cpu_percent is not None:
        words.append(f"cpu {view.cpu_percent:.0f} %")
    if view.memory_used_bytes is not None:
        of = f" of {size(view.memory_total_bytes)}" if view.memory_total_bytes else ""
        words.append(f"memory {size(view.memory_used_bytes)}{of}")
    if view.disk_free_bytes is not None:
        words.append(f"disk {size(view.disk_free_bytes)} free")
    if view.load_1m is not None:
        words.append(f"load {view.load_1m:.2f}")
    if view.uptime_seconds is not None:
        words.append(f"up for {span(view.uptime_seconds)}")
    return words


def _slot_rows(slots: list[NodeSlotView]) -> list[list[str]]:
    return [
        [
            f"{slot.app}@{slot.environment}",
            slot.slot,
            slot.version or (slot.digest[:19] if slot.digest else "-"),
            health_words(slot) if slot.digest else "empty",
            "yes" if slot.active else "no",
            slot.address or "-",
        ]
        for slot in slots
    ]


def _change_row(change: NodeChange) -> list[str]:
    where = f"{change.app}@{change.environment} {change.slot}" if change.slot else "node"
    return [local_time(change.at), where, change.what, change.detail]


@node.command("remove")
@click.argument("node", callback=a_name, shell_complete=nodes)
@click.option("--yes", "-y", is_flag=True, help="Ask nothing, not even if traffic leads there.")
@json_option
@with_controller
def node_remove(client: Client, node: str, yes: bool, as_json: bool) -> None:
    """Forget a node that is gone for good.

    Nothing waits for it any more. Where traffic of an app still leads there, you are asked first.

    \b
    Example:
      tidegate node remove web-3
    """
    if not yes:
        _ask_about_traffic(client, node, as_json=as_json)
    request = pb.RemoveNodeRequest(node=node, requested_by=requested_by())
    say_done(client.remove_node(request), as_json=as_json)


def _ask_about_traffic(client: Client, node: str, *, as_json: bool) -> None:
    """Raises where it has traffic and nobody says that the removal is meant all the same."""
    leads_there = traffic_to(node, client.status("").apps)
    if not leads_there:
        return
    if not can_ask(as_json=as_json):
        raise UsageError(
            f"{'; '.join(leads_there)}; and there is no terminal to ask at whether this is meant",
            "deploy to other nodes first; or say that it is meant: tidegate node remove "
            f"{node} --yes",
        )
    for line in leads_there:
        say_wrapped(line)
    if not click.confirm(f"Forget {node} all the same?", default=False):
        raise TidegateError("it was not meant, so nothing was done")


def traffic_to(node: str, apps: Iterable[AppStatus]) -> list[str]:
    """A line for each app whose traffic leads to the node, unless its agent is connected: then it
    cannot be removed anyway."""
    lines = []
    for app in apps:
        serving = {each.node: each for each in app.nodes if each.active_slot}
        if node in serving and not serving[node].connected:
            others = [name for name in serving if name != node]
            rest = f"to {listed(others)} too" if others else "to no other node"
            lines.append(f"traffic of {app.app} in {app.environment} leads to {node}, and {rest}")
    return lines
